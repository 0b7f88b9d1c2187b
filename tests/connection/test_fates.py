"""What became of a request: every word of the fates, each with its near miss."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dpkt
import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from analyzer import Analysis, analyze
from tests.connection.reasons import inbound, opens
from tests.conversation import BRIDGE, START, TRANSIT, Conversation, bystander, record

AROUND = (bystander(-5), bystander(20))
POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


def out(**changes: Any) -> Conversation:
    """A pod's connection out of the node."""
    return Conversation(**{"pod": POD, "server": SERVER, "nat": NAT, **changes})


def fates(analysis: Analysis, point: str = "cni0", port: int = 20000) -> list[str]:
    """The fates of the requests from that port, in the gap behind a point."""
    table = analysis.passages.merge(analysis.flows[["point", "flow", "orig_p"]], on=["point", "flow"])
    return [str(f) for f in table[(table["point"] == point) & (table["orig_p"] == port)]["fate"]]


def judged(folder: Path, *talks: Conversation, **options: Any) -> Analysis:
    """Analyse these conversations between two that were whole."""
    return analyze(record(folder, *talks, *AROUND, **options))


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_vanished(proto: str, tmp_path: Path) -> None:
    """Seen before the gap, never behind it, no answer; the next attempt gets through."""
    talk = out(proto=proto)
    for at, lost in ((0, True), (1, False)):
        sent = talk.syn(at) if proto == "tcp" else talk.data(b"query", at)
        if lost:
            sent.lost_after("cni0")
    talk.accept() if proto == "tcp" else talk.reply()
    analysis = judged(tmp_path, talk)

    assert ["passed", "passed"] == fates(analysis, "veth-a")
    assert ["vanished", "passed"] == fates(analysis)
    assert (1, 0) == (analysis.counts.syn_vanished, analysis.counts.udp_vanished)[
        :: 1 if proto == "tcp" else -1
    ]


def test_lost_while_files_were_rotated(tmp_path: Path) -> None:
    """Behind the gap one file ended before, and the next begins after: nobody can tell. In one file it is a loss."""
    talk = out()
    talk.syn(5).lost_after("cni0")
    busy = [bystander(at / 10) for at in (*range(30), *range(80, 110))]
    record(tmp_path, talk, *busy)
    assert ["vanished"] == fates(analyze(tmp_path))

    with (tmp_path / "eth0.pcap").open("rb") as file:
        packets = list(dpkt.pcap.Reader(file))
    (tmp_path / "eth0.pcap").unlink()
    middle = packets[0][0] + 5
    for name, some in (
        ("eth0.0.pcap", [packet for packet in packets if packet[0] < middle]),
        ("eth0.1.pcap", [packet for packet in packets if packet[0] > middle]),
    ):
        with (tmp_path / name).open("wb") as file:
            dpkt.pcap.Writer(file, nano=True, linktype=1).writepkts(some)
    analysis = analyze(tmp_path)

    assert ["undecidable"] == fates(analysis)
    assert any("eth0: between two of its files it was not recorded from" in said for said in analysis.caveats)


def test_vanished_before_the_bridge(tmp_path: Path) -> None:
    """With br_netfilter a full table loses packets between veth and bridge."""
    talk = out()
    talk.syn(0).lost_after("veth-a")
    talk.syn(1)
    talk.accept()
    analysis = judged(tmp_path, talk)

    assert ["vanished", "passed"] == fates(analysis, "veth-a")
    assert ["passed"] == fates(analysis)
    assert [("veth-a", "cni0")] == [incident.gap for incident in analysis.incidents]


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_proof_of_delivery(proto: str, tmp_path: Path) -> None:
    """What was answered was delivered: the capture missed it."""
    talk = out(proto=proto)
    (talk.syn() if proto == "tcp" else talk.data(b"query")).missed_at("eth0")
    talk.accept() if proto == "tcp" else talk.reply()
    analysis = judged(tmp_path, talk)

    assert ["capture-loss"] == fates(analysis)
    assert () == analysis.incidents
    assert any("missed by a capture that they demonstrably passed" in c for c in analysis.caveats)


