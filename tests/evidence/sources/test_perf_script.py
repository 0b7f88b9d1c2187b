"""`perf script` of drops."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import perf_script

ONE = (
    "swapper     0 [000] 45483.977088: skb:kfree_skb: skbaddr=0xffffa04859090f00 protocol=34525 "
    "location=0xffffffff9bc92940 reason: NOT_SPECIFIED\n"
)
REFERENCE = (
    "# reference time: 2026-11-20 10:26:05.123456 = 1795170365.123456 (TOD) = 9874.123456789 (monotonic)\n"
)


def drops(text: str) -> list[DropRecord]:
    """Parse what is recognised and wholly understood."""
    assert perf_script.recognises(text)
    found = list(perf_script.parse(text, "a"))
    assert all(isinstance(fact, DropRecord) for fact in found)
    return [fact for fact in found if isinstance(fact, DropRecord)]


def test_recorded(sample: Callable[[str], str]) -> None:
    """With stacks and without: the same drops, the hook only where the stack shows it."""
    stacked, bare = drops(sample("drops-perf.txt")), drops(sample("drops-perf-nostack.txt"))
    assert 15 == len(stacked)
    assert [(d.reason, d.location) for d in stacked] == [(d.reason, d.location) for d in bare]
    assert [None, "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"] == [
        d.died_in for d in stacked[:6]
    ]
    assert {None} == {d.died_in for d in bare}
    assert [(d.cpu, (d.time or 0) // 1000) for d in stacked] == [(d.cpu, (d.time or 0) // 1000) for d in bare]
    assert {None} == {d.wall for d in stacked}, "nobody knows perf's clock"


def test_old_format() -> None:
    """Addresses instead of names, as before 5.19."""
    (drop,) = drops(ONE)
    assert ("NOT_SPECIFIED", "", 6, 45483977088000) == (drop.reason, drop.location, drop.version, drop.time)


def test_header_names_the_clock() -> None:
    """`perf script --header` after `perf record -k mono`."""
    (drop,) = drops(REFERENCE + ONE)
    assert ("monotonic", 1795170365123456000 - 9874123456789) == (drop.clock, drop.offset)


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; what is left out is counted."""
    monkeypatch.setattr(perf_script, "MOST", 1)
    drop, caveat = perf_script.parse(ONE * 3, "a")
    assert isinstance(drop, DropRecord)
    assert Caveat(says="a: 2 dropped packets beyond the first 1 were left out") == caveat


def test_other_events() -> None:
    """Other tracepoints are none of our business."""
    assert not perf_script.recognises("swapper 0 [000] 45483.977088: net:net_dev_xmit: dev=eth0\n")
