"""An entry's life, and what no constant added to the sequence numbers may change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from talk import CLIENT, SERVER, Start

from analyzer.conntrack import CLASSIC, MODERN, Connection, Generation, Segment, Settings, State
from analyzer.conntrack.generation import LINUX_4_15, LINUX_6_0
from analyzer.conntrack.states import ACK, FIN, PSH, RST, SYN, TIMEOUTS

C, S = CLIENT + 1, SERVER + 1


def test_life_of_a_connection(start: Start, generation: Generation) -> None:
    """From SYN to TIME_WAIT: states, rule states and timeouts."""
    talk = start(generation).handshake()
    talk.client(ACK | PSH, C, S, payload=100)
    talk.server(ACK, S, C + 100)
    talk.client(FIN | ACK, C + 100, S)
    talk.server(FIN | ACK, S, C + 101)
    talk.client(ACK, C + 101, S + 1)

    assert [said.verdict for said in talk.said] == ["accept"] * 8
    assert ["new", *["established"] * 7] == [said.ct_state for said in talk.said]
    expected = [
        (State.SYN_SENT, 120),
        (State.SYN_RECV, 60),
        (State.ESTABLISHED, 432_000),
        (State.ESTABLISHED, 300),  # the data is not acknowledged
        (State.ESTABLISHED, 432_000),
        (State.FIN_WAIT, 120),
        (State.LAST_ACK, 30),
        (State.TIME_WAIT, 120),
    ]
    assert expected == [(said.after, said.timeout) for said in talk.said]
    assert [State.NONE, *[after for after, _ in expected[:-1]]] == [said.before for said in talk.said]


def test_bounds_of_acknowledgements_are_told(start: Start, generation: Generation) -> None:
    """Every ACK carries the bounds it met, for the window chart; a SYN has none."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S, payload=500)
    talk.server(ACK, S, C + 500)
    bounds = [(said.ack_lower, said.ack_upper, said.ack) for said in talk.said]

    assert bounds[0] == (None, None, None)
    assert bounds[1] == (C - 66_000, C, C)
    assert bounds[4] == (C + 500 - 66_000, C + 500, C + 500)


def test_illegal_flags(start: Start, generation: Generation) -> None:
    """They are INVALID with or without an entry, and touch nothing."""
    talk = start(generation)
    alone = talk.client(SYN | FIN, CLIENT)
    talk.handshake()
    inside = talk.client(0, C, S)

    assert (alone.verdict, alone.test, alone.after) == ("invalid", "invalid-flags", State.NONE)
    assert (
        inside.verdict,
        inside.reason,
        inside.after,
    ) == ("invalid", "invalid tcp flag combination", State.ESTABLISHED)


@pytest.mark.parametrize("flags", [SYN | ACK, RST, FIN | ACK])
def test_what_belongs_to_no_entry(start: Start, generation: Generation, flags: int) -> None:
    """It is INVALID and leaves no entry; so is the RST with which a host answers an INVALID packet."""
    talk = start(generation)
    judged = talk.client(flags, CLIENT, S)

    assert (
        judged.verdict,
        judged.test,
        judged.ct_state,
        judged.timeout,
    ) == ("invalid", "invalid-new", "invalid", None)
    assert talk.connection.entry is None


def test_pickup_believes_everything(start: Start, generation: Generation) -> None:
    """A connection met in its middle has no window verdicts, and little time before the first reply."""
    talk = start(generation)
    first = talk.client(ACK, C, S, payload=10)
    reply = talk.server(ACK, S, C + 900_000)

    assert (
        first.verdict,
        first.ct_state,
        first.after,
        first.timeout,
    ) == ("accept", "new", State.ESTABLISHED, 300)
    assert (reply.verdict, reply.ct_state) == ("accept", "established")


def test_pickup_from_the_server_turns_the_entry(start: Start, generation: Generation) -> None:
    """Who is met first is the entry's original side, whoever began the connection."""
    talk = start(generation)
    talk.server(ACK, S, C)

    assert talk.connection.entry is not None
    assert talk.connection.entry.turned
    assert talk.server(SYN, SERVER).verdict == "ignore"
    assert talk.client(SYN, CLIENT).test == "invalid-state"


def test_strict_tracking(start: Start, generation: Generation) -> None:
    """With loose off the middle of a connection is INVALID."""
    assert start(generation, loose=False).client(ACK, C, S).test == "invalid-new"


def test_be_liberal_leaves_the_state_table(start: Start, generation: Generation) -> None:
    """It waives the four tests and nothing else."""
    talk = start(generation, be_liberal=True).handshake()

    assert talk.server(ACK, S, C + 900_000).verdict == "accept"
    assert talk.server(SYN, SERVER).test == "invalid-state"


def test_expired_entry_is_no_entry(start: Start, generation: Generation) -> None:
    """After the timeout the SYN-ACK finds nothing; a moment before it finds the entry."""
    for seconds, test in ((119.9, ""), (120.1, "invalid-new")):
        talk = start(generation)
        talk.client(SYN, CLIENT)
        talk.wait(seconds)

        assert test == talk.server(SYN | ACK, SERVER, C).test


