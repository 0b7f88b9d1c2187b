"""ICMP errors that ask for smaller packets: not passed on, they are a black hole; passed on, they are routine."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether

from analyzer import Analysis
from tests.conversation import BRIDGE, GATEWAY, UPLINK, Conversation
from tests.incident.evidence import Frames, connection, findings, judged


def _large(*, again: tuple[float, ...] = (0.2, 0.6, 1.4)) -> Conversation:
    """A handshake, then a segment that is too large for a router beyond, again and again."""
    talk = connection(nat="192.0.2.10:20000")
    talk.syn(0)
    talk.accept()
    first = talk.data(1448, at=0.01)
    for at in again:
        talk.send("PA", first.payload, at=at, seq=first.seq)
    return talk


def _errors(talk: Conversation, *times: float, passed: bool, kind: tuple[int, int] = (3, 4)) -> Frames:
    """The router's errors at the uplink, and inside where the node passed them on."""
    frames = Frames()
    (pod, sport), (server, dport) = (end.rsplit(":", 1) for end in (talk.pod, talk.server))
    number = next(sent.number for sent in talk.sent if sent.payload)
    error = ICMP(type=kind[0], code=kind[1], nexthopmtu=1400 if kind == (3, 4) else 0)
    for n, at in enumerate(times):
        for point, src, macs in (
            ("eth0", "192.0.2.10", (GATEWAY, UPLINK)),
            *(
                (("cni0", pod, (BRIDGE, "02:00:00:00:00:99")), ("veth-a", pod, (BRIDGE, "02:00:00:00:00:99")))
                if passed
                else ()
            ),
        ):
            quoted = IP(src=src, dst=server, id=number + n) / TCP(sport=int(sport), dport=int(dport))
            ttl = 63 if point == "eth0" else 62
            frame = Ether(src=macs[0], dst=macs[1]) / IP(src="192.0.2.1", dst=src, ttl=ttl, id=900 + n)
            frames.heard.append((point, at + (0 if point == "eth0" else 0.00001), frame / error / quoted))
    return frames


def _kinds(analysis: Analysis) -> list[tuple[str, str, str]]:
    return [(f.kind, f.cause, f.confidence) for f in findings(analysis)]


def test_not_passed_on(tmp_path: Path) -> None:
    """The error is on the uplink only, and the segment is sent again: a black hole, proven."""
    talk = _large()
    analysis = judged(tmp_path, talk, _errors(talk, 0.011, 0.201, passed=False))

    assert [("error-vanished", "mtu-black-hole", "proven")] == _kinds(analysis)
    (finding,) = findings(analysis)
    assert (("cni0", "eth0"), 1400, 2) == (finding.gap, finding.facts["mtu"], finding.facts["packets"])
    assert 1 == analysis.account.node


def test_nothing_was_sent_again(tmp_path: Path) -> None:
    """Then it did not matter yet: likely."""
    talk = _large(again=())
    analysis = judged(tmp_path, talk, _errors(talk, 0.011, passed=False))

    assert [("error-vanished", "mtu-black-hole", "likely")] == _kinds(analysis)


def test_passed_on(tmp_path: Path) -> None:
    """The near miss: the pod has it."""
    talk = _large()
    assert [] == _kinds(judged(tmp_path, talk, _errors(talk, 0.011, passed=True)))


@pytest.mark.parametrize("kind", [(3, 1), (11, 0)])
def test_another_error(kind: tuple[int, int], tmp_path: Path) -> None:
    """An error that does not ask for smaller packets is no black hole."""
    talk = _large()
    found = _kinds(judged(tmp_path, talk, _errors(talk, 0.011, passed=False, kind=kind)))

    assert "mtu-black-hole" not in {cause for _, cause, _ in found}


def test_when_nobody_recorded_inside(tmp_path: Path) -> None:
    """The bridge's capture ended before the error came: nobody can tell."""
    talk = _large()
    ends = dict.fromkeys(("veth-a", "veth-z", "cni0"), 0.005)
    analysis = judged(tmp_path, talk, _errors(talk, 0.011, passed=False), end=ends)

    assert [] == _kinds(analysis)


def test_of_another_connection(tmp_path: Path) -> None:
    """An error that quotes ports of nobody here says nothing."""
    talk = _large()
    other = connection(pod="10.244.0.11:29999")
    other.data(1, at=0)
    other.sent.clear()
    errors = _errors(talk, 0.011, passed=False)
    for n, (point, at, frame) in enumerate(errors.heard):
        frame[TCP].sport = 29999
        errors.heard[n] = (point, at, frame)

    assert [] == _kinds(judged(tmp_path, talk, errors))
