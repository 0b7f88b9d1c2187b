"""How much of each gap was recorded, and which connections stay open because of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.account import UNTOLD, WHY
from analyzer.connection.fates import UNDECIDABLE
from analyzer.connection.outcome import OUTCOMES
from analyzer.connection.passages import flow_name
from analyzer.connection.reasons import REASONS
from analyzer.incident.model import Coverage, Untold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.connection.fates import Followed
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

GAPS = 12
"""Sides of gaps that are told, those with the most open packets first."""
NAMED = 20
"""Connections that are named."""


def coverage(scene: Scene) -> tuple[Coverage, ...]:
    """Say of every gap with open packets how much of it the point beyond recorded; nothing where every connection can be told."""
    if scene.connections is None or not scene.connections.account().open:
        return ()
    found = sorted(_open(scene), key=lambda one: -one.open)
    return tuple(found[:GAPS])


def _open(scene: Scene) -> Iterator[Coverage]:
    spans = [point.span for point in scene.points if len(point.packets)]
    begin, end = min(first for first, _ in spans), max(last for _, last in spans)
    for number, gap in enumerate(scene.gaps):
        for here, there, partner in (
            (gap.inner, gap.outer, gap.in_outer),
            (gap.outer, gap.inner, gap.in_inner),
        ):
            if there.absent:
                continue
            packets = 0
            why = np.zeros(len(REASONS), np.int64)
            for at in (at for at in scene.followed if at.point is here):
                mine = at.gap == number
                packets += int((mine | (partner[at.rows] >= 0)).sum())
                why += np.bincount(at.reason[mine & (at.fate == UNDECIDABLE)], minlength=len(REASONS))
            if why.any():
                yield Coverage(
                    gap=gap.names,
                    point=there.name,
                    recorded=_recorded(there, begin, end),
                    whole=end - begin,
                    packets=packets,
                    open=int(why.sum()),
                    why={
                        REASONS[code].code: int(why[code])
                        for code in np.argsort(-why)[: np.count_nonzero(why)]
                    },
                )


def _recorded(point: Point, begin: int, end: int) -> int:
    """How many ns between two times for which the point was recording."""
    first, last = point.recording_span
    missing = sum(max(min(to, end) - max(since, begin), 0) for since, to in point.pauses)
    return max(min(last, end) - max(first, begin) - missing, 0)


def untold(scene: Scene) -> tuple[Untold, ...]:
    """Name the first connections that cannot be told; not those that the capture's end cut off."""
    told = scene.connections
    if told is None:
        return ()
    open_ = np.flatnonzero((told.told == UNTOLD) & (told.why != WHY.index("unfinished")))
    found = []
    for number in open_[np.argsort(told.outcomes.first[open_], kind="stable")][:NAMED].tolist():
        point = told.chains.points[int(told.chains.point[number])]
        why = WHY[int(told.why[number])]
        found.append(
            Untold(
                connection=flow_name(point.flows, int(told.chains.flow[number])),
                time=int(told.outcomes.first[number]),
                outcome=OUTCOMES[int(told.outcomes.code[number])],
                why=REASONS[int(told.fates.reason[number])].code if why == "open" else why,
            )
        )
    return tuple(found)


def leads_on(scene: Scene, at: Followed, place: int) -> bool:
    """Whether a captured point lies behind the gap that is open, so that the packet may have been lost further on."""
    gap = scene.gaps[int(at.gap[place])]
    if at.outward[place]:
        return any(one.inner is gap.outer and not one.outer.absent for one in scene.gaps)
    return any(one.outer is gap.inner and not one.inner.absent for one in scene.gaps)


def unplaced(scene: Scene, at: Followed, place: int) -> bool:
    """Whether a packet was sent when the next point was not recording, and could have been refused behind that one."""
    gap = scene.gaps[int(at.gap[place])]
    there = gap.outer if at.outward[place] else gap.inner
    sent = at.point.packets.time[at.rows[place : place + 1]]
    return not there.absent and leads_on(scene, at, place) and not bool(there.recorded(sent)[0])
