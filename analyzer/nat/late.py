"""Packets that waited between two points for longer than others: in the queue of a shaped uplink, say.

`analyzer.nat.pairing` looks for a packet's partner near its own time. What it leaves in matched flows is compared here
by what it is alone, however long it took: sequence numbers, timestamps and IP ID, in which a retransmission differs from what it
repeats. The longest such transit is the gap's window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY, TCP_SYN
from analyzer.flow.keys import among, distinct, scramble, unique_join
from analyzer.flow.point import TCP, slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.matching import Matches

ASKED = 4096
"""Pairs that tell whether IP IDs stay the same in a gap, at most."""


def pair_late(
    a: Point,
    b: Point,
    matches: Matches,
    of_a: NDArray[np.int32],
    of_b: NDArray[np.int32],
    in_b: NDArray[np.int32],
    in_a: NDArray[np.int32],
) -> int:
    """Pair what is left of matched flows, in place.

    Args:
        a: The inner point.
        b: The outer one.
        matches: Their matched flows.
        of_a: Per flow of *a*, its match, or -1.
        of_b: The same of *b*.
        in_b: Per packet of *a*, its row at *b*, or -1.
        in_a: The reverse.

    Returns: The longest transit of those that it paired, ns; 0 without any.
    """
    rows_a, rows_b = _left(a, of_a, in_b), _left(b, of_b, in_a)
    if not len(rows_a) or not len(rows_b):
        return 0
    same_ids = _same_ids(a, b, in_b)
    if same_ids and _undo(a, b, rows_a, in_b, in_a):
        rows_a, rows_b = _left(a, of_a, in_b), _left(b, of_b, in_a)
    longest = 0
    for by_id, in_turn in ((same_ids, False), (False, False), (False, True)):
        if not len(rows_a) or not len(rows_b):
            break
        none = np.zeros(len(matches.a), np.uint8)
        keys_a = _keys(a, rows_a, of_a, none, by_id=by_id)
        keys_b = _keys(b, rows_b, of_b, matches.flip, by_id=by_id)
        if in_turn:
            keys_a, keys_b = _numbered(keys_a), _numbered(keys_b)
        i, j = unique_join(keys_a, keys_b)
        one, other = rows_a[i], rows_b[j]
        transit = np.abs(b.packets.time[other] - a.packets.time[one])
        if not by_id and same_ids:
            # With another IP ID it is another packet, unless one of the points cannot tell: of IPv6 there is none.
            ids = a.packets.ip_id[one], b.packets.ip_id[other]
            fits = (ids[0] == ids[1]) | (ids[0] == 0) | (ids[1] == 0)
            one, other, transit = one[fits], other[fits], transit[fits]
        in_b[one], in_a[other] = other, one
        longest = max(longest, int(transit.max(initial=0)))
        rows_a, rows_b = rows_a[in_b[rows_a] < 0], rows_b[in_a[rows_b] < 0]
    return longest


def _left(point: Point, match_of: NDArray[np.int32], partner: NDArray[np.int32]) -> NDArray[np.int64]:
    """Rows of matched flows that have no partner, ascending."""
    found = [np.zeros(0, np.int64)]
    for begin, stop in slices(len(point.packets)):
        rows = begin + np.flatnonzero(partner[begin:stop] < 0)
        found.append(rows[match_of[point.packets.flow[rows]] >= 0])
    return np.concatenate(found)


def _keys(
    point: Point,
    rows: NDArray[np.int64],
    match_of: NDArray[np.int32],
    flip: NDArray[np.uint8],
    *,
    by_id: bool,
) -> NDArray[np.uint64]:
    """A hash of each packet's matched flow, direction and content."""
    p = point.packets
    match = match_of[p.flow[rows]]
    side = 2 * match.astype(np.int64) + ((p.bits[rows] & REPLY) ^ flip[match])
    key: NDArray[np.uint64] = scramble(p.print[rows], 1) ^ scramble(side, 2)
    return key ^ scramble(p.ip_id[rows], 3) if by_id else key


def _numbered(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Tell equal keys apart by which of them each is: a queue keeps the order."""
    order = np.argsort(keys, kind="stable")
    begins = np.append(True, keys[order[1:]] != keys[order[:-1]])[: len(keys)]
    at = np.arange(len(keys))
    rank = np.empty(len(keys), np.int64)
    rank[order] = at - np.maximum.accumulate(np.where(begins, at, 0))
    return keys ^ scramble(rank, 4)


def _same_ids(a: Point, b: Point, in_b: NDArray[np.int32]) -> bool:
    """Whether packets keep their IP ID in this gap; without pairs they are taken to."""
    paired = np.flatnonzero(in_b[: 16 * ASKED] >= 0)[:ASKED]
    kept = a.packets.ip_id[paired] == b.packets.ip_id[in_b[paired]]
    return 2 * int(kept.sum()) >= len(kept)


def _undo(
    a: Point,
    b: Point,
    lacking: NDArray[np.int64],
    in_b: NDArray[np.int32],
    in_a: NDArray[np.int32],
) -> bool:
    """Part SYNs and their repetitions that only look alike, if any: without timestamps they differ in IP ID alone."""
    p = a.packets
    asked = lacking[(p.flags[lacking] & TCP_SYN != 0) & (a.flows.proto[p.flow[lacking]] == TCP)]
    flows = distinct(p.flow[asked])
    if not len(flows):
        return False
    rows = a.rows_of(flows).astype(np.int64)
    rows = rows[(in_b[rows] >= 0) & (p.flags[rows] & TCP_SYN != 0)]
    alike = among(p.print[rows].astype(np.uint64), p.print[asked].astype(np.uint64))
    rows = rows[alike]
    ids = p.ip_id[rows], b.packets.ip_id[in_b[rows]]
    rows = rows[(ids[0] != ids[1]) & (ids[0] != 0) & (ids[1] != 0)]
    in_a[in_b[rows]] = -1
    in_b[rows] = -1
    return len(rows) > 0
