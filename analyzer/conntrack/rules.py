"""The state table with its exceptions: what a segment does to an entry before its numbers are checked."""

from __future__ import annotations

from typing import NamedTuple

from analyzer.conntrack.entry import MODULUS, Entry, Side, before, learn_options
from analyzer.conntrack.generation import Generation
from analyzer.conntrack.model import Segment, Settings
from analyzer.conntrack.states import CLOSING, TRANSITIONS, Kind, State
from analyzer.conntrack.window import Refusal


class Move(NamedTuple):
    """What becomes of the state if the window check passes."""

    to: State
    """The next state."""
    unchecked: bool = False
    """The window check is skipped."""
    resynchronised: bool = False
    """The entry has become that of a connection whose SYN had been ignored: it counts as SYN_SENT."""


def reopens(entry: Entry, kind: Kind, reply: bool) -> bool:
    """Say whether a SYN meets a closed entry that is to be deleted, and is looked up again as new."""
    if entry.state not in (State.TIME_WAIT, State.CLOSE):
        return False
    if TRANSITIONS[reply][kind, entry.state] is not State.SYN_SENT:
        return False
    aborted = entry.last.reply == reply and entry.last.kind is Kind.RST
    return aborted or any(side.began_close for side in entry.sides)


def move(
    segment: Segment, entry: Entry, kind: Kind, reply: bool, generation: Generation, settings: Settings
) -> Refusal | Move:
    """Apply the state table and its exceptions; `reopens` was asked before."""
    last = entry.last
    outcome = TRANSITIONS[reply][kind, entry.state]
    if outcome == "invalid":
        return Refusal("invalid", _say("invalid", entry, kind, reply, generation), "invalid-state")
    if outcome is State.SYN_SENT and entry.state in (State.TIME_WAIT, State.CLOSE):
        outcome = "ignore"
    if outcome == "ignore":
        answers = kind is Kind.SYN_ACK and last.kind is Kind.SYN and last.reply != reply
        if answers and segment.ack == last.end:
            _resynchronise(entry, reply, generation)
            return Move(State.SYN_RECV, resynchronised=True)
        reason = _say("ignored", entry, kind, reply, generation)
        _note_ignored(segment, entry, kind, reply, generation)
        return Refusal("ignore", reason)
    if kind is Kind.RST:
        return _reset(segment, entry, reply, generation, settings)
    if entry.state is State.LAST_ACK and kind is Kind.ACK:
        after_syn = last.kind is Kind.SYN and last.reply != reply
        if after_syn and last.expect_challenge_ack:
            last.expect_challenge_ack = False
            return Refusal("ignore", "challenge-ack ignored")
    if outcome is State.SYN_SENT2:
        last.simultaneous_open = True
    if outcome is State.SYN_RECV and reply and kind is Kind.ACK:
        # The table does not know simultaneous opens, in which both sides acknowledge a SYN.
        opened = last.simultaneous_open and generation.reply_ack_opens
        outcome = State.ESTABLISHED if opened else outcome
    return Move(outcome)


def _note_ignored(segment: Segment, entry: Entry, kind: Kind, reply: bool, generation: Generation) -> None:
    """Remember a segment that may belong to a connection which conntrack does not know yet."""
    last = entry.last
    last.kind, last.reply = kind, reply
    last.seq, last.end, last.window = segment.seq, segment.end, segment.window
    if kind is Kind.SYN and not reply:
        seen = Side()
        learn_options(seen, segment, generation)
        last.scales, last.scale, last.takes_sack = seen.scales, seen.scale, seen.takes_sack
        last.simultaneous_open = False
        last.expect_challenge_ack = entry.state is State.LAST_ACK
    challenge = entry.state is State.SYN_SENT and kind is Kind.ACK and reply
    if challenge and generation.challenge_rst:
        last.ack = segment.ack


def _resynchronise(entry: Entry, reply: bool, generation: Generation) -> None:
    """Believe an ignored SYN, now that the other side answers it."""
    last = entry.last
    last.expect_challenge_ack = False
    opener = Side(
        end=last.end,
        max_end=last.end,
        max_window=max(last.window, 1),
        scale=last.scale,
        scales=last.scales,
        takes_sack=last.takes_sack,
    )
    answerer = Side(liberal=generation.liberal_kept and entry.sides[reply].liberal)
    entry.sides = (opener, answerer) if reply else (answerer, opener)


def _reset(
    segment: Segment, entry: Entry, reply: bool, generation: Generation, settings: Settings
) -> Refusal | Move:
    """Apply the rules for RST."""
    last, to = entry.last, State.CLOSE
    if generation.rst_after_reuse and entry.state in CLOSING:
        return Move(to, unchecked=True)
    expected = entry.sides[not reply].max_ack
    if expected is not None and not (generation.rst_after_reuse and last.kind is Kind.SYN):
        established = entry.state is State.ESTABLISHED and entry.assured
        if generation.rst_after_reuse and segment.seq == 0 and not established:
            return Move(to)
        optional = generation.rst_check_optional and settings.ignore_invalid_rst
        if before(segment.seq, expected) and not optional:
            short_by = (expected - segment.seq) & MODULUS
            return Refusal("invalid", "invalid rst", "invalid-rst", expected, short_by)
        if generation.rst_must_match:
            in_train = last.kind is Kind.ACK and last.reply == reply and segment.seq == last.end
            if not established or segment.seq == expected or in_train:
                return Move(to)
            # Perhaps a forged one: the peer may answer it with a challenge ACK, RFC 5961 section 3.
            to = entry.state
    ignored_syn = last.kind is Kind.SYN and not (generation.rst_answers_peer and last.reply == reply)
    let_through = (entry.seen_reply and ignored_syn) or (not entry.assured and last.kind is Kind.ACK)
    answers = let_through and segment.ack == last.end
    challenged = entry.state is State.SYN_SENT and last.kind is Kind.ACK and last.reply
    refuses = generation.challenge_rst and challenged and segment.seq == last.ack
    return Move(to, unchecked=answers or refuses)


def _say(what: str, entry: Entry, kind: Kind, reply: bool, generation: Generation) -> str:
    """Word a verdict of the state table as the kernel's log does, before and since 6.1."""
    if generation.late_ignored:
        return f"packet (index {kind:d}) in dir {reply:d} {what}, state {entry.state}"
    return "invalid state" if what == "invalid" else f"invalid packet ignored in state {entry.state}"