@pytest.mark.parametrize("lost", [0, 1])
def test_an_answer_to_another_question(lost: int, tmp_path: Path) -> None:
    """Two questions of one socket, and one answer: it is owed to the one that got through."""
    talk = out(proto="udp")
    for n in (0, 1):
        sent = talk.data(b"question %d" % n)
        if n == lost:
            sent.lost_after("cni0")
    talk.reply()

    assert lost == fates(judged(tmp_path, talk)).index("vanished")


@pytest.mark.parametrize("edge", ["begin", "end"])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_the_next_point_was_not_recording(proto: str, edge: str, tmp_path: Path) -> None:
    """A capture at eth0 that began late or ended early decides nothing about what it could not see."""
    talk = out(proto=proto)
    (talk.syn(5) if proto == "tcp" else talk.data(b"query", 5)).lost_after("cni0")
    analysis = judged(tmp_path, talk, **{edge: {"eth0": 10 if edge == "begin" else 1}})

    assert ["undecidable"] == fates(analysis)
    assert () == analysis.incidents


def test_the_next_point_was_just_recording(tmp_path: Path) -> None:
    """The near miss: its first packet is older than the request."""
    talk = out()
    talk.syn(5).lost_after("cni0")

    assert ["vanished"] == fates(judged(tmp_path, talk, bystander(4.9), begin={"eth0": 4}))


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_bridged_to_another_pod(proto: str, tmp_path: Path) -> None:
    """A frame to the other pod's own MAC never goes to eth0, answered or not."""
    talks = []
    for n, answered in enumerate((True, False)):
        talk = Conversation(
            pod=f"10.244.0.11:{20000 + n}",
            server="10.244.0.12:8080",
            way="veth-a cni0 veth-b",
            isn=n,
            proto=proto,
        )
        talk.syn(n) if proto == "tcp" else talk.data(b"query", n)
        if answered:
            talk.accept() if proto == "tcp" else talk.reply()
        talks.append(talk)
    ways = [Conversation(pod=f"10.244.0.{n}:999", server=SERVER, nat=f"192.0.2.10:{n}", isn=n, way=f"veth-{v} cni0 | eth0")
            for n, v in ((11, "a"), (12, "b"))]  # fmt: skip
    for way in ways:
        way.syn(2)
        way.accept()
    analysis = judged(tmp_path, *talks, *ways)

    assert ["passed"] == fates(analysis, port=20000)
    assert {"passed", "not-routed-here"} >= set(fates(analysis, port=20001))
    assert () == analysis.incidents


def test_bridged_to_a_pod_that_was_not_captured(tmp_path: Path) -> None:
    """Only cni0 and eth0 were recorded: the MAC alone tells that the frame was not meant for the router."""
    talk = Conversation(pod=POD, server="10.244.0.12:8080", way="veth-a cni0 veth-b")
    talk.syn()
    other = out(pod="10.244.0.11:999", isn=4)
    other.syn(1)
    other.accept()
    analysis = judged(tmp_path, talk, other, points=("cni0", "eth0"))

    assert ["not-routed-here"] == fates(analysis)


def test_routed_to_a_pod_address_elsewhere(tmp_path: Path) -> None:
    """The near miss: the same address, but the frame goes to the bridge's MAC, as to a pod of another node."""
    talk = Conversation(pod=POD, server="10.244.0.12:8080")
    talk.syn().lost_after("cni0")
    other = out(pod="10.244.0.11:999", isn=4)
    other.syn(1)
    other.accept()

    assert ["vanished"] == fates(judged(tmp_path, talk, other, points=("cni0", "eth0")))


def test_to_the_node_itself(tmp_path: Path) -> None:
    """A request to an address of the node ends there."""
    talk = Conversation(pod=POD, server="192.0.2.10:10250", way="veth-a cni0")
    talk.syn()
    talk.accept()
    refused = Conversation(pod="10.244.0.11:20001", server="192.0.2.10:10251", way="veth-a cni0", isn=9)
    refused.syn(1)
    unanswered = Conversation(pod="10.244.0.11:20002", server="192.0.2.10:10252", way="veth-a cni0", isn=99)
    unanswered.syn(2)
    analysis = judged(tmp_path, talk, refused, unanswered)

    for port in (20000, 20001, 20002):
        assert ["not-routed-here"] == fates(analysis, port=port)


