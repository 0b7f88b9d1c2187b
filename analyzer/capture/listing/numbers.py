"""Sequence numbers of a listing, made absolute where that is possible, and kept consistent where not.

tcpdump without `-S` prints a connection's first segment with ACK, and every SYN-ACK, in absolute numbers and what follows
relative to these (print-tcp.c). Segments without data come without a sequence number; it is what their sender sends next.
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.capture.listing.listed import FLAGS, Listed

FLOWS = 1 << 18
"""Connections that are remembered, the latest ones: a listing may be of any length."""
CLEAR = 1 << 20
"""How far from each other two readings of a number are for the nearer one to be surely right."""
_MASK = (1 << 32) - 1
_SYN, _ACK, _FIN, _RST = FLAGS["S"], FLAGS["."], FLAGS["F"], FLAGS["R"]
End = tuple[str, int]


@dataclass(slots=True)
class Side:
    """What one end of a connection has sent."""

    base: int | None = None
    """What its relative numbers count from."""
    next: int | None = None
    """The number that comes next."""
    last: Listed | None = None
    """Its last segment whose numbers the listing has told."""


class Numbers:
    """The connections of one listing."""

    def __init__(self) -> None:
        self._sides: dict[tuple[End, End], Side] = {}
        self._absolute: bool | None = None
        self._between: dict[tuple[str, str], tuple[End, End] | None] = {}

    def side(self, packet: Listed) -> tuple[Side, Side]:
        """The packet's sender, and the other side."""
        one, other = (packet.src, packet.sport), (packet.dst, packet.dport)
        found = self._sides.get((one, other))
        if found is None:
            if len(self._sides) >= 2 * FLOWS:
                self._sides.clear()
                self._between.clear()
            found = self._sides[one, other] = Side()
            self._sides[other, one] = Side()
            for here, there in ((one, other), (other, one)):
                hosts = here[0], there[0]
                self._between[hosts] = (here, there) if hosts not in self._between else None
        return found, self._sides[other, one]

    def only(self, src: str, dst: str) -> tuple[End, End] | None:
        """The ends of the connection between two addresses, if there is just one."""
        return self._between.get((src, dst))

    def tcpdump(self, packet: Listed) -> None:
        """Set the numbers of a segment as tcpdump printed it."""
        own, other = self.side(packet)
        flags, fresh = packet.flags, packet.flags & _SYN and not packet.flags & _ACK
        if fresh and packet.seq != own.base:  # not the same SYN once more
            own.base = own.next = other.base = other.next = None
        if flags & _ACK:
            begins = flags & _SYN or (own.base is None and other.base is None)
            if begins:
                own.base, other.base = packet.seq, ((packet.ack or 0) - 1) & _MASK
            else:
                packet.seq = self._near(packet.seq, own)
                packet.ack = self._near(packet.ack, other)
        self._follow(packet, own, other)

    def plain(self, packet: Listed) -> None:
        """Take the numbers as they are, and remember what comes next."""
        self._follow(packet, *self.side(packet))

    def _near(self, number: int | None, side: Side) -> int | None:
        """Of both readings of a number, the one that is nearer to what its side sends."""
        if number is None:
            return None
        if side.base is None:
            side.base = 0
        relative = (side.base + number) & _MASK
        if side.next is None or self._absolute is not None:
            return number if self._absolute else relative
        off, off_relative = _distance(number, side.next), _distance(relative, side.next)
        if abs(off - off_relative) > CLEAR:
            self._absolute = off < off_relative
        return number if off < off_relative else relative

    def _follow(self, packet: Listed, own: Side, other: Side) -> None:
        """Fill in a number that was not printed, and remember what comes next."""
        if packet.seq is None:
            packet.seq = own.next if own.next is not None else own.base
        if packet.ack is not None and packet.flags & _ACK and other.next is None:
            other.next = packet.ack
        if packet.seq is not None and not packet.flags & _RST:
            end = packet.seq + packet.length + bool(packet.flags & _SYN) + bool(packet.flags & _FIN)
            if own.next is None or packet.flags & _SYN or (end - own.next) & _MASK < 1 << 31:
                own.next = end & _MASK
        own.last = packet


class Asked:
    """Who asked for an address last: a listing does not print whom an ARP reply is for."""

    def __init__(self) -> None:
        self._by: dict[str, str] = {}

    def follow(self, packet: Listed) -> None:
        """Remember a request, or say whom a reply answers."""
        if packet.flags == 1 and len(self._by) < FLOWS:
            self._by[packet.dst] = packet.src
        elif packet.flags == 2:
            packet.dst = self._by.get(packet.src, packet.dst)


def _distance(one: int, other: int) -> int:
    ahead = (one - other) & _MASK
    return min(ahead, _MASK + 1 - ahead)
