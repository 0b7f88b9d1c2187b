"""Which flow at one point is which at the next, though NAT has changed its addresses.

First by the SYN (ISN, window, options), then by the votes of several packets. Each is tried from the most specific
key (nothing translated) to the least (everything translated); at every step only flows whose key is unique on
both sides are taken, so a guess is never made: what stays equal to several others is reported as ambiguous.
Joins are hash tables (`analyzer.flow.joining`), so the cost stays linear when every packet looks the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.layout import REPLY, SYN_X, SYNACK_Y
from analyzer.compute.thresholds import JITTER, WINDOW
from analyzer.flow.joining import share
from analyzer.flow.keys import among, scramble, unique_join
from analyzer.nat.clocks import ahead
from analyzer.nat.tuples import (
    DPORT,
    DST,
    ISN,
    LEVELS,
    PACKETS,
    SPORT,
    SRC,
    Keys,
    packet_keys,
    syn_keys,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows
    from analyzer.flow.point import Point

ENOUGH = 3
"""Votes that must agree on another clock."""
SAMPLE = 1 << 20
"""Packets per point that vote at most; chosen by their content, so that both points choose the same ones."""
CONTENTS = 1 << 25
"""Bits by which it is noted which contents there are, at most: 4 MB, which a processor's cache holds."""
HEADS = 4096
"""Matched flows, evenly chosen, that tell how far two clocks are apart, at most."""


@dataclass(slots=True, kw_only=True)
class Matches:
    """Matched flows of two points, in the order of A's flows; the arrays have one length."""

    a: NDArray[np.int32]
    b: NDArray[np.int32]
    flip: NDArray[np.uint8]
    """1 where A's originator is B's responder (a capture that began mid-connection guessed wrong)."""
    agreed: NDArray[np.uint8]
    votes: NDArray[np.int32]
    """Packets that voted; 0 for a match by the SYN."""
    ambiguous_a: NDArray[np.int32]
    """Flows of A for which several of B are equally good."""
    ambiguous_b: NDArray[np.int32]
    """The reverse."""


def match(a: Point, b: Point) -> tuple[Matches, int | None]:
    """Match the flows of two neighbouring points.

    Returns: The matches, and by how much B's clock is ahead of A's in ns; None where nothing tells.
    """
    left_a, left_b = a.routable, b.routable
    by_syn_a, by_syn_b, agreed, twins_a, twins_b = _by_syn(a, b, left_a, left_b)
    by_answer = _by_answer(
        a, b, _without(left_a, by_syn_a, len(a.flows)), _without(left_b, by_syn_b, len(b.flows))
    )
    if len(by_answer[0]):
        left_a = _without(left_a, by_answer[0], len(a.flows))
        left_b = _without(left_b, by_answer[1], len(b.flows))
    by_syn_a, by_syn_b = np.concatenate([by_syn_a, by_answer[0]]), np.concatenate([by_syn_b, by_answer[1]])
    agreed = np.concatenate([agreed, by_answer[2]])
    seen = _seen(a, b, by_syn_a, by_syn_b)
    usual = _usual(seen.delta)
    if usual is not None:
        met = _met(a, b, by_syn_a, by_syn_b, usual)
        by_syn_a, by_syn_b, agreed = by_syn_a[met], by_syn_b[met], agreed[met]
    left_a, left_b = _without(left_a, by_syn_a, len(a.flows)), _without(left_b, by_syn_b, len(b.flows))
    ballots = _ballots(a, b, left_a, left_b)
    if usual is None and len(ballots):
        seen = Seen(of=ballots["a"], side=ballots["side"], delta=ballots["delta"], hops=ballots["hops"])
        usual = _agreed(seen.delta)
    if usual is not None:
        ballots = ballots[(np.abs(ballots["delta"] - usual) <= WINDOW) | ballots["sole"]]
    elected, ties = _elect(ballots)
    none = np.zeros(len(by_syn_a), np.uint8)
    matched = np.concatenate([by_syn_a, elected["a"]])
    order = np.full(len(a.flows), -1, np.int64)
    order[matched] = np.arange(len(matched))
    order = order[order >= 0]
    return Matches(
        a=matched[order].astype(np.int32),
        b=np.concatenate([by_syn_b, elected["b"]])[order].astype(np.int32),
        flip=np.concatenate([none, elected["flip"]])[order].astype(np.uint8),
        agreed=np.concatenate([agreed | ISN, elected["agreed"] | PACKETS])[order].astype(np.uint8),
        votes=np.concatenate([none, elected["votes"]])[order].astype(np.int32),
        ambiguous_a=_without(np.concatenate([twins_a, ties["a"]]), elected["a"], len(a.flows)),
        ambiguous_b=_without(np.concatenate([twins_b, ties["b"]]), elected["b"], len(b.flows)),
    ), None if usual is None else _clock(a, b, seen, usual)


