"""An entry that outlives the endpoint to which it leads."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import Any

from analyzer.lab.asking import DNS_A, DNS_PORT, dns_question
from analyzer.lab.echo import UDP, serve_echo
from analyzer.lab.node import V4, bridge_netfilter
from analyzer.lab.run import Run

POD_NETWORK, OLD, NEW = "10.244.1.0/24", "10.244.1.20", "10.244.1.21"
PATIENCE_S = 0.5


def stale_entry(run: Run) -> dict[str, Any]:
    """A UDP service's endpoint, a pod of another node, is replaced; a client that keeps its port still gets the old.

    Its entry was made before and every request renews it: they leave eth0 for an address that is gone, and
    nobody answers. Requests from new ports go to the new endpoint. Truth: `port` of that client, `answered`
    before, `unanswered` after; `fresh`, how many requests from new ports were answered after.
    """
    net = run.net
    bridge_netfilter(net.node, on=False)
    net.node.ip("route", "add", POD_NETWORK, "via", V4.server)
    for address in (OLD, NEW):
        net.outside.ip("address", "add", f"{address}/32", "dev", "lo")
    serve_echo(net.outside, (UDP, OLD, DNS_PORT), (UDP, NEW, DNS_PORT))
    _lead_to(run, OLD)
    with closing(_client(run)) as old:
        answered = sum(_ask(old, number) for number in range(run.rounds))
        _lead_to(run, NEW)
        net.outside.ip("address", "delete", f"{OLD}/32", "dev", "lo")
        unanswered = fresh = 0
        for number in range(run.rounds):
            unanswered += not _ask(old, run.rounds + number)
            with closing(_client(run)) as new:
                fresh += _ask(new, 2 * run.rounds + number)
        port = old.getsockname()[1]
    return {"port": port, "answered": answered, "unanswered": unanswered, "fresh": fresh}


def _lead_to(run: Run, endpoint: str) -> None:
    """Make the service lead to an endpoint, as kube-proxy does when the old one is gone."""
    rule = f"ip daddr {V4.service} udp dport {DNS_PORT} dnat ip to {endpoint}"
    run.net.node.run(
        "nft", "-f", "-", stdin=f"flush chain inet nat prerouting\nadd rule inet nat prerouting {rule}\n"
    )


def _client(run: Run) -> socket.socket:
    with run.net.a.entered():
        client = socket.socket(socket.AF_INET, UDP)
    client.settimeout(PATIENCE_S)
    client.bind((V4.a, 0))
    client.connect((V4.service, DNS_PORT))
    return client


def _ask(client: socket.socket, number: int) -> bool:
    time.sleep(0.1)
    client.send(dns_question(number, DNS_A))
    try:
        return bool(client.recv(2048))
    except TimeoutError:
        return False
