"""When entries begin and end: columns against the models that go packet by packet."""

from __future__ import annotations

import numpy as np
import pytest
from columns import Seen, point
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.layout import FRAGMENT, QUOTES
from analyzer.conntrack import Connection, Generation, Segment, Settings, State
from analyzer.conntrack.generation import CLASSIC, LINUX_4_15, LINUX_5_0, MODERN
from analyzer.conntrack.lives import BEFORE, STATES, Lives, lives
from analyzer.conntrack.states import ACK, FIN, RST, SYN
from analyzer.conntrack.timeouts import SECOND, Timeouts
from analyzer.flow.point import ICMP, TCP, UDP, Point
from tests.conntrack.udp import UdpEntry

SYN_ACK = SYN | ACK
Spans = list[tuple[int, int, int]]
"""(flow, begin, end)."""


def of(where: Point, generation: Generation = MODERN, timeouts: Timeouts | None = None) -> tuple[Lives, ...]:
    """The lives of all that a point saw."""
    every, none = np.ones(len(where.flows), bool), np.zeros(0, np.int64)
    return lives(where, every, none, generation, timeouts or Timeouts.of(generation))


def spans(found: Lives) -> Spans:
    """In a form to compare."""
    return sorted(zip(found.flow.tolist(), found.begin.tolist(), found.end.tolist(), strict=True))


@given(
    st.sampled_from([LINUX_4_15, LINUX_5_0, CLASSIC, MODERN]),
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.booleans(),
            st.sampled_from([0.0, 0.5, 1.9, 2.1, 29.0, 30.0, 31.0, 119.0, 181.0]),
        ),
        min_size=1,
        max_size=60,
    ),
)
def test_udp_lives_as_the_model_says(generation: Generation, packets: list[tuple[int, bool, float]]) -> None:
    """Every pause of every length: the same entries, to the nanosecond."""
    now, seen = 0, []
    entries = {flow: UdpEntry(generation, Timeouts.of(generation)) for flow in range(3)}
    expected: Spans = []
    ends: dict[int, tuple[int, int]] = {}
    for flow, reply, pause in packets:
        now += int(pause * SECOND) + 1
        entry = entries[flow]
        before = entry.began
        seen.append(Seen(flow, now, reply))
        entry.see(reply=reply, time=now)
        if before is not None and before != entry.began:
            expected.append((flow, *ends[flow]))
        assert entry.began is not None
        assert entry.expires is not None
        ends[flow] = entry.began, entry.expires
    expected += [(flow, *span) for flow, span in ends.items()]

    assert sorted(expected) == spans(of(point(seen), generation)[1])


def test_what_has_one_timeout_ends_in_a_longer_pause() -> None:
    """ICMP echo after 30 s, a protocol without a tracker after 600 s."""
    seen = [Seen(0, 0), Seen(1, 0), Seen(0, 20 * SECOND), Seen(0, 51 * SECOND, True), Seen(1, 599 * SECOND)]

    assert [(0, 0, 50 * SECOND), (0, 51 * SECOND, 81 * SECOND), (1, 0, 1199 * SECOND)] == spans(
        of(point(seen, [ICMP, 253]))[1]
    )


DIALOGUES = {
    "a lone SYN": [(0, SYN)],
    "repeated SYNs": [(0, SYN), (0, SYN), (0, SYN)],
    "a closed port": [(0, SYN), (1, RST | ACK)],
    "given up": [(0, SYN), (0, RST)],
    "half open": [(0, SYN), (1, SYN_ACK)],
    "open": [(0, SYN), (1, SYN_ACK), (0, ACK)],
    "used": [(0, SYN), (1, SYN_ACK), (0, ACK), (0, ACK), (1, ACK)],
    "closed by one side": [(0, SYN), (1, SYN_ACK), (0, ACK), (0, FIN | ACK)],
    "half closed": [(0, SYN), (1, SYN_ACK), (0, ACK), (1, FIN | ACK), (0, ACK)],
    "last ACK missing": [(0, SYN), (1, SYN_ACK), (0, ACK), (0, FIN | ACK), (1, ACK), (1, FIN | ACK)],
    "closed": [(0, SYN), (1, SYN_ACK), (0, ACK), (0, FIN | ACK), (1, ACK), (1, FIN | ACK), (0, ACK)],
    "closed with three packets": [(0, SYN), (1, SYN_ACK), (0, ACK), (0, FIN | ACK), (1, FIN | ACK), (0, ACK)],
    "reset": [(0, SYN), (1, SYN_ACK), (0, ACK), (1, RST)],
    "reset while closing": [(0, SYN), (1, SYN_ACK), (0, ACK), (0, FIN | ACK), (1, RST)],
    "met mid-stream": [(0, ACK)],
    "met and answered": [(0, ACK), (1, ACK), (0, ACK)],
}


