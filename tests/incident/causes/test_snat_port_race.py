"""The race for a SNAT port: recognised by the partner that won, and by nothing less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from analyzer.incident.model import Finding
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import counters, findings, vanishing

SERVER = "192.0.2.100:80"


def loser(**changes: Any) -> Conversation:
    """A connection whose first SYN vanishes at second 0 and whose second one passes on another port."""
    talk = Conversation(
        **{
            "pod": "10.244.0.11:20000",
            "server": SERVER,
            "nat": "192.0.2.10:33333",
            "way": "veth-a cni0 | eth0",
            **changes,
        }
    )
    if talk.proto == "udp":
        talk.data(b"query", 0).lost_after("cni0")
        talk.data(b"query", 1)
        talk.reply()
    else:
        talk.syn(0).lost_after("cni0")
        talk.syn(1)
        talk.accept()
    return talk


def winner(at: float = 0.000020, **changes: Any) -> Conversation:
    """Another pod's connection to the same place that got the port."""
    given = {
        "pod": "10.244.0.12:20000",
        "server": SERVER,
        "nat": "192.0.2.10:20000",
        "way": "veth-b cni0 | eth0",
        "isn": 9,
    }
    talk = Conversation(**(given | changes))  # type: ignore[arg-type]
    if talk.proto == "udp":
        talk.data(b"another query", at)
        talk.reply()
    else:
        talk.syn(at)
        talk.accept()
    return talk


def told(folder: Path, *talks: Conversation, **options: Any) -> Finding:
    """The only finding of these conversations."""
    (finding,) = findings(analyze(record(folder, *talks, bystander(-2), bystander(5), **options)))
    return finding


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({}, {}),
        (
            {
                "pod": "[2001:db8:1::11]:20000",
                "server": "[2001:db8:2::100]:80",
                "nat": "[2001:db8::10]:33333",
            },
            {
                "pod": "[2001:db8:1::12]:20000",
                "server": "[2001:db8:2::100]:80",
                "nat": "[2001:db8::10]:20000",
            },
        ),
        (
            {"server": "10.96.0.1:80", "dnat": "192.0.2.100:8080"},
            {"server": "10.96.0.1:80", "dnat": "192.0.2.100:8080"},
        ),
    ],
    ids=["v4", "v6", "through a service"],
)
def test_partner_with_the_same_port(
    proto: str, mine: dict[str, str], theirs: dict[str, str], tmp_path: Path
) -> None:
    """The partner left with the very port that the loser would have kept, microseconds apart."""
    lost, won = loser(**mine, proto=proto), winner(**theirs, proto=proto)
    finding = told(tmp_path, lost, won)

    assert ("snat-port-race", "likely", ("cni0", "eth0")) == (finding.cause, finding.confidence, finding.gap)
    assert f"{lost.pod} > {lost.server}/{proto}" == finding.inner
    assert f"{won.nat} > {won.dnat or won.server}/{proto}" == finding.facts["partner_outer"]
    assert f"{won.pod} > {won.server}/{proto}" == finding.facts["partner_inner"]
    assert (True, 20000) == (finding.facts["port_kept"], finding.facts["contested_port"])
    assert 25.0 == pytest.approx(finding.facts["partner_apart_us"])
    assert ["vanished", "passed"] == [str(attempt.fate) for attempt in finding.attempts]
    assert 1.0 == pytest.approx(finding.delay_s)
    assert [("cni0", 4)] == [(s.point, s.frame) for s in finding.attempts[0].packets if s.point == "cni0"]


def test_no_insertion_failed(tmp_path: Path) -> None:
    """Whoever has the port, a loser would have been counted."""
    counters(tmp_path, insert_failed=0, drop=0)

    assert "unknown" == told(tmp_path, loser(), winner()).cause