def _without(some: NDArray[np.int32], others: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Those of *some* of a point's *count* flows that are none of the others, ascending."""
    chosen = np.zeros(count, bool)
    chosen[some] = True
    chosen[others] = False
    return np.flatnonzero(chosen).astype(np.int32)


@dataclass(slots=True, kw_only=True)
class Seen:
    """Packets of matched flows that both points saw; the arrays have one length, and `analyzer.nat.clocks.ahead` tells them."""

    of: NDArray[np.int64]
    side: NDArray[np.int64]
    delta: NDArray[np.int64]
    hops: NDArray[np.int64]


def _clock(a: Point, b: Point, seen: Seen, usual: int) -> int:
    """By how much B's clock is ahead of A's."""
    found = ahead(seen.of, seen.side, seen.delta, seen.hops)
    if found or abs(usual) <= WINDOW or (np.abs(seen.delta - usual) <= JITTER).sum() < ENOUGH:
        return found
    # Packets of one direction tell a clock from a queue if nothing could have waited so long: one capture had ended.
    one, other = a.packets.time, b.packets.time
    apart = one.max() < other.min() or other.max() < one.min()
    return usual if apart else 0


def _agreed(deltas: NDArray[np.int64]) -> int | None:
    """The median of the votes' time differences; None if too few agree to move a clock by it."""
    median = int(np.median(deltas))
    return (
        median
        if abs(median) <= WINDOW // 10 or (abs(deltas - median) <= WINDOW // 10).sum() >= ENOUGH
        else None
    )


def _seen(a: Point, b: Point, flows_a: NDArray[np.int32], flows_b: NDArray[np.int32]) -> Seen:
    """All packets that are equal at the beginnings of these matched flows: where a SYN was lost, B's first is A's second."""
    chosen = np.linspace(0, len(flows_a) - 1, min(len(flows_a), HEADS)).astype(np.int64)
    heads_a, heads_b = _heads(a, flows_a[chosen])[:, :, None], _heads(b, flows_b[chosen])[:, None, :]
    equal = (heads_a >= 0) & (heads_b >= 0) & (a.packets.print[heads_a] == b.packets.print[heads_b])
    of, i, j = np.nonzero(equal)
    rows_a, rows_b = heads_a[of, i, 0], heads_b[of, 0, j]
    return Seen(
        of=of,
        side=i // 4,
        delta=b.packets.time[rows_b] - a.packets.time[rows_a],
        hops=a.packets.ttl[rows_a].astype(np.int64) - b.packets.ttl[rows_b],
    )


def _usual(deltas: NDArray[np.int64]) -> int | None:
    """By how much most packets' times differ; of two equally likely values the smaller, since clocks of one host agree."""
    if not len(deltas):
        return None
    deltas = np.sort(deltas)
    votes = np.searchsorted(deltas, deltas + JITTER, "right") - np.searchsorted(deltas, deltas - JITTER)
    likely = deltas[votes == votes.max()]
    nearest = likely[np.argmin(np.abs(likely))]
    return int(np.median(deltas[np.abs(deltas - nearest) <= JITTER]))


def _met(
    a: Point, b: Point, flows_a: NDArray[np.int32], flows_b: NDArray[np.int32], offset: int
) -> NDArray[np.bool_]:
    """Whether what the originators sent, or what answers them, overlaps in time, or is the same however late.

    A scanner's SYNs are all alike, with an ISN of 0 say, and seconds apart not the same.
    """
    begin_a, begin_b = _edge(a, flows_a, 0), _edge(b, flows_b, 0)
    met: NDArray[np.bool_] = np.abs(begin_b - offset - begin_a) <= WINDOW
    apart = np.flatnonzero(~met)  # few
    end_a, end_b = _edge(a, flows_a[apart], 1), _edge(b, flows_b[apart], 1)
    met[apart] = (begin_b[apart] - offset <= end_a + WINDOW) & (end_b - offset >= begin_a[apart] - WINDOW)
    late = np.flatnonzero(~met & (a.flows.isn_x.take(flows_a) != 0))
    one, other = _heads(a, flows_a[late])[:, :4, None], _heads(b, flows_b[late])[:, None, :4]
    same = (one >= 0) & (other >= 0) & (a.packets.print[one] == b.packets.print[other])
    met[late] = (same & (a.packets.ip_id[one] == b.packets.ip_id[other])).any((1, 2))
    return met


def _edge(point: Point, flows: NDArray[np.int32], end: int) -> NDArray[np.int64]:
    """When the originator of each flow sent its first packet, or its last; of one that was only answered there, the answers."""
    side = 2 * flows.astype(np.int64)
    side += point.starts[side] == point.starts[side + 1]
    times: NDArray[np.int64] = point.packets.time.take(point.order[point.starts[side + end] - end])
    return times


def _heads(point: Point, flows: NDArray[np.int32]) -> NDArray[np.int64]:
    """The first rows of each side of these flows, 4 of each; -1 where there are fewer."""
    sides = (2 * flows.astype(np.int64)[:, None] + (0, 1)).reshape(-1)
    at = point.starts[sides][:, None] + np.arange(4)
    beyond = at >= point.starts[sides + 1][:, None]
    rows = point.order[np.where(beyond, 0, at)].astype(np.int64)
    return np.where(beyond, -1, rows).reshape(len(flows), 8)


def _by_syn(
    a: Point, b: Point, left_a: NDArray[np.int32], left_b: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32], NDArray[np.int32]]:
    """Flows whose SYN both points saw: (A's, B's, what agreed, A's and B's that several others equal)."""
    key_a, key_b = syn_keys(a.flows), syn_keys(b.flows)
    left_a, left_b = left_a[key_a.take(left_a) != 0], left_b[key_b.take(left_b) != 0]
    keys_a, keys_b = Keys(a.flows, left_a, key_a.take(left_a)), Keys(b.flows, left_b, key_b.take(left_b))
    got_a, got_b, agreed = [left_a[:0]], [left_b[:0]], [np.zeros(0, np.uint8)]
    rest_a, rest_b = np.arange(len(left_a)), np.arange(len(left_b))
    for level in LEVELS:
        if not len(rest_a) or not len(rest_b):
            break
        i, j = unique_join(keys_a.at(level, rest_a), keys_b.at(level, rest_b))
        got_a.append(left_a[rest_a[i]])
        got_b.append(left_b[rest_b[j]])
        agreed.append(np.full(len(i), level, np.uint8))
        rest_a, rest_b = np.delete(rest_a, i), np.delete(rest_b, j)
    left_a, left_b = left_a[rest_a], left_b[rest_b]
    twins_a = left_a[among(key_a[left_a], key_b[left_b])]
    twins_b = left_b[among(key_b[left_b], key_a[left_a])]
    return np.concatenate(got_a), np.concatenate(got_b), np.concatenate(agreed), twins_a, twins_b


