"""Answers from another address than was asked: bridged past NAT, recognised by numbers and by who sent the frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from analyzer import analyze
from tests.conversation import Conversation
from tests.incident.evidence import Frames, findings, judged
from tests.incident.node import LINKS, told

CODE = "bridge-netfilter-off"
OFF = "net.bridge.bridge-nf-call-iptables = 0\n"


def service(*, reset: bool = True, ack: int = 1_000_001) -> list[Conversation]:
    """A pod asks a service; its endpoint on the same bridge answers with its own address; the pod resets that."""
    asked = Conversation(
        pod="10.244.0.11:20000",
        server="10.96.0.1:80",
        dnat="10.244.0.12:8080",
        way="veth-a cni0 | cni0 veth-b",
    )
    asked.syn(0)
    straight = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:8080", way="veth-a cni0 veth-b")
    straight.send("SA", by_pod=False, at=0.0001, seq=5_000, ack=ack)
    if reset:
        straight.send("R", at=0.0002, seq=ack, options=[])
    return [asked, straight]


def test_bridged_past_nat(tmp_path: Path) -> None:
    """The setting is off: proven, and nothing was lost."""
    told(tmp_path, sysctl=OFF, **{"ip-addr": LINKS})
    analysis = judged(tmp_path, *service())
    (finding,) = findings(analysis)

    assert ("misdelivered", CODE, "proven") == (finding.kind, finding.cause, finding.confidence)
    assert ("10.96.0.1:80", "10.244.0.12:8080") == (finding.facts["service"], finding.facts["endpoint"])
    assert "(br_netfilter)" in analysis.incidents[0].summary
    assert 0 == analysis.counts.syn_vanished
    assert (1, 0) == (analysis.account.node, analysis.account.unknown)


@pytest.mark.parametrize("missing", ["veth-b", "cni0"])
def test_without_a_capture(tmp_path: Path, missing: str) -> None:
    """Without the endpoint's own interface, or the bridge, it is the same one connection, and nothing was lost."""
    told(tmp_path, sysctl=OFF, **{"ip-addr": LINKS})
    judged(tmp_path, *service())
    (tmp_path / f"{missing}.pcap").unlink()
    analysis = analyze(tmp_path)

    assert [CODE] == [finding.cause for finding in findings(analysis)]
    assert (1, 0, 0) == (analysis.account.node, analysis.account.outside, analysis.account.unknown)


@pytest.mark.parametrize(
    ("files", "confidence"),
    [
        (
            {
                "lsmod": "Module                  Size  Used by\nbridge 389120 0\nnf_conntrack 196608 1 xt_conntrack\n"
            },
            "proven",
        ),
        ({}, "likely"),
        ({"sysctl": OFF.replace("0", "1")}, "possible"),
    ],
)
def test_what_the_files_tell(tmp_path: Path, files: dict[str, str], confidence: str) -> None:
    """The module is not loaded; nothing tells; the setting says otherwise."""
    told(tmp_path, **{"ip-addr": LINKS, **files})

    assert [(CODE, confidence)] == [(f.cause, f.confidence) for f in findings(judged(tmp_path, *service()))]


def test_near_misses(tmp_path: Path) -> None:
    """The client does not reset it, or it acknowledges another SYN."""
    for name, talks in {"kept": service(reset=False), "other": service(ack=7)}.items():
        told(tmp_path / name, sysctl=OFF, **{"ip-addr": LINKS})

        assert "misdelivered" not in [f.kind for f in findings(judged(tmp_path / name, *talks))]


def datagrams(*, refused: bool = True, asked_before: bool = True) -> list[Conversation | Frames]:
    """A pod asks a service by UDP; its endpoint on the same bridge answers with its own address; the pod refuses that."""
    at = 0.0 if asked_before else 0.5
    asked = Conversation(
        pod="10.244.0.11:20000",
        server="10.96.0.10:53",
        dnat="10.244.0.12:5300",
        way="veth-a cni0 | cni0 veth-b",
        proto="udp",
    )
    asked.data(b"query", at)
    straight = Conversation(
        pod="10.244.0.11:20000", server="10.244.0.12:5300", way="veth-a cni0 veth-b", proto="udp"
    )
    straight.reply(b"answer", 0.0001)
    if not refused:
        return [asked, straight]
    client, endpoint = "10.244.0.11", "10.244.0.12"
    error = Ether() / IP(src=client, dst=endpoint) / ICMP(type=3, code=3)
    error /= IP(src=endpoint, dst=client) / UDP(sport=5300, dport=20000)
    frames = Frames()
    frames.heard += [(point, 0.0002, error) for point in ("veth-a", "cni0", "veth-b")]
    return [asked, straight, frames]


@pytest.mark.parametrize(
    "points", [("veth-a", "veth-b", "cni0", "eth0"), ("veth-a", "eth0"), ("cni0", "eth0")]
)
@pytest.mark.parametrize("refused", [True, False])
def test_datagrams(tmp_path: Path, points: tuple[str, ...], refused: bool) -> None:
    """The client's own error tells, or the bridge, where the node was seen to send the request to that endpoint."""
    told(tmp_path, sysctl=OFF, **{"ip-addr": LINKS})
    analysis = judged(tmp_path, *datagrams(refused=refused), points=points)
    if not refused and "cni0" not in points:
        assert {"way-unknown": 1} == analysis.account.why_unknown
    found = [(f.cause, f.confidence, f.facts["service"], f.facts["endpoint"]) for f in findings(analysis)]

    account = analysis.account
    if "cni0" in points and refused:
        assert (1, 1) == (account.node, account.connections - account.worked)
    expected = [(CODE, "proven", "10.96.0.10:53", "10.244.0.12:5300")]
    assert (expected if refused or "cni0" in points else []) == found


def test_datagrams_that_came_before(tmp_path: Path) -> None:
    """The near miss: what was there before the request is no answer to it."""
    told(tmp_path, sysctl=OFF, **{"ip-addr": LINKS})

    assert [] == findings(judged(tmp_path, *datagrams(asked_before=False)))


def test_another_conversation_of_that_port(tmp_path: Path) -> None:
    """The near miss: what came from the pod's neighbour answers another service that the same socket asked."""
    told(tmp_path, sysctl=OFF, **{"ip-addr": LINKS})
    lost = Conversation(
        pod="10.244.0.11:20000", server="203.0.113.9:53", way="veth-a cni0 | eth0", proto="udp"
    )
    for at in (0, 1, 2):
        lost.data(b"lost %d" % at, at).lost_after("cni0")
    other = Conversation(
        pod="10.244.0.11:20000",
        server="10.96.0.20:53",
        dnat="10.244.0.12:5300",
        way="veth-a cni0 | cni0 veth-b",
        proto="udp",
    )
    other.data(b"query", 0.5)
    other.reply(b"answer")
    analysis = judged(tmp_path, lost, other)

    assert ["udp-vanished"] == [finding.kind for finding in findings(analysis)]
    assert 3 == analysis.counts.udp_vanished
