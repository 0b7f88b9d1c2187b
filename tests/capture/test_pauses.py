"""When nobody was recording: silence of the usual length is no hole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.pauses import pauses
from analyzer.compute.thresholds import PAUSE as SECOND


@pytest.mark.parametrize(
    ("spans", "packets", "found"),
    [
        ([], 0, []),
        ([(5, 9)], 3, []),
        ([(0, SECOND), (2 * SECOND, 3 * SECOND)], 100, []),  # a second is nothing unusual
        ([(0, SECOND), (2 * SECOND + 1, 3 * SECOND)], 100, [(SECOND, 2 * SECOND + 1)]),
        ([(0, 60 * SECOND), (65 * SECOND, 99 * SECOND)], 9, []),  # a packet every ten seconds
        ([(9 * SECOND, 10 * SECOND), (0, SECOND)], 99, [(SECOND, 9 * SECOND)]),
        ([(0, 9 * SECOND), (1 * SECOND, 2 * SECOND), (9 * SECOND, 9 * SECOND)], 99, []),
    ],
)
def test_holes(spans: list[tuple[int, int]], packets: int, found: list[tuple[int, int]]) -> None:
    """Files in any order, overlapping, alone, none; and both sides of either limit."""
    assert found == list(pauses(spans, packets))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6), st.integers(1, 999))
def test_no_packet_lies_in_a_hole(times: list[tuple[int, int]], packets: int) -> None:
    """A hole begins and ends with a packet, and no file has one within."""
    spans = [(min(pair) * SECOND, max(pair) * SECOND) for pair in times]
    for begin, end in pauses(spans, packets):
        assert all(last <= begin or end <= first for first, last in spans)
