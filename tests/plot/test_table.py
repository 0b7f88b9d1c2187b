"""How full the table was."""

from __future__ import annotations

from dataclasses import replace

from analyzer import Analysis
from analyzer.plot import occupancy


def test_the_curve_is_the_estimate(lossy: Analysis) -> None:
    """Each moment of the estimate is a point of the step line."""
    told = lossy.occupancy
    assert told is not None
    (line,) = occupancy(lossy).lines

    assert list(told.entries) == list(line.get_ydata())
    assert 0 == line.get_xdata()[0]


def test_the_limit(lossy: Analysis) -> None:
    """A limit in reach is a line across; one far above is told, and drawn nowhere."""
    told = lossy.occupancy
    assert told is not None
    near = occupancy(replace(lossy, occupancy=replace(told, limit=8)))
    far = occupancy(replace(lossy, occupancy=replace(told, limit=262_144)))

    assert [8, 8] == list(near.lines[-1].get_ydata())
    assert "nf_conntrack_max 8" == near.get_legend().get_texts()[-1].get_text()
    assert "nf_conntrack_max 262,144, far above" == far.get_legend().get_texts()[-1].get_text()
    assert far.get_ylim()[1] < 10
