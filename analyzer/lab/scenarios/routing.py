"""Routing drops what a pod sends: forwarding is off, or the reverse path filter finds another way back."""

from __future__ import annotations

from typing import Any

from analyzer.lab import state
from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.namespaces import Namespace
from analyzer.lab.node import V4
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, evenly, results, soon

PORT = 80
INTERVAL_NS = 50_000_000
# Those that pass begin before the others and go on until those have given up: all points have packets throughout.
LATER_NS = 200_000_000
OPEN_NS = 4_800_000_000
PATIENCE_S = 3.5


def forwarding_disabled(run: Run) -> dict[str, Any]:
    """The node does not forward: every SYN of pod a is lost, the node itself reaches the server.

    Truth: `dropped`, by which the kernel's InAddrErrors rose; `syns` that pod a sent; the `connects`.
    """
    node = run.net.node
    node.sysctl("net.ipv4.ip_forward", 0)
    try:
        told = _connect(run, (node, V4.node), "Ip", "InAddrErrors")
        _settings(run, "ip_forward", "conf.all.forwarding", "conf.cni0.forwarding", "conf.eth0.forwarding")
        run.collect()
    finally:
        node.sysctl("net.ipv4.ip_forward", 1)
    return told


def rp_filter(run: Run) -> dict[str, Any]:
    """Answers to pod a would leave by eth0, and the filter is strict on cni0: pod a's SYNs are lost, pod b's pass.

    Truth: `dropped`, by which the kernel's IPReversePathFilter rose; `syns` that pod a sent; the `connects`.
    """
    node = run.net.node
    node.ip("route", "add", "default", "via", V4.server, "dev", "eth0", "table", "7")
    node.sysctl("net.ipv4.conf.cni0.rp_filter", 1)
    node.ip("rule", "add", "priority", "100", "to", V4.a, "lookup", "7")
    try:
        told = _connect(run, (run.net.b, V4.b), "TcpExt", "IPReversePathFilter")
        (run.directory / "ip-rule.txt").write_text(node.ip("rule", "show"))
        (run.directory / "ip-route-all.txt").write_text(node.ip("route", "show", "table", "all"))
        _settings(run, "conf.all.rp_filter", "conf.cni0.rp_filter")
        run.collect()
    finally:
        node.ip("rule", "del", "priority", "100")
    return told


def _settings(run: Run, *names: str) -> None:
    told = run.net.node.run("sysctl", *(f"net.ipv4.{name}" for name in names))
    (run.directory / "sysctl-routing.txt").write_text(told)


def _connect(run: Run, passing: tuple[Namespace, str], group: str, counter: str) -> dict[str, Any]:
    net = run.net
    serve_echo(net.outside, (TCP, V4.server, PORT))
    before, sent = _counters(run, "before"), -state.syns_sent(net.a)
    first = soon()
    tasks = {
        name: who.start(
            connect_at, own, (V4.server, PORT), evenly(source, begin, interval, run.rounds), PATIENCE_S
        )
        for name, (who, own), source, begin, interval in (
            ("passing", passing, 30000, first, OPEN_NS // max(1, run.rounds - 1)),
            ("failing", (net.a, V4.a), 31000, first + LATER_NS, INTERVAL_NS),
        )
    }
    connects = results(tasks)
    after = _counters(run, "after")
    return {
        "syns": sent + state.syns_sent(net.a),
        "dropped": after[group, counter] - before[group, counter],
        "connects": connects,
    }


def _counters(run: Run, when: str) -> dict[tuple[str, str], int]:
    """The kernel's counters of IP and TCP, which are written to the bundle as well."""
    found: dict[tuple[str, str], int] = {}
    for name in ("snmp", "netstat"):
        text = run.net.node.run("cat", f"/proc/net/{name}")
        (run.directory / f"proc-net-{name}-{when}.txt").write_text(text)
        lines = [line.split() for line in text.splitlines()]
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group = names[0].rstrip(":")
            found |= {(group, key): int(value) for key, value in zip(names[1:], values[1:], strict=True)}
    return found
