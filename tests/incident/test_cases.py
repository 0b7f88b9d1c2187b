"""Connections that lost a request: all their attempts, located, followed to where each ended."""

from __future__ import annotations

from pathlib import Path
from socket import inet_aton
from typing import Any

import dpkt
import pytest

from analyzer import Analysis, analyze
from analyzer.flow.point import TCP, UDP
from analyzer.incident.cases import MOST_ATTEMPTS, Case, cases, first_answer, lost, refused
from tests.conversation import START, Conversation, bystander, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


def out(**changes: Any) -> Conversation:
    """A connection out of the node."""
    return Conversation(**{"pod": POD, "server": SERVER, "nat": NAT, **changes})


def analysed(folder: Path, *talks: Conversation, **options: Any) -> Analysis:
    """Analyse these conversations between two whole ones."""
    return analyze(record(folder, *talks, bystander(-5), bystander(60), **options))


def found(folder: Path, *talks: Conversation, protocol: int = TCP, **options: Any) -> list[Case]:
    """The cases of these conversations."""
    scene = analysed(folder, *talks, **options).scene
    assert scene is not None
    return cases(scene.requests[protocol], scene.gaps, scene.trails, protocol)


def test_every_attempt(tmp_path: Path) -> None:
    """Each at every point that saw it, with its fate and its gap."""
    talk = out()
    talk.syn(0).lost_after("veth-a")
    talk.syn(1).lost_after("cni0")
    talk.syn(3)
    talk.accept()
    (case,) = found(tmp_path, talk)

    assert [
        (["veth-a"], "vanished", ("veth-a", "cni0"), False),
        (["veth-a", "cni0"], "vanished", ("cni0", "eth0"), False),
        (["veth-a", "cni0", "eth0"], "passed", None, True),
    ] == [([p.name for p, _ in s.seen], str(s.fate), s.gap, s.answered) for s in case.steps]
    assert ("veth-a", ("veth-a", "cni0"), True, 0) == (
        case.point.name,
        case.gap.names,
        case.outward,
        case.omitted,
    )
    assert [0, 1] == [case.steps.index(s) for s in case.lost]
    assert case.steps[2] is case.passed
    assert START + 3_001_010_000 == first_answer(case)


def test_both_open_at_the_same_time(tmp_path: Path) -> None:
    """The other side's SYN (RFC 9293 section 3.5) is no request of this connection, wherever it was seen."""
    talk = out()
    talk.syn(0)
    talk.send("S", by_pod=False).only_at("cni0")

    assert [] == found(tmp_path, talk)


def test_nothing_ever_passed(tmp_path: Path) -> None:
    """Without a passing attempt there is no outer flow, no delay, no answer."""
    talk = out()
    for at in (0, 1, 3):
        talk.syn(at).lost_after("cni0")
    (case,) = found(tmp_path, talk)

    assert (None, None, 3) == (case.passed, first_answer(case), len(case.lost))
    assert case.outer is None


def test_ordered_by_their_first_loss(tmp_path: Path) -> None:
    """One case for each connection, in time."""
    talks = []
    for n, at in enumerate((5, 1, 3)):
        talk = out(pod=f"10.244.0.11:{20000 + n}", nat=f"192.0.2.10:{1024 + n}", isn=n)
        talk.syn(at).lost_after("cni0")
        talk.syn(at + 1)
        talks.append(talk)

    assert [START + at * 10**9 for at in (1, 3, 5)] == [c.steps[0].time for c in found(tmp_path, *talks)]


@pytest.mark.parametrize("lost", [0, 3, 63, 64, 100, 199])
@pytest.mark.parametrize("points", [("veth-a", "veth-z", "cni0", "eth0"), ("cni0", "eth0")])
def test_a_loss_anywhere_in_a_long_flow(lost: int, points: tuple[str, ...], tmp_path: Path) -> None:
    """Of hundreds of datagrams of one socket the one that vanished is told, the others as far as there is room."""
    talk = out(proto="udp")
    for n in range(200):
        sent = talk.data(f"datagram {n}".encode(), n * 0.01)
        if n == lost:
            sent.lost_after("cni0")
    analysis = analysed(tmp_path, talk, points=points)
    (finding,) = (f for i in analysis.incidents for f in i.findings)

    assert (1, 1) == (analysis.counts.udp_vanished, sum(a.fate == "vanished" for a in finding.attempts))
    assert MOST_ATTEMPTS == len(finding.attempts)
    assert 200 - MOST_ATTEMPTS == finding.omitted
    assert START + lost * 10_000_000 == pytest.approx(finding.time, abs=10_000)
    if lost < 199:
        assert 0.01 == pytest.approx(finding.delay_s, abs=1e-4)


