"""One TCP connection through conntrack: the entry's life, and a judgement for each of its segments.

The replay assumes what a capture cannot show: checksums are good, the segment came through PREROUTING
or OUTPUT, no rule dropped the entry's first packet before it was confirmed, the table had room, and no
helper or SYNPROXY shifts the numbers. `Settings` says the sysctls; the default has be_liberal off.

    connection = Connection(CLASSIC, Settings())
    for segment in segments:
        judgement = connection.judge(segment)
"""

from __future__ import annotations

from typing import Self, TypedDict

from analyzer.conntrack.entry import MODULUS, Entry, Side, new_entry
from analyzer.conntrack.generation import Generation
from analyzer.conntrack.model import CtState, Judgement, Segment, Settings, Test
from analyzer.conntrack.pickup import Pickup, Seen
from analyzer.conntrack.rules import Move, move, reopens
from analyzer.conntrack.states import ACK, SYN, Kind, State, kind_of, legal
from analyzer.conntrack.window import Bounds, Refusal, check

SECOND = 1_000_000_000


class Connection:
    """The conntrack entries of one pair of addresses and ports, one after the other.

    Args:
        generation: The kernel's rules.
        settings: The sysctls.

    Attributes:
        entry: The present entry; None while the table has none.
    """

    def __init__(self, generation: Generation, settings: Settings) -> None:
        self.generation = generation
        self.settings = settings
        self.entry: Entry | None = None
        self._pickup: Pickup | None = None

    @classmethod
    def adopt(
        cls,
        generation: Generation,
        settings: Settings,
        *,
        original: Seen,
        reply: Seen,
        state: State = State.ESTABLISHED,
    ) -> Self:
        """Take up an assured connection that the kernel saw from its beginning and the captures do not.

        What this can and cannot conclude is said in `analyzer.conntrack.pickup`; window verdicts on it
        carry `certain=False`.

        Args:
            generation: The kernel's rules.
            settings: The sysctls.
            original: What is known of the side whose segments have `reply` False, before the first one.
            reply: The same of the other side.
            state: Where the connection stood.
        """
        connection = cls(generation, settings)
        connection.entry = Entry(
            sides=(_adopted(original, reply), _adopted(reply, original)),
            state=state,
            seen_reply=True,
            assured=True,
        )
        connection._pickup = Pickup((original, reply))
        return connection

    @property
    def state(self) -> State:
        """The present entry's state; NONE without an entry."""
        return self.entry.state if self.entry else State.NONE

    def judge(self, segment: Segment) -> Judgement:
        """Judge the next segment, and remember what conntrack remembers of it.

        Args:
            segment: Segments must come in the order in which they met conntrack.
        """
        entry = self._look_up(segment.time)
        if not legal(segment.flags):
            return _unrelated(segment, self.state, "invalid-flags", "invalid tcp flag combination")
        kind = kind_of(segment.flags)
        if entry and reopens(entry, kind, segment.reply != entry.turned):
            entry = None
        if entry is None:
            self._pickup = None
            self.entry = entry = new_entry(segment, self.generation, self.settings)
        if entry is None:
            return _unrelated(segment, State.NONE, "invalid-new", "invalid new")
        reply = segment.reply != entry.turned

        step = move(segment, entry, kind, reply, self.generation, self.settings)
        if isinstance(step, Refusal):
            return self._refused(segment, entry, reply, step)
        bounds = None
        if not step.unchecked:
            if self._pickup:
                self._pickup.learn(segment, entry, reply)
            liberal = self.settings.be_liberal
            bounds, refusal = check(segment, entry, reply, self.generation, be_liberal=liberal)
            if refusal:
                return self._refused(segment, entry, reply, refusal, bounds)
        return self._accepted(segment, entry, reply, step, bounds)

    def _look_up(self, now: int) -> Entry | None:
        """Find the entry, unless its time is over."""
        if self.entry and self.entry.expires is not None and now >= self.entry.expires:
            self.entry = None
        return self.entry

    def _accepted(
        self, segment: Segment, entry: Entry, reply: bool, step: Move, bounds: Bounds | None
    ) -> Judgement:
        """Move the entry on, and wind its clock."""
        kind, settings = kind_of(segment.flags), self.settings
        ct_state: CtState = "established" if reply or entry.seen_reply else "new"
        entered = entry.state
        came_from = State.SYN_SENT if step.resynchronised else entered
        entry.last.kind, entry.last.reply = kind, reply
        entry.state = step.to
        if step.to is State.FIN_WAIT and came_from is not State.FIN_WAIT:
            entry.sides[reply].began_close = True

        timeout: int | None = self._timeout(entry, kind)
        if entry.seen_reply:
            if step.to is State.ESTABLISHED and came_from in (State.SYN_RECV, State.ESTABLISHED):
                entry.assured = True
        elif kind is Kind.RST:
            # Refused before any answer: nothing to remember. A reply that comes now finds no entry.
            self.entry, timeout = None, None
        elif kind is Kind.SYN and came_from is State.SYN_SENT and self.generation.syn_sent_expires:
            timeout = None
        elif step.to is State.ESTABLISHED:
            timeout = min(self._timeout(entry, kind), settings.timeout_unacknowledged)
        entry.seen_reply |= reply
        if timeout is not None:
            entry.expires = segment.time + timeout * SECOND
        return Judgement(
            verdict="accept",
            ct_state=ct_state,
            **_acknowledged(segment, bounds),
            window=_window(segment, entry, reply),
            before=entered,
            after=self.state,
            timeout=timeout,
        )

    def _timeout(self, entry: Entry, kind: Kind) -> int:
        """Choose the seconds that the entry has, after a segment of this kind left it in its state."""
        settings, last = self.settings, entry.last
        normal = settings.timeouts[entry.state]
        if last.retrans >= settings.max_retrans and normal > settings.timeout_max_retrans:
            return settings.timeout_max_retrans
        if kind is Kind.RST:
            return settings.timeouts[State.CLOSE]
        if any(side.unacknowledged for side in entry.sides) and normal > settings.timeout_unacknowledged:
            return settings.timeout_unacknowledged
        return min(normal, settings.timeout_max_retrans) if last.window == 0 else normal

    def _refused(
        self, segment: Segment, entry: Entry, reply: bool, refusal: Refusal, bounds: Bounds | None = None
    ) -> Judgement:
        """Leave the entry's state alone."""
        ct_state: CtState = "established" if reply or entry.seen_reply else "new"
        timeout = None
        if refusal.verdict == "ignore":
            entry.seen_reply |= reply
        else:
            ct_state = "invalid"
            if bounds:
                timeout = self._refuse_close(segment, entry, reply)
        return Judgement(
            verdict=refusal.verdict,
            ct_state=ct_state,
            test=refusal.test,
            reason=refusal.reason,
            bound=refusal.bound,
            short_by=refusal.short_by,
            certain=not (self._pickup and bounds),
            **_acknowledged(segment, bounds),
            window=_window(segment, entry, reply),
            before=entry.state,
            after=entry.state,
            timeout=timeout,
        )

    def _refuse_close(self, segment: Segment, entry: Entry, reply: bool) -> int | None:
        """Shorten the life of an entry of which both sides sent a FIN or RST outside the window."""
        kind, closes = kind_of(segment.flags), (Kind.FIN, Kind.RST)
        last, timeout = entry.last, self.settings.timeout_unacknowledged
        if not (self.generation.refused_close_shortens and entry.assured and kind in closes):
            return None
        if last.reply == reply or last.kind not in closes:
            last.kind, last.reply = kind, reply
            return None
        left = entry.expires - segment.time if entry.expires is not None else 0
        if left < 120 * SECOND or left <= timeout * SECOND:
            return None
        entry.expires = segment.time + timeout * SECOND
        return timeout


class _Acknowledged(TypedDict):
    ack_lower: int | None
    ack_upper: int | None
    ack: int | None


def _acknowledged(segment: Segment, bounds: Bounds | None) -> _Acknowledged:
    if bounds is None or bounds.unseen or not segment.flags & ACK:
        return {"ack_lower": None, "ack_upper": None, "ack": None}
    return {"ack_lower": bounds.ack_lower, "ack_upper": bounds.ack_upper, "ack": bounds.sack}


def _window(segment: Segment, entry: Entry, reply: bool) -> int:
    return segment.window if segment.flags & SYN else segment.window << entry.sides[reply].scale


def _unrelated(segment: Segment, state: State, test: Test, reason: str) -> Judgement:
    return Judgement(
        verdict="invalid",
        ct_state="invalid",
        test=test,
        reason=reason,
        window=segment.window,
        before=state,
        after=state,
    )


def _adopted(own: Seen, other: Seen) -> Side:
    side = Side(
        end=own.end or 0,
        max_end=own.end or 0,
        max_window=own.window,
        scale=own.scale,
        max_ack=own.ack,
        scales=True,
        takes_sack=True,
    )
    if other.ack is not None:
        side.max_end = (other.ack + other.window) & MODULUS
    return side
