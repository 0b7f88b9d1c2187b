"""How an entry begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.conntrack import CLASSIC, MODERN, Segment, Settings
from analyzer.conntrack.entry import Side, before, learn_options, new_entry
from analyzer.conntrack.generation import LINUX_4_15
from analyzer.conntrack.states import ACK, FIN, RST, SYN

numbers = st.integers(0, 2**32 - 1)


def segment(flags: int, **more: object) -> Segment:
    """Make a segment of 100 bytes at 1000."""
    defaults: dict[str, object] = {"reply": False, "time": 0, "seq": 1000, "window": 500}
    return Segment(flags=flags, **(defaults | more))  # type: ignore[arg-type]


@given(a=numbers, distance=st.integers(1, 2**31 - 1))
def test_before_counts_half_the_circle(a: int, distance: int) -> None:
    """A number comes before those up to 2**31 - 1 ahead of it, whatever wraps, and not the reverse."""
    b = (a + distance) % 2**32

    assert before(a, b)
    assert not before(b, a)
    assert not before(a, a)


def test_syn_begins_an_entry() -> None:
    """A SYN's sender is placed, its window is unscaled, the other side is unseen."""
    entry = new_entry(segment(SYN, wscale=7, sack_permitted=True), MODERN, Settings())

    assert entry is not None
    expected = Side(end=1001, max_end=1001, max_window=500, scale=7, scales=True, takes_sack=True)
    assert [expected, Side()] == list(entry.sides)


def test_window_of_zero_counts_as_one() -> None:
    """A largest window of 0 would mean that the side was never seen."""
    entry = new_entry(segment(SYN, window=0), MODERN, Settings())

    assert entry is not None
    assert entry.sides[0].max_window == 1


@pytest.mark.parametrize("flags", [ACK, ACK | 8])
def test_middle_of_a_connection_begins_a_liberal_entry(flags: int) -> None:
    """An ACK is picked up; both sides are believed whatever their windows."""
    entry = new_entry(segment(flags, payload=100, reply=True), MODERN, Settings())

    assert entry is not None
    assert entry.turned
    expected = Side(end=1100, max_end=1600, max_window=500, takes_sack=True, liberal=True)
    assert [expected, Side(takes_sack=True, liberal=True)] == list(entry.sides)


@pytest.mark.parametrize("flags", [SYN | ACK, FIN | ACK, RST, RST | ACK])
def test_other_segments_begin_nothing(flags: int) -> None:
    """A SYN-ACK, a FIN or a RST that belongs to no entry is INVALID."""
    assert new_entry(segment(flags), MODERN, Settings()) is None


def test_strict_tracking_picks_nothing_up() -> None:
    """With `nf_conntrack_tcp_loose` off only a SYN begins an entry."""
    assert new_entry(segment(ACK), MODERN, Settings(loose=False)) is None
    assert new_entry(segment(SYN), MODERN, Settings(loose=False)) is not None


def test_scale_is_clamped() -> None:
    """A shift beyond 14 counts as 14, RFC 7323."""
    side = Side()
    learn_options(side, segment(SYN, wscale=200), MODERN)

    assert (side.scale, side.scales) == (14, True)


def test_syn_without_options_changes_nothing() -> None:
    """The kernel leaves a side as it is when the header carries no option at all."""
    side = Side(scale=3, scales=True, takes_sack=True, max_ack=9)
    learn_options(side, segment(SYN), MODERN)

    assert Side(scale=3, scales=True, takes_sack=True, max_ack=9) == side


@pytest.mark.parametrize(("generation", "liberal"), [(LINUX_4_15, False), (CLASSIC, True), (MODERN, True)])
def test_options_reset_a_side(generation: object, liberal: bool) -> None:
    """Any option makes all of them, and the flags, start anew; leniency survives on newer kernels."""
    side = Side(scale=3, scales=True, takes_sack=True, max_ack=9, began_close=True, liberal=True)
    learn_options(side, segment(SYN, options=True), generation)  # type: ignore[arg-type]

    assert Side(liberal=liberal) == side
