"""The addresses and ports of flows, compared with as much of them as NAT may have left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.layout import REPLY
from analyzer.flow.joining import identify
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


def syn_keys(flows: Flows, some: Any = slice(None)) -> NDArray[np.uint64]:
    """What identifies the SYN of each flow, or of some, on both sides of NAT; 0 without one."""
    told = flows.syn_print[some]
    key: NDArray[np.uint64] = (flows.isn_x[some].astype(np.uint64) << np.uint64(32)) | told
    key[told == 0] = 0
    return key


def tuple_keys(
    flows: Flows, some: NDArray[np.int64] | None = None, *, turned: bool = False
) -> NDArray[np.uint64]:
    """One number per five-tuple, of all or some, as the originator's packets show it; turned, as the responder's do."""
    chosen = np.arange(len(flows), dtype=np.int32) if some is None else some.astype(np.int32)
    reply = np.full(len(chosen), turned, np.uint8)
    return Keys(flows, chosen, np.zeros(len(chosen), np.uint64), reply).at(LEVELS[0])


class Keys:
    """Hashes of some flows, or packets of flows, with as many of the address fields as a level names."""

    def __init__(
        self,
        flows: Flows,
        chosen: NDArray[np.int32],
        content: NDArray[np.uint64],
        reply: NDArray[np.uint8] | None = None,
    ) -> None:
        """Note whose keys are wanted.

        Args:
            flows: Of a point.
            chosen: Row in *flows* of each key.
            content: What NAT leaves alone of each.
            reply: Which are of packets of the responder, whose source is the flow's destination; None for none.
        """
        self._of = flows.proto, flows.src_hi, flows.src_lo, flows.dst_hi, flows.dst_lo, flows.ports
        self._chosen, self._content = chosen, content
        self._reply = np.zeros(len(chosen), np.uint8) if reply is None else reply

    def at(self, level: int, left: Any = slice(None)) -> NDArray[np.uint64]:
        """The keys at a level, of those that are left; nothing is kept, since most are matched at one of the first levels."""
        keys: NDArray[np.uint64] = np.array(self._content[left])
        wanted = (bool(level & field) for field in (SRC, SPORT, DST, DPORT))
        identify(*views(self._chosen[left], self._reply[left], *self._of), *wanted, keys.data)
        return keys


def packet_keys(point: Point, rows: NDArray[np.int64]) -> Keys:
    """Hashes of packets' contents with their addresses and ports, as the packets show them."""
    packets = point.packets
    content, reply = scramble(packets.print[rows], 9), packets.bits[rows] & np.uint8(REPLY)
    return Keys(point.flows, packets.flow[rows], content, reply)
