"""What became of each packet that can decide a connection's outcome, in the gap behind each point that saw it.

Requests (SYNs, datagrams of the originator) and what answers them are followed alike, in both directions. "Vanished" needs: seen
before the gap; its way leads through the gap; the next point was recording then; not seen there; no proof of delivery.
Everything else has another word, and a reason (`analyzer.connection.reasons`). All columns, no loop over packets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import REPLY, TCP_RST
from analyzer.compute.threads import side_by_side
from analyzer.compute.thresholds import UNREAD
from analyzer.connection.asking import (
    acknowledged,
    anothers,
    answered,
    answered_beyond,
    asked_beyond,
    replied,
)
from analyzer.connection.equals import again, came_back, copied, turned
from analyzer.connection.onward import answered_apart, exits_known, one_way, onward, veiled
from analyzer.connection.reasons import CODES, FATE_OF, FATES
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import TCP, UDP
from analyzer.nat.fingerprints import hops
from analyzer.nat.gap import by_point
from analyzer.node.ways import EXITS, FIRST_TTLS, IN, LOCAL, OUT, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.connection.refusals import Refusals
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap, Leg
    from analyzer.node.ways import Node

__all__ = ["FATES", "Followed", "fate_of", "follow"]
PASSED, VANISHED, NOT_HERE, CAPTURE_LOSS, UNDECIDABLE = range(5)
_FATE_OF = np.array(FATE_OF, np.int8)


def fate_of(reason: NDArray[np.int8]) -> NDArray[np.int8]:
    """Of each reason the fate, as an index into `FATES`: of few packets asked for few, not for all."""
    fates: NDArray[np.int8] = _FATE_OF.take(reason)  # three times as fast as `[reason]`
    return fates


@dataclass(slots=True, kw_only=True)
class Followed:
    """The packets of one kind that one point saw; the arrays have one length."""

    point: Point
    replies: bool
    """Whether they are what responders sent."""
    rows: NDArray[np.int64]
    """Rows of `point.packets`, ascending."""
    first: NDArray[np.bool_]
    """Whether no point before this one saw the packet: each packet is first at one point."""
    last: NDArray[np.bool_]
    """Whether no point behind this one saw it."""
    answered: NDArray[np.bool_]
    """Whether an answer came, here, before the flow's next request; of replies, whether they were acknowledged."""
    reason: NDArray[np.int8]
    """Index into `REASONS`: the fate in the gap behind this point, and why."""
    outward: NDArray[np.bool_]
    """Whether the packet is on its way out of the node; of one that was judged, out through its gap."""
    gap: NDArray[np.int16]
    """Index into all gaps: which one `reason` is of; -1 where there is none."""

    @property
    def fate(self) -> NDArray[np.int8]:
        """Index into `FATES`."""
        return fate_of(self.reason)

    def index(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Where these rows of the point are in `rows`; those that are not followed are left out."""
        found = np.searchsorted(self.rows, rows)
        found, rows = found[found < len(self.rows)], rows[found < len(self.rows)]
        index: NDArray[np.int64] = found[self.rows[found] == rows]
        return index


def follow(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    node: Node,
    refusals: Refusals,
    protocol: int,
    *,
    replies: bool = False,
) -> list[Followed]:
    """Follow the packets of one kind through all gaps: one result per point.

    Args:
        points: All points.
        gaps: All gaps.
        node: What is known of the node.
        refusals: The ICMP errors.
        protocol: `TCP` or `UDP`.
        replies: Follow SYN-ACKs, or the responders' datagrams, instead of SYNs and the originators' datagrams.
    """
    near = by_point(gaps)
    return side_by_side(
        lambda point: _at(point, points, near.get(point.name, {}), node, refusals, protocol, replies=replies),
        points,
    )


def _at(
    point: Point,
    points: Sequence[Point],
    near: Mapping[int, Gap],
    node: Node,
    refusals: Refusals,
    protocol: int,
    *,
    replies: bool,
) -> Followed:
    if replies:
        rows = replied(point, protocol)
        first, soon = np.full(len(rows), -1, np.int64), np.zeros(len(rows), bool)
    else:
        rows, first, soon = answered(point, protocol)
    flow = point.packets.flow[rows]
    heading, dst = node.heading[point.name].take(flow), point.src if replies else point.dst
    if replies:
        heading = np.where(heading == LOCAL, LOCAL, -heading).astype(np.int8)
    legs = [gap.outward() for gap in near.values() if gap.inner is point]
    legs += [gap.inward() for gap in near.values() if gap.outer is point]
    came_from, went_on = _crossed(rows, flow, legs, node, replies=replies)
    if (others := node.overheard.get(point.name)) is not None:  # it neither begins nor ends here
        came_from, went_on = came_from | others[flow], went_on | others[flow]
    came_from[~came_from] = came_back(point, rows[~came_from])
    if protocol == UDP:
        other = anothers(point, rows, first, went_on)
        soon, first = soon & ~other, np.where(other, -1, first)
    reason = np.full(len(rows), CODES["seen-beyond"], np.int8)
    of_gap, outward = np.full(len(rows), -1, np.int16), heading == OUT
    # A pod that calls itself by a service has both ends: what of it comes and goes cannot be told from addresses.
    judged = np.flatnonzero(~went_on & (heading != UNKNOWN))
    judged = judged[point.src[flow[judged]] != point.dst[flow[judged]]]
    if len(judged) and legs:
        ways = onward(point, legs, node, flow[judged], heading[judged], dst)
        # Where it came from, from another bridge above all, it does not go.
        fresh = np.column_stack([leg.partner[rows[judged]] < 0 for leg in legs])
        ways &= fresh
        if replies:
            came, back = _returning(point, legs, flow[judged], heading[judged])
            # What the routes send elsewhere should have gone back all the same where its request came by.
            back &= ways
            asked = point.starts[1::2][flow[judged]] > point.starts[:-1:2][flow[judged]]
            astray = np.flatnonzero(ways.any(1) & ~back.any(1) & asked)
            ways = back
            ways[astray] = (came & fresh)[astray]
        judged, ways = judged[ways.any(1)], ways[ways.any(1)]
        if replies and protocol == TCP and len(judged):
            soon[judged] = acknowledged(point, rows[judged])
        elif protocol == TCP and (open_ := judged[first[judged] < 0]).size:
            # Where no answer was seen, its sender's later ACKs tell that one came to the last of its SYNs.
            final = np.intersect1d(open_, len(flow) - 1 - np.unique(flow[::-1], return_index=True)[1])
            soon[final] = acknowledged(point, rows[final])
        if len(judged):
            gone = rows[went_on]
            twice = copied(point, rows[judged], gone)
            local = np.flatnonzero(heading[judged] == LOCAL)
            twice[local] = copied(point, rows[judged[local]], gone, routed=True)
            reason[judged], leg = _judge(
                point, points, node, refusals, legs, ways, rows[judged], first[judged], soon[judged],
                heading[judged], dst, twice, replies=replies,
            )  # fmt: skip
            if point.role == "bridge" and not replies:
                reason[judged[again(point, rows[judged])]] = CODES["seen-beyond"]
            outward[judged] = np.array([one.outward for one in legs])[leg]
            number = {gap.names: n for n, gap in near.items()}
            of_gap[judged] = np.array([number[one.gap.names] for one in legs], np.int16)[leg]
    return Followed(
        point=point,
        replies=replies,
        rows=rows,
        first=~came_from,
        last=~went_on,
        answered=soon,
        reason=reason,
        outward=outward,
        gap=of_gap,
    )


def _returning(
    point: Point, legs: Sequence[Leg], flow: NDArray[np.int32], heading: NDArray[np.int8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Through which legs the request came for certain, and through which it may have, so that its reply must go back there.

    Where the leg's other point never saw the flow, its request must have been routed at least once: else the node itself asked.
    """
    came = np.column_stack([leg.match[flow] >= 0 for leg in legs])
    first = point.order[point.starts[2 * flow.astype(np.int64)]]
    routed = ~np.isin(point.packets.ttl[first], FIRST_TTLS) & (heading != LOCAL)
    return came, came | (routed & ~came.any(1))[:, None]


def _judge(
    point: Point,
    points: Sequence[Point],
    node: Node,
    refusals: Refusals,
    legs: Sequence[Leg],
    ways: NDArray[np.bool_],
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    soon: NDArray[np.bool_],
    heading: NDArray[np.int8],
    dst: NDArray[np.uint64],
    twice: NDArray[np.bool_],
    *,
    replies: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Say of packets that no next point saw why not, and which of the legs that is about.

    Args:
        point: That saw them.
        points: All points.
        node: What is known of the node.
        refusals: The ICMP errors.
        legs: From this point.
        ways: Per packet and leg, whether the way may lead there; one at least.
        rows: Of the packets.
        first: Row of the first answer to each; -1 without one.
        soon: Whether it came before the next request.
        heading: Of the packets.
        dst: Per flow, where its packets of this kind are sent to.
        twice: Which of them this point has once more, and that one went on.
        replies: Whether these are replies.
    """
    packets = point.packets
    flow = packets.flow[rows]
    matched = np.column_stack([leg.match[flow] >= 0 for leg in legs]) & ways
    met = np.asarray(matched.any(1))
    ways = np.where(met[:, None], matched, ways)  # what its flow is known to take
    unclear = np.column_stack([_members(point, leg.unclear)[flow] for leg in legs]) & ways
    time = packets.time[rows]
    answer = np.where(first >= 0, packets.time[first], -1)
    # One may still have been on its way when the capture ended, for as long as others took.
    recording = np.column_stack(
        [
            leg.there.recorded(time) & leg.there.recorded(time + max(leg.gap.longest, leg.gap.transit))
            for leg in legs
        ]
    )
    recording &= ways & ~np.column_stack(
        [leg.gap.waiting(time) if leg.outward else np.zeros(len(time), bool) for leg in legs]
    )
    answering = np.column_stack([leg.there.recorded(answer) for leg in legs]) & ways
    blind: NDArray[np.bool_] = np.array([one_way(leg) for leg in legs])
    if blind.any() and not replies:
        soon = soon | answered_beyond(point, [leg for leg, one in zip(legs, blind, strict=True) if one], rows)
    unseen = np.asarray(((blind[None, :] & ways).any(1)) & ~((~blind)[None, :] & ways).any(1))
    unread = np.array([leg.there.recording.unread_share > UNREAD or _sealed(leg) for leg in legs])
    undecoded = np.asarray(((unread[None, :] & ways).any(1)) & ~((~unread)[None, :] & ways).any(1))
    missing = np.asarray(~ways[:, [not leg.there.absent for leg in legs]].any(1))
    # The node answers with a full TTL, as does a neighbour on the bridge.
    beyond = (heading == OUT) & (first >= 0) & ~np.isin(packets.ttl[first], FIRST_TTLS) & (not replies)
    # An answer that nobody saw beyond the gap came another way; unless it came when nobody recorded there.
    routed = np.asarray(ways[:, [not leg.gap.stacked for leg in legs]].any(1))
    elsewhere: NDArray[np.bool_] = answering.any(1) & ~met & ~unseen & (not replies)
    outbound = (heading == OUT) & routed & (not replies)
    by_reset = (first >= 0) & (packets.flags[first] & TCP_RST != 0) & (point.flows.proto[flow] == TCP)
    own = outbound & among(dst[flow], node.own)
    bridged = np.zeros(len(rows), bool)
    macs = point.flows.mac_dst[flow]
    to_router = np.isin(macs, node.routers) if len(node.routers) else np.zeros(len(rows), bool)
    to_pod = np.column_stack([np.full(len(rows), leg.there.role == "pod") for leg in legs]) & ways
    routed_only = outbound & ~to_pod.any(1) & (macs != 0)
    if point.role == "tunnel":
        pass  # its frames are addressed to the far end's device
    elif len(node.routers):
        bridged = routed_only & ~to_router
    elif any(leg.there.role in ("uplink", "tunnel") for leg in legs):
        # Nothing tells a frame that is to be routed from one for a neighbour on the same bridge.
        unclear |= routed_only[:, None] & ways
    round_ = np.zeros(len(rows), bool)
    # What stays on the node may be routed as well: between pods of one bridge, that is only where rules translate it.
    rest = np.flatnonzero(outbound | (heading == LOCAL))
    round_[rest] = turned(point, points, node, rows[rest])
    # What the node, a neighbour on its bridge or a pod of it answers shows no other way out of the node.
    near = own | bridged | round_ | ((first >= 0) & np.isin(packets.ttl[first], FIRST_TTLS))
    came_in = np.any([(leg.partner[np.maximum(first, 0)] >= 0) & leg.outward for leg in legs], axis=0)
    apart = flow[elsewhere & ~by_reset & ~near & ~came_in]
    if not replies:
        apart = np.concatenate([apart, answered_apart(point, points, legs, node, point.flows.proto[flow[0]])])
    away, unknown_way, filtered, inside = exits_known(point, legs, node, flow, distinct(apart), dst)
    if point.role == "pod" and not any(leg.there.role in EXITS for leg in legs):
        # A pod's interface leads to one place: what shows past its bridge was hidden there, or that is another's.
        unknown_way, away = unknown_way | away, np.zeros(len(rows), bool)
    if replies:
        # Its request came another way; nothing but the rules can tell where the reply went.
        unknown_way |= ~met & routed
        recording &= asked_beyond(point, legs, rows)
    # Of a bond whose other port nobody captured, what was answered shows that port in use.
    unknown_way |= ~routed & bool(elsewhere.any() or len(apart))
    refused = np.zeros(len(rows), bool) if replies else refusals.refused(point, rows)
    reason = np.select(
        [
            twice, own, bridged, round_, refused,
            soon & unseen,
            unseen,
            undecoded,
            ~recording.any(1) & beyond & soon,  # an answer to the repetition says nothing of the first
            ~recording.any(1) & missing,
            ~recording.any(1),
            soon & met,
            elsewhere, outbound & veiled(point, legs, node, flow, dst), inside & outbound & ~to_pod.any(1),
            filtered & outbound & ~to_pod.any(1), away & outbound & ~to_pod.any(1),
            unclear.any(1), unknown_way & ((outbound & ~to_pod.any(1)) | ~routed | replies),
            soon & ~by_reset & (not replies),  # answered when the next point recorded no more
        ],
        [
            CODES["seen-beyond"], CODES["own-address"], CODES["bridged"], CODES["turned"], CODES["refused"],
            CODES["answered"],
            CODES["one-direction"],
            CODES["undecoded"],
            CODES["answered-beyond"],
            CODES["not-captured"],
            CODES["not-recording"],
            CODES["answered"],
            CODES["answered-here"], CODES["undecoded"], CODES["not-captured"],
            CODES["filtered"], CODES["other-way"],
            CODES["ambiguous"], CODES["way-unknown"],
            CODES["answered"],
        ],
        CODES["lost"],
    )  # fmt: skip
    # Of several ways one that was recording, else the busiest.
    busy = np.array([len(leg.flows_here) for leg in legs]) / (1 + sum(len(leg.flows_here) for leg in legs))
    leg = np.argmax(ways * (2 * recording + 1 + busy[None, :]), axis=1)
    return reason, leg


def _sealed(leg: Leg) -> bool:
    """Whether an uplink shows a tunnel's packets, but not what is in them: the snaplen cut it off, or it is encrypted."""
    if leg.here.role != "tunnel" or leg.gap.stacked:
        return False
    return bool(leg.there.recording.unread_share > 0 or len(leg.there.opaque))


def _crossed(
    rows: NDArray[np.int64], flow: NDArray[np.int32], legs: Sequence[Leg], node: Node, *, replies: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether one of these legs' other points saw the packet as well, before this one; and after it."""
    before, after = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for leg in legs:
        paired = leg.partner.having(rows)
        if not len(paired):
            continue  # as at most of a bridge's pods
        match = leg.match[flow[paired]]
        if (others := node.overheard.get(leg.there.name)) is not None and others.any():
            theirs = others[leg.flows_there[match]] & (match >= 0)
            paired, match = paired[~theirs], match[~theirs]
        known = np.append(leg.heading, np.int8(UNKNOWN)).take(match)  # -1, without a match, is the last one
        if replies:
            known = -known
        if len(stray := rows[paired[match < 0]]):
            known[match < 0] = _stray_heading(leg, stray, leg.partner[stray], node)
        on = OUT if leg.outward else IN
        after[paired[known == on]] = True
        before[paired[known == -on]] = True
    return before, after


def _stray_heading(
    leg: Leg, rows: NDArray[np.int64], partner: NDArray[np.int32], node: Node
) -> NDArray[np.int8]:
    """Where packets of unmatched flows are heading: by the hop that routing takes, by who saw them first, by addresses."""
    here, there = leg.here.packets, leg.there.packets
    onward = hops(leg.here, leg.there, rows, partner)
    onward = np.where(onward != 0, onward, np.sign(there.time[partner] - here.time[rows]))
    out = 1 if leg.outward else -1
    by_address = np.where(node.heading[leg.here.name][here.flow[rows]] == IN, IN, OUT)
    by_address = np.where(here.bits[rows] & REPLY, -by_address, by_address)
    return np.where(onward != 0, np.sign(onward) * out, by_address).astype(np.int8)


def _members(point: Point, flows: NDArray[np.int32]) -> NDArray[np.bool_]:
    """A mask over the point's flows."""
    mask = np.zeros(len(point.flows), bool)
    mask[flows] = True
    return mask
