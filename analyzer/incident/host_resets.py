"""RSTs that the node itself sent for a connection of a pod, each with the packet that provoked it.

A reply that conntrack calls INVALID is not translated back; the host's own stack, which knows no such connection, answers
with a RST (RFC 9293 section 3.10.7.1). Its signature, per kernel in `docs/conntrack.md`: the exact mirror of the
offending packet, its sequence number that packet's acknowledgement, window 0, no payload, within microseconds, and
never seen inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.flow.point import TCP
from analyzer.flow.selecting import BARE_RESET
from analyzer.nat.ways import IN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.flow.point import Point
    from analyzer.nat.crossing import Gap

SOON = 10_000_000
"""ns from the offending packet to the host's RST, at most: it is one softirq (lab: 4 to 60 us; 1.5 ms on an emulated machine)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReset:
    """One offending packet and the RST that answered it, at the uplink."""

    gap: Gap
    crossing: int
    """Index into the gap's matches."""
    offender: int
    """Row at the uplink."""
    reset: int
    """Row at the uplink."""


def host_resets(gaps: Sequence[Gap]) -> list[HostReset]:
    """Find them at every uplink, in time order."""
    found = [reset for gap in gaps if gap.outer.role == "uplink" for reset in _of(gap)]
    return sorted(found, key=lambda r: int(r.gap.outer.packets.time[r.reset]))


def _of(gap: Gap) -> list[HostReset]:
    outer, packets = gap.outer, gap.outer.packets
    resets = outer.events.of(BARE_RESET)
    resets = resets[gap.in_inner[resets] < 0]
    flow = packets.flow[resets]
    resets = resets[(gap.match_b[flow] >= 0) & (outer.flows.proto[flow] == TCP)]
    found = []
    taken: set[int] = set()
    for reset in resets:
        index = int(gap.match_b[packets.flow[reset]])
        flip = int(gap.matches.flip[index])
        inside = (1 if gap.heading[index] == IN else 0) ^ flip
        if int(packets.bits[reset] & REPLY) != inside:
            continue  # the far side's own RST
        offender = _offender(outer, gap, int(reset), 1 - inside, taken)
        if offender is not None:
            taken.add(offender)
            found.append(HostReset(gap=gap, crossing=index, offender=offender, reset=int(reset)))
    return found


def _offender(outer: Point, gap: Gap, reset: int, side: int, taken: set[int]) -> int | None:
    """The packet from outside that this RST mirrors: the nearest one before it that was not seen inside."""
    packets = outer.packets
    rows = outer.rows(int(packets.flow[reset]), side)
    place = int(np.searchsorted(rows, reset))
    for row in rows[max(0, place - 64) : place][::-1]:
        if packets.time[reset] - packets.time[row] > SOON:
            break
        if gap.in_inner[row] >= 0 or row in taken or packets.flags[row] & TCP_RST:
            continue
        if packets.flags[row] & TCP_ACK:
            mirrors = packets.seq[reset] == packets.ack[row] and not packets.flags[reset] & TCP_ACK
        else:
            syn_fin = bool(packets.flags[row] & TCP_SYN) + bool(packets.flags[row] & TCP_FIN)
            end = (int(packets.seq[row]) + int(packets.length[row]) + syn_fin) & 0xFFFFFFFF
            mirrors = packets.seq[reset] == 0 and int(packets.ack[reset]) == end
        if mirrors:
            return int(row)
    return None