@pytest.mark.parametrize(("rise", "confidence"), [(1, "proven"), (3, "likely")])
def test_counters(rise: int, confidence: str, tmp_path: Path) -> None:
    """Proven if insert_failed and drop rose by the number of lost attempts; more than that proves nothing."""
    counters(tmp_path, insert_failed=rise, drop=rise)
    finding = told(tmp_path, loser(), winner())

    assert confidence == finding.confidence
    assert (rise == 1) == any("insert_failed rose by 1 and drop by 1" in e.says for e in finding.evidence)


@pytest.mark.parametrize(
    "won",
    [
        winner(at=0.0051),
        winner(at=-0.0051),
        winner(nat="192.0.2.10:20001", pod="10.244.0.12:20001"),
        winner(server="192.0.2.101:80"),
        winner(server="192.0.2.100:81"),
        winner(proto="udp", server="192.0.2.100:80"),
    ],
    ids=[
        "too late",
        "too early",
        "its own other port",
        "another address",
        "another port",
        "another protocol",
    ],
)
def test_near_misses(won: Conversation, tmp_path: Path) -> None:
    """Who came at another time, kept a port of its own, or went elsewhere took nothing away."""
    assert "snat-port-race" != told(tmp_path, loser(), won).cause


def test_a_searched_port_needs_the_counters(tmp_path: Path) -> None:
    """A partner whose port SNAT had to search for is one only if the kernel counted failed insertions."""
    won = winner(nat="192.0.2.10:1055")

    assert "snat-port-race" != told(tmp_path / "without", loser(), won).cause
    counters(tmp_path / "with", insert_failed=1, drop=1)
    finding = told(tmp_path / "with", loser(), won)
    assert ("snat-port-race", False) == (finding.cause, finding.facts["port_kept"])


def test_the_veths_need_not_be_captured(tmp_path: Path) -> None:
    """Bridge and uplink are enough."""
    finding = told(tmp_path, loser(), winner(), points=("cni0", "eth0"))

    assert ("snat-port-race", "10.244.0.12:20000 > 192.0.2.100:80/tcp") == (
        finding.cause,
        finding.facts["partner_inner"],
    )


def test_a_partner_from_a_pod_that_nobody_captured(tmp_path: Path) -> None:
    """It is told by what the uplink shows of it."""
    won = winner(way="veth-b cni1 | eth0")
    finding = told(tmp_path, loser(), won, points=("veth-a", "veth-z", "cni0", "eth0"))

    assert ("snat-port-race", None) == (finding.cause, finding.facts["partner_inner"])


def test_others_leave_at_the_same_moment(tmp_path: Path) -> None:
    """Of all that left then the partner is told."""
    other = winner(at=-0.001, pod="10.244.0.13:20009", nat="192.0.2.10:20009", server="192.0.2.101:80", isn=8)
    (finding,) = findings(analyze(record(tmp_path, loser(), other, winner(), bystander(-2), bystander(5))))

    assert winner().nat == finding.facts["partner_outer"].split(" ")[0]


def test_clocks_apart(tmp_path: Path) -> None:
    """Microseconds count on the common clock, whatever the files say."""
    finding = told(tmp_path, loser(), winner(), clocks={"eth0": 3600.0})

    assert "snat-port-race" == finding.cause
    assert 25.0 == pytest.approx(finding.facts["partner_apart_us"], abs=10)  # the transit is in the offset


def test_lost_inwards_is_no_race(tmp_path: Path) -> None:
    """SNAT gives no port on the way in."""
    talk = Conversation(pod="10.244.0.11:80", server="198.51.100.7:40000", nat="192.0.2.10:30080")
    talk.send("S", by_pod=False, at=0, seq=50).lost_after("eth0")
    talk.send("S", by_pod=False, at=1, seq=50)
    talk.send("SA", ack=51)

    assert "unknown" == told(tmp_path, talk, winner()).cause


def _given_up() -> Conversation:
    """The loser never tried again."""
    talk = loser(nat="192.0.2.10:20000")
    talk.sent = talk.sent[:1]
    return talk


def _unseen_inside() -> Conversation:
    """No inner point saw the winner."""
    talk = winner()
    for sent in talk.sent:
        sent.only_at("eth0")
    return talk


