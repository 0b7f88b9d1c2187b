"""Replaying a connection whose beginning no capture shows, but the kernel saw.

What the kernel knew by then is missing: how far each side had sent, the largest window each had offered,
and the shift of these windows, which only the SYNs carry. What follows from the captures:

* A side's end is at least what it was seen to send and what the other side acknowledged. The true end is
  not lower, so an acknowledgement under the lower bound (test IV) and old data (II) stay what they are.
* The true largest window may be wider than any seen, which would move those two bounds down: a failure
  of II or IV is likely, and proven only by what the host did next.
* An acknowledgement of data that no capture shows (III) means nothing until the other side has
  acknowledged the first segment seen of that data's sender; until then the end is raised instead.
  After that it is likely: the first segment seen may itself have been late.
* Data beyond the window (I) means nothing before the window's owner was seen, nor ever while its shift is
  only a lower limit.

So no window verdict on such a connection is certain, and `Judgement.certain` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analyzer.conntrack.entry import LARGEST_SHIFT, MODULUS, Entry, before
from analyzer.conntrack.model import Segment
from analyzer.conntrack.states import ACK, RST, SYN
from analyzer.conntrack.window import highest_sack


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of one side where a replay begins."""

    end: int | None = None
    """The highest seq + length that it has sent; None if its first segment shall tell."""
    window: int = 0
    """The largest window that it has offered, in bytes."""
    ack: int | None = None
    """The highest ack that it has sent."""
    scale: int = 0
    """The shift of its windows from here on; 0 if the caller gives scaled windows."""
    scale_known: bool = False
    """True if `scale` is from its SYN or the windows are given scaled; False if it is a lower limit."""


def infer_scales(segments: Iterable[Segment]) -> tuple[int, int]:
    """Find the smallest window shifts that explain a connection's data, for each side's windows.

    A sender keeps within the window it was last offered, so more data in flight than the raw window
    proves a shift. One byte beyond is a window probe and proves nothing.

    Args:
        segments: Of one connection, in time order, without its SYNs' options.

    Returns:
        The shift of the originator's windows, then of the other side's; 0 where the data proves none.
    """
    scales = [0, 0]
    right: list[tuple[int, int] | None] = [None, None]  # each side's last ack and raw window
    for segment in segments:
        if segment.flags & (SYN | RST):
            continue
        offered = right[not segment.reply]
        if offered and offered[1] and segment.payload > 1:
            flight = (segment.end - offered[0]) & MODULUS
            shift = scales[not segment.reply]
            while flight < 1 << 30 and shift < LARGEST_SHIFT and offered[1] << shift < flight:
                shift += 1
            scales[not segment.reply] = shift
        if segment.flags & ACK:
            previous = right[segment.reply]
            if previous is None or not before(segment.ack, previous[0]):
                right[segment.reply] = (segment.ack, segment.window)
    return scales[0], scales[1]


@dataclass(slots=True, kw_only=True)
class _Unknown:
    """What is still open about one side."""

    scale_known: bool
    placed: bool
    """Its end is known from its own segments or from an acknowledgement."""
    anchor: int | None = None
    """The end of its first segment; the other side's acknowledgement of it settles the side's end."""
    settled: bool = False


class Pickup:
    """What is still unknown about a connection that was not seen from its beginning."""

    def __init__(self, seen: tuple[Seen, Seen]) -> None:
        self._sides = tuple(
            _Unknown(scale_known=side.scale_known, placed=side.end is not None, anchor=side.end)
            for side in seen
        )

    def learn(self, segment: Segment, entry: Entry, reply: bool) -> None:
        """Raise what the kernel must have known before this segment, so that nothing unproven fails."""
        if segment.flags & SYN:
            return
        sender, receiver = entry.sides[reply], entry.sides[not reply]
        own, other = self._sides[reply], self._sides[not reply]
        if segment.flags & ACK and not other.settled:
            ack = highest_sack(segment)
            if not other.placed or before(receiver.end, ack):
                receiver.end = ack
            if not other.placed:
                receiver.max_end = ack
                other.placed = True
            other.settled = other.anchor is not None and not before(segment.ack, other.anchor)
        if sender.max_window == 0:
            sender.max_window = max(segment.window << sender.scale, 1)
            if not own.placed:
                sender.end = sender.max_end = segment.end
                own.placed = True
        if own.anchor is None:
            own.anchor = segment.end
        if (receiver.max_window == 0 or not other.scale_known) and before(sender.max_end, segment.end):
            sender.max_end = segment.end
