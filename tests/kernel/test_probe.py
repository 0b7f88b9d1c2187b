"""The load generator in the pods of the laboratory provokes the race; beside a recording its logs tell which request lost it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.field.slowlog import read
from analyzer.lab import machine, state
from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.node import POINTS, V4, Node, built
from analyzer.lab.recording import recorded

pytestmark = pytest.mark.kernel

PROBE = (sys.executable, "-c", "from analyzer.cli import main; main()", "probe")
SHARED = ("--delay", "5", "--count", "400", "--source-ports", "20000-29999")


def probes(net: Node, logs: list[Path]) -> list[str]:
    """Let both pods ask at the same instants from the same ports; return what the probes said."""
    running = []
    for pod, log in zip((net.a, net.b), logs, strict=True):
        with pod.entered():
            argv = [*PROBE, *SHARED, "--log", str(log), f"{V4.server}:80"]
            running.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
    return [process.communicate(timeout=60)[0] for process in running]


def test_two_pods_with_shared_ports_race(tmp_path: Path) -> None:
    """Slow requests, of about one second and its multiples, are as many as failed insertions, and each is explained by one."""
    for attempt in range(4):  # the two CPUs may miss each other
        folder = tmp_path / str(attempt)
        folder.mkdir()
        logs = [tmp_path / f"{name}{attempt}.jsonl" for name in "ab"]
        with machine.alone(), built() as net:
            serve_echo(net.outside, (TCP, V4.server, 80))
            before = state.counters(net.node)
            with recorded(net.node, folder, POINTS):
                said = probes(net, logs)
            failed = state.increase(before, state.counters(net.node))["insert_failed"]
        slow = [request for log in logs for request in read(log.read_text(), log.name)[0]]

        assert all("400 requests, 400 answered" in text for text in said)
        # A SYN that is repeated may lose again, and then its request is slow once and two insertions failed.
        assert len(slow) <= failed <= sum(round(request.duration) for request in slow)
        if failed:
            assert any("of about 1.0" in text for text in said)
            assert all(request.duration > 0.9 for request in slow)
            told = analyze(folder).with_slow_log(*logs).slow
            assert told is not None
            number = len(slow)
            verb = "are" if number > 1 else "is"
            says = f"of {number} slow request{'s' * (number > 1)} {number} {verb} explained: {number} by snat-port-race"
            assert says == told.says
            found = [one.connection for one in told.requests if one.connection]
            assert [("snat-port-race", r.src, r.sport) for r in slow] == [
                (c.cause, c.src, c.sport) for c in found
            ]
            return
    pytest.fail("the probes did not provoke the race in 4 runs")
