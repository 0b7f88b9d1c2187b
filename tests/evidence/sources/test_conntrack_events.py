"""`conntrack -E`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.events import NO_TIME, EventLog
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import conntrack_events

DELETED = (
    "[1773133252.918202]\t[DESTROY] ipv4     2 tcp      6 src=10.0.0.1 dst=192.0.2.9 sport=43286 dport=5433 "
    "src=192.0.2.9 dst=192.0.2.1 sport=5433 dport=43286 [ASSURED]\n"
)


def log(text: str) -> EventLog:
    """Parse what is recognised and wholly understood."""
    assert conntrack_events.recognises(text)
    (found,) = conntrack_events.parse(text, "a")
    assert isinstance(found, EventLog)
    return found


@pytest.mark.parametrize("name", ["conntrack-E.txt", "conntrack-E-plain.txt", "conntrack-E.xml"])
def test_recorded(sample: Callable[[str], str], name: str) -> None:
    """Three formats tell the same events of the same entries, as far as each tells them."""
    found = log(sample(name))
    assert [*["NEW"] * 4, *["DESTROY"] * 4] == [event.kind for event in found]
    assert [40000, 40077, 40006, 40101, 40101, 40006, 40077, 40000] == [e.entry.orig_sport for e in found]
    assert [False] * 5 + [True] * 3 == [event.by_user for event in found]
    first = found[0].entry
    assert ("udp", "10.244.0.11", "192.0.2.100", 5000) == (
        first.proto, first.orig_src, first.orig_dst, first.orig_dport,
    )  # fmt: skip
    assert ("192.0.2.100", "192.0.2.10", 40000, True) == (
        first.reply_src, first.reply_dst, first.reply_dport, first.unreplied,
    )  # fmt: skip
    assert ["SYN_SENT", "CLOSE"] == [found[3].entry.state, found[4].entry.state]


def test_times_and_ids(sample: Callable[[str], str]) -> None:
    """They are there where conntrack was asked for them; XML counts seconds."""
    full, plain, xml = (log(sample(f"conntrack-E{tail}")) for tail in (".txt", "-plain.txt", ".xml"))
    assert (1795989822589664000, 691320781, 1) == (full[0].time, full[0].id, full[0].line)
    assert (None, None) == (plain[0].time, plain[0].id)
    assert (1795989822 * 10**9, 691320781) == (xml[0].time, xml[0].id)


def test_extended() -> None:
    """With the version of IP before; DESTROY without state and time."""
    (event,) = log(DELETED)
    assert ("DESTROY", 1773133252918202000, "", 0) == (
        event.kind,
        event.time,
        event.entry.state,
        event.entry.timeout,
    )
    assert event.entry.assured


def test_cut_short() -> None:
    """A cut or damaged event is said, others count."""
    text = (
        DELETED + DELETED[:90] + "\n" + DELETED.replace("sport=43286", "sport=99999") + DELETED[:-30] + "\n"
    )
    caveat, found = conntrack_events.parse(text, "a")
    assert isinstance(caveat, Caveat)
    assert caveat.says.startswith("a: 3 events were not understood")
    assert isinstance(found, EventLog)
    assert 1 == len(found)


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; further events are counted."""
    monkeypatch.setattr(conntrack_events, "MOST", 2)
    found = log(DELETED * 5)
    assert (2, 3) == (len(found), found.omitted)


def test_listings_are_no_events() -> None:
    """`conntrack -L` begins otherwise."""
    assert not conntrack_events.recognises(
        "tcp      6 119 SYN_SENT src=10.1.0.4 dst=192.0.2.2 sport=4 dport=8 use=1\n"
    )


def test_dates_before_the_lines() -> None:
    """What `ts` or a loop put before a line is its time; what has no year is none, and the event stays."""
    event = "    [NEW] tcp      6 120 SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1\n"
    text = f"2026-03-10T09:00:00.5+0100 {event}Mar 10 09:00:01 {event}{event}"
    assert conntrack_events.recognises(text)
    (log,) = conntrack_events.parse(text, "a")
    assert isinstance(log, EventLog)
    assert [1773129600500000000, NO_TIME, NO_TIME] == log.time.tolist()