def test_to_the_bridges_own_address(tmp_path: Path) -> None:
    """The interface table tells addresses that no NAT shows: the gateway's on the bridge."""
    talk = Conversation(pod=POD, server="10.244.0.1:53", way="veth-a cni0", proto="udp")
    talk.data(b"query")
    (tmp_path / "ip-link.json").write_text(
        f'[{{"ifindex": 3, "ifname": "cni0", "address": "{BRIDGE}", "addr_info": [{{"local": "10.244.0.1"}}]}}]'
    )

    assert ["not-routed-here"] == fates(judged(tmp_path, talk))


def test_service_on_the_same_node_without_an_answer(tmp_path: Path) -> None:
    """A service's endpoint is another pod here: the SYN turns round at the bridge, translated, answered or not."""
    talk = Conversation(
        pod=POD, server="10.96.0.1:80", dnat="10.244.0.12:8080", way="veth-a cni0 | cni0 veth-b"
    )
    talk.syn()

    assert () == judged(tmp_path, talk).incidents


def test_service_elsewhere_that_vanishes(tmp_path: Path) -> None:
    """The near miss: the SYN to the service neither turns round nor leaves."""
    talk = Conversation(pod=POD, server="10.96.0.1:80", dnat="198.51.100.7:8080", nat=NAT)
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()

    assert ["vanished", "passed"] == fates(judged(tmp_path, talk))


def test_second_uplink(tmp_path: Path) -> None:
    """What leaves by eth1 is not lost, though eth0 does not see it."""
    talk = out(way="veth-a cni0 | eth1")
    talk.syn()
    talk.accept()
    analysis = judged(tmp_path, talk)

    assert ["passed"] == fates(analysis)
    assert 0 == analysis.counts.syn_vanished


def test_second_uplink_that_was_not_captured(tmp_path: Path) -> None:
    """A reply that only the inside saw came by another way: not routed here."""
    talk = out(way="veth-a cni0 | eth1")
    talk.syn()
    talk.accept()
    talk.data()
    talk.reply()
    analysis = judged(tmp_path, talk, points=("veth-a", "cni0", "eth0"))

    assert ["not-routed-here"] == fates(analysis)
    assert () == analysis.incidents


def test_lost_on_the_second_uplink(tmp_path: Path) -> None:
    """The near miss: both uplinks were recorded and neither saw it."""
    talk = out()
    talk.syn().lost_after("cni0")
    other = out(pod="10.244.0.11:999", way="veth-a cni0 | eth1", isn=3)
    other.syn(-1)
    other.accept()
    again = out(pod="10.244.0.11:998", way="veth-a cni0 | eth1", isn=3333)
    again.syn(9)
    again.accept()
    analysis = judged(tmp_path, talk, other, again)

    assert ["vanished"] == fates(analysis)
    assert 1 == analysis.counts.syn_vanished


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_inward(proto: str, tmp_path: Path) -> None:
    """A request from outside to a pod that never reaches the bridge vanishes between eth0 and cni0."""
    talk = Conversation(
        pod="10.244.0.11:80", server="198.51.100.7:40000", nat="192.0.2.10:30080", proto=proto
    )
    first = talk.send("S", b"" if proto == "tcp" else b"one", by_pod=False, at=0, seq=50).lost_after("eth0")
    talk.send("S", first.payload, by_pod=False, at=1, seq=50)
    talk.send("SA" if proto == "tcp" else "PA", b"" if proto == "tcp" else b"answer", ack=51)
    analysis = judged(tmp_path, talk)

    assert ["vanished", "passed"] == fates(analysis, "eth0", 40000)
    assert [("cni0", "eth0")] == [incident.gap for incident in analysis.incidents]


def test_inward_to_a_pod_that_was_not_captured(tmp_path: Path) -> None:
    """Without the bridge, only a packet for a captured pod must show inside."""
    talk = Conversation(pod="10.244.0.12:80", server="10.244.7.7:40000", way="veth-b | eth0")
    talk.send("S", by_pod=False, at=0, seq=50)
    other = Conversation(pod="10.244.0.11:80", server="10.244.7.7:40000", way="veth-a | eth0")
    other.send("S", by_pod=False, at=1, seq=50)
    other.send("SA", ack=51)
    third = out(pod="10.244.0.11:999", way="veth-a | eth0", isn=3)
    third.syn(2)
    third.accept()
    before, after = bystander(-1, "veth-a | eth0"), bystander(9, "veth-a | eth0")
    analysis = analyze(record(tmp_path, talk, other, third, before, after, points=("veth-a", "eth0")))

    assert () == analysis.incidents


