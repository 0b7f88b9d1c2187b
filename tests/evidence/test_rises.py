"""Between which snapshots a counter rose."""

from __future__ import annotations

from analyzer.evidence.facts import CounterSnapshot
from analyzer.evidence.rises import rises


def snapshot(failed: int, time: int | None = None, source: str = "conntrack -S") -> CounterSnapshot:
    """Make one of one CPU."""
    return CounterSnapshot(file="a", source=source, cpus={0: {"insert_failed": failed}}, time=time)


def test_a_rise_lies_between_two_snapshots() -> None:
    """Each step is told with its times; where nothing rose nothing is told."""
    found = list(rises([snapshot(1, 10), snapshot(1, 20), snapshot(4, 30), snapshot(5)], "insert_failed"))
    assert [(3, (20, 30)), (1, (30, None))] == [(rise.amount, rise.between) for rise in found]


def test_sources_do_not_mix() -> None:
    """`conntrack -S` and /proc count apart; a counter that nobody has never rises."""
    told = [snapshot(1), snapshot(9, source="/proc/net/stat/nf_conntrack")]
    assert [] == list(rises(told, "insert_failed"))
    assert [] == list(rises([snapshot(1), snapshot(2)], "drop"))


def test_counters_wrap() -> None:
    """They have 32 bits."""
    (rise,) = rises([snapshot((1 << 32) - 1), snapshot(2)], "insert_failed")
    assert 3 == rise.amount
