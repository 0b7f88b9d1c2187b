"""The losses over time: every one in its bar, however long the time."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from analyzer.fleet.over_time import BAR, BARS, DATED, LEFT, RIGHT, ROWS, over_time

SECOND = 1_000_000_000


def losses(*rows: tuple[str, int, int]) -> pd.DataFrame:
    """Node, seconds after 2000, packets."""
    return pd.DataFrame(
        [(node, DATED + seconds * SECOND, lost) for node, seconds, lost in rows],
        columns=["node", "ns", "lost"],
    )


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 8_000_000_000), st.integers(1, 9)),
        min_size=1,
        max_size=30,
    )
)
def test_nothing_is_left_out(rows: list[tuple[str, int, int]]) -> None:
    """From seconds to centuries: bars are few, within the drawing, and their counts are all losses."""
    chart = over_time(losses(*rows))
    assert chart is not None
    bars = [bar for row in chart.rows for bar in row.bars]

    assert sum(lost for _, _, lost in rows) == sum(sum(bars.values()) for bars in chart.counts.values())
    assert all(number < BARS for counts in chart.counts.values() for number in counts)
    assert all(
        LEFT <= bar.x and bar.x + chart.bar_width <= RIGHT + 1 and 0 < bar.height <= BAR for bar in bars
    )
    for node, seconds, _ in rows:
        assert (DATED + seconds * SECOND - chart.begin) // chart.step in chart.counts[node]


def test_bars() -> None:
    """The worst node first; the highest bar is as high as can be, the others in proportion."""
    chart = over_time(losses(("a", 3600, 1), ("b", 3600, 6), ("b", 3601, 2), ("b", 7200, 4)))
    assert chart is not None
    high, low = chart.rows[0].bars

    assert (["b", "a"], [12, 1]) == ([row.name for row in chart.rows], [row.total for row in chart.rows])
    assert ("1 min", 8) == (chart.step_name, chart.most)
    assert (BAR, BAR / 2) == (high.height, low.height)
    assert "2000-01-01 01:00:00: 8 lost" == high.title


def test_relative_times_are_not_drawn() -> None:
    """A capture that begins in 1970 would press all others into one bar; it is counted."""
    table = losses(("a", 0, 1), ("a", 30, 1))
    table.loc[2] = ["a", 5 * SECOND, 7]
    chart = over_time(table)
    assert chart is not None

    assert (7, "1 s") == (chart.undated, chart.step_name)
    assert {0: 1, 30: 1} == chart.counts["a"]


def test_many_nodes() -> None:
    """Those that lost most are drawn, the others counted."""
    chart = over_time(losses(*[(f"n{number:02}", 0, number + 1) for number in range(ROWS + 5)]))
    assert chart is not None

    assert (ROWS, 5) == (len(chart.rows), chart.hidden)
    assert f"n{ROWS + 4}" == chart.rows[0].name


def test_nothing_to_draw() -> None:
    """No loss, or none at a known date."""
    table = losses(("a", 0, 1))
    table["ns"] = 5

    assert None is over_time(losses())
    assert None is over_time(table)