def test_cut_captures_lose_nothing(tmp_path: Path) -> None:
    """A shorter snaplen at one point is no loss, down to the 68 bytes that tcpdump once had as its default."""
    for proto in ("tcp", "udp"):
        for snaplen in (262144, 128, 96, 74, 68):
            talk = out(proto=proto)
            if proto == "tcp":
                talk.syn()
                talk.accept()
            talk.data(bytes(range(200)))
            talk.reply(300)
            analysis = judged(tmp_path / f"{proto}{snaplen}", talk, snaplen={"eth0": snaplen})

            assert ["passed"] == fates(analysis), (proto, snaplen)
            assert 0 == analysis.counts.syn_vanished + analysis.counts.udp_vanished


@pytest.mark.parametrize("short", [("eth0",), ("veth-a",), ("veth-a", "cni0"), ("veth-a", "cni0", "eth0")])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_cut_captures_still_show_a_loss(proto: str, short: tuple[str, ...], tmp_path: Path) -> None:
    """The near miss: what is missing behind the gap is missed, wherever only 68 bytes were captured."""
    talk = out(proto=proto)
    for at in (0, 1):
        sent = talk.syn(at) if proto == "tcp" else talk.data(bytes(range(100)), at)
        if not at:
            sent.lost_after("cni0")
    talk.accept() if proto == "tcp" else talk.reply()
    analysis = judged(tmp_path, talk, snaplen=dict.fromkeys(short, 68))

    assert ["vanished", "passed"] == fates(analysis)


def test_equal_packets_of_others_hide_no_loss(tmp_path: Path) -> None:
    """Another socket's equal datagram at the same moment, unanswered, is not the lost one turned round."""
    lost = out(proto="udp")
    lost.data(b"ping", 0).lost_after("cni0")
    other = out(pod="10.244.0.11:20001", nat="192.0.2.10:20001", proto="udp")
    other.data(b"ping", 0.01)
    analysis = judged(tmp_path, lost, other)

    assert ["vanished"] == fates(analysis)
    assert ["passed"] == fates(analysis, port=20001)


def test_very_many_equal_losses(tmp_path: Path) -> None:
    """Thousands of equal datagrams that all vanish are judged without comparing each with each."""
    talk = out(proto="udp")
    for n in range(1000):
        talk.data(b"beacon", n * 0.001).lost_after("cni0")

    assert 1000 == judged(tmp_path, talk, points=("cni0", "eth0")).counts.udp_vanished


@dataclass(kw_only=True)
class Refused(Conversation):
    """UDP of which nothing leaves the node, and ICMP errors that reject its datagrams at the bridge."""

    errors: list[tuple[int, int]]
    """When, in ns since the first second, and the code."""
    quotes: int | None = None
    """Which datagram the errors quote, by its IP ID; None where the quoted header has none."""

    def frames(self) -> Iterator[tuple[str, int, bytes]]:
        """The datagrams and the errors."""
        sent = list(super().frames())
        yield from sent
        quoted = sent[2 * (self.quotes or 0)][2][14:][:28]
        if self.quotes is None:
            quoted = quoted[:4] + bytes(2) + quoted[6:]
        for time, code in self.errors:
            error = IP(src="10.244.0.1", dst="10.244.0.11") / ICMP(type=3, code=code) / Raw(quoted)
            yield "cni0", START + time, bytes(Ether(src=BRIDGE, dst="02:00:00:00:00:09") / error)


