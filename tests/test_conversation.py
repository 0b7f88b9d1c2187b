"""The builder of test captures does what a test reads in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader

from tests.conversation import BRIDGE, GATEWAY, START, TRANSIT, UPLINK, Conversation, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


def frames(folder: Path, point: str) -> list[tuple[int, Ether]]:
    """What a point's file holds: ns, frame."""
    with RawPcapReader(str(folder / f"{point}.pcap")) as reader:
        assert reader.nano
        return [(said.sec * 10**9 + said.usec, Ether(data)) for data, said in reader]


def ends(frame: Ether) -> tuple[str, str]:
    """Both ends of a packet."""
    ip, transport = frame.payload, frame.payload.payload
    return f"{ip.src}:{transport.sport}", f"{ip.dst}:{transport.dport}"


def test_a_connection_at_every_point(tmp_path: Path) -> None:
    """Addresses, TTL, MACs and times change on the way as on a node; numbers and options do not."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.syn()
    talk.accept()
    record(tmp_path, talk)
    (veth, cni0, eth0) = (frames(tmp_path, point) for point in ("veth-a", "cni0", "eth0"))

    assert (
        [(POD, SERVER), (SERVER, POD), (POD, SERVER)]
        == [ends(f) for _, f in veth]
        == [ends(f) for _, f in cni0]
    )
    assert [(NAT, SERVER), (SERVER, NAT), (NAT, SERVER)] == [ends(f) for _, f in eth0]
    assert [[64, 56, 64], [64, 56, 64], [63, 57, 63]] == [
        [f[IP].ttl for _, f in p] for p in (veth, cni0, eth0)
    ]
    assert [BRIDGE, BRIDGE, GATEWAY] == [p[0][1].dst for p in (veth, cni0, eth0)]
    assert [BRIDGE, BRIDGE, GATEWAY] == [p[1][1].src for p in (veth, cni0, eth0)]
    assert UPLINK == eth0[0][1].src == eth0[1][1].dst
    assert [START, START + TRANSIT, START + 2 * TRANSIT] == [p[0][0] for p in (veth, cni0, eth0)]
    assert eth0[1][0] < cni0[1][0] < veth[1][0]
    for n, flags in enumerate(("S", "SA", "A")):
        same = {
            (str(p[n][1][TCP].flags), p[n][1][TCP].seq, str(p[n][1][TCP].options)) for p in (veth, cni0, eth0)
        }
        assert 1 == len(same)
        assert flags == same.pop()[0]


def test_sequence_numbers_go_on() -> None:
    """Each side counts what it sent, and acknowledges what the other sent; a repeated SYN has the same number."""
    talk = Conversation(pod=POD, server=SERVER, isn=2**32 - 1, server_isn=100)
    talk.syn()
    talk.syn(at=1)
    talk.accept()
    talk.data(10)
    talk.reply(20)
    talk.send("FA")

    assert [(2**32 - 1, 0), (2**32 - 1, 0), (100, 0), (0, 101), (0, 101), (101, 10), (10, 121)] == [
        (packet.seq, packet.ack) for packet in talk.sent
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p, ["veth-a", "cni0", "eth0"]),
        (lambda p: p.lost_after("cni0"), ["veth-a", "cni0"]),
        (lambda p: p.missed_at("cni0"), ["veth-a", "eth0"]),
        (lambda p: p.only_at("eth0"), ["eth0"]),
    ],
)
def test_where_a_packet_is_seen(change: object, expected: list[str]) -> None:
    """Lost, missed, or seen nowhere else."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    change(talk.syn())  # type: ignore[operator]

    assert expected == [point for point, _, _ in talk.frames()]


