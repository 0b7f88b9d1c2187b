"""Arithmetic of conntrack's counters, and of times."""

from __future__ import annotations

from datetime import UTC, datetime

from analyzer.evidence.facts import CounterSnapshot, LogLine


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


def test_the_year_of_a_line() -> None:
    """A line without a year is of the one in which it is nearest, leap years and new year's eve included."""

    def at(*day: int) -> int:
        return int(datetime(*day, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[arg-type,misc]

    def line(month: int, day: int) -> LogLine:
        since = at(2000, month, day) - at(2000, 1, 1)
        return LogLine(about="martian", says="", file="a", since_new_year=since)

    assert at(2026, 3, 10) == line(3, 10).near(at(2026, 3, 11))
    assert at(2024, 3, 10) == line(3, 10).near(at(2024, 3, 11))
    assert at(2025, 12, 31) == line(12, 31).near(at(2026, 1, 1))
    assert None is LogLine(about="martian", says="", file="a").near(0)
    assert 5 == LogLine(about="martian", says="", file="a", time=5).near(at(2026, 1, 1))
