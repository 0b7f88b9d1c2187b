"""Flows matched across NAT: by the SYN, by votes, and never by a guess."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from analyzer import Analysis, analyze
from analyzer.capture.columns import FLOW_DTYPES, Flows
from analyzer.flow.point import routable
from analyzer.nat.matching import match
from analyzer.nat.tuples import DPORT, DST, ISN, SPORT, SRC
from tests.conftest import analysed
from tests.conversation import Conversation, bystander, record

Pairs = dict[str, tuple[str, str, str]]


def crossings(analysis: Analysis, inner: str = "cni0", outer: str = "eth0") -> Pairs:
    """The crossings of a gap: the originator inside, to (the originator, the responder outside, what proves it)."""
    table = analysis.crossings
    gap = table[(table["inner_point"] == inner) & (table["outer_point"] == outer)]
    return {row.inner_orig: (row.outer_orig, row.outer_resp, row.confidence) for row in gap.itertuples()}


def whole(**ends: object) -> Conversation:
    """A connection from its SYN to its FIN."""
    talk = Conversation(**ends)  # type: ignore[arg-type]
    talk.syn()
    talk.accept()
    talk.data(300)
    talk.reply(1200)
    talk.send("FA")
    return talk


V4 = {"pod": "10.244.0.11:20000", "server": "192.0.2.100:80"}
V6 = {"pod": "[2001:db8:1::11]:20000", "server": "[2001:db8:2::100]:80"}


@pytest.mark.parametrize(
    ("ends", "outer"),
    [
        (V4 | {"nat": "192.0.2.10:20000"}, ("192.0.2.10:20000", "192.0.2.100:80")),
        (V4 | {"nat": "192.0.2.10:1024"}, ("192.0.2.10:1024", "192.0.2.100:80")),
        (V4 | {"dnat": "198.51.100.7:8080"}, ("10.244.0.11:20000", "198.51.100.7:8080")),
        (
            V4 | {"nat": "192.0.2.10:1024", "dnat": "198.51.100.7:8080"},
            ("192.0.2.10:1024", "198.51.100.7:8080"),
        ),
        (V4, ("10.244.0.11:20000", "192.0.2.100:80")),
        (V6 | {"nat": "[2001:db8::10]:20000"}, ("[2001:db8::10]:20000", "[2001:db8:2::100]:80")),
        (
            V6 | {"nat": "[2001:db8::10]:1024", "dnat": "[2001:db8:3::7]:8080"},
            ("[2001:db8::10]:1024", "[2001:db8:3::7]:8080"),
        ),
    ],
    ids=["snat, port kept", "snat, port changed", "dnat", "both", "none", "v6 snat", "v6 both"],
)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_every_translation(proto: str, ends: dict[str, str], outer: tuple[str, str], tmp_path: Path) -> None:
    """Whatever NAT changes, the flow is recognised, and so is every one of its packets."""
    talk = Conversation(**ends, proto=proto)  # type: ignore[arg-type]
    if proto == "tcp":
        talk.syn()
        talk.accept()
    for _ in range(3):
        talk.data(40)
        talk.reply(40)
    analysis = analyze(record(tmp_path, talk))

    assert {talk.pod: (*outer, "proven")} == crossings(analysis)
    assert analysis.scene is not None
    for gap in analysis.scene.gaps:
        assert list(range(len(talk.sent))) == gap.in_outer.whole().tolist() == gap.in_inner.whole().tolist()


@pytest.mark.parametrize(
    ("pod", "server", "nat"),
    [
        ("10.244.0.11:300", "192.0.2.100:300", "192.0.2.10:300"),
        ("10.244.0.11:300", "192.0.2.100:300", "192.0.2.10:301"),
        ("[2001:db8:1::11]:300", "[2001:db8:2::100]:300", "[2001:db8::10]:301"),
    ],
    ids=["identifier kept", "identifier changed", "v6"],
)
def test_echo(pod: str, server: str, nat: str, tmp_path: Path) -> None:
    """ICMP echo is recognised though its identifier is translated like a port."""
    talk = Conversation(pod=pod, server=server, nat=nat, proto="icmp")
    for _ in range(3):
        talk.data(56)
        talk.reply()
    analysis = analyze(record(tmp_path, talk))

    assert 1 == len(crossings(analysis))
    assert analysis.scene is not None
    assert list(range(6)) == analysis.scene.gaps[-1].in_outer.whole().tolist()


def test_service_behind_bridge_netfilter(tmp_path: Path) -> None:
    """With br_netfilter DNAT shows between veth and bridge, SNAT behind it."""
    talk = whole(**V4, nat="192.0.2.10:1024", dnat="198.51.100.7:8080", way="veth-a / cni0 | eth0")
    analysis = analyze(record(tmp_path, talk))

    assert {talk.pod: ("10.244.0.11:20000", "198.51.100.7:8080", "proven")} == crossings(
        analysis, "veth-a", "cni0"
    )
    assert {talk.pod: ("192.0.2.10:1024", "198.51.100.7:8080", "proven")} == crossings(analysis)


@pytest.mark.parametrize("timestamps", [True, False])
def test_captures_that_begin_in_the_middle(timestamps: bool, tmp_path: Path) -> None:
    """Without a SYN the packets themselves vote."""
    talks = [
        whole(pod=f"10.244.0.{n}:20000", server="192.0.2.100:80", nat=f"192.0.2.10:{1024 + n}", isn=n * 7919)
        for n in range(11, 16)
    ]
    for talk in talks:
        talk.timestamps = timestamps
        talk.sent = talk.sent[3:]
    found = crossings(analyze(record(tmp_path, *talks)))

    assert {talk.pod: (talk.nat, talk.server, "proven") for talk in talks} == found


def test_direction_guessed_differently(tmp_path: Path) -> None:
    """A service on a high port, recorded from the middle and translated to a low one, is turned round and matched."""
    talk = whole(
        pod="10.244.0.11:20000", server="192.0.2.100:30000", dnat="198.51.100.7:80", nat="192.0.2.10:20000"
    )
    talk.sent = talk.sent[3:]
    row = analyze(record(tmp_path, talk)).crossings.iloc[-1]

    assert [talk.server, talk.pod] == [row["inner_orig"], row["inner_resp"]]
    assert [talk.dnat, talk.nat] == [row["outer_orig"], row["outer_resp"]]


def test_reused_tuple(tmp_path: Path) -> None:
    """A tuple used twice within seconds makes two flows and two crossings."""
    talks = []
    for n, at in enumerate((0.0, 5.0)):
        talk = Conversation(**V4, nat=f"192.0.2.10:{1024 + n}", isn=1000 + n * 50_000)
        talk.syn(at)
        talk.accept()
        talk.send("FA")
        talks.append(talk)
    analysis = analyze(record(tmp_path, *talks))
    table = analysis.crossings

    assert ["192.0.2.10:1024", "192.0.2.10:1025"] == table[table["outer_point"] == "eth0"][
        "outer_orig"
    ].tolist()


def test_what_asks_whether_an_address_is_free_is_not_matched() -> None:
    """`::` sends to a multicast group (RFC 4862 section 5.4.3), which no router forwards; its zeros make it no IPv4."""
    flows = Flows(**{name: np.zeros(2, dtype) for name, dtype in FLOW_DTYPES.items()})
    flows.proto[:] = 58
    flows.dst_hi[:] = 0xFF02 << 48, 0x20010DB8 << 32
    flows.dst_lo[:] = 0x1FF000001, 0xE0000001

    assert [1] == routable(flows).tolist()


def test_identical_syns_are_not_guessed(tmp_path: Path) -> None:
    """Two pods' SYNs that are equal in all that NAT leaves alone: stated, undecided, and no loss."""
    talks = []
    for n in (11, 12):
        talk = Conversation(
            pod=f"10.244.0.{n}:20000",
            server="192.0.2.100:80",
            nat=f"192.0.2.10:{1024 + n}",
            way=f"veth-{'ab'[n - 11]} cni0 | eth0",
        )
        talk.syn()
        talks.append(talk)
    analysis = analyze(record(tmp_path, *talks, bystander(-1), bystander(3)))

    assert not {talk.pod for talk in talks} & set(crossings(analysis))
    assert 0 == analysis.counts.syn_vanished
    assert ["2 flows at cni0 fit several flows at eth0 equally well: left undecided."] == list(
        analysis.caveats
    )
    at_bridge = analysis.passages.query("point == 'cni0' and fate == 'undecidable'")
    assert 2 == len(at_bridge)


