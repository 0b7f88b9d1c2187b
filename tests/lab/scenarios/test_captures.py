"""Captures that do not hold what was there, while everything gets through."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_a_stopped_tcpdump_loses_packets_and_says_so(ran: Ran, seen: Seen) -> None:
    """Every connect and question is answered at once; eth0 lacks some of them, and its log has them as dropped."""
    folder, truth = ran("capture-loss")
    told = truth["traffic"]
    assert all(connect["delay"] < 0.5 for connect in told["connects"])
    assert all(ask["sent"] == 1 and ask["delay"] is not None for ask in told["asks"])
    *_, cni0, eth0 = seen(folder, SYN)
    assert len(told["connects"]) == cni0 > eth0
    dropped = re.findall(r"(\d+) packets dropped by kernel", (folder / "tcpdump-eth0.log").read_text())
    assert int(dropped[0]) >= cni0 - eth0
    assert "\n0 packets dropped" in (folder / "tcpdump-cni0.log").read_text()


def test_a_late_capture_lacks_the_beginning_only(
    ran: Ran, seen: Seen, tshark: Callable[..., list[list[str]]]
) -> None:
    """From its first packet on it has what cni0 has; everything arrived, also what nobody answers."""
    folder, truth = ran("late-start")
    told = truth["traffic"]
    assert all(connect["delay"] < 0.5 for connect in told["connects"])
    assert told["one_way"] == told["arrived"] > 0
    *_, cni0, eth0 = seen(folder, SYN)
    assert len(told["connects"]) + 1 == cni0 > eth0 > 0
    # Under way from cni0 to eth0 a packet needs microseconds; a busy machine may need milliseconds.
    begin = float(tshark(folder / "eth0.pcap", "ip", "frame.time_epoch")[0][0])
    sooner, later = (
        len(tshark(folder / "cni0.pcap", f"{SYN} && frame.time_epoch >= {begin + shift:.9f}"))
        for shift in (-0.1, 0.1)
    )
    assert later <= eth0 <= sooner
