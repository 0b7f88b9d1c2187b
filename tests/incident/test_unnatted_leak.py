"""Packets that leave with a pod's own address: a leak only where the pod is translated otherwise."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record


def translated(at: float = -1) -> Conversation:
    """The pod's other connection."""
    talk = Conversation(pod="10.244.0.11:30000", server="192.0.2.100:443", nat="192.0.2.10:30000", isn=3)
    talk.syn(at)
    talk.accept()
    return talk


def stray(flags: str = "FA", at: float = 2) -> Conversation:
    """The rest of a connection that conntrack does not know any more."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80")
    talk.send(flags, at=at)
    return talk


def analysed(folder: Path, *talks: Conversation) -> Analysis:
    """Analyse these conversations."""
    return analyze(record(folder, *talks, bystander(-5), bystander(9)))


def test_a_leak(tmp_path: Path) -> None:
    """A FIN with the pod's address on the uplink, while its other connections are translated."""
    (incident,) = analysed(tmp_path, translated(), stray()).incidents
    (finding,) = incident.findings

    assert ("unnatted-leak", ("cni0", "eth0")) == (finding.kind, finding.gap)
    assert "10.244.0.11:20000 > 192.0.2.100:80/tcp" == finding.outer
    assert 1 == finding.facts["packets"]


def test_a_pod_that_is_never_translated(tmp_path: Path) -> None:
    """The near miss: routable pods leave with their own address, always."""
    assert () == analysed(tmp_path, stray()).incidents


def test_exempt_destinations(tmp_path: Path) -> None:
    """The near miss: the SYN left untranslated, too, so the rules want it that way."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.0.0.7:80")
    talk.syn(1)
    talk.accept()

    assert () == analysed(tmp_path, translated(), talk).incidents


def test_translated_rest(tmp_path: Path) -> None:
    """The near miss: the FIN left with the node's address."""
    talk = stray()
    talk.nat = "192.0.2.10:20000"

    assert () == analysed(tmp_path, translated(), talk).incidents


def test_the_rest_of_a_translated_connection(tmp_path: Path) -> None:
    """Translated while conntrack knew it, then not: the same addresses and ports."""
    talk = Conversation(pod="10.244.0.11:20000", server="198.51.100.7:80", nat="192.0.2.10:20000")
    talk.syn(0)
    talk.accept()
    rest = Conversation(pod=talk.pod, server=talk.server)
    for at in (3, 3.2, 3.6):
        rest.send("FA", at=at, seq=talk.isn + 1, ack=talk.server_isn + 1)
    (incident,) = analysed(tmp_path, talk, rest).incidents

    assert [3] == [finding.facts["packets"] for finding in incident.findings]


def test_answered_with_a_reset(tmp_path: Path) -> None:
    """Where pods' addresses are routed, the server refuses what it does not know."""
    talk = stray()
    talk.send("R", by_pod=False).only_at("eth0")

    assert ["unnatted-leak"] == [i.kind for i in analysed(tmp_path, translated(), talk).incidents]


def test_exempt_from_before_the_capture(tmp_path: Path) -> None:
    """The near miss: both sides go on talking, so somebody knows the pod's address."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80")
    for at in (1, 2, 3):
        talk.data(100, at)
        talk.reply(100)

    assert () == analysed(tmp_path, translated(), talk).incidents


def test_exempt_addresses(tmp_path: Path) -> None:
    """The near miss: other connections to that address leave untranslated, or nobody knows how they leave."""
    exempt = Conversation(pod="10.244.0.11:30001", server="10.0.0.7:443", isn=5)
    exempt.syn(0)
    exempt.accept()
    rest = stray()
    rest.server = "10.0.0.7:80"
    other = stray(at=3)
    other.pod, other.server = "10.244.0.11:20001", "10.0.0.8:80"

    assert () == analysed(tmp_path, translated(), exempt, rest, other).incidents


def test_connections_from_outside_to_the_pod(tmp_path: Path) -> None:
    """The near miss: the pod serves on a high port, and its answers alone are captured."""
    talk = Conversation(pod="10.244.0.11:8080", server="192.0.2.100:1023")
    for at in (1, 2):
        talk.reply(100, at)
    routed = Conversation(pod="10.244.0.11:8081", server="192.0.2.100:1022")
    routed.reply(100, 3).only_at("eth0")

    assert () == analysed(tmp_path, translated(), talk, routed).incidents


def test_ipv6_without_translation(tmp_path: Path) -> None:
    """The near miss: IPv4 is translated, IPv6 is routed."""
    talk = Conversation(pod="[2001:db8:1::11]:20000", server="[2001:db8:2::100]:80")
    talk.send("FA", at=2)

    assert () == analysed(tmp_path, translated(), talk).incidents


def published(*, routed: bool = False) -> Conversation:
    """A client's connection to a published port, which the client resets."""
    talk = Conversation(
        pod="10.88.0.8:8443", server="203.0.113.10:45005", nat=None if routed else "192.0.2.10:8443"
    )
    talk.send("S", by_pod=False, at=0)
    talk.send("SA")
    talk.send("A", by_pod=False)
    talk.send("R", by_pod=False)
    return talk


def late(talk: Conversation) -> Conversation:
    """What the pod had under way when the RST closed the entry."""
    rest = Conversation(pod=talk.pod, server=talk.server)
    rest.send("R", seq=talk.isn + 1, at=0.01)
    return rest


def test_a_published_port(tmp_path: Path) -> None:
    """What a pod sends after the client's RST leaves with the pod's own address, and the RST is named."""
    talk = published()
    (incident,) = analysed(tmp_path, talk, late(talk)).incidents

    assert "unnatted-leak" == incident.kind
    assert "203.0.113.10:45005 had reset the connection" in incident.evidence[1].says


def test_a_pod_that_is_reached_by_its_own_address(tmp_path: Path) -> None:
    """The near miss: the client's packets come for the pod's address as well."""
    talk = published(routed=True)

    assert () == analysed(tmp_path, talk, late(talk)).incidents
