"""Conntrack's table as columns."""

from __future__ import annotations

import pytest

from analyzer.evidence.sources import conntrack_table
from analyzer.evidence.table import Table

TCP = (
    "tcp      6 {} {} src=10.244.0.11 dst=192.0.2.100 sport={} dport=80 src=192.0.2.100 dst=192.0.2.10 sport=80"
    " dport={} [ASSURED] mark=0 use=1\n"
)
UDP = (
    "udp      17 {} src=10.244.0.12 dst=192.0.2.100 sport={} dport=53 [UNREPLIED] src=192.0.2.100 dst=192.0.2.10"
    " sport=53 dport={} mark=0 use=1\n"
)


def table(text: str) -> Table:
    """Parse one listing."""
    (found,) = conntrack_table.parse(text, "a")
    assert isinstance(found, Table)
    return found


@pytest.fixture
def some() -> Table:
    """Three TCP entries and two of UDP."""
    return table(
        TCP.format(431999, "ESTABLISHED", 40000, 40000)
        + TCP.format(100, "TIME_WAIT", 40001, 1024)
        + TCP.format(110, "TIME_WAIT", 40002, 40002)
        + UDP.format(29, 30000, 30000)
        + UDP.format(12, 30001, 30001)
    )


def test_count_by(some: Table) -> None:
    """The most frequent values come first, by name."""
    assert {("tcp", "TIME_WAIT"): 2, ("udp", ""): 2, ("tcp", "ESTABLISHED"): 1} == some.count_by(
        "proto", "state"
    )
    assert [("tcp",), ("udp",)] == list(some.count_by("proto"))
    assert {(80,): 3, (53,): 2} == some.count_by("orig_dport")
    assert {("10.244.0.11",): 3, ("10.244.0.12",): 2} == some.count_by("orig_src")
    assert {(): 5} == some.count_by()


def test_only(some: Table) -> None:
    """Entries are chosen by value; what is not there chooses none."""
    assert 3 == len(some.only(proto="tcp"))
    assert [40000] == [entry.orig_sport for entry in some.only(proto="tcp", state="ESTABLISHED")]
    assert 1 == len(some.only(orig_sport=40001))
    for nothing in ({"proto": "sctp"}, {"orig_src": "10.9.9.9"}, {"orig_sport": 70_000}):
        assert 0 == len(some.only(**nothing))


def test_find(some: Table) -> None:
    """A packet's entry is found from both sides of the NAT."""
    outward = some.find("tcp", "10.244.0.11", 40001, "192.0.2.100", 80)
    assert outward is not None
    assert outward == some.find("tcp", "192.0.2.100", 80, "192.0.2.10", 1024)
    assert ("TIME_WAIT", 100, True, False) == (
        outward.state,
        outward.timeout,
        outward.assured,
        outward.unreplied,
    )
    assert some.find("tcp", "10.244.0.11", 40001, "192.0.2.100", 81) is None


def test_aged(some: Table) -> None:
    """Idle entries of both listings tell which one is later; others say nothing."""
    later = table(
        TCP.format(431000, "ESTABLISHED", 40000, 40000)
        + TCP.format(90, "TIME_WAIT", 40001, 1024)
        + UDP.format(2, 30001, 30001)
    )
    assert 2 == some.aged(later)
    assert -2 == later.aged(some)
    assert 0 == some.aged(some)
    assert 0 == some.aged(table(UDP.format(1, 5, 5)))


def test_repr(some: Table) -> None:
    """A million entries are not printed."""
    assert "Table(file='a', entries=5, omitted=0)" == repr(some)
