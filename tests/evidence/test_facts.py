"""Arithmetic of conntrack's counters, and of times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analyzer.evidence.facts import CounterSnapshot, LogLine
from tests.evidence.test_collecting import collected


def snapshot(*cpus: dict[str, int]) -> CounterSnapshot:
    """Give a snapshot of CPUs 0, 1, ..."""
    return CounterSnapshot(file="a", source="conntrack -S", cpus=dict(enumerate(cpus)))


def test_totals() -> None:
    """Counters are summed over the CPUs."""
    assert {"found": 7, "drop": 1} == snapshot({"found": 3, "drop": 1}, {"found": 4, "drop": 0}).totals


def test_since() -> None:
    """Differences are per CPU, modulo 2**32, of what both snapshots have."""
    before = snapshot({"found": (1 << 32) - 1, "searched": 5}, {"found": 4, "drop": 2})
    after = snapshot({"found": 2, "unknown1": 9}, {"found": 4, "drop": 5}, {"found": 100})
    assert {"found": 3, "drop": 3} == after.since(before)


def test_drift() -> None:
    """Falls are told from rises, across the wrap."""
    before, after = snapshot({"found": 0xFFFFFFFF, "drop": 9}), snapshot({"found": 4, "drop": 7})
    assert (5, 2) == after.drift(before)
    assert (2, 5) == before.drift(after)


def test_the_year_of_a_line() -> None:
    """A line without a year is of the one in which it is nearest, leap years and new year's eve included."""

    def at(*day: int) -> int:
        return int(datetime(*day, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[arg-type,misc]

    def line(month: int, day: int) -> LogLine:
        since = at(2000, month, day) - at(2000, 1, 1)
        return LogLine(about="martian", says="", file="a", since_new_year=since)

    assert at(2026, 3, 10) == line(3, 10).near(at(2026, 3, 11))
    assert at(2024, 3, 10) == line(3, 10).near(at(2024, 3, 11))
    assert at(2025, 12, 31) == line(12, 31).near(at(2026, 1, 1))
    assert None is LogLine(about="martian", says="", file="a").near(0)
    assert 5 == LogLine(about="martian", says="", file="a", time=5).near(at(2026, 1, 1))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("? (10.0.0.7) at 02:42:0a:00:00:07 [ether] on eth0\n? (10.0.0.8) at 02:42:0a:00:0", "neighbours"),
        ("10.0.0.7 dev eth0 lladdr 02:42:0a:00:00:07 STALE\n10.0.0.8 dev eth0 lladdr 02:42:0a:00:00:08 RE", "neighbours"),
        ("Module                  Size  Used by\nbridge                389120  0\nnf_conntrack          196608  -x\n", "modules"),
        ("$ ethtool -S eth0\nNIC statistics:\n     rx_packets: 5\n     rx_dro", "counters"),
        ("Inter-|   Receive                                                |  Transmit\n"
         " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
         "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 1 1 0 0 0 0 0 0 1 1 0\n", "interfaces"),
        ("qdisc fq_codel 8001: dev eth0 root refcnt 2\n Sent 1 bytes 1 pkt (dropped 0, overlimits 0 requeues 0)\n"
         "qdisc fq_codel 8002: dev eth1 root refcnt 2\n Sent 1 byt", "queues"),
    ],
)  # fmt: skip
def test_a_part_that_is_not_understood_is_told(text: str, what: str) -> None:
    """A listing that is cut, or has a line of another form, says so, and what was understood is kept."""
    read = collected(listing=text)
    assert [what] == [caveat.split(" ")[2] for caveat in read.caveats]
    assert 1 == sum(one.facts for one in read.read)
