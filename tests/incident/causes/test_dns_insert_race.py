"""Two queries of one socket: recognised by the twin that passed, on a socket that had no entry yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.compute.thresholds import RESOLVER
from tests.conversation import Conversation
from tests.incident.evidence import causes, connection, counters, findings, judged
from tests.incident.test_records import record as drop_record

CODE = "dns-insert-race"
A, AAAA = b"A? example.org", b"AAAA? example.org"


def resolver(**changes: str) -> Conversation:
    """A pod's socket, towards its resolver."""
    return connection(**{"server": "192.0.2.53:53", "proto": "udp", **changes})


def lookup(talk: Conversation | None = None, apart: float = 0.00002, again: float = 5.005) -> Conversation:
    """A and AAAA at once, of which A vanishes; AAAA is answered, and A asked for again."""
    talk = talk or resolver()
    talk.data(A, 0).lost_after("cni0")
    talk.data(AAAA, apart)
    talk.reply(b"AAAA! nothing", apart + 0.02)
    if again:
        talk.data(A, again)
        talk.reply(b"A! 192.0.2.1")
    return talk


def test_twin_passed(tmp_path: Path) -> None:
    """The other query of the socket passed, microseconds apart, and five seconds later this one did, too."""
    counters(tmp_path, insert_failed=1, drop=1)
    analysis = judged(tmp_path, lookup())
    (finding,) = findings(analysis)

    assert ["udp-vanished"] == [incident.kind for incident in analysis.incidents]
    assert (CODE, "proven", 20) == (finding.cause, finding.confidence, finding.facts["twin_apart_us"])
    assert [
        "the other query of the same socket, 20 us after it, passed",
        "insert_failed rose by 1 and drop by 1; 1 requests vanished",
        "the same query came again from the same port after 5.005 s",
    ] == [one.says for one in finding.evidence]
    assert {"conntrack-table-full", "policy-drop", "lost outside the node"} == {
        e.cause for e in finding.excluded
    }


def test_the_second_of_the_two(tmp_path: Path) -> None:
    """Either can be the one that is confirmed second."""
    talk = resolver()
    talk.data(A, 0)
    talk.data(AAAA, 0.00002).lost_after("cni0")
    talk.reply(b"A! 192.0.2.1", 0.02)
    talk.data(AAAA, 5.005)
    talk.reply(b"AAAA! nothing")
    (finding,) = findings(judged(tmp_path, talk))

    assert (CODE, "likely", -20) == (finding.cause, finding.confidence, finding.facts["twin_apart_us"])


def test_through_a_service(tmp_path: Path) -> None:
    """The resolver's address is translated on the way."""
    counters(tmp_path, insert_failed=1, drop=1)
    talk = resolver(server="10.96.0.10:53", dnat="192.0.2.53:53")

    assert [CODE] == causes(judged(tmp_path, lookup(talk)))


def test_lost_again(tmp_path: Path) -> None:
    """It is the first loss that has a twin."""
    talk = lookup(again=0)
    talk.data(A, 5.005).lost_after("cni0")

    assert [CODE] == causes(judged(tmp_path, talk))


def test_without_counters_and_without_another_question(tmp_path: Path) -> None:
    """All that speaks for it is the twin."""
    (finding,) = findings(judged(tmp_path, lookup(again=0)))

    assert (CODE, "possible", 1) == (finding.cause, finding.confidence, len(finding.evidence))


@pytest.mark.parametrize(("early", "evidence"), [(0, 2), (0.001, 1)])
def test_another_question(early: float, evidence: int, tmp_path: Path) -> None:
    """Without counters it is the resolver's patience that tells: what comes before that is a question of its own."""
    (finding,) = findings(judged(tmp_path, lookup(again=RESOLVER / 1e9 - early)))

    assert (CODE, evidence) == (finding.cause, len(finding.evidence))


def test_a_record(tmp_path: Path) -> None:
    """Neither counters nor another question: the kernel's record of where it died is enough, whatever the release."""
    talk = lookup(again=0)
    drop_record(tmp_path, talk, 0, stack="POSTROUTING")
    (tmp_path / "uname.txt").write_text("6.1.0-18-amd64\n")
    (finding,) = findings(judged(tmp_path, talk))

    assert (CODE, "proven", 2) == (finding.cause, finding.confidence, len(finding.evidence))