def _by_answer(
    a: Point, b: Point, left_a: NDArray[np.int32], left_b: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """Flows of which one point saw the SYN and the other only the SYN-ACK, which acknowledges it (`tcpdump -Q in`)."""
    found_a, found_b, agreed = [left_a[:0]], [left_b[:0]], [np.zeros(0, np.uint8)]
    for asked, of_asked, answered, of_answered in ((a, left_a, b, left_b), (b, left_b, a, left_a)):
        marks = asked.flows.marks[of_asked]
        mine = of_asked[(marks & SYN_X != 0) & (marks & SYNACK_Y == 0)]
        marks = answered.flows.marks[of_answered]
        theirs = of_answered[(marks & SYNACK_Y != 0) & (marks & SYN_X == 0)]
        first = answered.order[answered.starts[2 * theirs.astype(np.int64) + 1]]
        i, j = unique_join(
            scramble(asked.flows.isn_x[mine], 8), scramble(answered.packets.ack[first] - np.uint32(1), 8)
        )
        one, other = (mine[i], theirs[j]) if asked is a else (theirs[j], mine[i])
        found_a.append(one)
        found_b.append(other)
        agreed.append(_same_ends(a.flows, one, b.flows, other))
    return np.concatenate(found_a), np.concatenate(found_b), np.concatenate(agreed)


def _same_ends(a: Flows, one: NDArray[np.int32], b: Flows, other: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Which of their addresses and ports agree."""
    src = (a.src_hi[one] == b.src_hi[other]) & (a.src_lo[one] == b.src_lo[other])
    dst = (a.dst_hi[one] == b.dst_hi[other]) & (a.dst_lo[one] == b.dst_lo[other])
    changed = a.ports[one] ^ b.ports[other]
    ports = (changed >> 16 == 0) * SPORT + (changed & 0xFFFF == 0) * DPORT
    agreed: NDArray[np.uint8] = (src * SRC + dst * DST + ports).astype(np.uint8)
    return agreed


_BALLOT = np.dtype(
    [
        ("a", "i4"),
        ("b", "i4"),
        ("flip", "u1"),
        ("agreed", "u1"),
        ("delta", "i8"),
        ("side", "u1"),
        ("hops", "i2"),
        ("sole", "?"),
    ]
)


def _ballots(a: Point, b: Point, left_a: NDArray[np.int32], left_b: NDArray[np.int32]) -> NDArray[Any]:
    """One vote per packet that is unique on both sides, among the flows that are left."""
    if not len(left_a) or not len(left_b):
        return np.zeros(0, _BALLOT)
    left_b = _share(a, left_a, b, left_b)
    left_a = _share(b, left_b, a, left_a)
    rows_a, rows_b = _voters(a, left_a), _voters(b, left_b)
    keys_a, keys_b = packet_keys(a, rows_a), packet_keys(b, rows_b)
    rest_a, rest_b = np.arange(len(rows_a)), np.arange(len(rows_b))
    sole = np.zeros(len(rows_a), bool)
    sole[unique_join(keys_a.at(0), keys_b.at(0))[0]] = True
    found = [np.zeros(0, _BALLOT)]
    for level in LEVELS:
        if not len(rest_a) or not len(rest_b):
            break
        i, j = unique_join(keys_a.at(level, rest_a), keys_b.at(level, rest_b))
        one, other = rows_a[rest_a[i]], rows_b[rest_b[j]]
        ballot = np.zeros(len(i), _BALLOT)
        ballot["a"], ballot["b"] = a.packets.flow[one], b.packets.flow[other]
        ballot["flip"] = (a.packets.bits[one] ^ b.packets.bits[other]) & REPLY
        ballot["agreed"] = level
        ballot["delta"] = b.packets.time[other] - a.packets.time[one]
        ballot["side"] = a.packets.bits[one] & REPLY
        ballot["hops"] = a.packets.ttl[one].astype(np.int16) - b.packets.ttl[other]
        ballot["sole"] = sole[rest_a[i]] & (a.packets.ip_id[one] == b.packets.ip_id[other])
        found.append(ballot)
        rest_a, rest_b = np.delete(rest_a, i), np.delete(rest_b, j)
    return np.concatenate(found)


def _share(a: Point, left_a: NDArray[np.int32], b: Point, left_b: NDArray[np.int32]) -> NDArray[np.int32]:
    """Those of B's flows, and few others, that have a packet's content in common with one of A's.

    No other can have a vote: of two pods' packets on a bridge the half that is the other pod's, for one.
    """
    noted = int(a.sizes()[left_a].sum())
    seen = np.zeros(min(CONTENTS, 64 << noted.bit_length()) // 8, np.uint8)
    found = np.zeros(len(left_b), np.uint8)
    for point, left, noting in ((a, left_a, True), (b, left_b, False)):
        share(*views(left, point.starts, point.order, point.packets.print, seen, found), noting)
    sharing: NDArray[np.int32] = left_b[found.view(bool)]
    return sharing


def _voters(point: Point, left: NDArray[np.int32]) -> NDArray[np.int64]:
    """Rows of these flows; of very many, those whose content hashes low, and all of the small flows.

    A side may send the same packet twice (a resent query); it has one vote for it.
    """
    rows = point.rows_of(left).astype(np.int64)
    if len(rows) > SAMPLE:
        small = point.sizes()[point.packets.flow[rows]] <= 16
        rows = rows[small | (point.packets.print[rows] % np.uint32(len(rows) // SAMPLE + 1) == 0)]
    side = 2 * point.packets.flow[rows].astype(np.int64) + (point.packets.bits[rows] & REPLY)
    _, first = np.unique(point.packets.print[rows] | side << 32, return_index=True)
    once = np.zeros(len(rows), bool)
    once[first] = True
    voters: NDArray[np.int64] = rows[once]
    return voters


def _elect(ballots: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pairs of flows that prefer each other; and the pairs that are as good as another one of theirs."""
    result = np.dtype([*_BALLOT.descr[:4], ("votes", "i4")])
    if not len(ballots):
        return np.zeros(0, result), np.zeros(0, result)
    pair = (ballots["a"].astype(np.int64) << 32) | ballots["b"]
    _, first, votes = np.unique(pair, return_index=True, return_counts=True)
    tally = np.zeros(len(first), result)
    for name in ("a", "b", "flip", "agreed"):
        tally[name] = ballots[name][first]
    tally["votes"] = votes
    best_a, tied_a = _favourites(tally, "a")
    best_b, tied_b = _favourites(tally, "b")
    return tally[best_a & best_b], tally[tied_a | tied_b]


def _favourites(tally: NDArray[Any], side: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the pairs that have the most votes of their flow on that side alone, and of those that tie for it."""
    most = np.zeros(int(tally[side].max()) + 1, np.int32)
    np.maximum.at(most, tally[side], tally["votes"])
    top = tally["votes"] == most[tally[side]]
    tops = np.bincount(tally[side][top], minlength=len(most))[tally[side]]
    return top & (tops == 1), top & (tops > 1)
