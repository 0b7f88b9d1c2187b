"""Conntrack's own log, asked for one connection and for the whole table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.events import ConntrackEvent, EventLog, lives, occupancy
from analyzer.evidence.sources import conntrack_events


def line(kind: str, at: float | None, outer: int = 40000, number: int | None = None, tail: str = "") -> str:
    """Write an event of one pod's connection, whose source port outside is *outer*."""
    stamp = "" if at is None else f"[{at:.6f}]\t"
    ids = "" if number is None else f" id={number}"
    return (
        f"{stamp}[{kind}] tcp      6 120 SYN_SENT src=10.0.0.1 dst=192.0.2.9 sport=40000 dport=80 "
        f"src=192.0.2.9 dst=192.0.2.1 sport=80 dport={outer}{ids}{tail}\n"
    )


def log(*lines: str) -> EventLog:
    """Parse lines."""
    (found,) = conntrack_events.parse("".join(lines), "a")
    assert isinstance(found, EventLog)
    return found


OURS = ("tcp", "10.0.0.1", 40000, "192.0.2.9", 80)
AT = 1_795_989_822


def when(event: ConntrackEvent | None) -> int | None:
    """When an event was, in seconds after `AT`."""
    return None if event is None or event.time is None else event.time // 10**9 - AT


def test_a_deleted_entry_and_its_successor() -> None:
    """A program deletes a live connection's entry: the next packet makes another, with another outer port."""
    events = log(
        line("NEW", AT), line("UPDATE", AT + 1), line("DESTROY", AT + 5, tail=" [USERSPACE] portid=7"),
        line("NEW", AT + 8, outer=17342),
    )  # fmt: skip
    first, second = lives(events, *OURS)
    assert (0, 5, True) == (
        when(first.made),
        when(first.destroyed),
        first.destroyed and first.destroyed.by_user,
    )
    assert (("192.0.2.1", 40000), ("192.0.2.9", 80)) == (first.outer, first.target)
    assert (8, None, ("192.0.2.1", 17342)) == (when(second.made), when(second.destroyed), second.outer)


def test_the_answer_belongs_to_it_too() -> None:
    """A packet from outside has the reply tuple, of this mapping only."""
    events = log(line("NEW", AT), line("DESTROY", AT + 5), line("NEW", AT + 8, outer=17342))
    (life,) = lives(events, "tcp", "192.0.2.9", 80, "192.0.2.1", 17342)
    assert 8 == when(life.made)
    assert [] == lives(events, "tcp", "192.0.2.9", 80, "192.0.2.1", 5)
    assert [] == lives(events, "udp", *OURS[1:])
    assert [] == lives(events, "tcp", "10.9.9.9", *OURS[2:])


def test_before_and_after_the_log() -> None:
    """An entry that was there already was made by nobody knows whom; one that stayed is not destroyed."""
    (life,) = lives(log(line("UPDATE", AT)), *OURS)
    assert (None, None, AT * 10**9) == (life.made, life.destroyed, life.seen)


def test_ids() -> None:
    """The same tuple twice with other ids, as after a clash that was resolved, are two entries."""
    events = log(line("NEW", AT, number=1), line("NEW", AT + 1, number=2), line("DESTROY", AT + 2, number=1))
    assert [(0, 2), (1, None)] == [(when(life.made), when(life.destroyed)) for life in lives(events, *OURS)]


def test_occupancy() -> None:
    """Entries that go without having come were there before."""
    events = log(
        line("DESTROY", AT),
        line("NEW", AT + 1),
        line("UPDATE", AT + 2),
        line("NEW", AT + 3),
        line("NEW", None),
    )
    times, counts = occupancy([events])
    assert [0, 1, 3] == [time // 10**9 - AT for time in times.tolist()]
    assert [0, 1, 2] == counts.tolist()
    assert 0 == len(occupancy([])[0])


@given(st.lists(st.tuples(st.sampled_from(["NEW", "UPDATE", "DESTROY"]), st.integers(0, 99)), min_size=1))
def test_occupancy_never_falls_below_nothing(steps: list[tuple[str, int]]) -> None:
    """Whatever the order, and whatever is missing, a table has no fewer than no entries, and times ascend."""
    times, counts = occupancy([log(*(line(kind, AT + at) for kind, at in steps))])
    assert (counts >= 0).all()
    assert (np.diff(times) >= 0).all()
    assert len(times) == sum(kind != "UPDATE" for kind, _ in steps)


@given(
    st.lists(
        st.tuples(st.sampled_from(["NEW", "UPDATE", "DESTROY"]), st.sampled_from([None, 1, 2])), min_size=1
    )
)
def test_every_event_is_in_one_life(steps: list[tuple[str, int | None]]) -> None:
    """Each NEW begins a life and each DESTROY ends one."""
    events = log(*(line(kind, AT + n, number=number) for n, (kind, number) in enumerate(steps)))
    found = lives(events, *OURS)
    assert sum(kind == "NEW" for kind, _ in steps) == sum(life.made is not None for life in found)
    assert sum(kind == "DESTROY" for kind, _ in steps) == sum(life.destroyed is not None for life in found)
