"""Dates that stand before outputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.dates import Moment, moment, month

AT = 1_795_170_365 * 10**9
"""2026-11-20 10:26:05 UTC."""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Fri Nov 20 10:26:05 UTC 2026", Moment(AT, zoned=True)),
        ("Fri Nov 20 11:26:05 CET 2026", Moment(AT, zoned=True)),
        ("Fri Nov 20 10:26:05 AM UTC 2026", Moment(AT, zoned=True)),
        ("Fri Nov 20 10:26:05 PM UTC 2026", Moment(AT + 12 * 3600 * 10**9, zoned=True)),
        ("Fri Nov 20 10:26:05 2026", Moment(AT, zoned=False)),
        ("Fri Nov 20 10:26:05 XYZ 2026", Moment(AT, zoned=False)),
        ("2026-11-20T10:26:05+00:00", Moment(AT, zoned=True)),
        ("2026-11-20T12:26:05.500+0200", Moment(AT + 500_000_000, zoned=True)),
        ("2026-11-20 10:26:05,5", Moment(AT + 500_000_000, zoned=False)),
        ("=== 2026-11-20T10:26:05Z ===", Moment(AT, zoned=True)),
        ("1795170365.25", Moment(AT + 250_000_000, zoned=True)),
        ("Every 1.0s: conntrack -S        node-7: Fri Nov 20 10:26:05 2026", Moment(AT, zoned=False)),
    ],
)
def test_dates(line: str, expected: Moment) -> None:
    """`date` in its usual forms, ISO 8601, seconds since the epoch and the head of `watch`."""
    assert expected == moment(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "cpu=0",
        "on Fri Nov 20 10:26:05 UTC 2026 it rained",
        "Fri Foo 20 10:26:05 2026",
        "2026-13-41T99:99:99Z",
        "12345",
    ],
)
def test_other_lines(line: str) -> None:
    """A line that holds more than a date, or no day that there is, is none."""
    assert moment(line) is None


@given(st.text(max_size=80))
def test_any_text(line: str) -> None:
    """Nothing fails."""
    moment(line)


@pytest.mark.parametrize(
    "line",
    [
        "Di 10. Mär 09:00:02 CET 2026",
        "mar. 10 mars 2026 09:00:02 CET",
        "Tue Mar 10 09:00:02 CET 2026",
        "mar 10 mar 2026, 09:00:02, CET",
    ],
)
def test_other_languages(line: str) -> None:
    """`date` speaks the terminal's language."""
    found = moment(line)
    assert found is not None or "," in line
    assert found is None or (1773129602, True) == (found.time // 10**9, found.zoned)


def test_months() -> None:
    """Short names of several languages; 0 for none."""
    assert [3, 8, 12, 2, 0] == [month(name) for name in ("Mär", "août", "dez.", "févr.", "xyz")]
