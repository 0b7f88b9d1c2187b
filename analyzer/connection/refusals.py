"""ICMP errors, each with the packet that it quotes: who refused what, and how.

An error belongs to a packet by the header that it quotes: addresses, ports, and the IP ID where the packet has one. The node
translates the quoted header as well (`nf_nat_icmp_reply_translation`), so it fits at every point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.capture.transport import flow_ends, quoted_ends, transports
from analyzer.connection.passages import addresses
from analyzer.flow.point import ICMP
from analyzer.flow.selecting import ERROR, NEIGHBOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point

MOST = 100_000
"""Errors of one point that are read; a flood has no more to tell."""
NO_ROUTE = frozenset({(3, 0), (101, 0)})
"""ICMP errors that a router sends without a route (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1)."""
HOST_UNREACHABLE = (3, 1)
"""Also what a router says seconds later, when its next hop does not answer (`ipv4_link_failure`)."""
ADDRESS_UNREACHABLE = (101, 3)
PROHIBITED = ((3, 9), (3, 10), (3, 13), (101, 1))
"""What only rules and `prohibit` routes say."""
UNHEARD = ((3, 2), (3, 3), (101, 4))
"""What a host says where nobody listens (RFC 1122 section 3.2.2.1)."""
NOT_ADMITTED = frozenset({(3, 9), (3, 10), (3, 13), (3, 2), (3, 3), (101, 1), (101, 4), (101, 5), (101, 6)})
"""What only a rule of the node says of a packet that it forwards, or a route."""
WORDS = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (3, 6): "network unknown",
    (3, 7): "host unknown",
    (3, 9): "network administratively prohibited",
    (3, 10): "host administratively prohibited",
    (3, 13): "communication administratively prohibited",
    (11, 0): "TTL exceeded",
    (11, 1): "reassembly time exceeded",
    (101, 0): "no route",
    (101, 1): "administratively prohibited",
    (101, 3): "address unreachable",
    (101, 4): "port unreachable",
    (101, 5): "source address failed policy",
    (101, 6): "reject route",
    (102, 0): "packet too big",
    (103, 0): "hop limit exceeded",
}
"""Type and code in words; of ICMPv6 the type plus 100 (RFC 1812 section 5.2.7, RFC 4443 section 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One ICMP error as one point saw it."""

    row: int
    """Of the error."""
    time: int
    """ns."""
    kind: tuple[int, int]
    """Type and code, a key of `WORDS`."""
    sender: int
    """Who sent it, as `address_key` has it."""
    address: str
    """The same in words."""
    ip_id: int
    """Of the quoted packet; 0 where it has none."""
    mtu: int
    """Of `fragmentation needed` and `packet too big`: the next hop's; else 0."""

    @property
    def words(self) -> str:
        """What it says."""
        return WORDS.get(self.kind, f"ICMP type {self.kind[0] % 100} code {self.kind[1]}")

    @property
    def harmless(self) -> bool:
        """Whether it is about the packet itself and refuses nobody: too big, or too many hops."""
        return self.too_big or self.kind[0] in (11, 103)

    @property
    def too_big(self) -> bool:
        """Whether it asks for smaller packets and refuses nothing else."""
        return self.kind in ((3, 4), (102, 0))


class Refusals:
    """The ICMP errors of each point, read when first asked for."""

    def __init__(self, exits: Sequence[Point], inside: Sequence[Point] = ()) -> None:
        """Begin without any.

        Args:
            exits: Points at which next hops are asked for.
            inside: Points at which pods are asked for, and pods ask.
        """
        self._exits, self._inside = exits, inside
        self._known: dict[str, dict[bytes, list[Refusal]]] = {}
        self._unread: dict[str, NDArray[np.uint64]] = {}

    def at(self, point: Point) -> dict[bytes, list[Refusal]]:
        """All errors that a point saw, in order of time, by the ends of what they quote (`flow_ends`)."""
        if point.name not in self._known:
            self._known[point.name], self._unread[point.name] = _read(point)
        return self._known[point.name]

    def unread(self, point: Point) -> NDArray[np.uint64]:
        """To whom the errors were sent that do not show what they quote: the snaplen, or a listing, left it out."""
        self.at(point)
        return self._unread[point.name]

    def of(self, point: Point, row: int, there: Point | None = None) -> Refusal | None:
        """The first error that quotes this packet of an originator, as its own point, or another one, saw it; None without one.

        Packets without IP ID are all alike: there an error is about the last one that was sent before it.
        """
        packets, flow = point.packets, int(point.packets.flow[row])
        quoting = self.at(there or point).get(flow_ends(point.flows, flow))
        if not quoting:
            return None
        sent, ip_id = int(packets.time[row]), int(packets.ip_id[row])
        times = packets.time[point.rows(flow, 0)]
        later = times[times > sent]
        until = int(later.min()) if len(later) else None
        for one in quoting:
            # A number tells, whatever the order of the times that were noted.
            if one.ip_id and ip_id:
                if one.ip_id == ip_id:
                    return one
            elif sent <= one.time and (until is None or one.time < until):
                return one
        return None

    def refused(self, point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether an ICMP error refused each of these packets of originators, or said that it is too big.

        Not where the error says that the next hop did not answer: that packet was lost waiting for it, which the questions
        for the neighbour in between show.
        """
        found = np.zeros(len(rows), bool)
        # A filter may keep errors from one point that another one shows.
        quoting = [each for each in (point, *self._inside) if len(rows) and self.at(each)]
        for i, row in enumerate(rows.tolist() if quoting else ()):
            begun = int(point.packets.time[point.rows(int(point.packets.flow[row]), 0)[0]])
            told = (self.of(point, row, each) for each in quoting)
            found[i] = any(one is not None and not self.waited(one, begun) for one in told)
        return found

    def waited(self, one: Refusal, begun: int) -> bool:
        """Whether an error tells of a next hop that was asked for, since the flow began, and did not answer."""
        return one.kind in (HOST_UNREACHABLE, ADDRESS_UNREACHABLE) and self._asked(begun, one.time)

    def _asked(self, begin: int, end: int) -> bool:
        for point in self._exits:
            times = point.packets.time[point.events.of(NEIGHBOUR)]
            if ((times >= begin) & (times <= end)).any():
                return True
        for point in self._inside:
            # There everybody asks for everybody: only what was asked again and again, without a reply, counts.
            rows = point.events.of(NEIGHBOUR)
            times, flow = point.packets.time[rows], point.packets.flow[rows]
            asked, count = np.unique(flow[(times >= begin) & (times <= end)], return_counts=True)
            both = 2 * asked[count > 1].astype(np.int64)
            if (point.starts[both + 2] == point.starts[both + 1]).any():
                return True
        return False


def _read(point: Point) -> tuple[dict[bytes, list[Refusal]], NDArray[np.uint64]]:
    packets, flows = point.packets, point.flows
    errors = point.events.of(ERROR)[:MOST].astype(np.int64)
    found: dict[bytes, list[Refusal]] = {}
    read = []
    for row, header in transports(point.recording, errors.tolist()):
        ends = quoted_ends(header)
        if not ends:
            continue
        read.append(row)
        of = int(packets.flow[row])
        v6 = int(flows.proto[of]) != ICMP
        # Errors of one kind that both ends sent each other are one flow.
        back = bool(packets.bits[row] & REPLY)
        src, dst = addresses(flows, of)
        found.setdefault(ends, []).append(
            Refusal(
                row=row,
                time=int(packets.time[row]),
                sender=int((point.dst if back else point.src)[of]),
                address=dst if back else src,
                kind=((int(flows.ports[of]) >> 16) + 100 * v6, int(packets.flags[row])),
                ip_id=0 if v6 else int.from_bytes(header[12:14], "big"),
                mtu=int.from_bytes(header[4:8] if v6 else header[6:8], "big"),
            )
        )
    for group in found.values():
        group.sort(key=lambda one: one.time)
    left = errors[~np.isin(errors, read)]
    flow = packets.flow[left]
    return found, np.where(packets.bits[left] & REPLY, point.src[flow], point.dst[flow])
