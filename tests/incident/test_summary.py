"""What is said once per bundle: points, NAT mappings, caveats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer import Analysis, analyze
from analyzer.incident.summary import agreed, confidence
from analyzer.nat.tuples import DPORT, DST, ISN, PACKETS, SPORT, SRC
from tests.capture.test_reader import pcap
from tests.conversation import START, TRANSIT, Conversation, bystander, record

POD, SERVER = "10.244.0.11:20000", "192.0.2.100:80"


def analysed(folder: Path, *talks: Conversation, **options: Any) -> Analysis:
    """Analyse these conversations."""
    return analyze(record(folder, *talks, **options))


def whole(**changes: Any) -> Conversation:
    """A connection with data."""
    talk = Conversation(**{"pod": POD, "server": SERVER, "nat": "192.0.2.10:1024", **changes})
    if talk.proto == "tcp":
        talk.syn(0)
        talk.accept()
    talk.data(10, 1)
    return talk


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("tcp", "snat", "192.0.2.10:1024 > 192.0.2.100:80")),
        (
            {"nat": None, "dnat": "198.51.100.7:8080"},
            ("tcp", "dnat", "10.244.0.11:20000 > 198.51.100.7:8080"),
        ),
        ({"dnat": "198.51.100.7:8080"}, ("tcp", "both", "192.0.2.10:1024 > 198.51.100.7:8080")),
        ({"proto": "udp"}, ("udp", "snat", "192.0.2.10:1024 > 192.0.2.100:80")),
    ],
)
def test_mappings(changes: dict[str, Any], expected: tuple[str, str, str], tmp_path: Path) -> None:
    """What NAT made of the flow, where, when, how many packets, how sure."""
    (mapping,) = analysed(tmp_path, whole(**changes)).mappings

    assert expected == (mapping["proto"], mapping["kind"], mapping["outer"])
    assert (f"{POD} > {SERVER}", ["cni0", "eth0"]) == (mapping["inner"], mapping["gap"])
    assert START + 10**9 + TRANSIT == mapping["last"]
    # A single datagram is a vote, and so is that the destination's port was kept; a SYN needs no votes.
    assert ("proven" if expected[0] == "tcp" else "likely") == mapping["confidence"]


def test_untranslated_flows_are_no_mappings(tmp_path: Path) -> None:
    """What crosses as it is, is left out."""
    assert () == analysed(tmp_path, whole(nat=None)).mappings


@pytest.mark.parametrize(
    ("bits", "votes", "expected"),
    [
        (ISN, 0, "proven"),
        (ISN | SRC, 0, "proven"),
        (PACKETS, 3, "proven"),
        (PACKETS, 2, "likely"),
        (PACKETS | SPORT, 1, "likely"),
        (PACKETS | DPORT, 1, "likely"),
        (PACKETS, 1, "possible"),
        (PACKETS | DST, 1, "possible"),
    ],
)
def test_confidence(bits: int, votes: int, expected: str) -> None:
    """A SYN proves; packets have to be several."""
    assert expected == confidence(bits, votes)


def test_agreed() -> None:
    """The fields in words."""
    assert ["isn and options", "source port"] == agreed(ISN | SPORT, 0)
    assert ["destination", "destination port", "1 packet"] == agreed(PACKETS | DST | DPORT, 1)
    assert ["2 packets"] == agreed(PACKETS, 2)


def test_points(tmp_path: Path) -> None:
    """From the pod outwards, with what each holds and when."""
    odd = pcap([(1_000, 60, bytes(12) + b"\x88\xcc" + bytes(46))])
    (tmp_path / "veth-q.pcap").write_bytes(odd)
    (tmp_path / "tcpdump-eth0.log").write_text(
        "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 256 bytes\n"
        "6 packets captured\n9 packets received by filter\n3 packets dropped by kernel\n"
    )
    analysis = analysed(tmp_path, bystander(0), bystander(1))
    empty, veth, bridge, uplink = analysis.capture_points

    assert [("veth-q", "pod"), ("veth-z", "pod"), ("cni0", "bridge"), ("eth0", "uplink")] == [
        (p.name, p.role) for p in analysis.capture_points
    ]
    assert (6, {}, START, START + 10**9 + 2_000_000) == (veth.packets, veth.skipped, veth.first, veth.last)
    assert (0, {"not IP or ARP": 1}, None, None) == (empty.packets, empty.skipped, empty.first, empty.last)
    assert (None, 3) == (bridge.dropped, uplink.dropped)
    assert any("eth0: the capturing program lost 3 packets" in caveat for caveat in analysis.caveats)


def test_nothing_to_say(tmp_path: Path) -> None:
    """A whole bundle has no caveat."""
    assert ((), None) == ((analysis := analysed(tmp_path, bystander(0))).caveats, analysis.inconclusive)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (("eth0",), "only eth0 was captured, so no packet can be followed across a gap"),
        (("eth0", "eth9"), "only eth0, eth9 were captured, so no packet can be followed across a gap"),
        (
            tuple(f"veth-{letter}" for letter in "abcdefghijk"),
            "only veth-a, veth-b, veth-c, veth-d, veth-e, veth-f, veth-g, veth-h and 3 more were captured, so no packet can "
            "be followed across a gap",
        ),
        (("cni0", "eth9"), "no two neighbouring capture points recorded packets at the same time"),
    ],
)
def test_inconclusive(points: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """Why nothing can be concluded."""
    analysis = analysed(tmp_path, bystander(0), points=points)

    assert analysis.inconclusive is not None
    assert analysis.inconclusive.startswith(said)


def test_points_of_different_nodes(tmp_path: Path) -> None:
    """Two points that share no flow: said, and no loss."""
    other = whole(pod="10.9.9.9:1", nat="203.0.113.1:1", isn=77, way="veth-q cni7 | eth0")
    analysis = analysed(tmp_path, bystander(0), other, bystander(3), points=("veth-z", "cni0", "cni7"))
    record(tmp_path, other, points=("eth0",))
    analysis = analyze(tmp_path)

    assert any("no flow was seen at both cni0 and eth0" in caveat for caveat in analysis.caveats)
