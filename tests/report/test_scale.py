"""Round ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.report.scale import ticks


@given(st.integers(min_value=-(2**40), max_value=2**40), st.integers(min_value=1, max_value=2**62))
def test_ticks_stay_inside(low: int, span: int) -> None:
    """Every tick lies on the axis, in order, and there are neither too few nor too many."""
    values = ticks(low, low + span, 6)

    assert sorted(values) == list(values)
    assert len(values) <= 13
    assert all(low - span / 1000 <= value <= low + span * 1.001 for value in values)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 100, (0, 20, 40, 60, 80, 100)), (-3, 11, (0, 5, 10)), (7, 7, (7,))],
)
def test_ticks_are_round(low: float, high: float, expected: tuple[float, ...]) -> None:
    """Ticks are 1, 2 or 5 times a power of ten apart; a point has one."""
    assert expected == ticks(low, high, 6)
