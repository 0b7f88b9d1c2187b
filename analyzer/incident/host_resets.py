"""RSTs that the node made for a connection of a pod: each with the packet that provoked it.

A packet from outside that conntrack calls INVALID is not translated. Where it is addressed to the node itself, the host's own
stack, which knows no such connection, answers with a RST (RFC 9293 section 3.10.7.1). Where it is addressed to the pod, because
only the destination was translated, it is routed there with the endpoint's own address, and the pod answers. The RST's signature,
per kernel in `docs/conntrack.md`: the exact mirror of the offending packet, its sequence number that packet's acknowledgement,
window 0, no payload. The numbers tell it, however long the uplink's queue keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.flow.keys import among, distinct
from analyzer.flow.selecting import BARE_RESET
from analyzer.nat.tuples import DST, SRC, tuple_keys
from analyzer.node.ways import IN, INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """One offending packet and the RST that answered it, at the outermost point of the node that saw both."""

    gap: Gap
    crossing: int
    """Index into the gap's matches."""
    offender: int
    """Row at the gap's outer point."""
    reset: int
    """Row at the gap's outer point."""
    by_pod: bool = False
    """Whether the pod sent it, rather than the host."""


def resets(gaps: Sequence[Gap]) -> list[Reset]:
    """Find them at every uplink, in time order."""
    found = [one for gap in gaps if gap.exit for one in _by_host(gap)]
    found += [
        one for gap in gaps if gap.inner.role in INSIDE and not gap.stacked for one in _by_pod(gap, gaps)
    ]
    return sorted(found, key=lambda r: int(r.gap.outer.packets.time[r.reset]))


def _by_host(gap: Gap) -> Iterator[Reset]:
    """RSTs that no point inside saw, though it was recording, and what they answer, which it did not see either."""
    outer, packets = gap.outer, gap.outer.packets
    sent = outer.events.of(BARE_RESET)
    sent = sent[(gap.in_inner[sent] < 0) & (gap.match_b[packets.flow[sent]] >= 0)]
    sent = sent[_inside(gap, sent) & gap.inner.recorded(packets.time[sent])]
    if not len(sent):
        return  # before the rows that were not seen inside, which may be very many, are looked for
    came = gap.in_inner.lacking()
    came = came[among(packets.flow[came].astype(np.uint64), packets.flow[sent].astype(np.uint64))]
    came = came[~_inside(gap, came) & (packets.flags[came] & TCP_RST == 0)]
    came = came[gap.inner.recorded(packets.time[came])]
    for offender, reset in mirrored(outer, came, sent):
        yield Reset(gap=gap, crossing=int(gap.match_b[packets.flow[reset]]), offender=offender, reset=reset)


def _inside(gap: Gap, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the uplink's rows are of the side that is inside."""
    packets, m = gap.outer.packets, gap.matches
    index = gap.match_b[packets.flow[rows]]
    side = (gap.heading[index] == IN) ^ (m.flip[index] != 0)
    inside: NDArray[np.bool_] = (packets.bits[rows] & REPLY != 0) == side
    return inside


def _by_pod(gap: Gap, gaps: Sequence[Gap]) -> Iterator[Reset]:
    """RSTs of a pod for packets that reached it untranslated, of a connection whose destination alone is translated.

    With br_netfilter that is between the pod and its bridge: they are told of the gap where the packet came in.
    """
    inner, outer, m = gap.inner, gap.outer, gap.matches
    translated = np.flatnonzero(
        (m.agreed & SRC != 0) & (m.agreed & DST == 0) & (gap.heading != IN) & (m.flip == 0)
    )
    if not len(translated):
        return
    keys = tuple_keys(outer.flows)[m.b[translated]]
    by_key = dict(zip(keys.tolist(), translated.tolist(), strict=True))
    packets = inner.packets
    sent = inner.events.of(BARE_RESET)
    for turned in (False, True):
        there = tuple_keys(inner.flows, turned=turned)
        some = sent[
            among(there[packets.flow[sent]], keys) & (packets.bits[sent] & REPLY == int(turned) * REPLY)
        ]
        for flow in distinct(packets.flow[some]).tolist():
            crossing = by_key[int(there[flow])]
            if flow == m.a[crossing]:
                continue
            came = inner.rows(flow, 1 - int(turned)).astype(np.int64)
            # A SYN-ACK that was not translated back tells of a bridge that does not call the rules, not of a verdict.
            came = came[packets.flags[came] & (TCP_RST | TCP_SYN) == 0]
            for offender, reset in mirrored(inner, came, some[packets.flow[some] == flow]):
                outside = int(gap.in_outer[offender]), int(gap.in_outer[reset])
                if min(outside) >= 0:
                    yield _further(
                        Reset(gap=gap, crossing=crossing, offender=outside[0], reset=outside[1], by_pod=True),
                        gaps,
                    )


def _further(reset: Reset, gaps: Sequence[Gap]) -> Reset:
    """The same at the uplink, where its packets crossed a gap beyond."""
    flow = int(reset.gap.matches.b[reset.crossing])
    for gap in gaps:
        if gap.inner is reset.gap.outer and gap.exit and (crossing := int(gap.match_a[flow])) >= 0:
            offender, answer = int(gap.in_outer[reset.offender]), int(gap.in_outer[reset.reset])
            if min(offender, answer) >= 0:
                return replace(reset, gap=gap, crossing=crossing, offender=offender, reset=answer)
    return reset


def mirrored(point: Point, came: NDArray[np.int64], sent: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs of a packet and the RST that is its mirror: of several that fit, the nearest before it.

    Args:
        point: That saw them.
        came: Rows that a RST may answer.
        sent: Rows of the RSTs.
    """
    packets = point.packets
    waiting: dict[tuple[int, bool, int], list[int]] = {}
    answers = set(sent.tolist())
    for row in np.sort(np.concatenate([came, sent])).tolist():
        flow, flags = int(packets.flow[row]), int(packets.flags[row])
        seq, ack = int(packets.seq[row]), int(packets.ack[row])
        acks = bool(flags & TCP_ACK)
        if row in answers:
            if acks and seq:
                continue
            fitting = waiting.get((flow, acks, ack if acks else seq))
            if fitting:
                yield fitting.pop(), row
        else:
            end = seq + int(packets.length[row]) + bool(flags & TCP_SYN) + bool(flags & TCP_FIN)
            waiting.setdefault((flow, not acks, ack if acks else end & 0xFFFFFFFF), []).append(row)
