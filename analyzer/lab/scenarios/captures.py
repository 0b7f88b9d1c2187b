"""Captures at eth0 that do not hold what was there."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from analyzer.lab.asking import DNS_PORT, ask_at
from analyzer.lab.echo import TCP, UDP, serve_echo
from analyzer.lab.namespaces import Task
from analyzer.lab.node import V4
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, converse, evenly, results, soon

PORT = 80
SYSLOG_PORT = 514
INTERVAL_NS = 50_000_000
INTERVAL_S = INTERVAL_NS / 1e9
# libpcap then makes a ring of one block: what comes while tcpdump has it is dropped (packet_mmap.rst).
TINY = """#!/bin/sh
PATH=${PATH#*:} exec tcpdump "$@" -B 1
"""
BEFORE_S = 1.5
UNTIL_S = 2
ONE_WAY = f"""
table inet arrived {{
    chain input {{
        type filter hook input priority 0;
        udp dport {SYSLOG_PORT} counter drop
    }}
}}
"""


def capture_loss(run: Run) -> dict[str, Any]:
    """The tcpdump at eth0 has a tiny buffer and does not run for two seconds; the packets themselves get through.

    Truth: the `connects` of pod a and the `asks` of pod b: all are answered at the first attempt. How many
    packets the capture lost is the last line of its log.
    """
    tools = Path(run.ends.enter_context(TemporaryDirectory()))
    (tools / "tcpdump").write_text(TINY)
    (tools / "tcpdump").chmod(0o755)
    recording = run.record("eth0", tools)
    tasks = _talk(run)
    time.sleep(BEFORE_S)
    with recording.frozen():
        time.sleep(UNTIL_S)
    return results(tasks)


def late_start(run: Run) -> dict[str, Any]:
    """The capture at eth0 starts two seconds after the others, in the middle of the traffic.

    Among it are a connection that lasts all the time, and datagrams to which nobody ever answers. Truth:
    `connects`, `asks` and `established` as the programs know; `one_way`, the datagrams without answer, of which
    `arrived` were counted at the far end.
    """
    net = run.net
    net.outside.run("nft", "-f", "-", stdin=ONE_WAY)
    tasks = _talk(run)
    long = net.b.start(converse, (V4.server, PORT), run.rounds * INTERVAL_S)
    instants = evenly(32000, time.monotonic_ns(), 10 * INTERVAL_NS, run.rounds // 10)
    one_way = net.b.start(ask_at, V4.b, (V4.server, SYSLOG_PORT), instants, 0.5)
    time.sleep(UNTIL_S)
    run.record("eth0")
    told = results(tasks) | {"established": long.result(60)}
    sent = sum(ask.sent for ask in one_way.result(60))
    (arrived,) = net.outside.counted("inet", "arrived", "input")
    return told | {"one_way": sent, "arrived": arrived}


def _talk(run: Run) -> dict[str, Task[Any]]:
    net = run.net
    serve_echo(net.outside, (TCP, V4.server, PORT), (UDP, V4.server, DNS_PORT))
    instants = evenly(30000, soon(), INTERVAL_NS, run.rounds)
    return {
        "connects": net.a.start(connect_at, V4.a, (V4.server, PORT), instants),
        "asks": net.b.start(ask_at, V4.b, (V4.server, DNS_PORT), instants),
    }
