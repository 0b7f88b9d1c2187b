"""Any one connection, followed through all points: what a finding tells of lost ones, for those one asks about."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import REPLY, TCP_ACK, TCP_SYN
from analyzer.connection.fates import FATES
from analyzer.connection.model import Connection, Fate
from analyzer.connection.passages import flow_name
from analyzer.flow.point import TCP
from analyzer.node.topology import depth
from analyzer.node.ways import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from analyzer.connection.model import GapNames, Passage
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene


def located(scene: Scene, row: Mapping[Any, Any] | pd.Series[Any]) -> tuple[Point, int]:
    """Return the point and the flow at it that a row of any table names; of `crossings` the inner one.

    Raises:
        KeyError: *row* has no such columns, or there is no such flow.
    """
    side = "inner_" if "inner_flow" in row else ""
    if f"{side}flow" not in row or f"{side}point" not in row:
        raise KeyError(
            "a row of flows, crossings, passages or packets names a flow; this has no `point` and `flow`"
        )
    point, flow = scene.trails.points[str(row[f"{side}point"])], int(row[f"{side}flow"])
    if not 0 <= flow < len(point.flows):
        raise KeyError(f"{point.name} has no flow {flow}")
    return point, flow


def follow(scene: Scene, point: Point, flow: int, most: int = 40) -> Connection:
    """Follow a flow's connection from its first packet on.

    Args:
        scene: The bundle.
        point: A point that saw the connection.
        flow: Its flow there.
        most: Packets told, at most.
    """
    same = scene.trails.flows_of(point, flow)
    points = sorted((scene.trails.points[name] for name in same), key=depth)
    passages = tuple(_passages(scene, points, same, most))
    inner, outer = points[0], points[-1]
    return Connection(
        inner=flow_name(inner.flows, same[inner.name]),
        outer=flow_name(outer.flows, same[outer.name]) if len(points) > 1 else None,
        time=min(p.sightings[0].time for p in passages),
        gap=next((p.gap for p in passages if p.fate is Fate.VANISHED), None),
        passages=passages,
        omitted=_packets(scene, points, same) - len(passages),
    )


def _passages(scene: Scene, points: list[Point], same: dict[str, int], most: int) -> Iterator[Passage]:
    """The first packets, in the order in which any point saw them first."""
    told: set[tuple[str, int]] = set()
    sighted = merge(*(_sighted(n, point, same[point.name]) for n, point in enumerate(points)))
    for _, n, row in sighted:
        if (points[n].name, row) in told:
            continue
        seen = scene.trails.sightings(points[n], row)
        told |= {(at.name, there) for at, there in seen}
        yield _passage(scene, points, same, seen)
        most -= 1
        if not most:
            return


def _sighted(number: int, point: Point, flow: int) -> Iterator[tuple[int, int, int]]:
    """Time, number of the point, row: of each packet that one point saw, in time order."""
    rows = point.rows(flow)
    for row in rows[np.argsort(point.packets.time[rows], kind="stable")]:
        yield int(point.packets.time[row]), number, int(row)


def _passage(
    scene: Scene, points: list[Point], same: dict[str, int], seen: list[tuple[Point, int]]
) -> Passage:
    """One packet: a request with the fate that was decided; of another, whether it was seen to the end of its way."""
    innermost, row = seen[0]
    reply = bool(innermost.packets.bits[row] & REPLY)
    heading = int(scene.node.heading[innermost.name][same.get(innermost.name, innermost.packets.flow[row])])
    outward = {OUT: not reply, IN: reply}.get(heading, _earlier(seen))
    last, at = seen[-1 if outward else 0]
    fate, gap, request = _fate(scene, points, last, at, outward)
    flags = (
        int(innermost.packets.flags[row]) if innermost.flows.proto[innermost.packets.flow[row]] == TCP else 0
    )
    answer = flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK
    return scene.trails.passage(
        innermost,
        row,
        outward=outward,
        fate=fate,
        gap=gap,
        role="attempt" if request else "reply" if answer else "context",
    )


def _earlier(seen: list[tuple[Point, int]]) -> bool:
    """Whether the innermost point saw the packet no later than the outermost."""
    first, last = (int(point.packets.time[row]) for point, row in (seen[0], seen[-1]))
    return first <= last


def _fate(
    scene: Scene, points: list[Point], last: Point, row: int, outward: bool
) -> tuple[Fate, GapNames | None, bool]:
    """What became of a packet behind the last point that saw it, and whether it is a request."""
    beyond = [
        gap
        for gap in scene.gaps
        if (gap.inner if outward else gap.outer) is last
        and (outward or gap.inner in points or len(points) == 1)
    ]
    gap = max(beyond, key=lambda g: len(g.matches.a)).names if beyond else None
    for followed in scene.requests.values():
        at = next(a for a in followed if a.point is last)
        index = at.index(np.array([row]))
        if len(index):
            fate = FATES[int(at.fate[index[0]])]
            return fate, None if fate is Fate.PASSED else gap, True
    further = next((g.names for g in beyond if (g.outer if outward else g.inner) in points), None)
    return (Fate.UNDECIDABLE, further, False) if further else (Fate.PASSED, None, False)


def _packets(scene: Scene, points: list[Point], same: dict[str, int]) -> int:
    """How many packets the connection has, each counted once though several points saw it."""
    sightings = sum(len(point.rows(same[point.name])) for point in points)
    again = sum(
        int((gap.in_inner[gap.outer.rows(same[gap.outer.name])] >= 0).sum())
        for gap in scene.gaps
        if gap.inner in points and gap.outer in points
    )
    return sightings - again