def test_rejected(tmp_path: Path) -> None:
    """Without an IP ID an error is about the last packet that was sent before it, however long ago."""
    chance = random.Random(7)
    talks, expected = [], {}
    for port in range(20000, 20012):
        talk = Refused(pod=f"10.244.0.11:{port}", server=SERVER, nat=NAT, proto="udp", errors=[])
        for n in range(8):
            talk.data(b"%d %d" % (port, n), at=n * 0.4).lost_after("cni0")
        seen = [sent.time - START + TRANSIT for sent in talk.sent]
        talk.errors = [
            *((chance.randrange(4_000_000_000), chance.choice([1, 3, 13])) for _ in range(port - 20000)),
            (seen[-1] + 500_000_000, 13),
        ]
        about = {max((at for at in seen if at <= time), default=0) for time, _ in talk.errors}
        expected[port] = ["not-routed-here" if at in about else "vanished" for at in seen]
        talks.append(talk)
    analysis = judged(tmp_path, *talks)

    assert {"not-routed-here", "vanished"} == {fate for fates in expected.values() for fate in fates}
    assert expected == {port: fates(analysis, port=port) for port in expected}


def test_rejected_by_ip_id(tmp_path: Path) -> None:
    """An error that quotes an IP ID is about that packet, though others were sent in between."""
    talk = Refused(pod=POD, server=SERVER, nat=NAT, proto="udp", errors=[(2_000_000_000, 13)], quotes=1)
    for n in range(4):
        talk.data(b"%d" % n, at=n * 0.4).lost_after("cni0")

    assert ["vanished", "not-routed-here", "vanished", "vanished"] == fates(judged(tmp_path, talk))


def test_an_answer_to_the_repetition(tmp_path: Path) -> None:
    """Where the uplink was silent, an answer tells that the second SYN left the node, not that the first one did."""
    talk = out()
    talk.syn(0).lost_after("cni0")
    talk.syn(1).missed_at("eth0")
    talk.synack(1.1).missed_at("eth0")
    talk.send("A").missed_at("eth0")
    analysis = analyze(record(tmp_path, talk, bystander(-5), bystander(5), end={"eth0": -1}))

    assert ["undecidable", "passed"] == fates(analysis)
    assert 1 == analysis.account.unknown


def _tunnelled() -> Conversation:
    return out(server="10.244.2.5:80", nat=None, way="veth-a cni0 | flannel.1 eth0")


def test_all_answers_of_a_gap_lost(tmp_path: Path) -> None:
    """No reply at all passes: that looks like a capture of one direction, unless another connection shows both there."""
    talk = _tunnelled()
    for at in (0, 1):
        talk.syn(at).only_at("veth-a", "cni0", "flannel.1")
        talk.synack(at + 0.1).only_at("flannel.1")
    analysis = judged(tmp_path, talk)

    assert 2 == analysis.counts.reply_vanished
    assert [("cni0", "flannel.1")] == [one.gap for one in analysis.incidents]


def test_a_tunnel_device_is_no_bridge(tmp_path: Path) -> None:
    """Its frames are addressed to the far end's device, which is no neighbour on a bridge."""
    talk = _tunnelled()
    for at in (0, 1):
        talk.syn(at).lost_after("flannel.1")
    analysis = judged(tmp_path, talk)

    assert [("flannel.1", "eth0")] == [one.gap for one in analysis.incidents]


def test_what_carries_a_tunnel_is_not_read(tmp_path: Path) -> None:
    """Cannot tell: the uplink shows VXLAN whose inner packets the snaplen cut off."""
    talk = _tunnelled()
    for at in (0, 1):
        talk.syn(at).lost_after("flannel.1")
    outer = Conversation(pod="192.0.2.10:50000", server="192.0.2.12:8472", proto="udp", way="eth0", isn=99)
    outer.data(30, at=0)
    analysis = judged(tmp_path, talk, outer)

    assert {"undecidable"} == set(fates(analysis, "flannel.1"))
    assert not analysis.incidents


def test_a_pod_without_bridge_none_of_which_got_out(tmp_path: Path) -> None:
    """Each veth has an address of its own there, which no crossing of another pod tells."""
    talk = out(way="cali1a | eth0")
    for at in (0, 1, 3):
        talk.syn(at).lost_after("cali1a")
    others = [bystander(at, way="cali2b | eth0") for at in (-5, 20)]
    folder = record(tmp_path, talk, *others)
    path = folder / "cali1a.pcap"
    path.write_bytes(path.read_bytes().replace(bytes.fromhex(BRIDGE.replace(":", "")), bytes(5) + b"\x77"))
    analysis = analyze(folder)

    assert [("syn-vanished", ("cali1a", "eth0"))] == [(one.kind, one.gap) for one in analysis.incidents]


