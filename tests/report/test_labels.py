"""Text between the arrows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.report import ladder
from analyzer.report.labels import Box, Segment, touches

unit = st.integers(min_value=-100, max_value=100)


@given(unit, unit, unit, unit, st.floats(min_value=0, max_value=1))
def test_a_box_around_a_point_of_a_line_is_touched(x1: int, y1: int, x2: int, y2: int, share: float) -> None:
    """A line touches every box that holds one of its points."""
    x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)

    assert touches(Segment(x1, y1, x2, y2), Box(x - 1, y - 1, x + 1, y + 1))


@given(unit, unit, unit, unit)
def test_a_box_beside_a_line_is_not(x1: int, y1: int, x2: int, y2: int) -> None:
    """A line touches no box above, below or beside it."""
    line = Segment(x1, y1, x2, y2)

    assert not touches(line, Box(-200, max(y1, y2) + 1, 200, 300))
    assert not touches(line, Box(-200, -300, 200, min(y1, y2) - 1))
    assert not touches(line, Box(max(x1, x2) + 1, -200, 300, 200))


def test_addresses_keep_clear_of_the_arrows(sample) -> None:
    """Where two SYNs cross the boundary within microseconds, no arrow passes through an address."""
    for finding in sample.RACE.findings:
        it = ladder.build(finding, sample.POINTS)
        lines = [Segment(leg.x1, leg.y1, leg.x2, leg.y2) for arrow in it.arrows for leg in arrow.legs]
        addresses = [a for arrow in it.arrows for relabel in arrow.relabels for a in relabel.addresses]
        assert addresses
        for address in addresses:
            width = len(address.text) * 6.4
            left = address.x - width if address.anchor == "end" else address.x
            room = Box(left, address.y - 9, left + width, address.y + 2)

            assert not [line for line in lines if touches(line, room)]
