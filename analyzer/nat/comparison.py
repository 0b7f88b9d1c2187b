"""Two points as they can be compared: by what both recorded, and no more of a far larger one than concerns the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.compute.threads import side_by_side
from analyzer.flow.keys import Buckets
from analyzer.flow.point import ICMP, ICMP6, UDP, slices
from analyzer.nat.fingerprints import held, plain
from analyzer.nat.tuples import syn_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point

FAR_LARGER = 4
"""A point with more than so many times the packets of its neighbour is not compared as a whole: a bridge has hundreds of pods."""

ODD = tuple(np.uint32(factor) for factor in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F))
"""Factors without a pattern in their bits, those of xxHash."""


@dataclass(slots=True, kw_only=True)
class Compared:
    """Two neighbours, with prints that agree for what both saw."""

    a: Point
    b: Point
    """All of the other point, or the part of it that has content of *a*."""
    flows: NDArray[np.int32] | None
    """Which flows of the whole point `b` has, ascending; None for all."""
    rows: NDArray[np.int32] | None
    """The same for its packets."""


class Comparison:
    """Prepares a set of neighbours, each point once."""

    def __init__(self, pairs: Sequence[tuple[Point, Point]]) -> None:
        """Look at the points.

        Args:
            pairs: Of each the second point is the one of which a part may do.
        """
        points = {point.name: point for pair in pairs for point in pair}
        self._held = dict(zip(points, side_by_side(held, list(points.values())), strict=True))
        cut = {
            (point.name, without)
            for a, b in pairs
            if (without := self._without(a, b)) is not None
            for point in (a, b)
        }
        made = side_by_side(lambda key: plain(points[key[0]], key[1]), list(cut))
        self._plain = dict(zip(cut, made, strict=True))
        wanted = {(b.name, self._without(a, b)) for a, b in pairs if _far_larger(a, b)}
        large = [points[name] if without is None else self._plain[name, without] for name, without in wanted]
        self._contents = dict(zip(wanted, side_by_side(_Contents, large), strict=True))

    def of(self, a: Point, b: Point) -> Compared:
        """Give a pair, as the points are now."""
        without = self._without(a, b)
        one, other = (point if without is None else self._plain[point.name, without] for point in (a, b))
        if not _far_larger(a, b):
            return Compared(a=one, b=other, flows=None, rows=None)
        flows = self._contents[b.name, without].flows(one)
        part, rows = other.part(flows)
        return Compared(a=one, b=part, flows=flows, rows=rows)

    def _without(self, a: Point, b: Point) -> frozenset[str] | None:
        """None where the points' own prints can be compared, else the columns that plain ones are made without."""
        one, other = self._held[a.name], self._held[b.name]
        return None if one.agrees(other) else one.lacks | other.lacks


def _far_larger(a: Point, b: Point) -> bool:
    return len(b.packets) > FAR_LARGER * len(a.packets)


class _Contents:
    """Finds the flows of a point that have anything in common with another point's."""

    def __init__(self, point: Point) -> None:
        self._flows = len(point.flows)
        self._of_packets = Buckets(_keys(point), point.packets.flow)
        self._of_syns = Buckets(syn_keys(point.flows), np.arange(self._flows, dtype=np.int32))

    def flows(self, other: Point) -> NDArray[np.int32]:
        """Those with a packet, or a SYN, that the other point has as well; ascending.

        No other flow could be matched with one of that point, be taken for it, or have a packet paired with one of its.
        """
        syns = syn_keys(other.flows)
        found = np.zeros(self._flows, np.uint8)
        self._of_packets.mark(_keys(other), found)
        self._of_syns.mark(syns[syns != 0], found)
        return np.flatnonzero(found).astype(np.int32)


def _keys(point: Point) -> NDArray[np.uint64]:
    """64 bits of what `Packets.print` has 32 of, so that no long flow has a packet of another by chance."""
    p, keys = point.packets, np.empty(len(point.packets), np.uint64)
    udp = (point.flows.proto == UDP).astype(np.uint32)
    # An echo is as long as the fragment that was captured of it.
    whole = (~np.isin(point.flows.proto, (ICMP, ICMP6))).astype(np.uint32)
    for begin, stop in slices(len(p)):
        some = slice(begin, stop)
        more = p.seq[some] * ODD[0] ^ p.ack[some] * ODD[1]
        more ^= p.length[some].astype(np.uint32) * whole[p.flow[some]] * ODD[2]
        more ^= p.ip_id[some] * udp[p.flow[some]] * ODD[3]  # of the others it is not surely in the print
        keys[some] = p.print[some].astype(np.uint64) << np.uint64(32) | more
    return keys
