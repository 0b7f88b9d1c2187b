"""Ways that do not lead through eth0: eth0 never sees packets that are not lost, or not where it shows."""

from __future__ import annotations

import time
from typing import Any

from analyzer.lab.asking import DNS_PORT, ask_at
from analyzer.lab.echo import TCP, UDP, serve_echo
from analyzer.lab.namespaces import Task
from analyzer.lab.node import V4, Node, bridge_netfilter
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, connected, evenly, results, soon, talk

PORT = 80
FILTERED = 81
SYSLOG_PORT = 514
NODE_ETH1, SERVER_ETH1 = "198.51.100.10", "198.51.100.100"
FAR = "203.0.113.7"
CHANGE_S = 0.5
SERVICE = "10.96.0.20"
ENDPOINT_PORT = 8080
INTERVAL_NS = 50_000_000
PATIENCE_S = 2.5
ARRIVED = f"""
table inet arrived {{
    chain input {{
        type filter hook input priority 0;
        iifname "eth1" tcp dport {FILTERED} counter drop
        iifname "eth1" udp dport {SYSLOG_PORT} counter drop
    }}
}}
"""
LOCAL = f"""
table inet nat {{
    chain prerouting {{
        ip daddr {SERVICE} tcp dport {PORT} dnat ip to {V4.b}:{ENDPOINT_PORT}
        ip daddr {SERVICE} udp dport {DNS_PORT} dnat ip to {V4.b}
    }}
}}
"""
HAIRPIN = 'add rule inet nat postrouting oifname "cni0" ct status dnat masquerade'


def second_way(run: Run) -> dict[str, Any]:
    """A second uplink, eth1, carries what goes to 198.51.100.0/24; only eth0 is captured.

    Some of it is answered; SYNs to port 81 and datagrams to port 514 arrive and are not. Truth: the
    `connects` and `asks` of pod a; `arrived`, what the far end counted of those two ports.
    """
    net = run.net
    _second_uplink(net)
    net.outside.run("nft", "-f", "-", stdin=ARRIVED)
    for server in (V4.server, SERVER_ETH1):
        serve_echo(net.outside, (TCP, server, PORT), (UDP, server, DNS_PORT))
    told = _talk(
        run,
        [(V4.server, PORT), (SERVER_ETH1, PORT), (SERVER_ETH1, FILTERED)],
        [(V4.server, DNS_PORT), (SERVER_ETH1, DNS_PORT), (SERVER_ETH1, SYSLOG_PORT)],
    )
    return told | {"arrived": net.outside.counted("inet", "arrived", "input")}


def uplink_changed(run: Run) -> dict[str, Any]:
    """The route to the server moves from eth0 to eth1 while pod a's connections are open.

    MASQUERADE gives them eth1's address there: the server, which knows no such connections, resets them. Half of the
    connections are closed before. Truth: `broken` and `whole`, the pod's ports.
    """
    net = run.net
    _second_uplink(net)
    net.outside.ip("address", "add", f"{FAR}/32", "dev", "lo")
    net.node.ip("route", "add", FAR, "via", V4.server, "dev", "eth0")
    run.record("eth1")
    serve_echo(net.outside, (TCP, FAR, PORT))
    clients = [connected(net.a, (FAR, PORT)) for _ in range(2 * run.rounds)]
    whole = [client.getsockname()[1] for client in clients if talk(client)][1::2]
    for client in clients[1::2]:
        client.close()
    time.sleep(CHANGE_S)
    net.node.ip("route", "replace", FAR, "via", SERVER_ETH1, "dev", "eth1")
    broken = [client.getsockname()[1] for client in clients[::2] if not talk(client)]
    time.sleep(CHANGE_S)
    for client in clients:
        client.close()
    return {"broken": broken, "whole": whole}


def _second_uplink(net: Node) -> None:
    """Give the node eth1, with an address that MASQUERADE takes."""
    net.node.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", net.outside.name)
    for where, address in ((net.node, NODE_ETH1), (net.outside, SERVER_ETH1)):
        where.ip("link", "set", "eth1", "up")
        where.ip("address", "add", f"{address}/24", "dev", "eth1")
    net.node.run("nft", 'add rule inet nat postrouting oifname "eth1" masquerade')


def service_local(run: Run) -> dict[str, Any]:
    """Pod a talks to a service whose endpoint is pod b on the same node: routed back through the bridge.

    br_netfilter is off; DNAT and MASQUERADE turn the packets round at cni0, and eth0 never sees them. Truth:
    the `connects` and `asks` of pod a; all are answered.
    """
    bridge_netfilter(run.net.node, on=False)
    run.net.node.run("nft", HAIRPIN)
    return _local(run)


def service_local_br_netfilter(run: Run) -> dict[str, Any]:
    """The same as `service-local` with br_netfilter, which translates the frames on their way over the bridge.

    Truth: as there.
    """
    bridge_netfilter(run.net.node, on=True)
    return _local(run)


def _local(run: Run) -> dict[str, Any]:
    serve_echo(run.net.b, (TCP, V4.b, ENDPOINT_PORT), (UDP, V4.b, DNS_PORT))
    run.net.node.run("nft", "-f", "-", stdin=LOCAL)
    return _talk(run, [(SERVICE, PORT)], [(SERVICE, DNS_PORT)])


def _talk(run: Run, connect: list[tuple[str, int]], ask: list[tuple[str, int]]) -> dict[str, Any]:
    """Pod a connects and asks; every target has its own range of source ports."""
    first = soon()
    tasks: dict[tuple[str, str], Task[Any]] = {}
    for number, target in enumerate([*connect, *ask]):
        instants = evenly(30000 + 1000 * number, first, INTERVAL_NS, run.rounds)
        where = f"{target[0]}:{target[1]}"
        if target in connect:
            tasks["connects", where] = run.net.a.start(connect_at, V4.a, target, instants, PATIENCE_S)
        else:
            tasks["asks", where] = run.net.a.start(ask_at, V4.a, target, instants, PATIENCE_S)
    told: dict[str, Any] = {"connects": {}, "asks": {}}
    for (kind, where), connects in results(tasks).items():
        told[kind][where] = connects
    return told