@pytest.mark.parametrize("dialogue", DIALOGUES.values(), ids=DIALOGUES)
def test_tcp_lives_as_the_model_says(dialogue: list[tuple[int, int]]) -> None:
    """State and end of the entry after each kind of conversation are those of the packet by packet model."""
    connection, seen, next_ = Connection(MODERN, Settings()), [], [100, 900]
    now = ended = 0
    for reply, flags in dialogue:
        now += SECOND // 10
        seen.append(Seen(0, now, bool(reply), flags))
        connection.judge(
            Segment(
                reply=bool(reply),
                time=now,
                seq=next_[reply],
                ack=next_[1 - reply] if flags & ACK else 0,
                flags=flags,
                window=5000,
                options=bool(flags & SYN),
            )
        )
        next_[reply] += bool(flags & (SYN | FIN))
        ended = connection.entry.expires or 0 if connection.entry else now
    (found, none) = of(point(seen, TCP))

    assert [ended] == found.end.tolist()
    assert [connection.state if connection.entry else State.CLOSE] == [STATES[n] for n in found.settled]
    assert [BEFORE if "met" in _name(dialogue) else seen[0].time] == found.begin.tolist()
    assert 0 == len(none.flow)


def _name(dialogue: list[tuple[int, int]]) -> str:
    return next(name for name, other in DIALOGUES.items() if other is dialogue)


def test_an_idle_connection_outlives_its_entry() -> None:
    """Data after the pause makes a new entry; a FIN alone does not, as the kernel calls it INVALID."""
    opening = [(0, SYN), (1, SYN_ACK), (0, ACK)]
    timeouts = Timeouts(tcp={**Timeouts().tcp, State.ESTABLISHED: 10})
    seen = [
        Seen(flow, step, bool(reply), flags)
        for flow in range(3)
        for step, (reply, flags) in enumerate(opening)
    ]
    late = 20 * SECOND
    seen += [Seen(0, late, False, ACK), Seen(0, late + 1, True, ACK), Seen(0, late + 2, False, FIN | ACK)]
    seen += [Seen(1, late, False, FIN | ACK), Seen(1, late + 1, False, FIN | ACK)]
    seen += [Seen(2, 9 * SECOND, True, ACK), Seen(2, 18 * SECOND, False, ACK)]
    seen.sort(key=lambda packet: packet.time)

    assert [
        (0, 0, 2 + 10 * SECOND),
        (0, late, late + 2 + 120 * SECOND),
        (1, 0, 2 + 10 * SECOND),
        (2, 0, 28 * SECOND),
    ] == spans(of(point(seen, TCP), timeouts=timeouts)[0])


def test_a_new_connection_takes_the_old_ones_place() -> None:
    """The same five-tuple again ends the entry that was left in TIME_WAIT; others are left alone."""
    whole = DIALOGUES["closed"]
    seen = [
        Seen(flow, (flow * 10 + step) * SECOND, bool(reply), flags)
        for flow in range(3)
        for step, (reply, flags) in enumerate(whole)
    ]
    found = of(point(seen, TCP, tuples=[4, 9, 4]))[0]  # 4 and 9 have the same hash here

    assert [(0, 0, 20 * SECOND), (1, 10 * SECOND, 136 * SECOND), (2, 20 * SECOND, 146 * SECOND)] == spans(
        found
    )


def test_what_makes_no_entry_is_left_out() -> None:
    """Further fragments, quoted packets, RSTs of nothing, ARP, multicast, neighbour discovery; and what was not chosen."""
    seen = [Seen(flow, flow) for flow in range(8)]
    where = point(seen, [UDP, ICMP, TCP, 0, UDP, 58, UDP, UDP])
    where.packets.bits[0] = FRAGMENT
    where.packets.bits[1] = QUOTES
    where.packets.flags[2] = RST
    where.flows.dst_lo[4] = 0xFFFF_E000_00FB
    where.flows.ports[5] = 135 << 16
    chosen = np.arange(8) != 6

    tcp, others = lives(where, chosen, np.zeros(0, np.int64), MODERN, Timeouts())

    assert [] == spans(tcp)
    assert [(7, 7, 7 + 30 * SECOND)] == spans(others)


def test_a_lost_packet_makes_no_entry() -> None:
    """A request that vanished counts as little as one that was never sent: the next attempt begins the entry."""
    where = point([Seen(0, 0, flags=SYN), Seen(0, SECOND, flags=SYN), Seen(1, 2 * SECOND, flags=SYN)], TCP)

    tcp, _ = lives(where, np.ones(2, bool), np.array([0, 2]), MODERN, Timeouts())

    assert [(0, SECOND, 121 * SECOND)] == spans(tcp)
