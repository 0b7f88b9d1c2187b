"""Flows at neighbouring points to crossings: the matched pairs, and every packet's partner."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.layout import REPLY
from analyzer.compute.threads import side_by_side
from analyzer.compute.thresholds import OFFLOAD, WINDOW
from analyzer.flow.point import slices
from analyzer.nat.clocks import align
from analyzer.nat.comparison import Comparison
from analyzer.nat.fingerprints import hops
from analyzer.nat.gap import Gap
from analyzer.nat.late import pair_late
from analyzer.nat.matching import Matches, match
from analyzer.nat.pairing import CURSORS, cover, first_pairs, left, pair
from analyzer.nat.partners import Partners
from analyzer.nat.unmatched import measured, pair_strays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.comparison import Compared


def cross(points: Sequence[Point], pairs: Sequence[tuple[Point, Point]]) -> list[Gap]:
    """Match every gap, put the points on one clock, and pair the packets of every gap.

    Args:
        points: All of them.
        pairs: The neighbours, as `analyzer.node.topology.neighbours` gives them.
    """
    comparison = Comparison(pairs)

    def matched(pair: tuple[Point, Point]) -> tuple[Compared, Matches, int | None]:
        compared = comparison.of(*pair)
        return compared, *match(compared.a, compared.b)

    found = side_by_side(matched, pairs)
    align(
        points,
        {
            (a.name, b.name): offset
            for (a, b), (_, _, offset) in zip(pairs, found, strict=True)
            if offset is not None
        },
    )

    def crossed(number: int) -> Gap:
        inner, outer = pairs[number]
        compared, matches, _ = found[number]
        if compared.rows is not None and outer.clock_offset:  # the part that was compared has its own times
            compared = comparison.of(inner, outer)
        return _gap(inner, outer, compared, matches)

    gaps = side_by_side(crossed, range(len(pairs)))
    _one_queue(gaps)
    return gaps


def _one_queue(gaps: Sequence[Gap]) -> None:
    """Note of a device with a slow queue, in which all neighbours' packets wait, how long and up to which packet; in place."""
    for outer in {id(gap.outer): gap.outer for gap in gaps if gap.longest > WINDOW}.values():
        mine = [gap for gap in gaps if gap.outer is outer]
        longest, through = max(gap.longest for gap in mine), 0
        for gap in mine:
            rows = np.flatnonzero(np.asarray(gap.in_outer[np.arange(len(gap.inner.packets))]) >= 0)
            sent, seen = gap.inner.packets.time[rows], outer.packets.time[gap.in_outer[rows]]
            through = max(through, int(sent[seen > sent].max(initial=0)))
        for gap in mine:
            gap.longest, gap.through = longest, through


def _gap(inner: Point, outer: Point, compared: Compared, matches: Matches) -> Gap:
    """Pair the packets of matched flows, and what else is the same.

    Args:
        inner: A point.
        outer: Its neighbour.
        compared: Both, as they can be compared.
        matches: Of what is compared.
    """
    a, b = compared.a, compared.b
    in_b: NDArray[np.int32] = a.storage.full(len(a.packets), -1, np.int32)
    in_a: NDArray[np.int32] = b.storage.full(len(b.packets), -1, np.int32)
    of_a, of_b = _match_of(a, matches.a), _match_of(b, matches.b)
    _pair(a, b, matches, of_b, in_b, in_a)
    longest = pair_late(a, b, matches, of_a, of_b, in_b, in_a)
    _cover(a, b, matches, of_a, in_b, in_a)
    window = max(WINDOW, longest)
    pair_strays(a, b, in_b, in_a, window)
    longest = max(longest, measured(a, b, in_b))
    heading = _headings(a, b, matches, of_a, in_b)
    if compared.rows is not None and compared.flows is not None:
        paired = in_b >= 0
        in_b[paired] = compared.rows[in_b[paired]]
        matches = replace(
            matches, b=compared.flows[matches.b], ambiguous_b=compared.flows[matches.ambiguous_b]
        )
    return Gap(
        inner=inner,
        outer=outer,
        matches=matches,
        match_a=Partners(of_a),
        match_b=Partners(of_b, compared.flows, len(outer.flows)),
        heading=heading,
        in_outer=Partners(in_b),
        in_inner=Partners(in_a, compared.rows, len(outer.packets)),
        longest=longest,
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
    window = max(OFFLOAD, measured(a, b, in_b))
    arguments: Any = (*matched, *one, *other, window, *views(in_b, in_a, exact))
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
    lost = hops(inner, outer, rows, there)
    later = b.time[there] - a.time[rows]
    sign = np.where(lost != 0, np.sign(lost), np.sign(later))
    sign = np.where(a.bits[rows] & REPLY, -sign, sign)
    return np.where(seen, sign, 0).astype(np.int8)
