"""UDP through conntrack, packet by packet: what `analyzer.conntrack.lives` is held against, and the kernel holds against this.

There is no verdict to replay: a datagram with good lengths and checksum is always accepted. What counts is how long the
entry lives, since the table and SNAT's ports are taken as long as it does. ICMP echo and protocols without a
tracker have one timeout each, which every packet renews.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from analyzer.conntrack.timeouts import SECOND, STREAM

if TYPE_CHECKING:
    from analyzer.conntrack.generation import Generation
    from analyzer.conntrack.timeouts import Timeouts


class Renewal(NamedTuple):
    """What a datagram did to the entry."""

    ct_state: Literal["new", "established"]
    """As rules see the datagram."""
    timeout: int
    """Seconds that the entry has to live from now."""


class UdpEntry:
    """The conntrack entries of one pair of addresses and ports, one after the other.

    Args:
        generation: The kernel's rules.
        timeouts: The sysctls.

    Attributes:
        began: Of the present entry, ns; None before the first packet.
        expires: When the present entry ends, ns; None before the first packet.
        turned: The entry was opened by the side that the caller calls the replying one.
        seen_reply: The other side has answered.
        assured: A full table does not evict it.
    """

    def __init__(self, generation: Generation, timeouts: Timeouts) -> None:
        self.generation = generation
        self.timeouts = timeouts
        self.began: int | None = None
        self.expires: int | None = None
        self.turned = self.seen_reply = self.assured = False

    def see(self, *, reply: bool, time: int) -> Renewal:
        """Let a datagram pass.

        Args:
            reply: Whose it is: False the side that the caller calls the originator.
            time: Nanoseconds, of any epoch; not before the datagram before.
        """
        if self.began is None or self.expires is None or time >= self.expires:
            self.began, self.turned = time, reply
            self.seen_reply = self.assured = False
        answers = reply != self.turned
        # The kernel looks before it notes the answer: the first reply itself makes no stream.
        stream = self.seen_reply and (not self.generation.udp_stream_waits or time - self.began > STREAM)
        self.assured |= stream if self.generation.udp_assured_waits else self.seen_reply
        self.seen_reply |= answers
        timeout = self.timeouts.udp_stream if stream else self.timeouts.udp
        self.expires = time + timeout * SECOND
        return Renewal("established" if self.seen_reply else "new", timeout)
