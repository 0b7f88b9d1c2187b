"""Many durations in a few numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from analyzer.field.timing import Timing, clusters, percentile

MS = 1_000_000


def answer(duration_ms: float, error: str = "") -> Any:
    """An answer, as far as timing looks at it."""
    return SimpleNamespace(duration_ns=int(duration_ms * MS), error=error)


def test_percentiles() -> None:
    """The smallest value that so many percent do not exceed."""
    hundred = list(range(1, 101))

    assert [50, 99, 100, 1] == [percentile(hundred, percent) for percent in (50, 99, 99.9, 0.1)]
    assert 7 == percentile([7], 99.9)


def test_clusters() -> None:
    """One second and three are told apart, whatever lies around each; one value is one cluster; none is none."""
    values = [1010, 1020, 1040, 3010, 3060, 7000]

    assert [(1020, 3), (3060, 2), (7000, 1)] == clusters(values)
    assert [(5, 1)] == clusters([5])
    assert [] == clusters([])


def test_the_text() -> None:
    """What was asked, how long it took, which were slow, what failed."""
    timing = Timing(500 * MS)
    logged = [timing.add(answer(ms)) for ms in (1, 2, 1020, 1030, 3050, 4)]
    logged.append(timing.add(answer(20_000, "timeout")))

    assert [False, False, True, True, True, False, True] == logged
    assert timing.text().splitlines() == [
        "7 requests, 6 answered",
        "duration: p50 4 ms, p90 3.05 s, p99 3.05 s, p99.9 3.05 s, longest 3.05 s",
        "slow, 500 ms or more: 3 (43 %): 2 of about 1.03 s, 1 of about 3.05 s",
        "not answered: 1, timeout",
    ]


def test_nothing_was_asked() -> None:
    """That is a line as well."""
    assert "0 requests, 0 answered\n" == Timing(1).text()