@pytest.mark.parametrize("points", [("veth-a", "veth-z", "cni0", "eth0"), ("cni0", "eth0")])
def test_very_many_losses(points: tuple[str, ...], tmp_path: Path) -> None:
    """All are counted; as many as there is room for are told."""
    talk = out(proto="udp")
    for n in range(150):
        talk.data(f"datagram {n}".encode(), n * 0.01).lost_after("cni0")
    analysis = analysed(tmp_path, talk, points=points)
    (finding,) = (f for i in analysis.incidents for f in i.findings)

    assert 150 == analysis.counts.udp_vanished
    assert MOST_ATTEMPTS == len(finding.attempts)
    assert 150 == finding.facts["attempts_vanished"]


def test_inwards(tmp_path: Path) -> None:
    """Attempts from outside begin at the uplink."""
    talk = Conversation(pod="10.244.0.11:80", server="198.51.100.7:40000", nat="192.0.2.10:30080")
    talk.send("S", by_pod=False, at=0, seq=50).lost_after("eth0")
    talk.send("S", by_pod=False, at=1, seq=50)
    talk.send("SA", ack=51)
    (case,) = found(tmp_path, talk)

    assert ("eth0", False) == (case.point.name, case.outward)
    assert [["eth0"], ["eth0", "cni0", "veth-a"]] == [[p.name for p, _ in s.seen] for s in case.steps]


@pytest.mark.parametrize(
    ("flags", "gone", "kinds"), [("SA", True, (True, False)), ("RA", False, (False, True))]
)
def test_what_it_lost(flags: str, gone: bool, kinds: tuple[bool, bool], tmp_path: Path) -> None:
    """Replies that were lost, and requests that this node refused, are cases of their own, and no lost requests."""
    talk = out()
    talk.syn(0)
    sent = talk.send(flags, by_pod=False)
    if gone:
        sent.lost_after("eth0")
    else:
        talk.sent[0].lost_after("cni0")
        sent.only_at("cni0", "veth-a")
    scene = analysed(tmp_path, talk).scene
    assert scene is not None
    followed = scene.replies if gone else scene.requests
    (case,) = cases(followed[TCP], scene.gaps, scene.trails, TCP, lost if gone else refused)

    assert (*kinds, False) == (case.replies, case.refused, case.requests)
    assert [] == found(tmp_path, talk)


def test_udp_answers(tmp_path: Path) -> None:
    """The first datagram back after the loss is the answer."""
    talk = out(proto="udp")
    talk.data(b"one", 0).lost_after("cni0")
    talk.data(b"one", 5)
    talk.reply(10, 5.1)
    (case,) = found(tmp_path, talk, protocol=UDP)

    assert START + 5_100_010_000 == first_answer(case)


def test_a_flood_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more connections than can be looked at, some are, evenly chosen; all are counted, and a caveat says so."""
    monkeypatch.setattr("analyzer.incident.cases.MOST_CASES", 3)
    talks = []
    for n in range(7):
        talk = Conversation(
            pod=f"10.244.0.11:{20000 + n}", server="192.0.2.100:80", nat=f"192.0.2.10:{20000 + n}"
        )
        talk.syn(at=n).lost_after("cni0")
        talks.append(talk)
    analysis = analysed(tmp_path, *talks)
    told = [finding.inner.split(" ")[0] for i in analysis.incidents for finding in i.findings]

    assert 7 == analysis.counts.syn_vanished
    assert [f"10.244.0.11:{port}" for port in (20000, 20003, 20006)] == told
    assert any("7 connections lost requests; 3 of them" in caveat for caveat in analysis.caveats)


def test_segments_that_overlap(tmp_path: Path) -> None:
    """A SYN with data that was cut in two on its way: the lost half is told by itself where the other one passed."""
    way = {"veth-a": 64, "cni0": 64, "eth0": 63}
    sent: dict[str, list[tuple[float, bytes]]] = {name: [] for name in way}

    def seen(name: str, at: float, port: int, isn: int, size: int) -> None:
        segment = dpkt.tcp.TCP(sport=port, dport=80, seq=isn, flags=dpkt.tcp.TH_SYN, data=bytes(size))
        src = inet_aton("192.0.2.10" if name == "eth0" else "10.244.0.11")
        packet = dpkt.ip.IP(src=src, dst=inet_aton("192.0.2.100"), p=6, ttl=way[name], data=segment)
        packet.len = len(bytes(packet))
        sent[name].append((at, bytes(dpkt.ethernet.Ethernet(data=packet))))

    for number in range(40):
        for name in way:
            seen(name, 1e9 + number / 10, 31000 + number, 5000 + number, 0)
    for name, size in (("veth-a", 200), ("cni0", 100), ("cni0", 101), ("eth0", 101)):
        seen(name, 1e9 + 1.55, 30000, 777, size)
    for name, packets in sent.items():
        with (tmp_path / f"{name}.pcap").open("wb") as file:
            writer = dpkt.pcap.Writer(file, nano=True, linktype=1)
            for at, data in sorted(packets, key=lambda packet: packet[0]):
                writer.writepkt(data, at)
    analysis = analyze(tmp_path)

    assert 1 == analysis.counts.syn_vanished
    assert ["syn-vanished"] == [incident.kind for incident in analysis.incidents]