def test_kept_port_tells_identical_syns_apart(tmp_path: Path) -> None:
    """The near miss: equal SYNs, but SNAT kept their different ports."""
    talks = []
    for n in (11, 12):
        talk = Conversation(pod=f"10.244.0.{n}:200{n}", server="192.0.2.100:80", nat=f"192.0.2.10:200{n}")
        talk.syn()
        talks.append(talk)
    found = crossings(analyze(record(tmp_path, *talks)))

    assert {talk.pod: (talk.nat, talk.server, "proven") for talk in talks} == found


@pytest.mark.parametrize("order", list(permutations(("a", "b", "c"))), ids="".join)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_files_without_names_in_any_order(proto: str, order: tuple[str, ...], tmp_path: Path) -> None:
    """a.pcap b.pcap c.pcap: the traffic says which is which, whatever the order."""
    names = dict(zip(("veth-a", "cni0", "eth0"), order, strict=True))
    talks = []
    for n, way in enumerate(
        ("veth-a cni0 | eth0", "veth-a cni0 | eth0", "veth-b cni0 | eth0", "veth-b cni0 | eth0")
    ):
        pod = 11 + n // 2
        talk = Conversation(
            pod=f"10.244.0.{pod}:{20000 + n}",
            server=f"192.0.2.{100 + n}:80",
            nat=f"192.0.2.10:{1024 + n}",
            way=way,
            isn=n * 77_777,
            proto=proto,
        )
        if proto == "tcp":
            talk.syn(n * 0.1)
            talk.accept()
        talk.data(100, at=1 + n)
        talk.reply(200)
        talks.append(talk)
    analysis = analyze(record(tmp_path, *talks, points=("veth-a", "cni0", "eth0"), names=names))

    assert [(names["veth-a"], "pod"), (names["cni0"], "bridge"), (names["eth0"], "uplink")] == [
        (point.name, point.role) for point in analysis.capture_points
    ]
    assert 3 == len(analysis.caveats)
    assert {talk.pod: (talk.nat, talk.server, "proven") for talk in talks} == {
        pod: (orig, resp, "proven")
        for pod, (orig, resp, _) in crossings(analysis, names["cni0"], names["eth0"]).items()
    }
    assert () == analysis.incidents


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dns-race", [(33, 33, 28, 56), (1, 1, 0, 0), (2, 2, 152, 92)]),
        ("table-full", [(81, 11, 0, 0), (37, 11, 0, 0), (118, 22, 0, 0)]),
        ("late-start", [(81, 1, 0, 0), (90, 89, 0, 0), (89, 50, 0, 0)]),
        ("policy-drop-tunnel", [(5, 0, 0, 0), (11, 0, 0, 0), (5, 0, 0, 0), (14, 0, 0, 0), (3, 0, 0, 0)]),
    ],
)
def test_either_way_round(name: str, expected: list[tuple[int, int, int, int]]) -> None:
    """Which of two points is called the inner one changes nothing: the same pairs by the same proof, and the same doubts."""
    told = []
    scene = analysed(name).scene
    assert scene is not None
    for gap in scene.gaps:
        there, clock = match(gap.inner, gap.outer)
        back, reverse = match(gap.outer, gap.inner)
        mine = (there.a, there.b, there.flip, there.agreed, there.votes)
        others = (back.b, back.a, back.flip, back.agreed, back.votes)

        assert set(zip(*map(np.ndarray.tolist, mine), strict=True)) == set(
            zip(*map(np.ndarray.tolist, others), strict=True)
        )
        assert (0, 0) == (clock, reverse)
        assert there.ambiguous_a.tolist() == back.ambiguous_b.tolist()
        assert there.ambiguous_b.tolist() == back.ambiguous_a.tolist()
        by_votes = np.count_nonzero(there.votes)
        told.append((len(there.a), by_votes, len(there.ambiguous_a), len(there.ambiguous_b)))

    assert expected == told


