"""What two points compare packets by, where one of them recorded less of each packet than the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import CUT, QUOTES, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.flow.keys import scramble
from analyzer.flow.point import ICMP, ICMP6, TCP, slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point

_NUMBERED = TCP_SYN | TCP_FIN | TCP_RST
"""Segments that a listing prints the number of though they carry no data."""
ENOUGH = 160
"""Bytes of a frame in which all that `Packets.print` is made of lies, but in tunnels: a VLAN tag, IPv6, a TCP header with all
options or a UDP header with 32 bytes of payload."""


UNSURE = frozenset({"bare_seq", "length", "window"})
"""What a listing leaves to be worked out from the packets around, of which two points need not have the same."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a point recorded of a frame, as far as it matters for prints."""

    size: int
    """Bytes."""
    lacks: frozenset[str]
    """Columns that are unknown: see `Recording.lacks`."""

    def agrees(self, other: Held) -> bool:
        """Whether equal packets have equal prints at both points."""
        return self == other and not self.lacks & UNSURE


def held(point: Point) -> Held:
    """Tell what the point recorded of a frame."""
    cut = int(np.count_nonzero((point.packets.bits & (CUT | QUOTES)) == CUT)) * 100 > len(point.packets)
    return Held(min(point.recording.snaplen or ENOUGH, ENOUGH - cut), point.recording.lacks)


def comparable(a: Point, b: Point) -> bool:
    """Whether packets of two points can be recognised at all: not relative sequence numbers among absolute ones.

    Nothing would be found at the other point, and all would seem lost.
    """
    return ("relative" in a.recording.lacks) == ("relative" in b.recording.lacks)


def hops(a: Point, b: Point, rows: NDArray[Any], there: NDArray[Any]) -> NDArray[np.int16]:
    """By how much the TTL of each packet is smaller at B than at A; 0 where one of the two, a listing, does not tell it."""
    if "ttl" in a.recording.lacks | b.recording.lacks:
        return np.zeros(len(rows), np.int16)
    fewer: NDArray[np.int16] = a.packets.ttl[rows].astype(np.int16) - b.packets.ttl[there].astype(np.int16)
    return fewer


def plain(point: Point, lacks: frozenset[str] = frozenset()) -> Point:
    """Return the point with prints that are made of the columns alone: no TCP options, no payload.

    For two points of which one cut what the other has. Such prints tell less apart, above all retransmissions.

    Args:
        point: The point.
        lacks: Columns that are left out as well: one of the two points does not know them.
    """
    p, flows = point.packets, point.flows
    prints: NDArray[np.uint32] = point.storage.empty(len(p), np.uint32)
    for begin, stop in slices(len(p)):
        some = slice(begin, stop)
        # TSO counts the IP ID up in the pieces of one segment.
        proto = flows.proto[p.flow[some]]
        is_tcp = proto == TCP
        ip_id = np.where(is_tcp | ("ip_id" in lacks), 0, p.ip_id[some])
        seq, ack = p.seq[some], p.ack[some]
        if "bare_seq" in lacks:
            seq = np.where(is_tcp & (p.length[some] == 0) & (p.flags[some] & _NUMBERED == 0), 0, seq)
        window = 0 if "window" in lacks else p.window[some]
        mark = scramble(seq, 1) ^ scramble(ack, 2)
        # An echo is as long as the fragment that was captured of it.
        told = is_tcp | (("length" not in lacks) & (proto != ICMP) & (proto != ICMP6))
        length = np.where(told, p.length[some], 0)
        mark ^= scramble(length, 3) ^ scramble(ip_id, 4)
        mark ^= scramble(p.flags[some].astype(np.uint32) << np.uint32(16) | window, 5)
        prints[some] = mark.astype(np.uint32)
    return replace(
        point,
        packets=replace(p, print=prints),
        flows=replace(flows, syn_print=(flows.syn_print != 0).astype(np.uint32)),
    )
