"""How addresses, flows and packets read, and one packet's way through all points."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.connection.passages import address, ends, flow_name, label
from tests.conversation import TRANSIT, Conversation, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


@pytest.mark.parametrize(
    ("hi", "lo", "expected"),
    [
        (0, 0xFFFF0AF4000B, "10.244.0.11"),
        (0x20010DB800000000, 1, "2001:db8::1"),
        (0, 1, "::1"),
        (0, 0x1FFFF0AF4000B, "::1:ffff:af4:b"),
    ],
)
def test_addresses(hi: int, lo: int, expected: str) -> None:
    """IPv4 as such, though it is stored as IPv6."""
    assert expected == address(hi, lo)


def talks() -> list[Conversation]:
    """A conversation of each protocol."""
    tcp = Conversation(pod=POD, server=SERVER, nat=NAT)
    tcp.syn(0)
    tcp.accept()
    tcp.data(10)
    tcp.send("FA")
    tcp.send("R")
    tcp6 = Conversation(
        pod="[2001:db8:1::11]:1", server="[2001:db8:2::100]:443", nat="[2001:db8::10]:1", isn=3
    )
    tcp6.syn(1)
    udp = Conversation(pod="10.244.0.11:53001", server="192.0.2.100:53", nat=NAT, proto="udp")
    udp.data(45, 2)
    echo = Conversation(pod="10.244.0.11:7", server="192.0.2.100:7", nat="192.0.2.10:7", proto="icmp")
    echo.data(8, 3)
    return [tcp, tcp6, udp, echo]


def test_names_and_labels(tmp_path: Path) -> None:
    """What people read of flows and packets."""
    scene = analyze(record(tmp_path, *talks())).scene
    assert scene is not None
    point = scene.trails.points["cni0"]

    assert [
        "10.244.0.11:20000 > 192.0.2.100:80/tcp",
        "[2001:db8:1::11]:1 > [2001:db8:2::100]:443/tcp",
        "10.244.0.11:53001 > 192.0.2.100:53/udp",
        "10.244.0.11 > 192.0.2.100/icmp",
    ] == [flow_name(point.flows, flow) for flow in range(4)]
    assert ("[2001:db8:1::11]:1", "[2001:db8:2::100]:443") == ends(point.flows, 1)
    assert [
        "SYN", "SYN-ACK", "ACK 5000001", "ACK 5000001, 10 bytes", "FIN 5000001", "RST", "SYN", "UDP 45 bytes", "ICMP 1",
    ] == [label(point, row) for row in range(9)]  # fmt: skip


@pytest.mark.parametrize("start", ["veth-a", "cni0", "eth0"])
def test_a_packets_way(start: str, tmp_path: Path) -> None:
    """From whichever point it is followed, a packet has been everywhere; a reply is told from outside in."""
    scene = analyze(record(tmp_path, *talks())).scene
    assert scene is not None
    point = scene.trails.points[start]
    out = scene.trails.passage(point, 0, outward=True)
    back = scene.trails.passage(point, 1, outward=False)

    assert ["veth-a", "cni0", "eth0"] == [seen.point for seen in out.sightings]
    assert ["eth0", "cni0", "veth-a"] == [seen.point for seen in back.sightings]
    assert [(POD, SERVER), (POD, SERVER), (NAT, SERVER)] == [(seen.src, seen.dst) for seen in out.sightings]
    assert [(SERVER, NAT), (SERVER, POD), (SERVER, POD)] == [(seen.src, seen.dst) for seen in back.sightings]
    assert [0, TRANSIT, 2 * TRANSIT] == [seen.time - out.sightings[0].time for seen in out.sightings]
    assert [(f"{seen.point}.pcap", 1) for seen in out.sightings] == [
        (seen.file, seen.frame) for seen in out.sightings
    ]
    assert {"veth-a": 0, "cni0": 0, "eth0": 0} == scene.trails.flows_of(point, 0)