def test_a_port_that_nobody_shows_to_be_searched(tmp_path: Path) -> None:
    """It has another port than the lost one, and no inner point saw whether that is its own: no partner."""
    counters(tmp_path, insert_failed=1, drop=1)
    other = winner(nat="192.0.2.10:20001")
    for sent in other.sent:
        sent.only_at("eth0")

    assert told(tmp_path, loser(), other).facts["partner_outer"] is None


@pytest.mark.parametrize(("flag", "command"), [("", "masquerade fully-random"), (" fully-random", "")])
def test_the_rule_that_gives_ports(flag: str, command: str, tmp_path: Path) -> None:
    """Its edit is the remedy, unless it chooses at random already."""
    chain = "type nat hook postrouting priority 100; policy accept;"
    rule = f'oifname "eth0" masquerade{flag}'
    tmp_path.joinpath("nft.txt").write_text(
        f"table ip nat {{\n\tchain c {{\n\t\t{chain}\n\t\t{rule} # handle 4\n\t}}\n}}\n"
    )
    finding = told(tmp_path, loser(), winner())

    assert any(f"it is translated by ip nat c: {rule}, which has" in one.says for one in finding.evidence)
    assert bool(command) == bool(finding.remedies)
    assert command in "".join(one.command for one in finding.remedies)


def test_a_second_attempt_is_lost_as_well(tmp_path: Path) -> None:
    """How long it took is told from the first attempt on."""
    talk = vanishing(loser(), -0.5)
    talk.sent.sort(key=lambda sent: sent.time)
    finding = told(tmp_path, talk, winner(at=-0.49998))

    assert "the retry 1.5 s later passed" in finding.evidence[1].says


RECORDED = "no answer came to this attempt; eth0 was recording before and after it"


@pytest.mark.parametrize(
    ("talks", "more", "evidence", "excluded"),
    [
        (
            lambda: (loser(), winner()), False,
            ["10.244.0.12:20000 > 192.0.2.100:80/tcp left eth0", "the retry 1 s later passed, on port 33333 instead of 20000"],
            ["1 other new connection passed the same gap within 5 ms", "the same connection got a port with its next attempt",
             "a later attempt of the same connection passed the same gap", RECORDED],
        ),
        (
            lambda: (_given_up(), winner()), True,
            ["10.244.0.12:20000 > 192.0.2.100:80/tcp left eth0", "insert_failed rose by 1 and drop by 1"],
            ["insert_failed rose; a full table does not increment it", f"{RECORDED} and lost 0 packets",
             "the connection that got the port passed; the retries are not in the capture"],
        ),
        (
            lambda: (loser(nat="192.0.2.10:20000"), _unseen_inside()), False,
            ["a connection that no inner point saw left eth0", "the retry 1 s later passed, on the port 20000 that was free"],
            ["0 other new connections passed the same gap within 5 ms", "the same connection got a port with its next attempt",
             "a later attempt of the same connection passed the same gap", RECORDED],
        ),
    ],
    ids=["tried again", "given up, with counters", "seen outside only"],
)  # fmt: skip
def test_what_is_said(
    talks: Callable[[], tuple[Conversation, ...]],
    more: bool,
    evidence: list[str],
    excluded: list[str],
    tmp_path: Path,
) -> None:
    """What supports the cause, and what rules out its look-alikes, is told as far as the bundle shows it."""
    if more:
        counters(tmp_path, insert_failed=1, drop=1)
        (tmp_path / "tcpdump-eth0.txt").write_text(
            "listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
            "12 packets captured\n12 packets received by filter\n0 packets dropped by kernel\n"
        )
    finding = told(tmp_path, *talks())
    always = ("next-hop-unresolved", "lost outside the node")

    assert [True] * len(evidence) == [
        one.says.startswith(begin) for one, begin in zip(finding.evidence, evidence, strict=True)
    ]
    assert excluded == [one.because for one in finding.excluded if one.cause not in always]
    assert {*always} <= {one.cause for one in finding.excluded}