def test_a_reply_from_another_bridge(tmp_path: Path) -> None:
    """Routed from one bridge of the node to the other, it got as far as was captured: it is not lost on its way back."""
    talk = Conversation(
        pod="10.244.0.11:20000", server="10.245.0.9:82", way="veth-a cni0 | docker0 veth-c", isn=3_000_000
    )
    talk.syn(0)
    talk.send("RA", by_pod=False, seq=0, ack=talk.isn + 1, window=0, options=[])
    record(tmp_path, talk, bystander(-1), bystander(5), points=("cni0", "docker0", "veth-c", "eth0"))
    analysis = analyze(tmp_path)

    assert () == analysis.incidents
    assert 1 == analysis.account.outside


@pytest.mark.parametrize(
    ("eth0", "eth1", "gap"),
    [
        ((-5, 1, 2, 20), (-4, 21), "eth0"),
        ((-5, 20), (-4, 1, 2, 21), "eth1"),
        ((-5, 1, 2, 3), (-4, 21), "eth1"),
    ],
    ids=["the busier", "the other is", "the one that was recording"],
)
def test_which_of_two_uplinks(eth0: tuple[int, ...], eth1: tuple[int, ...], gap: str, tmp_path: Path) -> None:
    """Where nothing tells which way a SYN would have gone, the loss is told of one."""
    talk = out()
    talk.syn(10).lost_after("cni0")
    ways = (eth0, "veth-z cni0 | eth0"), (eth1, "veth-z cni0 | eth1")
    busy = [bystander(at, way) for times, way in ways for at in times]

    assert [("cni0", gap)] == [one.gap for one in analyze(record(tmp_path, talk, *busy)).incidents]


@pytest.mark.parametrize(("end", "expected"), [(30, ("vanished", 1)), (2.5, ("undecidable", 0))])
def test_where_its_flow_went(end: float, expected: tuple[str, int], tmp_path: Path) -> None:
    """One of a service's two pods got a flow's first datagram: that another one's capture lacks the second proves nothing."""
    talks = []
    for n, (pod, way) in enumerate([(11, "cali1a"), (11, "cali1a"), (12, "cali2b"), (12, "cali2b")]):
        ends = {"pod": f"10.244.0.{pod}:8080", "server": f"203.0.113.{n}:{41000 + n}", "nat": "192.0.2.10:80"}
        talks.append(Conversation(**ends, proto="udp", way=f"{way} | eth0"))
        talks[-1].send(payload=b"asks %d" % n, by_pod=False, at=n / 2)
    talks[-1].send(payload=b"once more", by_pod=False, at=3).lost_after("eth0")
    talks[-2].send(payload=b"later", by_pod=False, at=10)
    around = [bystander(at, "cali1a | eth0") for at in (-5, 20)]
    analysis = analyze(record(tmp_path, *talks, *around, end={"cali2b": end}))

    assert ["passed", expected[0]] == fates(analysis, "eth0", 41003)
    assert [("cali2b", "eth0")] * expected[1] == [one.gap for one in analysis.incidents]


def test_an_answer_beyond_a_blind_point(tmp_path: Path) -> None:
    """The uplink shows what comes in only: a SYN whose answer is there got through, and the answer did not."""
    talk = out()
    talk.syn(0).missed_at("eth0")
    talk.synack().only_at("eth0")
    around = [bystander(at) for at in (-5, 1, 20)]
    for sent in (sent for one in around for sent in one.sent if sent.outward):
        sent.missed_at("eth0")
    analysis = analyze(record(tmp_path, talk, *around))

    assert ["capture-loss"] == fates(analysis)
    assert [("reply-vanished", ("cni0", "eth0"))] == [(one.kind, one.gap) for one in analysis.incidents]


def _letters(analysis: Analysis, *, replies: bool) -> dict[str, list[str]]:
    """Per point, of each packet followed there: first, last, answered, outward; those of the bystanders left out."""
    found: dict[str, list[str]] = {}
    scene = analysis.captured
    for at in (at for kind in (scene.replies if replies else scene.requests).values() for at in kind):
        ports = at.point.flows.ports[at.point.packets.flow[at.rows]] & 0xFFFF
        marks = zip(at.first, at.last, at.answered, at.outward, ports, strict=True)
        mine = [zip("FLAO", mark, strict=False) for mark in marks if mark[4] != 443]
        told = ["".join(letter for letter, is_ in mark if is_) for mark in mine]
        if told:
            found[at.point.name] = told
    return found


