"""The window check: may this segment belong to the connection as it stands?

For a segment of side S (the sender), R being the other side, four tests must hold (`tcp_in_window`):

    I    seq <= S.max_end                      it lies in the window that R offered
    II   end >= S.end - R.max_window           it is not older than one window of R
    III  sack <= R.end                         it acknowledges what R has sent
    IV   sack >= R.end - max(S.max_window, 66000)    and not a much earlier state

Numbers are absolute and compared modulo 2**32; `sack` is the right edge of the highest SACK block above
the ack, if R takes SACK, else the ack. Sequence offsets of helpers and SYNPROXY are not modelled.
"""

from __future__ import annotations

from typing import NamedTuple

from analyzer.conntrack.entry import MODULUS, Entry, Side, before, learn_options
from analyzer.conntrack.generation import Generation
from analyzer.conntrack.model import Segment, Test, Verdict
from analyzer.conntrack.states import ACK, RST, SYN, Kind, State, kind_of

SMALLEST_ACK_WINDOW = 66_000  # MAXACKWINCONST


class Bounds(NamedTuple):
    """The inclusive bounds of the four tests, as they stood for one segment, and what was compared."""

    seq_upper: int
    seq_lower: int
    ack_upper: int
    ack_lower: int
    seq: int
    end: int
    ack: int
    """The acknowledgement itself, which may be a stand-in: see `_stand_in`."""
    sack: int
    unseen: bool
    """The other side was never seen, so there is no lower bound."""


class Refusal(NamedTuple):
    """A verdict other than accept, as `Judgement` tells it."""

    verdict: Verdict
    reason: str
    test: Test = ""
    bound: int | None = None
    short_by: int = 0


def check(
    segment: Segment, entry: Entry, reply: bool, generation: Generation, *, be_liberal: bool
) -> tuple[Bounds | None, Refusal | None]:
    """Judge one segment by its numbers, and learn from it if it passes.

    Args:
        segment: Its own `reply` is not read.
        entry: Its sides and its last packet are changed in place.
        reply: True if the segment is from the side that did not open the entry.
        generation: The kernel's rules.
        be_liberal: The sysctl; a side may be liberal besides.

    Returns:
        The bounds (None for a lone SYN, which no bound is asked of) and the refusal, if a test failed.
    """
    sender, receiver = entry.sides[reply], entry.sides[not reply]
    sack = highest_sack(segment) if receiver.takes_sack else segment.ack
    if _introduce(segment, sack, sender, receiver, entry.state, reply, generation):
        return None, None
    seq, end, ack, sack = _stand_in(segment, sack, sender, receiver, entry.state)
    bounds = Bounds(
        seq_upper=sender.max_end,
        seq_lower=(sender.end - receiver.max_window) & MODULUS,
        ack_upper=receiver.end,
        ack_lower=(receiver.end - max(sender.max_window, SMALLEST_ACK_WINDOW)) & MODULUS,
        seq=seq,
        end=end,
        ack=ack,
        sack=sack,
        unseen=receiver.max_window == 0,
    )
    refusal = _first_failure(bounds, receiver, generation)
    if refusal is None:
        _advance(bounds, segment, entry, reply)
        return bounds, None
    liberal = be_liberal or sender.liberal
    # The peer may acknowledge what it takes beyond its window (cf97769c761a). A liberal side was exempt
    # from this until the verdict got its third value.
    noted = generation.late_ignored or (generation.overshoot_noted and not liberal)
    if noted and refusal.test == "seq-over-upper-bound" and _overshoots(bounds, receiver):
        sender.end = end
        sender.unacknowledged = True
    return bounds, None if liberal else refusal


def highest_sack(segment: Segment) -> int:
    """Give the right edge of the highest SACK block above the ack, else the ack."""
    highest = segment.ack
    for _left, right in segment.sack:
        if before(highest, right):
            highest = right
    return highest


def _restart(sender: Side, segment: Segment, generation: Generation) -> None:
    """Take a side's numbers from its SYN, or from what older kernels took for one."""
    sender.end = sender.max_end = segment.end
    sender.max_window = max(segment.window, 1)
    learn_options(sender, segment, generation)


def _introduce(
    segment: Segment,
    sack: int,
    sender: Side,
    receiver: Side,
    state: State,
    reply: bool,
    generation: Generation,
) -> bool:
    """Take up a side that was not seen yet, or that starts anew; True if its SYN needs no test."""
    syn, first = bool(segment.flags & SYN), sender.max_window == 0
    if first and not syn:
        _meet(segment, sack, sender, receiver, generation)
        return False
    opening = state in (State.SYN_SENT, State.SYN_RECV)
    if not first and not (opening and before(sender.end, segment.end)):
        return False
    if not first and not generation.restart_needs_syn:
        # Whatever moves the end of the side whose SYN or SYN-ACK came last was taken for another one.
        if reply == (state is State.SYN_RECV):
            _restart(sender, segment, generation)
        return False
    if not syn:
        return False
    _restart(sender, segment, generation)
    if not (sender.scales and receiver.scales) and (reply or not generation.scale_needs_reply):
        sender.scale = receiver.scale = 0
    return not segment.flags & ACK and (first or reply)


