"""Who refused a connection: the peer, a router, the pod or this node, by RST or by an ICMP error that quotes the request."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import RawPcapReader, rdpcap, wrpcap

from analyzer import Analysis, analyze
from tests.connection.told import AROUND, connections, one, out
from tests.conversation import Conversation, record

NODE, SERVER, ROUTER = "192.0.2.10", "192.0.2.100", "192.0.2.1"


def _answered(folder: Path, talk: Conversation, kind: tuple[int, int], sender: str, *points: str) -> Analysis:
    """Add an ICMP error that quotes the talk's first request to the captures of some points."""
    record(folder, talk, *AROUND)
    _refuse(folder, talk, kind, sender, *points)
    return analyze(folder)


def _refuse(folder: Path, talk: Conversation, kind: tuple[int, int], sender: str, *points: str) -> None:
    for name in points:
        path = folder / f"{name}.pcap"
        packets = rdpcap(str(path))
        port = int(talk.pod.rpartition(":")[2])
        asked = next(
            p for p in packets for k in (TCP, UDP) if p.haslayer(k) and port in (p[k].sport, p[k].dport)
        )
        quoted = asked[IP].copy()
        error: Packet = (
            Ether(src=asked[Ether].dst, dst=asked[Ether].src)
            / IP(
                src=sender, dst=quoted.src, ttl=64 if name == "eth0" or sender.startswith("10.244.0.") else 63
            )
            / ICMP(type=kind[0], code=kind[1])
            / bytes(quoted)[:28]
        )
        error.time = asked.time + 0.0005
        wrpcap(str(path), sorted([*packets, error], key=lambda packet: packet.time), nano=_nano(path))


def _nano(path: Path) -> bool:
    with RawPcapReader(str(path)) as reader:
        return bool(reader.nano)


def _who(analysis: Analysis) -> set[str]:
    return {refused.words for refused in connections(analysis).refused.values()}


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_the_peer_by_an_error(proto: str, tmp_path: Path) -> None:
    """Its error came in at the uplink: refused, outside this node, and never unanswered."""
    talk = out(proto=proto)
    _ = talk.syn(0) if proto == "tcp" else talk.data(b"question")
    analysis = _answered(tmp_path, talk, (3, 3), SERVER, "eth0", "cni0", "veth-a")

    assert ("refused", "outside") == (one(analysis), one(analysis, "class"))
    assert {"port unreachable by the peer"} == _who(analysis)
    assert analysis.outside is not None
    assert (("port unreachable by the peer", 1),) == analysis.outside.destinations[0].refusals


def test_a_router(tmp_path: Path) -> None:
    """An error of somebody else than the destination is a router's, which is named."""
    talk = out()
    talk.syn(0)
    analysis = _answered(tmp_path, talk, (11, 0), ROUTER, "eth0", "cni0", "veth-a")

    assert {f"TTL exceeded by the router {ROUTER}"} == _who(analysis)
    assert "outside" == one(analysis, "class")


@pytest.mark.parametrize(
    ("proto", "refused"), [("tcp", set()), ("udp", {f"fragmentation needed by the router {ROUTER}"})]
)
def test_too_big(proto: str, refused: set[str], tmp_path: Path) -> None:
    """TCP sends smaller segments (RFC 1191 section 3), so nothing is refused; a datagram is what it is."""
    talk = out(proto=proto)
    _ = talk.syn(0) if proto == "tcp" else talk.data(b"question")

    assert refused == _who(_answered(tmp_path, talk, (3, 4), ROUTER, "eth0", "cni0", "veth-a"))


