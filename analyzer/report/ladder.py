"""Geometry of the ladder: capture points are lanes, packets are arrows through them, time runs down.

Lengths are SVG user units; one is a CSS pixel at full width. `lanes` places what stands across, `rows` what
stands down, `labels` the text between the arrows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from analyzer.connection.model import Connection, Fate, Passage, Sighting
from analyzer.incident.model import CapturePoint, Finding
from analyzer.report import labels, lanes, rows
from analyzer.report.words import offset, short

LIMIT = 40
"""Packets drawn; a finding's key packets come before its context."""

_NOTES = 236.0  # width of the notes on the right, at least
_MONO = 6.7  # width of a character of an address

End = Literal["arrow", "cross", "loss", "question", "aside"]
_ENDS: dict[Fate, End] = {
    Fate.PASSED: "arrow",
    Fate.VANISHED: "cross",
    Fate.CAPTURE_LOSS: "loss",
    Fate.UNDECIDABLE: "question",
    Fate.NOT_ROUTED_HERE: "aside",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One sighting on its lane."""

    x: float
    y: float
    frame: int
    frame_x: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A straight part of a packet's way."""

    x1: float
    y1: float
    x2: float
    y2: float
    unseen: bool
    """True where no capture saw an end: to or from the outside, or into the gap that lost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One packet's way through the lanes."""

    packet: int
    """Index in the finding's passages: what the table of packets calls the same packet."""
    role: str
    fate: str
    outward: bool
    dots: tuple[Dot, ...]
    legs: tuple[Leg, ...]
    relabels: tuple[labels.Relabel, ...]
    end: End
    end_x: float
    end_y: float
    head: str
    """Points of the arrowhead's polygon; empty unless the end is an arrow."""
    label: str
    time: str
    """After the event, as it stands beside the axis."""
    note: tuple[str, ...]
    who: str
    """The pod's side of the packet; empty for context."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """What the template draws."""

    width: float
    height: float
    top: float
    """y at which the lanes begin."""
    bottom: float
    axis_x: float
    notes_x: float
    lanes: tuple[lanes.Lane, ...]
    boundaries: tuple[float, ...]
    """x of the gaps in which addresses change."""
    arrows: tuple[Arrow, ...]
    axis: tuple[rows.AxisPart, ...]
    zero: int
    """Nanoseconds since the epoch of the event, the axis' zero."""
    hidden: int
    """Packets of the connection that are not drawn."""


def build(finding: Finding | Connection, points: Sequence[CapturePoint], limit: int = LIMIT) -> Ladder:
    """Lay out the packets of *finding*.

    Args:
        finding: Its passages are drawn.
        points: The bundle's capture points, from the pod to the uplink.
        limit: Most packets drawn. Context goes first, then the latest.

    Returns:
        The geometry, in SVG user units.
    """
    seen = [(number, passage) for number, passage in enumerate(finding.passages) if passage.sightings]
    seen.sort(key=lambda item: (item[1].role in {"context", ""}, item[1].sightings[0].time))
    drawn = sorted(seen[:limit], key=lambda item: item[1].sightings[0].time)
    passages = [passage for _, passage in drawn]
    across = lanes.place(passages, finding.gap, points)
    lines = [len(labels.notes(passage)) + bool(_who(passage)) for passage in passages]
    down = rows.place(passages, lines)
    xs = [[across.x(sighting.point) for sighting in passage.sightings] for passage in passages]
    legs = [_legs(*item, across) for item in zip(passages, xs, down.ys, strict=True)]
    bottom = max((y for row in down.ys for y in row), default=rows.TOP) + 34
    if lines:
        bottom = max(bottom, down.ys[-1][0] + lines[-1] * rows.LINE + 6)
    segments = [[labels.Segment(leg.x1, leg.y1, leg.x2, leg.y2) for leg in way] for way in legs]
    boundaries = labels.relabels(passages, xs, down.ys, segments, bottom)
    notes_x = across.outside + 24
    return Ladder(
        width=round(notes_x + max(_NOTES, *(len(_who(passage)) * _MONO + 8 for passage in passages), 0), 1),
        height=round(bottom + 8, 1),
        top=rows.TOP - 38,
        bottom=round(bottom, 1),
        axis_x=lanes.AXIS,
        notes_x=notes_x,
        lanes=across.drawn,
        boundaries=tuple(sorted({relabel.x for row in boundaries for relabel in row})),
        arrows=tuple(
            _arrow(number, passage, way, crossed, finding.time, list(zip(x, y, strict=True)))
            for (number, passage), way, crossed, x, y in zip(
                drawn, legs, boundaries, xs, down.ys, strict=True
            )
        ),
        axis=down.axis,
        zero=finding.time,
        hidden=finding.omitted + len(finding.passages) - len(drawn),
    )


def _arrow(
    number: int,
    passage: Passage,
    legs: list[Leg],
    crossed: tuple[labels.Relabel, ...],
    zero: int,
    at: list[tuple[float, float]],
) -> Arrow:
    # An arrow comes from above and leaves below: on the side it comes from, the room under a dot is free.
    back = -7 if passage.outward else 7
    end = _ENDS[passage.fate]
    return Arrow(
        packet=number,
        role=passage.role or "context",
        fate=passage.fate.value,
        outward=passage.outward,
        dots=tuple(
            Dot(x=x, y=y, frame=sighting.frame, frame_x=x + back, title=_title(sighting))
            for (x, y), sighting in zip(at, passage.sightings, strict=True)
        ),
        legs=tuple(legs),
        relabels=crossed,
        end=end,
        end_x=legs[-1].x2,
        end_y=legs[-1].y2,
        head=_head(legs[-1], clear=4.0 if (legs[-1].x2, legs[-1].y2) == at[-1] else 0.0)
        if end == "arrow"
        else "",
        label=short(passage.label, 40),
        time=offset(passage.sightings[0].time - zero),
        note=labels.notes(passage),
        who=_who(passage),
        title=short(f"{passage.label}: {passage.fate.value}. {passage.note}", 300),
    )


def _who(passage: Passage) -> str:
    if passage.role in {"context", ""}:
        return ""
    return short(
        f"from {passage.sightings[0].src}" if passage.outward else f"to {passage.sightings[-1].dst}", 60
    )


def _title(sighting: Sighting) -> str:
    return short(f"{sighting.point} frame {sighting.frame}: {sighting.src} > {sighting.dst}", 300)


def _legs(passage: Passage, xs: Sequence[float], ys: Sequence[float], across: lanes.Lanes) -> list[Leg]:
    """Return the parts of a packet's way: from the outside, from lane to lane, to where it got."""
    at = list(zip(xs, ys, strict=True))
    legs = [Leg(x1=x1, y1=y1, x2=x2, y2=y2, unseen=False) for (x1, y1), (x2, y2) in pairwise(at)]
    if not passage.outward and across.leads_out(passage.sightings[0].point):
        legs.insert(0, Leg(x1=across.outside, y1=ys[0] - 3, x2=xs[0], y2=ys[0], unseen=True))
    target = _target(passage, xs[-1], across, arrived=bool(legs))
    if target is not None:
        legs.append(Leg(x1=xs[-1], y1=ys[-1], x2=round(target, 1), y2=round(ys[-1] + 4, 1), unseen=True))
    return legs


def _target(passage: Passage, x: float, across: lanes.Lanes, *, arrived: bool) -> float | None:
    """Return the x where a packet's way ends after its last sighting; None where it ends there.

    *arrived* says that the drawing shows a part of the way already.
    """
    beyond = across.beyond(passage)
    if passage.fate is Fate.CAPTURE_LOSS:
        return beyond
    if passage.fate is not Fate.PASSED:
        return (x + beyond) / 2
    if passage.outward and across.leads_out(passage.sightings[-1].point):
        return across.outside
    return None if arrived else x + (beyond - x) / 3


def _head(leg: Leg, clear: float) -> str:
    """Return the polygon of an arrowhead at the end of *leg*, its tip *clear* units before it."""
    angle = math.atan2(leg.y2 - leg.y1, leg.x2 - leg.x1)
    x, y = leg.x2 - clear * math.cos(angle), leg.y2 - clear * math.sin(angle)
    corners = [
        (x, y),
        *((x - 10 * math.cos(angle + turn), y - 10 * math.sin(angle + turn)) for turn in (0.38, -0.38)),
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
