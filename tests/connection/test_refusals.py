"""ICMP errors belong to the packet that they quote, and to no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether

from analyzer import analyze
from analyzer.connection.refusals import WORDS, Refusal, Refusals
from tests.connection.reasons import AROUND, asks, judged, out, reasons
from tests.conversation import BRIDGE, Conversation, record
from tests.incident.evidence import Frames


def _error(
    talk: Conversation, at: float, number: int, kind: tuple[int, int] = (3, 13), mtu: int = 0
) -> Frames:
    """An error to the pod that quotes packet *number* of its conversation."""
    (src, sport), (dst, dport) = (end.rsplit(":", 1) for end in (talk.pod, talk.server))
    quoted = IP(src=src, dst=dst, id=number) / TCP(sport=int(sport), dport=int(dport))
    error = ICMP(type=kind[0], code=kind[1], nexthopmtu=mtu)
    frames = Frames()
    for point in ("cni0", "veth-a"):
        frame = Ether(src=BRIDGE, dst="02:00:00:00:00:99") / IP(src="10.244.0.1", dst=src) / error / quoted
        frames.heard.append((point, at, frame))
    return frames


def test_it_is_about_the_packet_whose_ip_id_it_quotes(tmp_path: Path) -> None:
    """Of two attempts the second is refused, though the error comes long after both."""
    talk = asks(out(), 0, 1, after="cni0")
    assert ["lost", "refused-here"] == reasons(judged(tmp_path, talk, _error(talk, 5, 2)))


def test_an_id_that_nobody_sent(tmp_path: Path) -> None:
    """The near miss: it quotes another packet of the same ends."""
    talk = asks(out(), 0, 1, after="cni0")
    assert ["lost", "lost"] == reasons(judged(tmp_path, talk, _error(talk, 5, 77)))


def test_other_ports(tmp_path: Path) -> None:
    """Nor does an error about another connection say anything."""
    talk = asks(out(), 0, 1, after="cni0")
    other = out(pod="10.244.0.11:20009")
    assert ["lost", "lost"] == reasons(judged(tmp_path, talk, _error(other, 5, 1)))


def test_without_an_id_it_is_about_the_last_one_before(tmp_path: Path) -> None:
    """Where no packet has an ID an error is about the one that was sent last."""
    talk = asks(out(), 0, 3, after="cni0")
    assert ["refused-here", "lost"] == reasons(judged(tmp_path, talk, _error(talk, 2, 0)))


def test_a_next_hop_that_was_asked_for(tmp_path: Path) -> None:
    """`host unreachable` after questions that nobody answered tells of a packet that waited, and was lost."""
    talk = asks(out(), 0, after="cni0")
    asked = Frames().asks("192.0.2.1", 0.001, 1, 2)
    said = _error(talk, 3, 1, (3, 1))
    assert ["lost"] == reasons(judged(tmp_path / "asked", talk, asked, said))
    assert ["refused-here"] == reasons(judged(tmp_path / "not", talk, said))


def test_what_it_says(tmp_path: Path) -> None:
    """The MTU of the next hop, the words, and that it refuses nobody."""
    talk = asks(out(), 0, after="cni0")
    analysis = judged(tmp_path, talk, _error(talk, 1, 1, (3, 4), mtu=1400))
    scene = analysis.captured
    (point,) = (point for point in scene.points if point.name == "cni0")
    ((one,),) = scene.refusals.at(point).values()

    assert (1400, "fragmentation needed", True, True) == (one.mtu, one.words, one.harmless, one.too_big)


def test_ipv6(tmp_path: Path) -> None:
    """`packet too big` has its MTU elsewhere, and no ID."""
    talk = out(pod="[2001:db8:1::11]:20000", server="[2001:db8:2::100]:80", nat="[2001:db8::10]:20000")
    asks(talk, 0, after="cni0")
    quoted = IPv6(src="2001:db8:1::11", dst="2001:db8:2::100") / TCP(sport=20000, dport=80)
    frame = (
        Ether(src=BRIDGE, dst="02:00:00:00:00:99")
        / IPv6(src="2001:db8:1::1", dst="2001:db8:1::11")
        / ICMPv6PacketTooBig(mtu=1280)
        / quoted
    )
    analysis = judged(tmp_path, talk, Frames([("cni0", 1, frame)]))
    (point,) = (point for point in analysis.captured.points if point.name == "cni0")
    ((one,),) = Refusals([]).at(point).values()

    assert (1280, 0, "packet too big") == (one.mtu, one.ip_id, one.words)


@pytest.mark.parametrize("kind", [*WORDS, (3, 15)])
def test_every_error_has_words(kind: tuple[int, int]) -> None:
    """What has none says type and code."""
    refusal = Refusal(row=0, time=0, kind=kind, sender=0, address="192.0.2.1", ip_id=0, mtu=0)
    assert refusal.words == WORDS.get(kind, "ICMP type 3 code 15")


def test_more_were_lost_than_quoted(tmp_path: Path) -> None:
    """Of each pod two are gone, and one error that cannot be read came to it: one is lost at least."""
    talks = [asks(out(pod=f"10.244.0.{n}:{20000 + n}", isn=n * 99_991), 0, 1, after="cni0") for n in (11, 12)]
    errors = [_error(talk, 1, 2) for talk in talks]
    record(tmp_path, *talks, *errors, *AROUND, snaplen={"cni0": 54, "veth-a": 54})  # type: ignore[arg-type]
    analysis = analyze(tmp_path)

    assert [["lost"] * 2] * 2 == [reasons(analysis, port=port) for port in (20011, 20012)]


def test_a_quote_that_was_cut(tmp_path: Path) -> None:
    """An error whose quote is cut within the ports may be about it: nobody can tell whether it was lost, or refused."""
    talk, other = (
        asks(out(), 0, after="cni0"),
        asks(out(pod="10.244.0.11:20001", nat="192.0.2.10:20001"), 0.5),
    )
    record(tmp_path, talk, other, _error(talk, 1, 1), *AROUND, snaplen={"cni0": 54, "veth-a": 54})  # type: ignore[arg-type]
    analysis = analyze(tmp_path)

    assert [["error-unread"], ["seen-beyond"]] == [reasons(analysis, port=port) for port in (20000, 20001)]