def _meet(segment: Segment, sack: int, sender: Side, receiver: Side, generation: Generation) -> None:
    """Take a side's numbers from a segment in mid-stream."""
    sender.end = segment.end
    sender.max_window = max(segment.window << sender.scale, 1)
    sender.max_end = (segment.end + sender.max_window) & MODULUS
    if generation.keepalive_reply and sack == (receiver.end + 1) & MODULUS:
        receiver.end = sack


def _stand_in(
    segment: Segment, sack: int, sender: Side, receiver: Side, state: State
) -> tuple[int, int, int, int]:
    """Replace the numbers that a segment without them cannot have; seq, end, ack, sack."""
    seq, end, ack = segment.seq, segment.end, segment.ack
    if not segment.flags & ACK or (segment.flags & RST and ack == 0):
        ack = sack = receiver.end
    if segment.flags & RST and seq == 0 and state is State.SYN_SENT:
        seq = end = sender.end  # the refusal of a SYN
    return seq, end, ack, sack


def _first_failure(b: Bounds, receiver: Side, generation: Generation) -> Refusal | None:
    """Apply the four tests, in the order and with the words of the generation."""
    modern = generation.late_ignored
    late: Verdict = "ignore" if modern else "invalid"

    def refuse(verdict: Verdict, test: Test, reason: str, bound: int, short_by: int) -> Refusal:
        return Refusal(verdict, reason, test, bound, short_by & MODULUS)

    def at(which: str, exclusive: int) -> str:
        return f"{which} bound {exclusive & MODULUS}" if modern else f"the {which} bound"

    if before(b.seq_upper, b.seq):
        by = b.seq - b.seq_upper
        if generation.overshoot_noted and _overshoots(b, receiver):
            beyond = (b.end - b.seq_upper + 1) & MODULUS
            return refuse(late, "seq-over-upper-bound", f"{beyond} bytes more than expected", b.seq_upper, by)
        reason = f"SEQ is over {at('upper', b.seq_upper + 1)} (over the window of the receiver)"
        return refuse("invalid", "seq-over-upper-bound", reason, b.seq_upper, by)
    over = None
    if before(b.ack_upper, b.sack):
        reason = f"ACK is over {at('upper', b.ack_upper + 1)} (ACKed data not seen yet)"
        over = refuse("invalid", "ack-over-upper-bound", reason, b.ack_upper, b.sack - b.ack_upper)
    # Both may fail: the older kernels name the sequence number first, the newer ones the acknowledgement.
    if over and modern:
        return over
    if not b.unseen and before(b.end, b.seq_lower):
        reason = f"SEQ is under {at('lower', b.seq_lower - 1)} (already ACKed data retransmitted)"
        return refuse(late, "seq-under-lower-bound", reason, b.seq_lower, b.seq_lower - b.end)
    if over:
        return over
    if before(b.sack, b.ack_lower):
        reason = "ACK is under the lower bound (possible overly delayed ACK)"
        if modern:
            reason = f"ignored ACK under {at('lower', b.ack_lower - 1)} (possible overly delayed)"
        return refuse(late, "ack-under-lower-bound", reason, b.ack_lower, b.ack_lower - b.sack)
    return None


def _overshoots(b: Bounds, receiver: Side) -> bool:
    """Say whether a segment fails test I alone, and by no more than the receiver's largest window."""
    return (
        not before(b.end, b.seq_lower)
        and not before(b.ack_upper, b.sack)
        and not before(b.sack, b.ack_lower)
        and (b.end - b.seq_upper + 1) & MODULUS <= receiver.max_window
    )


def _advance(b: Bounds, segment: Segment, entry: Entry, reply: bool) -> None:
    """Learn from a segment that passed."""
    sender, receiver, last = entry.sides[reply], entry.sides[not reply], entry.last
    window = segment.window if segment.flags & SYN else (segment.window << sender.scale) & MODULUS
    sender.max_window = max(sender.max_window, (window + b.sack - b.ack) & MODULUS)
    if before(sender.end, b.end):
        sender.end = b.end
        sender.unacknowledged = True
    if segment.flags & ACK and (sender.max_ack is None or before(sender.max_ack, b.ack)):
        sender.max_ack = b.ack
    if receiver.max_window and before(sender.max_end, b.end):
        receiver.max_window = (receiver.max_window + b.end - sender.max_end) & MODULUS
    right_edge = (b.sack + window) & MODULUS
    if before((receiver.max_end - 1) & MODULUS, right_edge):
        receiver.max_end = right_edge if window else (right_edge + 1) & MODULUS
    if b.ack == receiver.end:
        receiver.unacknowledged = False
    if kind_of(segment.flags) is not Kind.ACK:
        return
    same = (reply, b.seq, b.ack, b.end, segment.window)
    if same == (last.reply, last.seq, last.ack, last.end, last.window):
        last.retrans += 1
    else:
        last.reply, last.seq, last.ack, last.end, last.window = same
        last.retrans = 0
