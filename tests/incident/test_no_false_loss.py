"""What was not lost is never called lost, whatever is missing of the captures and in whatever order they come."""

from __future__ import annotations

import random
import shutil
import tempfile
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, fragment
from scapy.packet import Packet
from scapy.utils import rdpcap, wrpcap

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

POINTS = ("veth-a", "veth-b", "veth-z", "cni0", "eth0", "eth1")
SERVER = "192.0.2.100:80"


def whole(n: int, at: float, proto: str) -> Conversation:
    """Out of the node and answered."""
    talk = Conversation(
        pod=f"10.244.0.11:{20000 + n}",
        server=SERVER,
        nat=f"192.0.2.10:{30000 + n}",
        isn=n * 99_991,
        proto=proto,
    )
    _open(talk, at)
    return talk


def six(n: int, at: float, proto: str) -> Conversation:
    """The same in IPv6."""
    talk = Conversation(
        pod=f"[2001:db8:1::11]:{20000 + n}",
        server="[2001:db8:2::100]:80",
        nat=f"[2001:db8::10]:{30000 + n}",
        isn=n * 99_991,
        proto=proto,
    )
    _open(talk, at)
    return talk


def service(n: int, at: float, proto: str) -> Conversation:
    """Out of the node to a service: DNAT and SNAT."""
    talk = whole(n, at, proto)
    talk.server, talk.dnat = "10.96.0.1:80", "192.0.2.100:8080"
    return talk


def unanswered(n: int, at: float, proto: str) -> Conversation:
    """Three attempts that the far side never answers."""
    talk = whole(n, at, proto)
    talk.sent.clear()
    for more in (0, 1, 3):
        _ask(talk, at + more)
    return talk


def bridged(n: int, at: float, proto: str) -> Conversation:
    """To another pod of the same bridge."""
    talk = Conversation(
        pod=f"10.244.0.11:{20000 + n}",
        server="10.244.0.12:8080",
        way="veth-a cni0 veth-b",
        isn=n * 99_991,
        proto=proto,
    )
    _open(talk, at)
    return talk


def bridged_in_vain(n: int, at: float, proto: str) -> Conversation:
    """To another pod of the same bridge that does not answer."""
    talk = bridged(n, at, proto)
    talk.sent = talk.sent[:1]
    return talk


def home(n: int, at: float, proto: str) -> Conversation:
    """To the node itself."""
    talk = Conversation(
        pod=f"10.244.0.11:{20000 + n}",
        server="192.0.2.10:10250",
        way="veth-a cni0",
        isn=n * 99_991,
        proto=proto,
    )
    _open(talk, at)
    return talk


def turned(n: int, at: float, proto: str) -> Conversation:
    """To a service whose endpoint is on the same node."""
    talk = Conversation(
        pod=f"10.244.0.11:{20000 + n}",
        server="10.96.0.2:80",
        dnat="10.244.0.12:8080",
        way="veth-a cni0 | cni0 veth-b",
        isn=n * 99_991,
        proto=proto,
    )
    _open(talk, at)
    return talk


def elsewhere(n: int, at: float, proto: str) -> Conversation:
    """Out by the second uplink."""
    talk = whole(n, at, proto)
    talk.way, talk.points = "veth-a cni0 | eth1", ["veth-a", "cni0", "eth1"]
    return talk


def missed(n: int, at: float, proto: str) -> Conversation:
    """Answered, but the capture at eth0 missed the request."""
    talk = whole(n, at, proto)
    talk.sent[0].missed_at("eth0")
    return talk


def inward(n: int, at: float, proto: str) -> Conversation:
    """From outside to a pod."""
    talk = Conversation(
        pod="10.244.0.11:80",
        server=f"198.51.100.7:{40000 + n}",
        nat="192.0.2.10:30080",
        isn=n * 99_991,
        server_isn=n * 77,
        proto=proto,
    )
    talk.send("S", b"" if proto == "tcp" else f"query {n}".encode(), by_pod=False, at=at)
    talk.send("SA" if proto == "tcp" else "PA", b"" if proto == "tcp" else b"answer")
    return talk