@pytest.mark.parametrize(("generation", "timeout"), [(LINUX_4_15, 120), (CLASSIC, None), (MODERN, None)])
def test_repeated_syn(start: Start, generation: Generation, timeout: int | None) -> None:
    """Older kernels let every retransmission renew an unanswered entry: found by comparing with 5.10.223."""
    talk = start(generation)
    talk.client(SYN, CLIENT)

    assert timeout == talk.client(SYN, CLIENT).timeout


def test_ignored_and_invalid_segments_do_not_renew(start: Start, generation: Generation) -> None:
    """Only what is accepted winds the clock."""
    talk = start(generation).handshake()
    talk.client(FIN | ACK, C, S)
    assert talk.connection.entry is not None
    expires = talk.connection.entry.expires
    talk.client(SYN, CLIENT + 900_000)
    talk.server(ACK, S, C + 900_000)

    assert expires == talk.connection.entry.expires


def test_refused_before_any_answer(start: Start, generation: Generation) -> None:
    """The RST that refuses a SYN deletes the entry, so that the next SYN is a new one."""
    talk = start(generation)
    talk.client(SYN, CLIENT)
    refused = talk.server(RST | ACK, 0, C)
    again = talk.client(SYN, CLIENT + 1000)

    assert (refused.verdict, refused.after, refused.timeout) == ("accept", State.NONE, None)
    assert (again.ct_state, again.before) == ("new", State.NONE)


def test_assured_once_established(start: Start, generation: Generation) -> None:
    """The handshake's last ACK assures the entry."""
    talk = start(generation)
    talk.client(SYN, CLIENT)
    talk.server(SYN | ACK, SERVER, C)
    assert talk.connection.entry is not None
    assert not talk.connection.entry.assured
    talk.client(ACK, C, S)

    assert talk.connection.entry.assured


def test_same_ports_after_time_wait(start: Start, generation: Generation) -> None:
    """A SYN after a close by FIN begins a new entry at once."""
    talk = start(generation).handshake()
    talk.client(FIN | ACK, C, S)
    talk.server(FIN | ACK, S, C + 1)
    talk.client(ACK, C + 1, S + 1)
    again = talk.client(SYN, CLIENT - 900_000)

    assert (
        again.verdict,
        again.ct_state,
        again.before,
        again.after,
    ) == ("accept", "new", State.NONE, State.SYN_SENT)


def test_same_ports_from_the_other_side(start: Start, generation: Generation) -> None:
    """In TIME_WAIT the server may open anew, and is then the original side."""
    talk = start(generation).handshake()
    talk.client(FIN | ACK, C, S)
    talk.server(FIN | ACK, S, C + 1)
    talk.client(ACK, C + 1, S + 1)
    again = talk.server(SYN, SERVER + 900_000)

    assert (again.ct_state, again.after) == ("new", State.SYN_SENT)
    assert talk.client(SYN | ACK, CLIENT, SERVER + 900_001).after == State.SYN_RECV


@pytest.mark.parametrize(
    ("who", "verdict", "before"), [("client", "accept", "NONE"), ("server", "ignore", "CLOSE")]
)
def test_same_ports_after_a_reset(
    start: Start, generation: Generation, who: str, verdict: str, before: str
) -> None:
    """After a RST only the side that sent it may reopen; the other's SYN is ignored until answered."""
    talk = start(generation).handshake()
    if who == "client":
        talk.client(RST, C)
    else:
        talk.server(RST, S)
    again = talk.client(SYN, CLIENT + 900_000)

    assert (verdict, before) == (again.verdict, again.before)


def test_timeout_caps(start: Start, generation: Generation) -> None:
    """Retransmissions and a closed window both cap an established connection's life."""
    talk = start(generation, max_retrans=3, timeout_max_retrans=250).handshake()
    lives = [talk.server(ACK, S, C).timeout for _repetition in range(4)]

    assert lives == [432_000, 432_000, 432_000, 250]
    assert talk.server(ACK, S, C, window=0).timeout == 250
    assert talk.server(ACK, S, C, window=1).timeout == 432_000


def test_caps_do_not_lengthen(start: Start, generation: Generation) -> None:
    """A state with a shorter life than the cap keeps it."""
    talk = start(generation, timeouts=TIMEOUTS | {State.ESTABLISHED: 100}).handshake()

    assert talk.client(ACK, C, S, payload=9).timeout == 100


@pytest.mark.parametrize(("generation", "timeout"), [(LINUX_6_0, None), (MODERN, 300)])
def test_close_refused_from_both_sides(start: Start, generation: Generation, timeout: int | None) -> None:
    """Since 6.1 an entry whose both sides try to end, out of step with it, lives 300 s at most."""
    talk = start(generation).handshake()
    first = talk.client(FIN | ACK, C + 900_000, S)
    second = talk.server(FIN | ACK, S + 900_000, C)

    assert [first.verdict, second.verdict] == ["invalid", "invalid"]
    assert [None, timeout] == [first.timeout, second.timeout]


