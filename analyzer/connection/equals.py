"""Packets of one point that are the same packet again: turned round by the node, flooded by a bridge.

Numbers tell it: fingerprint, hops, IP ID, and which came first. Time only does where a packet has no IP ID, so that a repetition
looks the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.compute.thresholds import FLOODED, LIFETIME, REPEATED
from analyzer.flow.keys import among, distinct, scramble
from analyzer.flow.point import TCP, slices
from analyzer.node.ways import IN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.node.ways import Node


def turned(point: Point, points: Sequence[Point], node: Node, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the same packet, routed once, shows here again afterwards, or in a flow that enters another pod.

    Without the hop that routing takes, it would be another pod's packet that happens to be equal. Of equal packets, a
    repetition and what it repeats, the last one before it is the one that came back.
    """
    if not len(rows):
        return np.zeros(0, bool)
    packets = point.packets
    alike = _alike(point, packets.print[rows])
    found = np.zeros(len(rows), bool)
    for other in points:
        if other is not point and other.role != "pod":
            continue
        again = alike if other is point else _alike(other, packets.print[rows])
        if other is not point:
            again = again[node.heading[other.name][other.packets.flow[again]] == IN]
        found |= np.isin(rows, alike[_before(_key(point, alike, 1), packets.time[alike],
                                             _key(other, again), other.packets.time[again])])  # fmt: skip
    return found


def copied(
    point: Point, rows: NDArray[np.int64], others: NDArray[np.int64], *, routed: bool = False
) -> NDArray[np.bool_]:
    """Whether each packet is the same as one of the others: recorded twice, or flooded.

    Args:
        point: That saw them.
        rows: Of the packets.
        others: Rows that they are compared with.
        routed: Also where it is the same one hop later: with br_netfilter a bridge hands on both.
    """
    if not len(rows):
        return np.zeros(0, bool)
    mine = np.zeros(len(point.flows), bool)
    mine[point.packets.flow[rows]] = True
    others = others[mine[point.packets.flow[others]]]
    time, limit = point.packets.time, _limit(point, rows, others)
    of, flow = scramble(point.packets.flow[rows], 4), scramble(point.packets.flow[others], 4)
    near = _nearest(_key(point, rows) ^ of, time[rows], _key(point, others) ^ flow, time[others])
    found: NDArray[np.bool_] = near <= limit
    if routed:
        near = _nearest(_key(point, rows, -1) ^ of, time[rows], _key(point, others) ^ flow, time[others])
        found |= near <= limit
    return found


