"""The addresses and ports of flows, compared with as much of them as NAT may have left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.flow.keys import scramble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows
    from analyzer.flow.point import Point

# What agreed between the two sides of a crossing: bits of `Matches.agreed`.
ISN, SRC, SPORT, DST, DPORT, PACKETS = 1, 2, 4, 8, 16, 32
AGREED = {
    ISN: "isn and options",
    SRC: "source",
    SPORT: "source port",
    DST: "destination",
    DPORT: "destination port",
}

LEVELS = (
    SRC | SPORT | DST | DPORT,  # bridged, or routed without NAT
    SPORT | DST | DPORT,  # SNAT that kept the port
    DST | DPORT,  # SNAT
    SRC | SPORT,  # DNAT
    SPORT,  # both, port kept
    0,  # both
)
"""What is compared, from nothing translated to everything."""


def syn_keys(flows: Flows) -> NDArray[np.uint64]:
    """What identifies each flow's SYN on both sides of NAT; 0 without one."""
    key: NDArray[np.uint64] = (flows.isn_x.astype(np.uint64) << np.uint64(32)) | flows.syn_print
    key[flows.syn_print == 0] = 0
    return key


def tuple_keys(flows: Flows, *, turned: bool = False) -> NDArray[np.uint64]:
    """One number per five-tuple, as the originator's packets show it; turned, as the responder's do."""
    reply = np.ones(len(flows), bool) if turned else None
    return Keys(flows, np.arange(len(flows)), np.zeros(len(flows), np.uint64), reply).at(LEVELS[0])


class Keys:
    """Hashes of some flows, or packets of flows, with as many of the address fields as a level names."""

    def __init__(
        self,
        flows: Flows,
        chosen: NDArray[Any],
        content: NDArray[np.uint64],
        reply: NDArray[np.bool_] | None = None,
    ) -> None:
        """Note whose keys are wanted.

        Args:
            flows: Of a point.
            chosen: Row in *flows* of each key.
            content: What NAT leaves alone of each.
            reply: Which are of packets of the responder, whose source is the flow's destination.
        """
        self._flows = flows
        self._chosen = chosen
        self._content = content
        self._reply = reply

    def at(self, level: int, left: Any = slice(None)) -> NDArray[np.uint64]:
        """The keys at a level, of those that are left; nothing is kept, since most are matched at one of the first levels."""
        flows, chosen = self._flows, self._chosen[left]
        reply = None if self._reply is None else self._reply[left]

        def field(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
            mine: NDArray[Any] = one[chosen]
            return mine if reply is None else np.where(reply, other[chosen], mine)

        key = scramble(flows.proto[chosen], 1)
        key ^= self._content[left]
        if level & SRC:
            key ^= scramble(field(flows.src_hi, flows.dst_hi), 2)
            key ^= scramble(field(flows.src_lo, flows.dst_lo), 3)
        if level & DST:
            key ^= scramble(field(flows.dst_hi, flows.src_hi), 5)
            key ^= scramble(field(flows.dst_lo, flows.src_lo), 6)
        ports = field(flows.ports, flows.ports << 16 | flows.ports >> 16)
        if level & SPORT:
            key ^= scramble(ports >> 16, 4)
        if level & DPORT:
            key ^= scramble(ports & 0xFFFF, 7)
        return key


def packet_keys(point: Point, rows: NDArray[np.int64]) -> Keys:
    """Hashes of packets' contents with their addresses and ports, as the packets show them."""
    packets = point.packets
    content, reply = scramble(packets.print[rows], 9), packets.bits[rows] & REPLY != 0
    return Keys(point.flows, packets.flow[rows], content, reply)
