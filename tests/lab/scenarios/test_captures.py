"""Captures that do not hold what was there, while everything gets through."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.lab.experiment import conduct

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_a_stopped_tcpdump_loses_packets_and_says_so(tmp_path: Path, seen: Seen) -> None:
    """Every connect and question is answered at once; eth0 lacks some of them, and its log has them as dropped."""
    truth = conduct("capture-loss", tmp_path)
    told = truth["traffic"]
    assert all(connect["delay"] < 0.5 for connect in told["connects"])
    assert all(ask["sent"] == 1 and ask["delay"] is not None for ask in told["asks"])
    *_, cni0, eth0 = seen(tmp_path, SYN)
    assert len(told["connects"]) == cni0 > eth0
    dropped = re.findall(r"(\d+) packets dropped by kernel", (tmp_path / "tcpdump-eth0.log").read_text())
    assert int(dropped[0]) >= cni0 - eth0
    assert "\n0 packets dropped" in (tmp_path / "tcpdump-cni0.log").read_text()


def test_a_late_capture_lacks_the_beginning_only(
    tmp_path: Path, seen: Seen, tshark: Callable[..., list[list[str]]]
) -> None:
    """From its first packet on it has what cni0 has; everything arrived, also what nobody answers."""
    truth = conduct("late-start", tmp_path)
    told = truth["traffic"]
    assert all(connect["delay"] < 0.5 for connect in told["connects"])
    assert told["one_way"] == told["arrived"] > 0
    *_, cni0, eth0 = seen(tmp_path, SYN)
    assert len(told["connects"]) + 1 == cni0 > eth0 > 0
    # Under way from cni0 to eth0 a packet needs microseconds; a busy machine may need milliseconds.
    begin = float(tshark(tmp_path / "eth0.pcap", "ip", "frame.time_epoch")[0][0])
    sooner, later = (
        len(tshark(tmp_path / "cni0.pcap", f"{SYN} && frame.time_epoch >= {begin + shift:.9f}"))
        for shift in (-0.1, 0.1)
    )
    assert later <= eth0 <= sooner
