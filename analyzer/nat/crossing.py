"""Flows at neighbouring points to crossings: the matched pairs, and every packet's partner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.nat.clocks import align
from analyzer.nat.matching import WINDOW, Matches, match
from analyzer.nat.pairing import cover, pair
from analyzer.nat.prints import comparable
from analyzer.nat.strays import pair_strays
from analyzer.nat.topology import gaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point

OFFLOAD = 20_000_000
"""ns: the pieces that GRO joins or TSO splits lie closer together."""


@dataclass(slots=True, kw_only=True)
class Gap:
    """Two neighbouring points and all that crossed between them."""

    inner: Point
    outer: Point
    matches: Matches
    """`a` is the inner flow, `b` the outer."""
    heading: NDArray[np.int8]
    """Per match: 1 if the originator is inside (its packets go out), -1 if outside, 0 if nothing tells."""
    in_outer: NDArray[np.int32]
    """Per packet of the inner point, its row at the outer one; -1 if it was not seen there."""
    in_inner: NDArray[np.int32]
    """Per packet of the outer point, its row at the inner one; -1 if it was not seen there."""

    @property
    def names(self) -> tuple[str, str]:
        """Inner and outer point's names."""
        return self.inner.name, self.outer.name

    def outward(self) -> Leg:
        """The gap as the inner point sees it."""
        m = self.matches
        return Leg(
            here=self.inner,
            there=self.outer,
            partner=self.in_outer,
            flows_here=m.a,
            flows_there=m.b,
            heading=self.heading,
            unclear=m.ambiguous_a,
        )

    def inward(self) -> Leg:
        """The gap as the outer point sees it."""
        m = self.matches
        return Leg(
            here=self.outer,
            there=self.inner,
            partner=self.in_inner,
            flows_here=m.b,
            flows_there=m.a,
            heading=np.where(m.flip == 1, -self.heading, self.heading).astype(np.int8),
            unclear=m.ambiguous_b,
        )


@dataclass(slots=True, kw_only=True)
class Leg:
    """A gap seen from one of its points."""

    here: Point
    there: Point
    partner: NDArray[np.int32]
    """Per packet of `here`, its row at `there`; -1 if it was not seen there."""
    flows_here: NDArray[np.int32]
    """The matched flows; as long as `flows_there` and `heading`."""
    flows_there: NDArray[np.int32]
    heading: NDArray[np.int8]
    """Of the matched flows of `here`."""
    unclear: NDArray[np.int32]
    """Flows of `here` for which several flows of `there` are equally good."""


def cross(points: Sequence[Point]) -> list[Gap]:
    """Match every gap, put the points on one clock, and pair the packets."""
    pairs = gaps(points)
    found = [match(*comparable(inner, outer)) for inner, outer in pairs]
    align(
        points,
        {
            (inner.name, outer.name): offset
            for (inner, outer), (_, offset) in zip(pairs, found, strict=True)
            if offset is not None
        },
    )
    return [_gap(inner, outer, matches) for (inner, outer), (matches, _) in zip(pairs, found, strict=True)]


def _gap(inner: Point, outer: Point, matches: Matches) -> Gap:
    in_outer = np.full(len(inner.packets), -1, np.int32)
    in_inner = np.full(len(outer.packets), -1, np.int32)
    a, b = (point.packets for point in comparable(inner, outer))
    flows: Any = [matches.a.data, matches.b.data, matches.flip.data]
    partners: Any = [in_outer.data, in_inner.data]
    one: Any = [inner.starts.data, inner.order.data, a.time.data]
    other: Any = [outer.starts.data, outer.order.data, b.time.data]
    arguments: Any = [*flows, *one, a.print.data, *other, b.print.data, WINDOW, *partners]
    pair(*arguments)
    exact = (in_inner >= 0).astype(np.uint8)
    arguments = [
        *flows,
        *one,
        a.seq.data,
        a.length.data,
        *other,
        b.seq.data,
        b.length.data,
        OFFLOAD,
        *partners,
    ]
    cover(*arguments, exact.data)  # type: ignore[call-arg]  # mypy cannot count the list
    pair_strays(*comparable(inner, outer), in_outer, in_inner)
    heading = _headings(inner, outer, matches, in_outer)
    return Gap(
        inner=inner, outer=outer, matches=matches, heading=heading, in_outer=in_outer, in_inner=in_inner
    )


def _headings(inner: Point, outer: Point, matches: Matches, in_outer: NDArray[np.int32]) -> NDArray[np.int8]:
    """Which way each crossing's originator sends, by the first of its packets that both points saw.

    A routed packet loses one of its TTL; where nothing is routed the earlier sighting decides.
    """
    a, b = inner.packets, outer.packets
    first = np.full(len(inner.flows), -1, np.int64)
    rows = np.flatnonzero(in_outer >= 0)[::-1]
    first[a.flow[rows]] = rows  # the last assignment, of the earliest row, stays
    rows = first[matches.a]
    there = in_outer[rows]
    seen = rows >= 0
    hops = a.ttl[rows].astype(np.int16) - b.ttl[there]
    later = b.time[there] - a.time[rows]
    sign = np.where(hops != 0, np.sign(hops), np.sign(later))
    sign = np.where(a.bits[rows] & REPLY, -sign, sign)
    return np.where(seen, sign, 0).astype(np.int8)
