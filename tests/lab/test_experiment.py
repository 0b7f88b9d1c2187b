"""Whole runs: captures and truth of the same kernel must agree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.errors import LostsynError, MissingTool
from analyzer.lab.experiment import conduct
from analyzer.lab.node import POINTS
from analyzer.lab.scenarios import SCENARIOS
from tests.conftest import Ran

Fields = Callable[..., list[list[str]]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_captures_of_two_runs_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with anything in it is refused before anything is built."""
    monkeypatch.setattr("analyzer.lab.experiment.require", lambda *_: None)
    (tmp_path / "eth0.pcap").touch()
    with pytest.raises(LostsynError, match="is not empty"):
        conduct("clean", tmp_path)


def test_without_root_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the folder."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingTool, match="as root"):
        conduct("clean", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.kernel
@pytest.mark.tshark
@pytest.mark.parametrize("scenario", ["service-race", "snat-race", "snat-race-ipv6"])
def test_lost_syns_are_the_kernels_failed_insertions(scenario: str, ran: Ran, tshark: Fields) -> None:
    """What is on cni0 and not on eth0 is `insert_failed`, and every one of them was repeated and answered."""
    folder, truth = ran(scenario)
    seen = {point: len(tshark(folder / f"{point}.pcap", SYN)) for point in POINTS}
    lost = truth["counters"]["insert_failed"]
    assert lost == truth["counters"]["drop"] == seen["cni0"] - seen["eth0"]
    assert seen["cni0"] == seen["veth-a"] + seen["veth-b"] == 2 * truth["rounds"] + lost
    delays = [connect["delay"] for connects in truth["traffic"]["connects"].values() for connect in connects]
    assert len(delays) == 2 * truth["rounds"]
    assert None not in delays
    # A SYN is repeated after a second (RFC 6298); a stalled machine may hold up one that was not lost for a part of it.
    assert lost == sum(delay > 0.95 for delay in delays)


@pytest.mark.kernel
@pytest.mark.tshark
def test_in_clean_every_syn_gets_where_it_should(ran: Ran, tshark: Fields) -> None:
    """Outside on eth0 as on the veths; between pods and to the node not on eth0; every kind was completed."""
    folder, truth = ran("clean")
    done = truth["traffic"]["done"]
    assert done == {"outside": 4, "bridged": 2, "node": 4, "refused": 4, "udp": 4, "dns": 8, "ping": 4}
    outside = f"{SYN} && (ip.dst == 192.0.2.100 || ipv6.dst == 2001:db8::100)"
    for points in (("veth-a", "veth-b"), ("cni0",), ("eth0",)):
        assert sum(len(tshark(folder / f"{point}.pcap", outside)) for point in points) == 8
    assert len(tshark(folder / "eth0.pcap", SYN)) == 8
    assert 0 == truth["counters"]["drop"] == truth["counters"]["insert_failed"]
    assert truth["invalid"] == []


@pytest.mark.kernel
@pytest.mark.tshark
def test_remote_losses_are_on_eth0(ran: Ran, tshark: Fields) -> None:
    """The far end's own counter is the number of repeated SYNs; the node counts nothing."""
    folder, truth = ran("remote-loss")
    dropped = truth["traffic"]["dropped"]
    assert dropped >= 4
    for point in ("veth-a", "cni0", "eth0"):
        assert 20 + dropped == len(tshark(folder / f"{point}.pcap", SYN))
    assert 0 == truth["counters"]["drop"] == truth["counters"]["insert_failed"]


@pytest.mark.kernel
@pytest.mark.tshark
def test_impossible_acks_are_invalid_and_answered_by_the_host(ran: Ran, tshark: Fields) -> None:
    """The kernel's list is what was injected; for each there is a RST on eth0 alone with its number."""
    folder, truth = ran("ack-over")
    injected = [segment["ack"] for segment in truth["traffic"]["injected"]]
    assert injected == [packet["ack"] for packet in truth["invalid"]]
    assert 2 * len(injected) == truth["counters"]["invalid"], "the host's own RST is INVALID too"
    resets = tshark(folder / "eth0.pcap", "tcp.flags == 4", "tcp.seq_raw", "ip.src")
    assert [[str(ack), "192.0.2.10"] for ack in injected] == resets
    assert tshark(folder / "cni0.pcap", "tcp.flags.reset == 1") == []


@pytest.mark.kernel
@pytest.mark.tshark
def test_the_late_ack_is_judged_as_this_kernel_judges(ran: Ran, tshark: Fields) -> None:
    """INVALID and absent on cni0, or passed on: the captures say what the kernel's own list says."""
    folder, truth = ran("late-ack")
    (late,) = truth["traffic"]["injected"]
    assert late["received"] - late["ack"] >= 212_064
    here = f"tcp.ack_raw == {late['ack']} && tcp.flags.ack == 1"
    assert len(tshark(folder / "eth0.pcap", here)) == 1
    passed = len(tshark(folder / "cni0.pcap", here))
    assert 1 - passed == len(truth["invalid"])
    assert 2 * len(truth["invalid"]) == truth["counters"]["invalid"]


@pytest.mark.kernel
@pytest.mark.tshark
def test_every_point_records_before_and_after_the_traffic(ran: Ran, tshark: Fields) -> None:
    """An echo of each pod leads the SYNs and follows them, so that no loss lies at the edge of a capture."""
    folder, _ = ran("snat-race")
    for point, echoes in (("veth-a", 2), ("veth-b", 2), ("cni0", 4), ("eth0", 4)):
        capture = folder / f"{point}.pcap"
        asked = [float(time) for (time,) in tshark(capture, "icmp.type == 8", "frame.time_epoch")]
        syns = [float(time) for (time,) in tshark(capture, SYN, "frame.time_epoch")]
        assert len(asked) == echoes
        assert asked[echoes // 2 - 1] < min(syns) <= max(syns) < asked[echoes // 2]


@pytest.mark.kernel
@pytest.mark.tshark
def test_one_capture_of_all_interfaces(tmp_path: Path, tshark: Fields) -> None:
    """The SYNs of an impossible-ACK run: one on the veth, the bridge and eth0 each."""
    conduct("ack-over", tmp_path, rounds=1, recorder="any")
    assert len(tshark(tmp_path / "any.pcap", SYN)) == 3


def test_a_scenario_that_needs_a_point_of_its_own_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be recorded as one capture of all interfaces."""
    monkeypatch.setattr("analyzer.lab.experiment.require", lambda *_: None)
    with pytest.raises(LostsynError, match="needs a capture of eth0 alone: use the recorder 'points'"):
        conduct("late-start", tmp_path, recorder="any")


def _commands(namespace: str) -> bytes:
    """What runs in a network namespace."""
    listed = subprocess.run(
        ("ip", "netns", "pids", namespace), capture_output=True, check=True
    ).stdout.split()
    return b"".join(
        file.read_bytes() for pid in listed if (file := Path("/proc", pid.decode(), "cmdline")).exists()
    )


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_removes_its_namespaces(number: signal.Signals, tmp_path: Path) -> None:
    """In the middle of the traffic; the exit code is the shell's for that signal."""
    argv = [sys.executable, "-m", "analyzer.lab", "snat-race", "-o", str(tmp_path)]
    with subprocess.Popen(argv, start_new_session=True) as running:
        node, deadline = Path(f"/run/netns/lostsyn-{running.pid}-node"), time.monotonic() + 20
        while not (node.exists() and b"eth0" in _commands(node.name)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert node.exists()
        os.killpg(running.pid, number)
        assert 128 + number == running.wait(20)
    assert list(Path("/run/netns").glob(f"lostsyn-{running.pid}-*")) == []


@pytest.mark.kernel
def test_a_run_leaves_a_bundle_and_nothing_else(
    tmp_path: Path, namespaces: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captures, what tcpdump said, side evidence and truth, also when run by name from a shell."""
    monkeypatch.chdir(tmp_path)
    conduct("ack-over", tmp_path / "run", rounds=1)
    captures = {f"{point}.pcap" for point in POINTS} | {f"tcpdump-{point}.log" for point in POINTS}
    texts = {"counters.txt", "dmesg.txt", "drops.txt", "manifest.json", "truth.json"}
    assert captures | texts | {"before", "after"} == {file.name for file in (tmp_path / "run").iterdir()}
    assert {"conntrack-L.txt", "nft-ruleset.txt", "uname.txt"} <= {
        file.name for file in (tmp_path / "run/after").iterdir()
    }
    assert {"eth0", "cni0", "veth-a", "veth-b", "lo"} == {
        link["ifname"] for link in json.loads((tmp_path / "run/after/ip-link.txt").read_text())
    }
    assert namespaces() == []


def test_every_scenario_has_rounds() -> None:
    """A default that makes traffic at all."""
    assert all(scenario.rounds > 0 for scenario in SCENARIOS.values())