@pytest.mark.parametrize(
    ("sender", "points", "expected"),
    [
        ("10.244.0.11", ("veth-a", "cni0"), "port unreachable by the pod"),
        (NODE, ("veth-a", "cni0", "eth0"), "port unreachable by the pod"),
        (NODE, ("eth0",), "port unreachable by this node itself"),
    ],
    ids=["inside only", "translated on its way out", "never inside"],
)
def test_an_error_for_who_asks_from_outside(
    sender: str, points: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    """Of what came in, the node's address on an error may be the pod's, translated: so it is if the request got inside."""
    asks = "198.51.100.7:40000"
    talk = Conversation(
        pod=asks,
        server=f"{NODE}:8080",
        nat=asks,
        dnat="10.244.0.11:80",
        way="eth0 | cni0 veth-a",
        proto="udp",
    )
    question = talk.data(b"question", 0)
    if "cni0" not in points:
        question.lost_after("eth0")
    analysis = _answered(tmp_path, talk, (3, 3), sender, *points)

    assert {expected} == _who(analysis)


def test_errors_of_both_ends(tmp_path: Path) -> None:
    """The node refuses the pod, and the pod the node: errors of one kind between two ends are one flow, of two senders."""
    asked = out(server="10.244.0.1:999", nat=None, way="veth-a cni0", proto="udp")
    asked.data(b"question", 0)
    asks = Conversation(pod="10.244.0.11:996", server="10.244.0.1:40000", way="veth-a cni0", proto="udp")
    asks.send("", b"question", by_pod=False, at=1)
    record(tmp_path, asked, asks, *AROUND)
    _refuse(tmp_path, asked, (3, 3), "10.244.0.1", "veth-a", "cni0")
    _refuse(tmp_path, asks, (3, 3), "10.244.0.11", "veth-a", "cni0")
    analysis = analyze(tmp_path)

    assert {"port unreachable by this node itself", "port unreachable by the pod"} == _who(analysis)
    assert () == analysis.incidents  # from the very address that was asked: no rule's, nobody listens there


def test_answered_after_all(tmp_path: Path) -> None:
    """The near miss: an error is no refusal of a connection that came about (RFC 5927)."""
    talk = out()
    talk.syn(0)
    talk.accept()
    analysis = _answered(tmp_path, talk, (3, 1), ROUTER, "eth0", "cni0", "veth-a")

    assert ("ok", "worked") == (one(analysis), one(analysis, "class"))
    assert set() == _who(analysis)


def test_the_peer_by_a_reset(tmp_path: Path) -> None:
    """A RST that came in at the uplink is the peer's."""
    talk = out()
    talk.syn(0)
    talk.send("RA", by_pod=False, seq=0, ack=talk.isn + 1, window=0)
    analysis = analyze(record(tmp_path, talk, *AROUND))

    assert {"RST by the peer"} == _who(analysis)


def test_a_refusal_that_this_node_lost(tmp_path: Path) -> None:
    """A RST of the peer that never came inside is a reply that vanished here, and no silence of the peer."""
    talk = out()
    for at in (0, 1):
        talk.syn(at)
        talk.send("RA", by_pod=False, seq=0, ack=talk.isn + 1, window=0).lost_after("eth0")
    analysis = analyze(record(tmp_path, talk, *AROUND))

    assert ("timed-out", "node") == (one(analysis), one(analysis, "class"))
    assert [("reply-vanished", ("cni0", "eth0"))] == [(i.kind, i.gap) for i in analysis.incidents]
    assert "10.244.0.11:20000 > 192.0.2.100:80/tcp" == analysis.incidents[0].findings[0].inner


def test_this_node_while_the_uplink_is_silent(tmp_path: Path) -> None:
    """A full TTL from the bridge's own address: this node said so, though no uplink shows that nobody else did."""
    talk = out()
    talk.syn(0).lost_after("cni0")
    record(tmp_path, talk, *AROUND, end={"eth0": -3})
    analysis = _answered(tmp_path, talk, (3, 0), "10.244.0.1", "cni0", "veth-a")

    assert {"network unreachable by this node itself"} == _who(analysis)
    assert "node" == one(analysis, "class")


def test_this_node_by_a_rule_for_itself(tmp_path: Path) -> None:
    """Where nobody listens TCP answers with a RST: an ICMP error of the address itself is a rule's."""
    talk = out(server="10.244.0.1:9100", nat=None, way="veth-a cni0")
    talk.syn(0)
    analysis = _answered(tmp_path, talk, (3, 10), "10.244.0.1", "cni0", "veth-a")

    assert [("refused", "policy-reject")] == [(i.kind, i.cause) for i in analysis.incidents]


def test_a_reset_without_stations(tmp_path: Path) -> None:
    """Captures of raw IP have no stations: a RST that lost no hop, and that no uplink saw, is nobody's beyond this node."""
    talk = out(server="169.254.169.254:80", way="veth-a cni0")
    talk.syn(0)
    talk.send("RA", by_pod=False, window=0, options=[])
    record(tmp_path, talk, *AROUND)
    for path in tmp_path.glob("*.pcap"):
        raw = [(packet[IP], packet.time) for packet in rdpcap(str(path))]
        for packet, time in raw:
            packet.time = time
            packet.ttl = 64 if packet.src == "169.254.169.254" else packet.ttl
        wrpcap(str(path), [packet for packet, _ in raw], linktype=101, nano=True)
    (row,) = (r for r in analyze(tmp_path).connections.to_dict("records") if r["dst"] == "169.254.169.254")

    assert ("node", "unknown") == (row["refused_by"], row["class"])


@pytest.mark.parametrize(
    ("points", "by"),
    [(None, "pod"), (("veth-a", "cni0", "eth0", "veth-z"), "peer")],
    ids=["both are captured", "only the one that asks"],
)
def test_a_pod_refuses_another(points: tuple[str, ...] | None, by: str, tmp_path: Path) -> None:
    """A neighbour's RST comes over the bridge with a full TTL, as the node's would, from a station of its own."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:99", way="veth-a cni0 veth-b")
    talk.syn(0)
    talk.send("RA", by_pod=False, window=0, options=[])
    others = [out(pod=f"10.244.0.11:{port}", nat=f"192.0.2.10:{port}", isn=port) for port in (2100, 2200)]
    others.append(out(pod="10.244.0.12:2300", nat="192.0.2.10:2300", isn=2300, way="veth-b cni0 | eth0"))
    for at, other in enumerate(others):
        other.syn(at - 1)
        other.accept()
    analysis = analyze(record(tmp_path, talk, *others, *AROUND, points=points))

    assert (0, 1, 0) == (analysis.account.node, analysis.account.outside, analysis.account.unknown)
    assert {f"RST by the {by}"} == _who(analysis)
