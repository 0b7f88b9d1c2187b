"""The bundle in numbers: each counted once, wherever it was seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from analyzer.incident.model import Counts
from tests.conversation import Conversation, bystander, record
from tests.incident.replies import early_ack, established

EVERYWHERE = ("veth-a", "veth-b", "veth-z", "cni0", "eth0")


def counts(folder: Path, *talks: Conversation, points: tuple[str, ...] = EVERYWHERE) -> Counts:
    """What is counted of these conversations and two whole ones around them."""
    return analyze(record(folder, *talks, bystander(-2), bystander(9), points=points)).counts


def out(**changes: Any) -> Conversation:
    """A connection out of the node."""
    return Conversation(
        **{"pod": "10.244.0.11:20000", "server": "192.0.2.100:80", "nat": "192.0.2.10:20000", **changes}
    )


def lossy() -> list[Conversation]:
    """Five connections: whole, lossy, unanswered, bridged, from outside."""
    whole = out()
    whole.syn(0)
    whole.accept()
    lost = out(pod="10.244.0.11:20001", nat="192.0.2.10:20001", isn=11)
    lost.syn(0).lost_after("cni0")
    lost.syn(1).lost_after("cni0")
    lost.syn(3)
    lost.accept()
    unanswered = out(pod="10.244.0.11:20002", nat="192.0.2.10:20002", isn=22)
    for at in (0, 1, 3):
        unanswered.syn(at)
    bridged = Conversation(pod="10.244.0.11:20003", server="10.244.0.12:80", way="veth-a cni0 veth-b", isn=33)
    bridged.syn(2)
    bridged.accept()
    inward = Conversation(pod="10.244.0.11:80", server="198.51.100.7:40000", nat="192.0.2.10:30080", isn=44)
    inward.send("S", by_pod=False, at=4, seq=50)
    inward.send("SA", ack=51)
    return [whole, lost, unanswered, bridged, inward]


@pytest.mark.parametrize(
    ("points", "bridged"),
    [
        (EVERYWHERE, 1),
        (("veth-a", "veth-z", "cni0", "eth0"), 1),
        (("cni0", "eth0"), 1),
        (("veth-a", "veth-b", "veth-z", "eth0"), None),
    ],
)
def test_counted_once(points: tuple[str, ...], bridged: int | None, tmp_path: Path) -> None:
    """Connections and SYNs are counted where they are seen first, whichever points were recorded."""
    found = counts(tmp_path, *lossy(), points=points)

    if bridged is not None:
        assert (7, 11) == (found.connections, found.syn_attempts)
    assert (2, 3) == (found.syn_vanished, found.syn_unanswered)


def test_udp(tmp_path: Path) -> None:
    """Requests and what vanished of them."""
    talk = out(proto="udp")
    for n, lose in enumerate((False, True, False)):
        sent = talk.data(f"query {n}".encode(), n)
        if lose:
            sent.lost_after("cni0")
        else:
            talk.reply(20)
    found = counts(tmp_path, talk)

    assert (3, 1, 0) == (found.udp_requests, found.udp_vanished, found.syn_vanished)


def test_refused_is_answered(tmp_path: Path) -> None:
    """A RST is an answer; a SYN that it follows is not unanswered."""
    talk = out()
    talk.syn(0)
    talk.send("RA", by_pod=False, seq=0)

    assert 0 == counts(tmp_path, talk).syn_unanswered


def test_invalid_replies(tmp_path: Path) -> None:
    """INVALID packets and the host's RSTs, each once though two veths were recorded."""
    talk = established()
    for _ in range(3):
        talk.reset_by_host(early_ack(talk))
    found = counts(tmp_path, talk)

    assert (3, 3) == (found.invalid_packets, found.host_resets)
