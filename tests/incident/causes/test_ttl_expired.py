"""Replies that have no hop left when they come in."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.conversation import GATEWAY, UPLINK, Conversation, Sent
from tests.incident.evidence import POD, SERVER, Frames, findings, judged
from tests.incident.node import LINKS, told

CODE = "ttl-expired"


class Short(Conversation):
    """A conversation whose server sends with a small TTL."""

    ttl = 1

    def _frame(self, packet: Sent, place: int, payload: bytes, skip: int) -> Packet:
        frame = Conversation._frame(self, packet, place, payload, skip)
        if not packet.outward:
            frame[IP].ttl = self.ttl
        return frame


def metadata(ttl: int = 1, nat: str = "192.0.2.10:20000") -> Short:
    """A pod asks, and the answers end at the node."""
    talk = Short(pod=POD, server=SERVER, nat=nat)
    talk.ttl = ttl
    for at in (1, 2):
        talk.syn(at)
        talk.synack().lost_after("eth0")
    return talk


def exceeded(talk: Conversation) -> Frames:
    """The node's ICMP errors about the answers."""
    frames = Frames()
    for point, time, frame in talk.frames():
        packet = Ether(frame)
        if point == "eth0" and packet[IP].ttl == 1:
            error = IP(src="192.0.2.10", dst=packet[IP].src) / ICMP(type=11) / Raw(bytes(packet[IP])[:28])
            frames.heard.append(
                (
                    point,
                    (time - 1_700_000_000_000_000_000) / 1e9 + 0.0001,
                    Ether(src=UPLINK, dst=GATEWAY) / error,
                )
            )
    return frames


@pytest.mark.parametrize(("answers", "confidence"), [(True, "proven"), (False, "likely")])
def test_a_reply_with_one_hop(answers: bool, confidence: str, tmp_path: Path) -> None:
    """The node says so by ICMP, or its own address stands for the pod."""
    talk = metadata()
    told(tmp_path, **{"ip-addr": LINKS})
    (found,) = findings(judged(tmp_path, talk, *[exceeded(talk)] * answers))

    assert (CODE, confidence, "reply-vanished") == (found.cause, found.confidence, found.kind)
    assert (
        "iptables -t mangle -I PREROUTING -i eth0 -s 192.0.2.100 -m ttl --ttl-eq 1 -j TTL --ttl-inc 1"
        == found.remedies[0].command
    )


def test_two_hops_are_enough(tmp_path: Path) -> None:
    """Then something else lost them."""
    told(tmp_path, **{"ip-addr": LINKS})
    (found,) = findings(judged(tmp_path, metadata(ttl=2)))

    assert "unknown" == found.cause


def test_what_may_be_bridged(tmp_path: Path) -> None:
    """For the pod's own address, and without an ICMP error, nothing shows that it had to be routed."""
    told(tmp_path, **{"ip-addr": LINKS})
    (found,) = findings(judged(tmp_path, metadata(nat=POD)))

    assert "unknown" == found.cause