def test_clashes_that_were_resolved_count_too(tmp_path: Path) -> None:
    """Up to 5.9 insert_failed rises without a loss; drop tells the losses."""
    counters(tmp_path, insert_failed=4, drop=1)

    assert ["proven"] == [f.confidence for f in findings(judged(tmp_path, lookup()))]


def _another_port() -> list[Conversation]:
    talk, other = resolver(), resolver(pod="10.244.0.11:20001", nat="192.0.2.10:20001")
    talk.data(A, 0).lost_after("cni0")
    talk.data(A, 5)
    talk.reply(b"A! 192.0.2.1")
    other.data(AAAA, 0.00002)
    other.reply(b"AAAA! nothing")
    return [talk, other]


def _both_vanished() -> list[Conversation]:
    talk = resolver()
    talk.data(A, 0).lost_after("cni0")
    talk.data(AAAA, 0.00002).lost_after("cni0")
    talk.data(A, 5)
    talk.reply(b"A! 192.0.2.1")
    return [talk]


def _far_apart() -> list[Conversation]:
    return [lookup(apart=0.02)]


def _no_dns() -> list[Conversation]:
    return [lookup(resolver(server="192.0.2.53:5353"))]


def _socket_in_use() -> list[Conversation]:
    talk = resolver()
    talk.data(b"A? first.example.org", -3)
    talk.reply(b"A! 192.0.2.2")
    return [lookup(talk)]


@pytest.mark.parametrize("talks", [_another_port, _both_vanished, _far_apart, _no_dns, _socket_in_use])
def test_near_misses(talks: Callable[[], list[Conversation]], tmp_path: Path) -> None:
    """Another socket, no twin that passed, twins that are none, an entry that was there: no race of two insertions."""
    found = causes(judged(tmp_path, *talks()))

    assert found
    assert {"unknown"} == set(found)


@pytest.mark.parametrize("rises", [{}, {"insert_failed": 3}, {"drop": 9}])
def test_counters_that_contradict(rises: dict[str, int], tmp_path: Path) -> None:
    """No insertion failed, or every clash was resolved."""
    counters(tmp_path, **rises)

    assert CODE not in causes(judged(tmp_path, lookup()))


@pytest.mark.parametrize(
    ("release", "counted", "expected"),
    [
        ("4.15.0-20-generic", False, CODE),
        ("5.4.0-26-generic", False, CODE),
        ("5.10.0-32-amd64", False, "unknown"),
        ("6.1.0-18-amd64", False, "unknown"),
        ("6.1.0-18-amd64", True, CODE),
    ],
)
def test_kernels_that_resolve_the_clash(release: str, counted: bool, expected: str, tmp_path: Path) -> None:
    """From 5.10 on nothing is lost so, unless the kernel itself counted just this."""
    (tmp_path / "uname.txt").write_text(f"{release}\n")
    if counted:
        counters(tmp_path, insert_failed=1, drop=1)

    assert [expected] == causes(judged(tmp_path, lookup()))


def test_counted_by_others_on_a_kernel_that_resolves(tmp_path: Path) -> None:
    """Other connections raced for SNAT ports; that says nothing of this query."""
    (tmp_path / "uname.txt").write_text("6.1.0-18-amd64\n")
    counters(tmp_path, insert_failed=30, drop=30)

    assert ["unknown"] == causes(judged(tmp_path, lookup()))


def test_both_were_answered(tmp_path: Path) -> None:
    """Two answers came: the capture at eth0 missed the query."""
    talk = resolver()
    talk.data(A, 0).missed_at("eth0")
    talk.data(AAAA, 0.00002)
    talk.reply(b"A! 192.0.2.1", 0.02)
    talk.reply(b"AAAA! nothing", 0.03)

    assert CODE not in causes(judged(tmp_path, talk))


def test_the_capture_lost_packets(tmp_path: Path) -> None:
    """What eth0's tcpdump dropped, and nobody answered, looks the same."""
    (tmp_path / "tcpdump-eth0.log").write_text(
        "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
        "1 packets captured\n31 packets received by filter\n30 packets dropped by kernel\n"
    )

    assert ["unknown"] == causes(judged(tmp_path, lookup()))


def test_a_socket_of_long_ago(tmp_path: Path) -> None:
    """The port was used four minutes before: its entry is gone, and is made anew."""
    talk = resolver()
    talk.data(b"A? first.example.org", -240)
    talk.reply(b"A! 192.0.2.2")

    assert [CODE] == causes(judged(tmp_path, lookup(talk)))
