"""The connection tracking table is full: what is new is dropped, what is known goes on."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from analyzer.lab import state
from analyzer.lab.asking import DNS_PORT, ask_at
from analyzer.lab.echo import TCP, UDP, serve_echo
from analyzer.lab.machine import setting
from analyzer.lab.node import V4, bridge_netfilter
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, connected, converse, results

PORT = 80
BURST_NS = 2_000_000_000
INTERVAL_NS = 3_000_000
FULL_S = 3.4


def table_full(run: Run) -> dict[str, Any]:
    """Pod a leaks connections until the table is full; then new TCP and UDP flows vanish in two bursts.

    br_netfilter is off, so they vanish between cni0 and eth0. `drop` counts them, `insert_failed` does not. A
    connection that was there goes on, and after 3.4 s the limit is raised as an operator would do it.
    nf_conntrack_max is the machine's, not the namespace's: for those seconds every namespace with so many
    entries is refused new ones. Truth: `limit`; `syns` and `requests` sent; `connects`, `asks` and
    `established` as the programs know.
    """
    bridge_netfilter(run.net.node, on=False)
    return _fill(run)


def table_full_br_netfilter(run: Run) -> dict[str, Any]:
    """The same as `table-full` with br_netfilter: connection tracking, and the loss, is before the bridge.

    Truth: as there.
    """
    bridge_netfilter(run.net.node, on=True)
    return _fill(run)


def _fill(run: Run) -> dict[str, Any]:
    net, target = run.net, (V4.server, PORT)
    serve_echo(net.outside, (TCP, V4.server, PORT), (UDP, V4.server, DNS_PORT))
    sent = -state.syns_sent(net.a, net.b)
    with ExitStack() as stack:
        for _ in range(run.rounds):
            stack.enter_context(connected(net.a, target))
        for _ in range(run.rounds // 4):
            connected(net.b, target).close()  # TIME_WAIT
        talk = net.b.start(converse, target, FULL_S + 1)
        time.sleep(0.3)
        limit = state.entries(net.node)
        with setting("net.netfilter.nf_conntrack_max", limit):
            connects, asks = {}, {}
            first = time.monotonic_ns() + 200_000_000
            turns = max(1, run.rounds // 12)
            for name, pod, own, port in (("a", net.a, V4.a, 30000), ("b", net.b, V4.b, 31000)):
                instants = {
                    port + 100 * burst + turn: first + burst * BURST_NS + turn * INTERVAL_NS
                    for burst in range(2)
                    for turn in range(turns)
                }
                connects[name] = pod.start(connect_at, own, target, instants)
                asks[name] = pod.start(ask_at, own, (V4.server, DNS_PORT), instants)
            time.sleep(FULL_S - 0.6)
            run.collect()
            time.sleep(0.6)
        told: dict[str, Any] = {
            "limit": limit,
            "connects": results(connects),
            "asks": results(asks),
            "established": talk.result(60),
        }
    return told | {
        "syns": sent + state.syns_sent(net.a, net.b),
        "requests": sum(ask["sent"] for asked in told["asks"].values() for ask in asked),
    }
