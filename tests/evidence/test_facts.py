"""Arithmetic of conntrack's counters."""

from __future__ import annotations

from analyzer.evidence.facts import CounterSnapshot


def snapshot(*cpus: dict[str, int]) -> CounterSnapshot:
    """Give a snapshot of CPUs 0, 1, ..."""
    return CounterSnapshot(file="a", source="conntrack -S", cpus=dict(enumerate(cpus)))


def test_totals() -> None:
    """Counters are summed over the CPUs."""
    assert {"found": 7, "drop": 1} == snapshot({"found": 3, "drop": 1}, {"found": 4, "drop": 0}).totals


def test_since() -> None:
    """Differences are per CPU, modulo 2**32, of what both snapshots have."""
    before = snapshot({"found": (1 << 32) - 1, "searched": 5}, {"found": 4, "drop": 2})
    after = snapshot({"found": 2, "unknown1": 9}, {"found": 4, "drop": 5}, {"found": 100})
    assert {"found": 3, "drop": 3} == after.since(before)


def test_drift() -> None:
    """Falls are told from rises, across the wrap."""
    before, after = snapshot({"found": 0xFFFFFFFF, "drop": 9}), snapshot({"found": 4, "drop": 7})
    assert (5, 2) == after.drift(before)
    assert (2, 5) == before.drift(after)
