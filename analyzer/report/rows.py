"""The ladder's time: where each sighting stands, and how far the axis is to scale.

Two things bend the scale, and the axis shows both: events that would overlap are spread apart, and silences
longer than a cluster of packets are compressed. Order is never bent: a later event never stands above an
earlier one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from analyzer.connection.model import Passage
from analyzer.report.lanes import changes
from analyzer.report.words import duration

TOP = 88.0
"""y of the first event, under the lane headers."""
LINE = 14.0
"""Height of a line of text."""

_ROW = 44.0  # least height between two packets' starts
_SAME_LANE = 17.0  # ... between two dots of one lane, for their frame numbers
_BREAK = 48.0  # height of a compressed silence
_CROSSING = 9.0  # height of the median step from lane to lane


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisPart:
    """A stretch of the time axis."""

    y1: float
    y2: float
    kind: Literal["scale", "spread", "break"]
    label: str = ""
    """Duration of a break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Where the packets stand."""

    ys: tuple[tuple[float, ...], ...]
    """Of each packet's sightings."""
    axis: tuple[AxisPart, ...]


def place(passages: Sequence[Passage], lines: Sequence[int]) -> Rows:
    """Give every sighting its y in one pass over the events in time order.

    Each event stands below the one before by the time between them, at most by a break, and at least by what
    keeps rows and frame numbers apart. The scale is chosen so that the median step between lanes shows.

    Args:
        passages: The packets that are drawn, each seen at least once.
        lines: Lines of text beside each of them.
    """
    events = sorted(
        (sighting.time, row, place)
        for row, passage in enumerate(passages)
        for place, sighting in enumerate(passage.sightings)
    )
    per_ns = _scale(passages)
    ys = [[0.0] * len(passage.sightings) for passage in passages]
    free: dict[str, float] = {}
    axis: list[AxisPart] = []
    row_free = y = TOP
    previous = events[0][0] if events else 0
    for time, row, place in events:
        sightings = passages[row].sightings
        true = (time - previous) * per_ns
        at = max(
            y + min(true, _BREAK), free.get(sightings[place].point, TOP), row_free if place == 0 else TOP
        )
        if at > y:
            axis.append(_part(y, at, true, time - previous))
        y, previous = at, time
        ys[row][place] = round(at, 1)
        free[sightings[place].point] = at + _SAME_LANE
        if place == 0:
            row_free = at + max(_ROW, lines[row] * LINE + 18)
        elif renamed := changes(sightings[place - 1], sightings[place]):
            row_free = max(row_free, at + 20 + 13 * len(renamed))
    return Rows(ys=tuple(map(tuple, ys)), axis=tuple(axis))


def _scale(passages: Sequence[Passage]) -> float:
    """Return the height of a nanosecond; one unit is a microsecond where no packet shows its own pace."""
    steps = [
        b.time - a.time for passage in passages for a, b in pairwise(passage.sightings) if b.time > a.time
    ]
    return _CROSSING / statistics.median(steps) if steps else 1 / 1000


def _part(y: float, at: float, true: float, elapsed: int) -> AxisPart:
    kind: Literal["scale", "spread", "break"] = "scale"
    if true > _BREAK:
        kind = "break"
    elif at > y + true + 0.5:
        kind = "spread"
    return AxisPart(
        y1=round(y, 1), y2=round(at, 1), kind=kind, label=duration(elapsed) if kind == "break" else ""
    )
