"""The flight recorder on real incidents: it ends by itself, and the packets of the event are inside."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from analyzer.lab import machine
from analyzer.lab.node import V4, Node, built
from analyzer.lab.run import Run
from analyzer.lab.scenarios import SCENARIOS
from tests.kernel.recorded import SHELLS, Script, packets

pytestmark = pytest.mark.kernel


def provoke(scenario: str, net: Node, folder: Path, rounds: int) -> Any:
    """Make a scenario's traffic, without the laboratory's own recording."""
    evidence = folder / "evidence"
    evidence.mkdir(exist_ok=True)
    run = Run(net=net, rounds=rounds, recording=None, directory=evidence)
    return SCENARIOS[scenario].provoke(run)


def caught(event: str, scenario: str, folder: Path, *, rounds: int, under: str = "dash") -> Script | None:
    """Record until the event, while the scenario runs; None where it did not come."""
    with machine.alone(), built() as net:
        script = Script(net.node, folder / "out", "--until", event, "--after", 2, shell=SHELLS[under])
        other = (
            Script(net.node, folder / "drop", "--until", "drop", "--after", 0)
            if event == "table-full"
            else None
        )
        for each in (script, other):
            assert each is None or each.begun()
        provoke(scenario, net, folder, rounds)
        for _ in range(10):
            if f"{event}: 2 s more" in script.said:
                break
            time.sleep(0.3)
        else:
            script.end()
            return None
        assert 0 == script.ended()
        assert other is None or (0, "drop") == (other.ended(), other.manifest()["event"]["what"])
    manifest = script.manifest()
    assert "event" == manifest["ended"]
    assert event == manifest["event"]["what"]
    assert [] == script.leftovers()
    return script


def causes(script: Script) -> set[str | None]:
    """What the analysis of the archive finds."""
    return {finding.cause for incident in analyze(script.archive).incidents for finding in incident.findings}


def test_a_race(tmp_path: Path) -> None:
    """A failed insertion ends the recording, and the SYN that vanished and its partner are in it."""
    for attempt in range(4):  # the two CPUs may miss each other
        folder = tmp_path / str(attempt)
        folder.mkdir()
        if script := caught("insert_failed", "snat-race", folder, rounds=300):
            assert {"snat-port-race"} == causes(script)
            return
    pytest.fail("the scenario did not provoke the race in 4 runs")


def test_a_full_table(tmp_path: Path) -> None:
    """Packets that the full table refused end it; the table was listed while it was full.

    It ends in the middle of the incident, so of some connections only the first packets are inside, too few for a cause.
    """
    script = caught("table-full", "table-full", tmp_path, rounds=60, under="busybox")
    assert script is not None
    listed = (script.unpacked() / "event/conntrack-L.txt").read_text().splitlines()

    assert {"conntrack-table-full"} <= causes(script) <= {"conntrack-table-full", "unknown"}
    assert len(listed) >= 60


def test_an_invalid_packet(tmp_path: Path) -> None:
    """An acknowledgement that conntrack called INVALID ends it, and the host's RST is inside."""
    script = caught("invalid", "ack-over", tmp_path, rounds=4, under="bash")
    assert script is not None

    assert {"ack-over-upper-bound"} == causes(script)


def test_a_repeated_syn_and_a_command(tmp_path: Path) -> None:
    """A SYN that a pod repeats is seen though the pod's counters are its own; so is a command that succeeds."""
    with built() as net:
        with net.a.entered():
            pod = subprocess.Popen(["sleep", "60"])
        flag = tmp_path / "it happened"
        first = Script(
            net.node, tmp_path / "syn", "--until", "syn-retransmit", "--after", 0, "--pid", pod.pid
        )
        second = Script(net.node, tmp_path / "cmd", "--until", f"test -e '{flag}'", "--after", 0).begun()
        net.node.run("nft", "insert rule inet nat postrouting tcp dport 81 drop")
        client = net.a.start(_connect, first.begun() and 81)
        flag.touch()
        statuses = [first.ended(), second.ended()]
        client.stop()
        pod.kill()
        pod.wait()

    assert [0, 0] == statuses
    assert "syn-retransmit" == first.manifest()["event"]["what"]
    assert 2 <= packets(first.unpacked() / "veth-a.pcap", "tcp dst port 81")
    assert ["veth-a", "cni0", "eth0"] == [each["interface"] for each in first.manifest()["recordings"]]
    assert f"test -e '{flag}'" == second.manifest()["event"]["what"]


def _connect(port: int) -> None:
    with suppress(OSError):
        socket.create_connection((V4.server, port), timeout=15).close()


def test_it_begins_anew_and_keeps_the_newest(tmp_path: Path) -> None:
    """With --keep each event gives an archive, of which the oldest are removed."""
    with built() as net:
        script = Script(net.node, tmp_path / "out", "--seconds", 1, "--keep", 1, "-i", "eth0").begun()
        deadline = time.monotonic() + 30
        while len(list((tmp_path / "out").glob("lostsyn-*.tar.*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        old = tmp_path / "out" / "lostsyn-x-20200101T000000Z.tar.gz"
        old.write_bytes(bytes(1_000_000))
        os.utime(old, (0, 0))
        while old.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        # Now it packs, or has just begun anew: it is heard all the same.
        status = script.end()

    assert 0 == status
    assert not old.exists()
    assert 2 <= len(list((tmp_path / "out").glob("lostsyn-*.tar.*")))
    assert [] == script.leftovers()