OUTWARD = out()
OUTWARD.syn(0).lost_after("cni0")
OUTWARD.syn(1)
OUTWARD.accept()
INWARD = opens(inbound(), 0)
INWARD.send("SA").lost_after("cni0")
INWARD.send("SA", at=1, seq=INWARD.isn)
INWARD.send("A", by_pod=False)
DATAGRAMS = out(proto="udp")
DATAGRAMS.data(b"one", 0).lost_after("veth-a")
DATAGRAMS.data(b"two", 1)
DATAGRAMS.reply(b"three").lost_after("eth0")


@pytest.mark.parametrize(
    ("talk", "requests", "replies"),
    [
        (OUTWARD, {"veth-a": ["FO", "FAO"], "cni0": ["LO", "AO"], "eth0": ["LAO"]},
         {"eth0": ["F"], "cni0": [""], "veth-a": ["L"]}),
        (INWARD, {"eth0": ["FA"], "cni0": ["A"], "veth-a": ["LA"]},
         {"veth-a": ["FO", "FO"], "cni0": ["LAO", "O"], "eth0": ["LO"]}),
        (DATAGRAMS, {"veth-a": ["FLO", "FO"], "cni0": ["O"], "eth0": ["LAO"]}, {"eth0": ["FL"]}),
    ],
    ids=["out", "in", "datagrams"],
)  # fmt: skip
def test_where_a_packet_was_first_and_last(
    talk: Conversation, requests: dict[str, list[str]], replies: dict[str, list[str]], tmp_path: Path
) -> None:
    """Each packet is first at one point and last at one, whichever way it goes."""
    analysis = judged(tmp_path, talk)

    assert (requests, replies) == tuple(_letters(analysis, replies=way) for way in (False, True))


def both_pods() -> Iterator[Conversation]:
    """Whole connections of two pods, before and after: where each of them is, and that both were recorded."""
    for n, at in enumerate((-1, -1.5, 7, 7.5)):
        port, pod = 21000 + n, "ab"[n % 2]
        talk = out(
            pod=f"10.244.0.{11 + n % 2}:{port}",
            nat=f"192.0.2.10:{port}",
            isn=port,
            way=f"veth-{pod} cni0 | eth0",
        )
        talk.syn(at)
        talk.accept()
        yield talk


@pytest.mark.parametrize("delivered", [False, True])
def test_replies_at_another_pods_port(delivered: bool, tmp_path: Path) -> None:
    """A bridge's table leads replies to another pod's port: lost. What it floods shows at the pod's own as well: passed."""
    talk, strayed = out(), out(way="veth-b cni0 | eth0")
    for at in (0,) if delivered else (0, 1):
        talk.syn(at)
        reply = talk.synack(at + 0.01)
        flooded = strayed.send("SA", by_pod=False, at=at + 0.01, seq=reply.seq, ack=reply.ack)
        flooded.only_at("veth-b").number = reply.number
        if not delivered:
            reply.missed_at("veth-a")
    if delivered:
        talk.send("A")
    account = judged(tmp_path, talk, strayed, *both_pods()).account

    assert (int(not delivered), 0, 0) == (account.node, account.outside, account.unknown)


def test_a_request_at_another_pods_port(tmp_path: Path) -> None:
    """A bridge that lost a pod's port floods what is for it: another pod's interface does not show that it arrived."""
    talk = out(pod="10.244.0.11:80", server="198.51.100.7:5000", nat=None)
    strayed = out(pod="10.244.0.11:80", server="198.51.100.7:5000", nat=None, way="veth-b cni0 | eth0")
    for at in (0, 1, 3):
        talk.send("S", by_pod=False, at=at, seq=9).missed_at("veth-a")
        strayed.send("S", by_pod=False, at=at, seq=9).only_at("veth-b")
    account = judged(tmp_path, talk, strayed, *both_pods()).account

    assert (1, 0, 0) == (account.node, account.outside, account.unknown)
