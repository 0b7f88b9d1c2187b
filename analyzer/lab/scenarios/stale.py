"""Entries, of conntrack and of neighbours, that outlive the endpoint to which they lead."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import Any

from analyzer.lab.asking import DNS_A, DNS_PORT, dns_question
from analyzer.lab.echo import TCP, UDP, serve_echo
from analyzer.lab.node import V4, bridge_netfilter
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, evenly, results, soon

POD_NETWORK, OLD, NEW = "10.244.1.0/24", "10.244.1.20", "10.244.1.21"
PATIENCE_S = 0.5
PORT = 80
ANOTHER = "02:00:00:00:00:77"
INTERVAL_NS = 50_000_000
CONNECTING_S = 2.5


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


def stale_neighbour(run: Run) -> dict[str, Any]:
    """The node's neighbour table has the link-layer address of a pod before for pod a; pod b's is right.

    The bridge floods the SYN-ACKs to pod a, whose kernel ignores them. Truth: `connects` of both pods; `ignored`, those of pod
    a that were never established.
    """
    net = run.net
    net.node.ip("neigh", "replace", V4.a, "lladdr", ANOTHER, "dev", "cni0", "nud", "permanent")
    serve_echo(net.outside, (TCP, V4.server, PORT))
    first = soon()
    tasks = {
        name: pod.start(
            connect_at, own, (V4.server, PORT), evenly(low, first, INTERVAL_NS, run.rounds), CONNECTING_S
        )
        for name, pod, own, low in (("a", net.a, V4.a, 30000), ("b", net.b, V4.b, 31000))
    }
    connects = results(tasks)
    net.node.ip("neigh", "delete", V4.a, "dev", "cni0")  # what ends the recording is answered again
    return {"connects": connects, "ignored": [c["port"] for c in connects["a"] if c["delay"] is None]}


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
