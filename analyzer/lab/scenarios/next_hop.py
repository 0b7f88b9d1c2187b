"""Nobody answers where the packets are to go next."""

from __future__ import annotations

from typing import Any

from analyzer.lab import state
from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.node import V4
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, evenly, results, soon

PORT = 80
NEIGHBOUR = "192.0.2.77"
GATEWAY = "192.0.2.1"
BEHIND = "198.51.100.20"
INTERVAL_NS = 50_000_000
# Those to the server begin before the others and go on until those have failed.
LATER_NS = 200_000_000
OPEN_NS = 4_800_000_000
PATIENCE_S = 6


def next_hop(run: Run) -> dict[str, Any]:
    """Pod a connects to a network whose gateway, pod b to a neighbour of the node that does not answer ARP.

    The SYNs pass NAT and wait for the neighbour's address; after three ARP requests they are dropped and the
    pods get ICMP host unreachable. The server, in the same network, answers meanwhile. Truth: `syns` sent to
    the dead ends, by pod; `connects` to them, with the error, and to the server.
    """
    net = run.net
    serve_echo(net.outside, (TCP, V4.server, PORT))
    net.node.ip("route", "add", "198.51.100.0/24", "via", GATEWAY, "dev", "eth0")
    before = {name: state.syns_sent(pod) for name, pod in (("a", net.a), ("b", net.b))}
    first = soon()
    tasks = {
        f"{name} to {target}": pod.start(
            connect_at, own, (target, PORT), evenly(source, begin, interval, run.rounds), PATIENCE_S
        )
        for name, pod, own, dead, low in (
            ("a", net.a, V4.a, BEHIND, 30000),
            ("b", net.b, V4.b, NEIGHBOUR, 31000),
        )
        for target, source, begin, interval in (
            (dead, low, first + LATER_NS, INTERVAL_NS),
            (V4.server, low + 500, first, OPEN_NS // max(1, run.rounds - 1)),
        )
    }
    connects = results(tasks)
    sent = {
        name: state.syns_sent(pod) - before[name] - run.rounds for name, pod in (("a", net.a), ("b", net.b))
    }
    return {"syns": sent, "connects": connects}