@pytest.mark.parametrize(
    ("changes", "agreed"),
    [
        ({}, SRC | DST | SPORT | DPORT),
        ({"nat": "192.0.2.10:20000"}, DST | SPORT | DPORT),
        ({"nat": "192.0.2.10:1024"}, DST | DPORT),
        ({"dnat": "198.51.100.7:80"}, SRC | SPORT | DPORT),
        ({"dnat": "192.0.2.100:8080"}, SRC | DST | SPORT),
        (V6 | {"nat": "[2001:db8:1::10]:20000"}, DST | SPORT | DPORT),
        (V6 | {"dnat": "[2001:db8:7::100]:80"}, SRC | SPORT | DPORT),
    ],
)
def test_recorded_in_one_direction(changes: dict[str, str], agreed: int, tmp_path: Path) -> None:
    """One point has the SYN and the other the SYN-ACK (`tcpdump -Q in`), which says by its number whose answer it is."""
    talk = Conversation(**(V4 | changes))  # type: ignore[arg-type]
    talk.syn(0).only_at("cni0")
    talk.synack().only_at("eth0")
    scene = analyze(record(tmp_path, talk, bystander(-5), bystander(5))).scene
    assert scene is not None
    gap = scene.gaps[-1]
    found, _ = match(gap.inner, gap.outer)

    assert [agreed | ISN] == found.agreed[gap.inner.flows.isn_x[found.a] == talk.isn].tolist()


@pytest.mark.parametrize(("isn", "number", "proof"), [(7, 1, "proven"), (7, 2, None), (0, 1, "likely")])
def test_a_syn_that_comes_late(isn: int, number: int, proof: str | None, tmp_path: Path) -> None:
    """A SYN that waited for seconds is the same packet if its IP ID is; a scanner's, all with an ISN of 0, may not be."""
    talk = Conversation(**V4, nat="192.0.2.10:20000", isn=isn)
    talk.syn(0).only_at("cni0")
    talk.syn(3).only_at("eth0")
    talk.sent[1].number = number
    talk.sent[1].options = talk.sent[0].options

    found = crossings(analyze(record(tmp_path, talk, bystander(-5), bystander(9))))
    assert proof == (found[talk.pod][2] if talk.pod in found else None)


def test_an_answer_to_number_0(tmp_path: Path) -> None:
    """What a SYN-ACK acknowledges is a SYN's number: a flow whose SYN nobody saw has none, and not 0."""
    talk = Conversation(**V4, isn=0)
    talk.send("SA", by_pod=False, at=0, ack=1).only_at("eth0")
    other = Conversation(pod="10.244.0.12:1", server="192.0.2.101:80")
    other.data(at=0.1).only_at("cni0")

    assert 2 == len(crossings(analyze(record(tmp_path, talk, other, bystander(-5), bystander(5)))))
