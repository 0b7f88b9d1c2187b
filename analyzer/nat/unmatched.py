"""Packets that crossed a gap, though their flows do not fit as wholes.

One flow inside can be several outside: two queries of one socket that DNAT sent to different endpoints, a connection
whose later packets conntrack no longer knew. And of several flows that are equal (one socket's requests again and
again) no one can say which is which, but of their packets one can. So what is left of both sides is paired packet by
packet: where content and moment are unique. Datagrams that are equal in content and moment as well (the same query from two
pods, a socket's requests after its entry expired and another port was given) are paired in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP
from analyzer.compute.thresholds import UNMATCHED, WINDOW
from analyzer.flow.keys import scramble, unique_join
from analyzer.flow.point import UDP
from analyzer.nat.matching import SAMPLE
from analyzer.nat.tuples import LEVELS, packet_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point


def pair_strays(
    inner: Point,
    outer: Point,
    in_outer: NDArray[np.int32],
    in_inner: NDArray[np.int32],
    window: int = WINDOW,
) -> None:
    """Pair what `analyzer.nat.pairing` left, in place.

    Args:
        inner: With prints that are comparable with `outer`'s.
        outer: See `inner`.
        in_outer: Per packet of the inner point, its row at the outer one, or -1.
        in_inner: The reverse.
        window: ns that a packet takes at most.
    """
    a = _left(inner, in_outer)
    if not len(a):
        return  # before the outer point, which may be the bridge of many pods, is gone through
    b = _left(outer, in_inner)
    for shift in (0, window // 2):
        # Two grids of moments, half a window apart: what one of them cuts in two, the other keeps together.
        i, j = unique_join(_moments(inner, a, shift, window), _moments(outer, b, shift, window))
        near = np.abs(outer.packets.time[b[j]] - inner.packets.time[a[i]]) <= window
        i, j = i[near], j[near]
        in_outer[a[i]], in_inner[b[j]] = b[j], a[i]
        a, b = np.delete(a, i), np.delete(b, j)
        if not len(a):
            return
    _pair_equals(inner, outer, _udp(inner, a), _udp(outer, b), in_outer, in_inner)


def _pair_equals(
    inner: Point,
    outer: Point,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    in_outer: NDArray[np.int32],
    in_inner: NDArray[np.int32],
) -> None:
    """Pair equal UDP datagrams in the order of time, those first whose addresses and ports agree most.

    Which of several equals is which, nobody can say; whether one was lost, their number does.
    """
    if not len(a) or not len(b):
        return
    apart = max(measured(inner, outer, in_outer), UNMATCHED)
    for level in LEVELS:
        i, j = _in_order(inner, outer, a, b, level, apart)
        in_outer[a[i]], in_inner[b[j]] = b[j], a[i]
        a, b = np.delete(a, i), np.delete(b, j)


def measured(inner: Point, outer: Point, in_outer: NDArray[np.int32]) -> int:
    """The longest transit of the packets that are paired, ns; of very many, of the last."""
    begin = max(len(in_outer) - 16 * SAMPLE, 0)
    paired = begin + np.flatnonzero(in_outer[begin:] >= 0)[-SAMPLE:]
    transits = np.abs(outer.packets.time.take(in_outer.take(paired)) - inner.packets.time.take(paired))
    return int(transits.max(initial=0))


def _in_order(
    inner: Point, outer: Point, a: NDArray[np.int64], b: NDArray[np.int64], level: int, apart: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of pairs: of each run of equals without a pause longer than *apart* ns the first with the first, and so on."""
    keys = np.concatenate([packet_keys(inner, a).at(level), packet_keys(outer, b).at(level)])
    times = np.concatenate([inner.packets.time[a], outer.packets.time[b]])
    outside = np.arange(len(keys)) >= len(a)
    order = np.lexsort((times, keys))
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(keys[order]) != 0) | (np.diff(times[order]) > apart)
    run = np.cumsum(begins)
    side = outside[order]
    ranks = np.empty(len(order), np.int64)
    for one in (False, True):
        seen = np.cumsum(side == one)
        ranks[side == one] = (seen - np.maximum.accumulate(np.where(begins, seen - (side == one), 0)))[
            side == one
        ]
    number = run.astype(np.uint64) << np.uint64(32) | ranks.astype(np.uint64)
    i, j = unique_join(number[~side], number[side])
    return order[~side][i], order[side][j] - len(a)


def _udp(point: Point, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    udp: NDArray[np.int64] = rows[point.flows.proto[point.packets.flow[rows]] == UDP]
    return udp


def _left(point: Point, partner: NDArray[np.int32]) -> NDArray[np.int64]:
    rows = np.flatnonzero(partner < 0)
    left: NDArray[np.int64] = rows[point.flows.proto[point.packets.flow[rows]] != ARP]
    return left


def _moments(point: Point, rows: NDArray[np.int64], shift: int, window: int) -> NDArray[np.uint64]:
    """A hash of each packet's content, protocol and moment."""
    packets = point.packets
    key: NDArray[np.uint64] = scramble(packets.print[rows], 1) ^ scramble(
        point.flows.proto[packets.flow[rows]], 2
    )
    key ^= scramble((packets.time[rows] + shift) // window, 3)
    return key
