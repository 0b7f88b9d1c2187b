"""A capture point with its flows set right: who opened each, and which rows are whose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import DATA, SYN_X, SYN_Y, SYNACK_X, SYNACK_Y
from analyzer.flow.grouping import group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows, Packets
    from analyzer.capture.points import Recording

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58


@dataclass(slots=True, kw_only=True)
class Point:
    """One capture point: packets, flows, and the rows of each flow."""

    recording: Recording
    name: str
    role: str | None
    packets: Packets
    """Bit REPLY of `bits` now says: sent by the responder."""
    flows: Flows
    """`src` is now the originator: Zeek's `orig`."""
    starts: NDArray[np.int64]
    """See `analyzer.flow.grouping`: the rows that side d of flow f sent begin at `order[starts[2 * f + d]]`."""
    order: NDArray[np.int32]
    clock_offset: int = 0
    """ns that were added to the packets' times: see `analyzer.nat.clocks`."""

    def rows(self, flow: int, side: int | None = None) -> NDArray[np.int32]:
        """Rows of a flow, ascending; of one side (0 originator, 1 responder) if asked."""
        if side is None:
            return np.sort(self.order[self.starts[2 * flow] : self.starts[2 * flow + 2]])
        return self.order[self.starts[2 * flow + side] : self.starts[2 * flow + side + 1]]

    def sizes(self) -> NDArray[np.int64]:
        """Packets of each flow."""
        sizes: NDArray[np.int64] = np.diff(self.starts[::2])
        return sizes


def assemble(recording: Recording) -> Point:
    """Decide who opened each flow, and group its rows.

    The side that sent the first SYN is the originator, as in Zeek; a SYN-ACK's receiver is, too. Where the capture
    began later, the side with the higher port is taken for it in TCP, the first sender in UDP unless it spoke
    from a well-known port.
    """
    packets, flows = recording.packets, recording.flows
    swap = _responder_spoke_first(flows)
    starts = np.zeros(2 * len(flows) + 1, np.int64)
    order = np.empty(len(packets), np.int32)
    group(
        packets.flow.data,
        packets.bits.data,
        swap.astype(np.uint8).data,
        starts.data,
        order.data,
    )
    for one, other in (
        ("src_hi", "dst_hi"),
        ("src_lo", "dst_lo"),
        ("isn_x", "isn_y"),
        ("mac_src", "mac_dst"),
    ):
        a, b = getattr(flows, one), getattr(flows, other)
        a[swap], b[swap] = b[swap], a[swap]
    flows.ports[swap] = (flows.ports[swap] << 16) | (flows.ports[swap] >> 16)
    marks = flows.marks
    x = marks & (SYN_X | SYNACK_X)
    y = marks & (SYN_Y | SYNACK_Y)
    flows.marks = np.where(swap, (x << 1) | (y >> 1) | (marks & DATA), marks).astype(np.uint8)
    return Point(
        recording=recording,
        name=recording.name,
        role=recording.role,
        packets=packets,
        flows=flows,
        starts=starts,
        order=order,
    )


def _responder_spoke_first(flows: Flows) -> NDArray[np.bool_]:
    """Which flows' first packet came from the side that did not open them."""
    marks = flows.marks
    sport, dport = flows.ports >> 16, flows.ports & 0xFFFF
    known = (marks & (SYN_X | SYN_Y | SYNACK_X | SYNACK_Y)) != 0
    opened_by_y = (marks & SYN_X == 0) & (
        (marks & SYN_Y != 0) | ((marks & SYNACK_X != 0) & (marks & SYNACK_Y == 0))
    )
    tcp = (flows.proto == TCP) & (sport < dport)
    udp = (flows.proto == UDP) & (sport < 1024) & (dport >= 1024)
    swap: NDArray[np.bool_] = np.where(known, opened_by_y, tcp | udp)
    return swap