HARMLESS = (
    whole, six, service, unanswered, bridged, bridged_in_vain, home, turned, elsewhere, missed, inward,
)  # fmt: skip


def _ask(talk: Conversation, at: float) -> None:
    talk.syn(at) if talk.proto == "tcp" else talk.data(f"query {talk.isn}".encode(), at)


def _open(talk: Conversation, at: float) -> None:
    _ask(talk, at)
    talk.accept() if talk.proto == "tcp" else talk.reply(f"answer {talk.isn}".encode())


kinds = st.lists(
    st.tuples(st.sampled_from(HARMLESS), st.integers(0, 5), st.sampled_from(["tcp", "udp"])), max_size=8
)


def analysed(talks: list[Conversation], points: tuple[str, ...], order: list[str] | None = None) -> Analysis:
    """Analyse what these points recorded, their files given in this order."""
    with tempfile.TemporaryDirectory() as name:
        folder = record(Path(name), *talks, points=points)
        return analyze([folder / f"{point}.pcap" for point in order] if order else folder)


# One uplink of two alone cannot tell an unanswered request that left by the other from a lost one.
recorded = st.sets(st.sampled_from(POINTS), min_size=1).filter(lambda p: "eth1" not in p or "eth0" in p)


@given(kinds, recorded)
@example(
    [(unanswered, 0, "tcp"), (bridged_in_vain, 0, "tcp"), (bridged_in_vain, 1, "tcp")], {"veth-a", "veth-b"}
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_without_some_points(made: list[tuple[object, int, str]], points: set[str]) -> None:
    """Whichever points were recorded, harmless traffic is no incident."""
    talks = [kind(n, at, proto) for n, (kind, at, proto) in enumerate(made)]  # type: ignore[operator]
    around = [bystander(-1), bystander(10)]
    analysis = analysed([*talks, *around], tuple(p for p in POINTS if p in points))

    assert (0, 0) == (analysis.counts.syn_vanished, analysis.counts.udp_vanished)
    assert () == analysis.incidents


@pytest.mark.parametrize("kind", HARMLESS)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_each_alone(kind: object, proto: str, tmp_path: Path) -> None:
    """With every single point, and every pair of points."""
    talks = [kind(1, 0, proto), bystander(-1), bystander(10), whole(2, 3, "tcp")]  # type: ignore[operator]
    record(tmp_path, *talks, points=POINTS)
    for points in combinations_with_replacement(POINTS, 2):
        files = [tmp_path / f"{point}.pcap" for point in dict.fromkeys(points)]
        assert () == analyze(files).incidents, points


@given(kinds, st.integers(1, 3), st.permutations(["veth-a", "veth-z", "cni0", "eth0"]))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_order_of_the_files(made: list[tuple[object, int, str]], losses: int, order: list[str]) -> None:
    """The order in which files are given changes nothing, and no loss more is found than there was.

    Where others took a way that nobody captured, or were missed, the lost ones may have been so as well.
    """
    talks = [kind(n, at, proto) for n, (kind, at, proto) in enumerate(made)]  # type: ignore[operator]
    for n in range(losses):
        talk = whole(100 + n, n, "tcp")
        talk.sent.clear()
        talk.syn(n).lost_after("cni0")
        talk.syn(n + 1)
        talk.accept()
        talks.append(talk)
    talks += [bystander(-1), bystander(10)]
    points = ("veth-a", "veth-z", "cni0", "eth0")
    straight, shuffled = analysed(talks, points, list(points)), analysed(talks, points, order)

    if any(kind in (elsewhere, missed) for kind, _, _ in made):
        assert straight.counts.syn_vanished <= losses
    else:
        assert losses == straight.counts.syn_vanished
    assert straight.counts == shuffled.counts
    assert [i.id for i in straight.incidents] == [i.id for i in shuffled.incidents]
    assert [f.inner for i in straight.incidents for f in i.findings] == [
        f.inner for i in shuffled.incidents for f in i.findings
    ]


attempts = st.lists(st.booleans(), min_size=1, max_size=4)
connections = st.lists(
    st.tuples(attempts, st.booleans(), st.sampled_from(["tcp", "udp"]), st.integers(0, 3)),
    min_size=1,
    max_size=6,
)


@example(  # equal repetitions of one direction only: paired every way, they told of a clock 6 s off
    [
        ([k, *[False] * n], False, "tcp", 0)
        for k, n in ((True, 3), (False, 1), (False, 0), (False, 0), (False, 1))
    ],
    False,
)
@given(connections, st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_exactly_what_was_lost(made: list[tuple[list[bool], bool, str, int]], timestamps: bool) -> None:
    """Of any connections' attempts, those that vanished are found, and no other; repetitions may be equal to the byte."""
    talks = []
    lost = {"tcp": 0, "udp": 0}
    for n, (losses, answered, proto, at) in enumerate(made):
        talk = whole(n, at, proto)
        talk.timestamps = timestamps
        talk.sent.clear()
        for k, gone in enumerate(losses):
            _ask(talk, at + (0, 1, 3, 7)[k])
            if gone:
                talk.sent[-1].lost_after("cni0")
        if answered and not losses[-1]:
            talk.accept() if proto == "tcp" else talk.reply(30)
        lost[proto] += sum(losses)
        talks.append(talk)
    counts = analysed([*talks, bystander(-1), bystander(20)], ("veth-a", "veth-z", "cni0", "eth0")).counts

    assert lost == {"tcp": counts.syn_vanished, "udp": counts.udp_vanished}
    assert sum(len(losses) for losses, _, proto, _ in made if proto == "tcp") + 2 == counts.syn_attempts


@pytest.mark.parametrize("proto", ["udp", "icmp"])
@pytest.mark.parametrize("pieces", [("veth-a", "eth0"), ("cni0",), ("eth0",)], ids="-".join)
def test_datagrams_in_fragments(proto: str, pieces: tuple[str, ...], tmp_path: Path) -> None:
    """Where conntrack works they are whole (nf_defrag_ipv4), elsewhere in pieces: one packet, and one connection."""
    talk = Conversation(
        pod="10.244.0.11:20000",
        server="192.0.2.100:20000" if proto == "icmp" else "192.0.2.100:53",
        nat="192.0.2.10:20000",
        proto=proto,
    )
    for at in (0, 1, 2):
        talk.data(3000, at)
    record(tmp_path, talk, bystander(-1), bystander(5))
    for point in pieces:
        path = tmp_path / f"{point}.pcap"
        frames = rdpcap(str(path))
        wrpcap(str(path), [piece for frame in frames for piece in _pieces(frame)], nano=True)
    analysis = analyze(tmp_path)

    assert () == analysis.incidents
    assert (3, 1) == (analysis.account.connections, analysis.account.outside)


def _pieces(frame: Packet) -> list[Packet]:
    """As fragments of 1,480 bytes, all of one time."""
    if len(frame) < 1500:
        return [frame]
    frame[IP].flags = 0
    found = fragment(frame, 1480)
    for piece in found:
        piece.time = frame.time
    return list(found)


@pytest.mark.parametrize("point", ["veth-a", "cni0", "eth0"])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_capture_that_lacks_packets(point: str, share: float, tmp_path: Path) -> None:
    """Whatever one capture lacks, nothing of TCP that worked is said to have failed, and what this node lost is not outside."""
    source = Path(__file__).parents[2] / "fixtures" / "service-race"
    shutil.copytree(source, tmp_path / "whole")
    whole = analyze(tmp_path / "whole").connections
    frames = rdpcap(str(tmp_path / "whole" / f"{point}.pcap"))
    chance = random.Random(7)
    wrpcap(
        str(tmp_path / "whole" / f"{point}.pcap"), [f for f in frames if chance.random() >= share], nano=True
    )
    part = analyze(tmp_path / "whole").connections
    ends = ["proto", "src", "src_port", "dst", "dst_port"]
    both = whole.merge(part, on=ends, suffixes=("", "_part")).query("proto == 6")

    assert len(both) > 50
    assert not ((both["class"] == "worked") & both["class_part"].isin(["node", "outside"])).any()
    assert not ((both["class"] == "node") & (both["class_part"] == "outside")).any()
