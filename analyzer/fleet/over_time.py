"""Geometry of the losses over time: a row for each node, one scale for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.report.words import clock, day

if TYPE_CHECKING:
    import pandas as pd

ROWS = 16
"""Nodes that are drawn: those that lost most."""
BARS = 120
"""Bars of a row, at most."""
_SECOND = 1_000_000_000
_DAY = 86400
_STEPS = {
    1: "1 s", 5: "5 s", 15: "15 s", 60: "1 min", 300: "5 min", 900: "15 min", 3600: "1 h", 6 * 3600: "6 h",
    _DAY: "1 day", 7 * _DAY: "7 days", 30 * _DAY: "30 days", 365 * _DAY: "365 days", 3650 * _DAY: "3650 days",
}  # fmt: skip
DATED = 946_684_800 * _SECOND
"""2000-01-01: what a capture says to be older has times relative to its own begin, not dates."""
LEFT, RIGHT, TOP, ROW, BAR = 190.0, 830.0, 30.0, 42.0, 30.0
WIDTH = 920.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What one node lost in one step of time."""

    x: float
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One node."""

    name: str
    base: float
    """y of its bars' foot."""
    total: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverTime:
    """All that the template draws, and that JSON tells; coordinates are SVG units."""

    begin: int
    """ns, the first bar's begin."""
    step: int
    """ns that a bar stands for."""
    step_name: str
    """The same in words."""
    counts: dict[str, dict[int, int]]
    """Of the drawn nodes: lost packets by the number of the bar."""
    rows: tuple[Row, ...]
    hidden: int
    """Nodes that lost something and are not drawn."""
    undated: int
    """Lost packets whose time is no date; they are not drawn."""
    ticks: tuple[tuple[float, str], ...]
    bar_width: float
    most: int
    """Packets that the highest bar stands for."""
    width: float = WIDTH
    height: float = 0.0
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP


def over_time(findings: pd.DataFrame) -> OverTime | None:
    """Lay out the chart; None where nothing was lost at a known date.

    Args:
        findings: With the columns `ns`, `node` and `lost`.
    """
    dated = findings["ns"] >= DATED
    undated = int(findings.loc[~dated, "lost"].sum())
    findings = findings[dated]
    if not len(findings):
        return None
    times = findings["ns"].to_numpy()
    low, high = int(times.min()), int(times.max())
    steps = [seconds * _SECOND for seconds in _STEPS]
    step = next((step for step in steps if (high - low) // step + 2 <= BARS), steps[-1])
    begin = low // step * step
    number = (times - begin) // step
    counts: dict[str, dict[int, int]] = {}
    lost = findings.assign(bar=number).groupby(["node", "bar"], sort=True)["lost"].sum()
    for (node, bar), count in zip(lost.index, lost, strict=True):
        counts.setdefault(str(node), {})[int(bar)] = int(count)
    totals = {node: sum(bars.values()) for node, bars in counts.items()}
    drawn = sorted(totals, key=lambda node: (-totals[node], node))[:ROWS]
    bars = int(number.max()) + 1
    most = max(max(counts[node].values()) for node in drawn)
    width = min((RIGHT - LEFT) / bars, 60.0)
    rows = []
    for place, node in enumerate(drawn):
        base = TOP + ROW * (place + 1) - 6
        rows.append(
            Row(
                name=node,
                base=base,
                total=totals[node],
                bars=tuple(_bars(counts[node], base, begin, step, width, most)),
            )
        )
    return OverTime(
        begin=begin,
        step=step,
        step_name=_STEPS[step // _SECOND],
        counts={node: counts[node] for node in drawn},
        rows=tuple(rows),
        hidden=len(counts) - len(drawn),
        undated=undated,
        ticks=_ticks(begin, step, bars, width),
        bar_width=round(max(width - 1, 1), 2),
        most=most,
        height=TOP + ROW * len(rows) + 26,
    )


def _bars(counts: dict[int, int], base: float, begin: int, step: int, width: float, most: int) -> list[Bar]:
    made = []
    for number, count in counts.items():
        height = round(max(BAR * count / most, 1.5), 1)
        made.append(
            Bar(
                x=round(LEFT + number * width, 1),
                y=round(base - height, 1),
                height=height,
                title=f"{_moment(begin + number * step)}: {count:,} lost",
            )
        )
    return made


def _ticks(begin: int, step: int, bars: int, width: float) -> tuple[tuple[float, str], ...]:
    """About five times, at the begins of bars."""
    chosen = np.unique(np.linspace(0, bars, min(bars, 4) + 1).astype(int))
    daily = step >= _DAY * _SECOND
    return tuple(
        (
            round(LEFT + int(number) * width, 1),
            day(begin + int(number) * step) if daily else _moment(begin + int(number) * step)[5:],
        )
        for number in chosen
    )


def _moment(ns: int) -> str:
    return f"{day(ns)} {clock(ns)[:8]}"
