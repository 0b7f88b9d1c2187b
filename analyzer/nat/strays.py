"""Packets that crossed a gap, though their flows do not fit as wholes.

One flow inside can be several outside: two queries of one socket that DNAT sent to different endpoints, a connection
whose later packets conntrack no longer knew. And of several flows that are equal (one socket's requests again and
again) no one can say which is which, but of their packets one can. So what is left of both sides is paired packet by
packet: where content and moment are unique.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP
from analyzer.flow.keys import scramble, unique_join
from analyzer.nat.matching import WINDOW

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point


def pair_strays(inner: Point, outer: Point, in_outer: NDArray[np.int32], in_inner: NDArray[np.int32]) -> None:
    """Pair what `analyzer.nat.pairing` left, in place.

    Args:
        inner: With prints that are comparable with `outer`'s.
        outer: See `inner`.
        in_outer: Per packet of the inner point, its row at the outer one, or -1.
        in_inner: The reverse.
    """
    for shift in (0, WINDOW // 2):
        # Two grids of moments, half a window apart: what one of them cuts in two, the other keeps together.
        a = _left(inner, in_outer)
        if not len(a):
            return  # before the outer point, which may be the bridge of many pods, is gone through
        b = _left(outer, in_inner)
        i, j = unique_join(_moments(inner, a, shift), _moments(outer, b, shift))
        a, b = a[i], b[j]
        near = np.abs(outer.packets.time[b] - inner.packets.time[a]) <= WINDOW
        in_outer[a[near]], in_inner[b[near]] = b[near], a[near]


def _left(point: Point, partner: NDArray[np.int32]) -> NDArray[np.int64]:
    rows = np.flatnonzero(partner < 0)
    left: NDArray[np.int64] = rows[point.flows.proto[point.packets.flow[rows]] != ARP]
    return left


def _moments(point: Point, rows: NDArray[np.int64], shift: int) -> NDArray[np.uint64]:
    """A hash of each packet's content, protocol and moment."""
    packets = point.packets
    key: NDArray[np.uint64] = scramble(packets.print[rows], 1) ^ scramble(
        point.flows.proto[packets.flow[rows]], 2
    )
    key ^= scramble((packets.time[rows] + shift) // WINDOW, 3)
    return key