def test_lost_on_the_way_in() -> None:
    """A reply travels the other way."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.reply(10).lost_after("eth0")

    assert ["eth0"] == [point for point, _, _ in talk.frames()]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("veth-a cni0 veth-b", [(SERVER, 64), (SERVER, 64), (SERVER, 64)]),
        ("veth-a cni0", [(SERVER, 64), (SERVER, 64)]),
        (
            "veth-a cni0 | cni0 veth-b",
            [(SERVER, 64), (SERVER, 64), ("10.244.0.12:8080", 63), ("10.244.0.12:8080", 63)],
        ),
        ("veth-a / cni0 | eth0", [(SERVER, 64), ("10.244.0.12:8080", 64), ("10.244.0.12:8080", 63)]),
    ],
)
def test_ways(way: str, expected: list[tuple[str, int]]) -> None:
    """Where DNAT applies and where the TTL falls."""
    talk = Conversation(pod=POD, server=SERVER, dnat="10.244.0.12:8080", way=way)
    talk.syn()
    seen = [Ether(frame) for _, _, frame in talk.frames()]

    assert expected == [(ends(frame)[1], frame[IP].ttl) for frame in seen]


def test_bridged_frames_are_for_the_other_pod() -> None:
    """And those to the node for the bridge."""
    over = Conversation(pod=POD, server="10.244.0.12:80", way="veth-a cni0 veth-b")
    home = Conversation(pod=POD, server="192.0.2.10:22", way="veth-a cni0")
    for talk in (over, home):
        talk.syn()
    bridged, routed = (Ether(next(talk.frames())[2]) for talk in (over, home))

    assert bridged.src == routed.src
    assert (True, BRIDGE) == (bridged.dst not in (BRIDGE, bridged.src), routed.dst)


@pytest.mark.parametrize(("proto", "layer"), [("udp", UDP), ("icmp", ICMP)])
def test_other_protocols(proto: str, layer: type) -> None:
    """UDP has ports, echo an identifier and a number that its reply repeats."""
    talk = Conversation(pod="10.244.0.11:300", server="192.0.2.100:300", nat="192.0.2.10:301", proto=proto)
    talk.data(b"hello")
    talk.reply(b"world" if proto == "udp" else b"")
    (ask, answer) = (Ether(frame) for point, _, frame in talk.frames() if point == "eth0")

    assert b"hello" == bytes(ask[layer].payload)
    if proto == "udp":
        assert (301, 300, 300, 301) == (ask[UDP].sport, ask[UDP].dport, answer[UDP].sport, answer[UDP].dport)
    else:
        assert (8, 0, 301, 301) == (ask[ICMP].type, answer[ICMP].type, ask[ICMP].id, answer[ICMP].id)
        assert ask[ICMP].seq == answer[ICMP].seq
        assert b"hello" == bytes(answer[ICMP].payload)


def test_six() -> None:
    """IPv6 ends are written in brackets."""
    talk = Conversation(pod="[2001:db8:1::11]:1", server="[2001:db8:2::100]:80", nat="[2001:db8::10]:7")
    talk.syn()
    seen = [Ether(frame)[IPv6] for _, _, frame in talk.frames()]

    assert ["2001:db8:1::11", "2001:db8:1::11", "2001:db8::10"] == [ip.src for ip in seen]
    assert [64, 64, 63] == [ip.hlim for ip in seen]


def test_pieces() -> None:
    """The payload is the same, in more segments."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    sent = talk.data(1000).in_pieces("eth0", 3)
    seen = [Ether(frame)[TCP] for point, _, frame in talk.frames() if point == "eth0"]

    assert [sent.seq, sent.seq + 334, sent.seq + 668] == [tcp.seq for tcp in seen]
    assert sent.payload == b"".join(bytes(tcp.payload) for tcp in seen)


def test_how_points_record(tmp_path: Path) -> None:
    """Names, clocks, snaplen, when a capture began and ended, and captures of nothing."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    for at in (0, 1, 2):
        talk.syn(at)
    record(
        tmp_path,
        talk,
        points=("cni0", "eth0", "eth1"),
        names={"cni0": "inside"},
        clocks={"eth0": -5.0},
        snaplen={"eth0": 60},
        begin={"cni0": 0.5},
        end={"eth0": 1.5},
    )

    assert ["eth0.pcap", "eth1.pcap", "inside.pcap"] == sorted(path.name for path in tmp_path.iterdir())
    assert [1, 2] == [(time - START) // 10**9 for time, _ in frames(tmp_path, "inside")]
    assert [-5, -4] == [(time - START) // 10**9 for time, _ in frames(tmp_path, "eth0")]
    assert {60} == {len(bytes(frame.original)) for _, frame in frames(tmp_path, "eth0")}
    assert [] == frames(tmp_path, "eth1")


def test_reset_by_the_host() -> None:
    """The offender and the RST that mirrors it are on the uplink only, as far apart as said."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    offender = talk.send("A", by_pod=False, ack=777)
    talk.reset_by_host(offender, 40)
    (one, other) = talk.frames()

    assert ("eth0", "eth0", 40_000) == (one[0], other[0], other[1] - one[1])
    reset = Ether(other[2])[TCP]
    assert (777, 0, "R", 0) == (reset.seq, reset.ack, str(reset.flags), reset.window)
