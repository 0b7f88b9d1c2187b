"""What a point has twice because the node turned, flooded or copied it; and what merely looks like that."""

from __future__ import annotations

import struct
from pathlib import Path

from analyzer import analyze
from tests.conftest import analysed
from tests.connection.reasons import AROUND, asks, judged, out, reasons
from tests.conversation import Conversation, record


def _hairpin(**changes: object) -> Conversation:
    return Conversation(
        **{
            "pod": "10.244.0.11:20000",
            "server": "10.96.0.1:80",
            "dnat": "10.244.0.12:8080",
            "way": "veth-a cni0 | cni0 veth-b",
            **changes,
        }  # type: ignore[arg-type]
    )


def test_turned_round(tmp_path: Path) -> None:
    """A service on this node: the packet is on the bridge twice, a hop apart, and lost nowhere."""
    talk = _hairpin()
    talk.syn(0)
    talk.accept()
    analysis = judged(tmp_path, talk)

    assert ["seen-beyond", "turned"] == sorted(
        reasons(analysis) + reasons(analysis, port=20000, protocol=17)
    )[:2]
    assert () == analysis.incidents


def test_another_packet_of_that_moment(tmp_path: Path) -> None:
    """The near miss: another pod asks from the same port at the same time, and its SYN passes."""
    talk = asks(out(), 0, after="cni0")
    other = out(pod="10.244.0.12:20000", nat="192.0.2.10:1025", isn=900_000, way="veth-b cni0 | eth0")
    other.syn(0)
    other.accept()
    analysis = judged(tmp_path, talk, other)

    assert 1 == analysis.counts.syn_vanished


def test_turned_and_lost_before_the_pod(tmp_path: Path) -> None:
    """It came back to the bridge, and the endpoint's veth never saw it."""
    talk = _hairpin()
    talk.syn(0)
    talk.accept()
    again = _hairpin(pod="10.244.0.11:20001", isn=900_000)
    again.syn(1)
    again.sent[0].seen = again.sent[0].seen[:3]
    later = _hairpin(pod="10.244.0.11:20002", isn=300_000)
    later.syn(2)
    later.accept()
    analysis = judged(tmp_path, talk, again, later)

    assert 1 == analysis.counts.syn_vanished
    assert [("veth-b", "cni0")] == [incident.gap for incident in analysis.incidents]


def test_bridge_netfilter_forwards_twice() -> None:
    """In a real capture with br_netfilter each frame is on the bridge twice; nothing is lost."""
    analysis = analysed("service-local-br-netfilter")

    assert () == analysis.incidents
    assert 0 == analysis.account.node


def test_a_point_that_has_everything_twice(tmp_path: Path) -> None:
    """A mirror of both directions doubles what it sees, and changes no verdict."""
    talk = asks(out(), 0, 1, after="cni0")
    record(tmp_path, talk, *AROUND)
    path = tmp_path / "eth0.pcap"
    data = path.read_bytes()
    head, at, out_ = data[:24], 24, b""
    while at < len(data):
        size = 16 + struct.unpack_from("<I", data, at + 8)[0]
        out_ += data[at : at + size] * 2
        at += size
    path.write_bytes(head + out_)
    analysis = analyze(tmp_path)

    assert ["lost", "lost"] == reasons(analysis)
    assert any("recorded twice" in caveat for caveat in analysis.caveats)
