"""Flows at neighbouring points to crossings: the matched pairs, and every packet's partner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.layout import REPLY
from analyzer.flow.point import slices
from analyzer.nat.clocks import align
from analyzer.nat.matching import WINDOW, Matches, match
from analyzer.nat.pairing import CURSORS, cover, first_pairs, left, pair
from analyzer.nat.prints import comparable
from analyzer.nat.strays import pair_strays
from analyzer.nat.topology import gaps
from analyzer.threads import side_by_side

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
    match_a: NDArray[np.int32]
    """Per inner flow its match, an index into `matches`; -1 without one."""
    match_b: NDArray[np.int32]
    """The same per outer flow."""
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
            match=self.match_a,
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
            match=self.match_b,
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
    match: NDArray[np.int32]
    """Per flow of `here` its index in the following three; -1 for one that was not matched."""
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
    found = side_by_side(lambda pair: match(*comparable(*pair)), pairs)
    align(
        points,
        {
            (inner.name, outer.name): offset
            for (inner, outer), (_, offset) in zip(pairs, found, strict=True)
            if offset is not None
        },
    )
    return side_by_side(lambda each: _gap(*each[0], each[1][0]), list(zip(pairs, found, strict=True)))


def _gap(inner: Point, outer: Point, matches: Matches) -> Gap:
    in_outer: NDArray[np.int32] = inner.storage.full(len(inner.packets), -1, np.int32)
    in_inner: NDArray[np.int32] = outer.storage.full(len(outer.packets), -1, np.int32)
    a, b = comparable(inner, outer)
    of_a, of_b = _match_of(inner, matches.a), _match_of(outer, matches.b)
    _pair(a, b, matches, of_b, in_outer, in_inner)
    _cover(a, b, matches, of_a, in_outer, in_inner)
    pair_strays(a, b, in_outer, in_inner)
    heading = _headings(inner, outer, matches, of_a, in_outer)
    return Gap(
        inner=inner,
        outer=outer,
        matches=matches,
        match_a=of_a,
        match_b=of_b,
        heading=heading,
        in_outer=in_outer,
        in_inner=in_inner,
    )


def _match_of(point: Point, flows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Per flow of the point, its match; -1 without one."""
    match_of = np.full(len(point.flows), -1, np.int32)
    match_of[flows] = np.arange(len(flows))
    return match_of


def _pair(
    a: Point,
    b: Point,
    matches: Matches,
    of_b: NDArray[np.int32],
    in_b: NDArray[np.int32],
    in_a: NDArray[np.int32],
) -> None:
    cursors = np.zeros((2 * len(matches.a), CURSORS), np.int32)
    matched = views(of_b, matches.a, matches.flip, cursors)
    one = views(a.starts, a.order, a.packets.time, a.packets.print)
    other = views(b.packets.flow, b.packets.bits, b.packets.time, b.packets.print)
    for begin, stop in slices(len(b.packets)):
        arguments: Any = (begin, stop, *matched, *one, *other, WINDOW, *views(in_b, in_a))
        pair(*arguments)


def _cover(
    a: Point,
    b: Point,
    matches: Matches,
    of_a: NDArray[np.int32],
    in_b: NDArray[np.int32],
    in_a: NDArray[np.int32],
) -> None:
    some = np.zeros(len(matches.a), np.uint8)
    p = a.packets
    left(*views(of_a, p.flow, p.length, in_b, some))
    todo = np.flatnonzero(some)
    if not len(todo):
        return
    matched = views(matches.a[todo], matches.b[todo], matches.flip[todo])
    one, other = (
        views(point.starts, point.order, point.packets.time, point.packets.seq, point.packets.length)
        for point in (a, b)
    )
    exact = (in_a >= 0).view(np.uint8)
    arguments: Any = (*matched, *one, *other, OFFLOAD, *views(in_b, in_a, exact))
    cover(*arguments)


def _headings(
    inner: Point, outer: Point, matches: Matches, of_a: NDArray[np.int32], in_outer: NDArray[np.int32]
) -> NDArray[np.int8]:
    """Which way each crossing's originator sends, by the first of its packets that both points saw.

    A routed packet loses one of its TTL; where nothing is routed the earlier sighting decides.
    """
    a, b = inner.packets, outer.packets
    rows = np.full(len(matches.a), -1, np.int32)
    first_pairs(*views(of_a, a.flow, in_outer, rows))
    there = in_outer[rows]
    seen = rows >= 0
    hops = a.ttl[rows].astype(np.int16) - b.ttl[there]
    later = b.time[there] - a.time[rows]
    sign = np.where(hops != 0, np.sign(hops), np.sign(later))
    sign = np.where(a.bits[rows] & REPLY, -sign, sign)
    return np.where(seen, sign, 0).astype(np.int8)
