"""An entry of UDP, packet by packet; the kernel's own answer is in `tests/kernel/conntrack/test_udp.py`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.conntrack.generation import CLASSIC, LINUX_4_15, LINUX_5_0, MODERN, Generation
from analyzer.conntrack.timeouts import SECOND, Timeouts
from tests.conntrack.udp import UdpEntry

GENERATIONS = (LINUX_4_15, LINUX_5_0, CLASSIC, MODERN)


def told(generation: Generation, *packets: tuple[bool, float]) -> list[tuple[str, int, bool]]:
    """State, timeout and assurance after each packet (whose, second)."""
    entry = UdpEntry(generation, Timeouts.of(generation))
    return [(*entry.see(reply=reply, time=int(at * SECOND)), entry.assured) for reply, at in packets]


def test_a_lone_request_lives_half_a_minute() -> None:
    """Requests that nobody answers renew the short timeout and stay new."""
    assert [("new", 30, False)] * 3 == told(MODERN, (False, 0), (False, 3), (False, 20))


def test_up_to_4_20_the_first_packet_after_an_answer_makes_a_stream() -> None:
    """It lives three minutes at once."""
    assert [("new", 30, False), ("established", 30, False), ("established", 180, True)] == told(
        LINUX_4_15, (False, 0), (True, 0.1), (False, 0.2)
    )


def test_from_5_0_a_stream_needs_two_seconds() -> None:
    """A quick exchange of any length keeps the short timeout; it is assured all the same, at first."""
    assert [
        ("new", 30, False),
        ("established", 30, False),
        ("established", 30, True),
        ("established", 120, True),
    ] == told(LINUX_5_0, (False, 0), (True, 0.1), (False, 2.0), (True, 2.1))


@pytest.mark.parametrize("generation", [CLASSIC, MODERN])
def test_later_assurance_waits_as_well(generation: Generation) -> None:
    """What a full table may evict is then every entry that is no stream."""
    assert [
        ("new", 30, False),
        ("established", 30, False),
        ("established", 30, False),
        ("established", 120, True),
    ] == told(generation, (False, 0), (True, 0.1), (False, 2.0), (True, 2.1))


def test_a_late_first_answer_makes_no_stream_by_itself() -> None:
    """The kernel looks for an earlier answer before it notes this one."""
    assert [30, 30, 120] == [timeout for _, timeout, _ in told(MODERN, (False, 0), (True, 10), (True, 10.1))]


def test_after_its_end_whoever_speaks_opens_a_new_entry() -> None:
    """An answer that comes too late is a request to conntrack, and leaves untranslated."""
    entry = UdpEntry(MODERN, Timeouts())
    entry.see(reply=False, time=0)

    assert "new" == entry.see(reply=True, time=30 * SECOND).ct_state
    assert entry.turned
    assert "established" == entry.see(reply=False, time=31 * SECOND).ct_state


@given(
    st.sampled_from(GENERATIONS),
    st.lists(st.tuples(st.booleans(), st.floats(0, 40)), min_size=1, max_size=40),
)
def test_a_packet_never_shortens_an_entry(generation: Generation, gaps: list[tuple[bool, float]]) -> None:
    """A stream stays one until it ends, and an assured entry has been answered."""
    entry, now, expires = UdpEntry(generation, Timeouts.of(generation)), 0, 0
    for reply, gap in gaps:
        now += int(gap * SECOND)
        entry.see(reply=reply, time=now)

        assert entry.expires is not None
        assert expires <= entry.expires
        assert entry.seen_reply >= entry.assured
        expires = entry.expires