@pytest.mark.parametrize(
    ("unacknowledged", "left_ms", "timeout"),
    [
        (300, 301_000, 300),
        (300, 300_001, 300),
        (300, 300_000, None),
        (100, 120_000, 100),
        (100, 119_999, None),
        (100, 100_000, None),
    ],
)
def test_a_life_that_is_short_already_is_left_alone(
    start: Start, unacknowledged: int, left_ms: int, timeout: int | None
) -> None:
    """The cap after a refused close shortens what has two minutes or more, and more than the cap, and lengthens nothing."""
    talk = start(
        MODERN, timeout_unacknowledged=unacknowledged, timeouts=TIMEOUTS | {State.ESTABLISHED: 1000}
    ).handshake()
    talk.client(FIN | ACK, C + 900_000, S)
    entry = talk.connection.entry
    assert entry is not None
    assert entry.expires is not None
    talk.now = entry.expires - (left_ms + 1) * 1_000_000
    expires = entry.expires if timeout is None else talk.now + 1_000_000 + timeout * 10**9

    assert timeout == talk.server(FIN | ACK, S + 900_000, C).timeout
    assert expires == entry.expires


def test_one_sides_closes_shorten_nothing(start: Start) -> None:
    """Refused twice from the same side, or first something that is no close: the entry keeps its life."""
    same, other = start(MODERN).handshake(), start(MODERN).handshake()
    twice = [same.client(FIN | ACK, C + 900_000, S).timeout for _repetition in range(2)]
    other.client(ACK, C + 900_000, S)

    assert [None, None] == twice
    assert None is other.server(FIN | ACK, S + 900_000, C).timeout


_KINDS = st.sampled_from((SYN, SYN | ACK, ACK, ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK))
_SHIFTS = st.one_of(
    st.integers(0, 2**32 - 1),
    st.integers(2**32 - 1_000_100_000, 2**32 - 999_900_000),  # wraps the first side
)
_STEPS = st.lists(
    st.tuples(
        st.booleans(),
        _KINDS,
        st.one_of(st.integers(-3, 3), st.integers(-80_000, 80_000)),
        st.one_of(st.integers(-3, 3), st.integers(-80_000, 80_000)),
        st.sampled_from((0, 1, 500, 1352, 65_535)),
        st.sampled_from((0, 0, 1, 1460)),
        st.one_of(st.none(), st.integers(-3000, 3000)),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(
    steps=_STEPS,
    shifts=st.tuples(_SHIFTS, _SHIFTS),
    generation=st.sampled_from((LINUX_4_15, CLASSIC, LINUX_6_0, MODERN)),
    be_liberal=st.booleans(),
)
def test_judging_does_not_depend_on_where_the_numbers_begin(
    steps: list[tuple[bool, int, int, int, int, int, int | None]],
    shifts: tuple[int, int],
    generation: Generation,
    be_liberal: bool,
) -> None:
    """Adding a constant to each side's numbers moves the bounds by it and changes nothing else.

    Two things are absolute in the kernel and left out here: the numbers 0, and a side never seen, whose end
    counts as 0.
    """
    rules = Settings(be_liberal=be_liberal, loose=False)
    opening = [
        (False, SYN, -1, 0, 1000, 0, None),
        (True, SYN | ACK, -1, 0, 1000, 0, None),
        (False, ACK, 0, 0, 1000, 0, None),
    ]

    def judge(bases: tuple[int, int]) -> list[tuple[object, ...]]:
        connection = Connection(generation, rules)
        told: list[tuple[object, ...]] = []
        for time, (reply, flags, seq, ack, window, payload, block) in enumerate([*opening, *steps]):
            own, other = bases[reply], bases[not reply]
            entry = connection.entry
            if entry and flags & ACK and entry.sides[reply == entry.turned].max_window == 0:
                continue
            edge = (other + ack + (block or 0)) % 2**32
            segment = Segment(
                reply=reply,
                time=time,
                seq=(own + seq) % 2**32,
                ack=(other + ack) % 2**32 if flags & ACK else 0,
                flags=flags,
                window=window,
                payload=payload,
                wscale=3 if flags & SYN else None,
                sack_permitted=bool(flags & SYN),
                sack=() if block is None or flags & SYN else ((edge, edge),),
            )
            assume(segment.seq and segment.end and (segment.ack or not flags & ACK))
            judged = connection.judge(segment)
            base = other if judged.test.startswith("ack") else own
            bound = None if judged.bound is None else (judged.bound - base) % 2**32
            states = judged.before, judged.after, judged.timeout
            told.append((judged.verdict, judged.test, judged.short_by, bound, *states))
        return told

    here = (1_000_000_000, 2_000_000_000)
    there = (here[0] + shifts[0], here[1] + shifts[1])

    assert judge(here) == judge(there)


def test_settings_are_the_kernels_defaults() -> None:
    """As `sysctl -a` shows them on an untouched kernel."""
    expected = Settings(
        be_liberal=False,
        loose=True,
        ignore_invalid_rst=False,
        max_retrans=3,
        timeout_max_retrans=300,
        timeout_unacknowledged=300,
    )

    assert expected == Settings()
    assert replace(expected, loose=False) != Settings()