def came_back(point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a bridge had the same packet before: routed back to an endpoint on this node, or flooded as well.

    Routed, it was one hop younger; flooded, it is the same.
    """
    if point.role != "bridge" or not len(rows):
        return np.zeros(len(rows), bool)
    packets = point.packets
    alike = _alike(point, packets.print[rows])
    routed = _nearest(
        _key(point, rows, -1), packets.time[rows], _key(point, alike), packets.time[alike], earlier=True
    )
    back: NDArray[np.bool_] = routed <= LIFETIME
    one, other = _copies(point, alike, _key(point, alike))
    # Of copies the later ones, and all of a packet of which one copy is known to have come from a pod.
    return back | np.isin(rows, other) | np.isin(rows, one[~np.isin(other, rows)])


def again(point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each request is the same as an earlier one of these: a bridge that floods has it twice.

    Not to be asked of SYN-ACKs: a repeated SYN and the server's own timer make it send two that are equal at once.
    """
    _, later = _copies(point, rows, _key(point, rows) ^ scramble(point.packets.flow[rows], 4))
    return np.isin(rows, later)


def handed_on(point: Point, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether two packets of a flow are one, which a bridge with br_netfilter hands on twice: routed, too.

    One that was sent again has another IP ID or TSval.
    """
    p = point.packets
    same = (p.print[one] == p.print[other]) & (p.ip_id[one] == p.ip_id[other])
    found: NDArray[np.bool_] = same & ((p.ip_id[one] != 0) | (p.time[other] - p.time[one] <= FLOODED))
    return found


def _copies(
    point: Point, rows: NDArray[np.int64], key: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of rows that are one packet, the earlier and the later: a bridge copies at once, without a queue."""
    time = point.packets.time[rows]
    order = np.lexsort((time, key))
    known = point.packets.ip_id[rows[order[:-1]]] != 0
    same = np.diff(key[order]) == 0
    same &= np.diff(time[order]) <= np.where(known, REPEATED, FLOODED)
    return rows[order[:-1][same]], rows[order[1:][same]]


def _limit(point: Point, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ns within which an equal packet is the same one: as long as packets live, where IP IDs tell it from a repetition.

    Only those of a sender that counts them: whoever forbids fragments may send any (RFC 6864 section 4.1).
    """
    packets = point.packets
    some = np.concatenate([rows, others])
    some = some[packets.ip_id[some] != 0]
    different = distinct(packets.flow[some].astype(np.int64) << 16 | packets.ip_id[some])
    flows, ids = np.unique(different >> 16, return_counts=True)
    flow, known = packets.flow[rows], packets.ip_id[rows] != 0
    limit = np.where(known | (point.flows.proto[flow] == TCP), REPEATED, FLOODED)
    counted: NDArray[np.int64] = np.where(known & np.isin(flow, flows[ids > 1]), LIFETIME, limit)
    return counted


def _nearest(
    key: NDArray[np.uint64],
    time: NDArray[np.int64],
    other: NDArray[np.uint64],
    then: NDArray[np.int64],
    *,
    earlier: bool = False,
) -> NDArray[np.int64]:
    """Ns to the nearest of the others with the same key, of those at the same time or earlier alone if asked; else far."""
    far = np.iinfo(np.int64).max
    order = np.lexsort((then, other))
    other, then = other[order], then[order]
    near = np.full(len(key), far)
    if not len(other):
        return near
    # Where this one would stand among the others: by key, then by time.
    both, when = np.concatenate([other, key]), np.concatenate([then, time])
    kind = np.repeat([0, 1], [len(other), len(key)])
    place = np.lexsort((kind, when, both))
    behind = np.cumsum(kind[place] == 0)  # others up to here
    at = np.empty(len(both), np.int64)
    at[place] = behind
    at = at[len(other) :]
    for index in (at - 1, at)[: 1 if earlier else 2]:
        inside = (index >= 0) & (index < len(other))
        index = np.clip(index, 0, len(other) - 1)
        same = inside & (other[index] == key)
        near = np.where(same, np.minimum(near, np.abs(time - then[index])), near)
    return near


def _before(
    key: NDArray[np.uint64], time: NDArray[np.int64], other: NDArray[np.uint64], then: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each of the others the index of the last one with its key that is not later; the first one where all are.

    The clocks of two points may differ by less than a transit, so that an only one seems later.
    """
    order = np.lexsort((time, key))
    both, when = np.concatenate([key[order], other]), np.concatenate([time[order], then])
    kind = np.repeat([0, 1], [len(key), len(other)])
    place = np.lexsort((kind, when, both))
    upto = np.empty(len(both), np.int64)
    upto[place] = np.cumsum(kind[place] == 0)
    at = upto[len(key) :] - 1
    found = []
    for index in (at, at + 1):
        inside = (index >= 0) & (index < len(key))
        same = inside & (key[order][np.clip(index, 0, max(len(key) - 1, 0))] == other) if len(key) else inside
        found.append((same, index))
    chosen = np.concatenate([found[0][1][found[0][0]], found[1][1][found[1][0] & ~found[0][0]]])
    last: NDArray[np.int64] = order[chosen]
    return last


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


def _key(point: Point, rows: NDArray[np.int64], hops: int = 0) -> NDArray[np.uint64]:
    """A hash of each packet, its IP ID, and its TTL after some more hops."""
    p = point.packets
    return (
        scramble(p.print[rows], 1)
        ^ scramble(p.ttl[rows].astype(np.int64) - hops, 2)
        ^ scramble(p.ip_id[rows].astype(np.int64), 3)
    )
