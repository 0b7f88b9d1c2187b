"""Packets of one point that are the same packet again: turned round by the node, flooded by a bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.flow.keys import among, scramble
from analyzer.flow.point import slices
from analyzer.nat.matching import WINDOW
from analyzer.node.ways import IN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.node.ways import Node

FLOODED = 1_000_000
"""ns between the copies of a packet that a bridge both floods and routes (lab, br_netfilter: 17 us)."""


def turned(point: Point, points: Sequence[Point], node: Node, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the same packet, routed once, shows here again, or in a flow that enters another pod, within about `WINDOW`.

    Without the hop that routing takes, it would be another pod's packet that happens to be equal.
    """
    found = [np.zeros(0, np.uint64)]
    for other in points:
        if other is not point and other.role != "pod":
            continue
        alike = _alike(other, point.packets.print[rows])
        if other is not point:
            alike = alike[node.heading[other.name][other.packets.flow[alike]] == IN]
        found.append(_moment(other, alike))
    again = np.concatenate(found)
    here = [_moment(point, rows, hops=1, later=later) for later in (0, 1)]
    return among(here[0], again) | among(here[1], again)


def copied(
    point: Point, rows: NDArray[np.int64], others: NDArray[np.int64], *, routed: bool = False
) -> NDArray[np.bool_]:
    """Whether each packet is the same as one of the others at about the same time: recorded twice, or flooded.

    Args:
        point: That saw them.
        rows: Of the packets.
        others: Rows that they are compared with.
        routed: Also where it is the same one hop later: with br_netfilter a bridge hands on both.
    """

    def moment(some: NDArray[np.int64], hops: int = 0, later: int = 0) -> NDArray[np.uint64]:
        return _moment(point, some, hops, later) ^ scramble(point.packets.flow[some], 4)

    again = np.concatenate([moment(others, later=later) for later in (-1, 0, 1)])
    found = among(moment(rows), again)
    return found | among(moment(rows, hops=-1), again) if routed else found


def came_back(point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a bridge had the same packet before: routed back to an endpoint on this node, or flooded as well.

    Routed, it was one hop younger; flooded, it was there at the same moment.
    """
    if point.role != "bridge" or not len(rows):
        return np.zeros(len(rows), bool)
    packets = point.packets
    alike = _alike(point, packets.print[rows])
    before = _moment(point, alike)
    back = among(_moment(point, rows, hops=-1), before) | among(
        _moment(point, rows, hops=-1, later=-1), before
    )
    same = scramble(packets.print[alike], 1) ^ scramble(packets.ttl[alike], 2)
    order = np.lexsort((packets.time[alike], same))
    copies = (np.diff(same[order]) == 0) & (np.diff(packets.time[alike[order]]) <= FLOODED)
    one, other = alike[order[:-1][copies]], alike[order[1:][copies]]
    # Of copies the later ones, and all of a packet of which one copy is known to have come from a pod.
    return back | np.isin(rows, other) | np.isin(rows, one[~np.isin(other, rows)])


def again(point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each request is the same as an earlier one of these, at the same moment: a bridge that floods has it twice.

    Not to be asked of SYN-ACKs: a repeated SYN and the server's own timer make it send two that are equal at once.
    """
    packets = point.packets
    same = scramble(packets.print[rows], 1) ^ scramble(packets.ttl[rows], 2) ^ scramble(packets.flow[rows], 4)
    order = np.lexsort((packets.time[rows], same))
    copies = (np.diff(same[order]) == 0) & (np.diff(packets.time[rows[order]]) <= FLOODED)
    found = np.zeros(len(rows), bool)
    found[order[1:][copies]] = True
    return found


def _alike(point: Point, prints: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Rows of the packets that have one of these prints."""
    if not len(prints):
        return np.zeros(0, np.int64)
    wanted = prints.astype(np.uint64)
    some = np.zeros(1 << 16, bool)  # by the low half, which is all that most packets are asked for
    some[prints & 0xFFFF] = True
    found = []
    for begin, stop in slices(len(point.packets)):
        rows = begin + np.flatnonzero(some[point.packets.print[begin:stop] & 0xFFFF])
        found.append(rows[among(point.packets.print[rows].astype(np.uint64), wanted)])
    return np.concatenate([np.zeros(0, np.int64), *found])


def _moment(point: Point, rows: NDArray[np.int64], hops: int = 0, later: int = 0) -> NDArray[np.uint64]:
    """A hash of each packet, its TTL after some more hops, and in which `WINDOW` it was seen, or some windows later."""
    p = point.packets
    return (
        scramble(p.print[rows], 1)
        ^ scramble(p.ttl[rows].astype(np.int64) - hops, 2)
        ^ scramble(p.time[rows] // WINDOW + later, 3)
    )
