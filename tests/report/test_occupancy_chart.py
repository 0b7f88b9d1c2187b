"""Geometry of the conntrack table's occupancy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.incident.model import Occupancy
from analyzer.report.occupancy_chart import BOTTOM, LEFT, RIGHT, TOP, build


def occupancy(entries: list[int], limit: int | None = None) -> Occupancy:
    """A second between two counts."""
    times = tuple(10**9 * number for number in range(len(entries)))
    return Occupancy(
        times=times, entries=tuple(entries), limit=limit, shares={"protocol": (("tcp", 3), ("udp", 1))}
    )


def points(line: str) -> list[tuple[float, float]]:
    """The corners of a polyline."""
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())]


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.one_of(st.none(), st.integers(1, 10**7)))
def test_everything_lies_in_the_drawing(entries: list[int], limit: int | None) -> None:
    """Whatever the counts, the line goes from left to right inside the axes."""
    chart = build(occupancy(entries, limit))

    assert chart is not None
    corners = points(chart.line)
    assert corners == sorted(corners, key=lambda corner: corner[0])
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in corners)
    assert max(entries) == chart.peak


def test_the_line_is_a_staircase() -> None:
    """An entry lives on until the next count, and the highest count is the highest corner."""
    chart = build(occupancy([0, 4, 2]))

    assert chart is not None
    heights = [y for _, y in points(chart.line)]
    assert [BOTTOM, BOTTOM] == heights[:2]
    assert min(heights) == heights[2] == heights[3] < heights[4]


def test_the_limit_is_drawn_where_it_matters() -> None:
    """A limit far above all counts would flatten the line: it is left out."""
    near, far = build(occupancy([70, 80], limit=80)), build(occupancy([70, 80], limit=10**6))

    assert near is not None
    assert far is not None
    assert "nf_conntrack_max 80" == (near.limit and near.limit.label)
    assert None is far.limit


def test_nothing_to_draw() -> None:
    """Without a time there is no chart."""
    assert None is build(occupancy([]))
