"""Flows chained into connections: one each, however many points saw it and whatever NAT made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from scapy.utils import PcapReader, wrpcap

from analyzer import analyze
from tests.conftest import Case, analysed
from tests.connection.told import AROUND, connections, judged, one, out, told
from tests.conversation import Conversation, bystander, record
from tests.golden import ROOT


def test_one_connection_at_three_points(tmp_path: Path) -> None:
    """A connection that SNAT rewrites is one, and begins where the pod's packets are seen first."""
    talk = out()
    talk.syn(0)
    talk.accept()
    analysis = judged(tmp_path, talk)

    assert {"10.244.0.11:20000 > 192.0.2.100:80/tcp": "veth-a"} == told(analysis, "point")
    assert 1 + len(AROUND) == analysis.account.connections
    assert "out" == one(analysis, "direction")


def test_answers_that_a_bridge_floods(tmp_path: Path) -> None:
    """That another pod's interface shows them, and no request, begins no connection there, nor ends the one that they are of."""
    talk = out()
    talk.syn(0)
    talk.synack()
    flooded = out(way="veth-b cni0 | eth0")
    flooded.syn(0)
    flooded.synack().only_at("veth-b")
    flooded.sent.pop(0)
    other = out(pod="10.244.0.12:20001", nat="192.0.2.10:20001", way="veth-b cni0 | eth0")
    other.syn(1)
    other.accept()
    analysis = judged(tmp_path, talk, flooded, other)

    assert {
        "10.244.0.11:20000 > 192.0.2.100:80/tcp": "veth-a",
        "10.244.0.12:20001 > 192.0.2.100:80/tcp": "veth-b",
    } == told(analysis, "point")
    assert 2 + len(AROUND) == analysis.account.connections


def test_dnat_and_snat(tmp_path: Path) -> None:
    """The same through a service, where both ends change."""
    talk = out(server="10.96.0.1:80", dnat="192.0.2.100:8080")
    talk.syn(0)
    talk.accept()

    assert ["10.244.0.11:20000 > 10.96.0.1:80/tcp"] == list(told(judged(tmp_path, talk)))


def test_opened_from_outside(tmp_path: Path) -> None:
    """What comes in through DNAT begins at the uplink."""
    talk = Conversation(pod="10.244.0.11:8080", server="203.0.113.7:41000", nat="192.0.2.10:80")
    talk.send("S", by_pod=False, at=0, seq=talk.server_isn)
    talk._next[False] += 1
    talk.send("SA", seq=talk.isn)
    talk._next[True] += 1
    talk.send("A", by_pod=False)
    analysis = judged(tmp_path, talk)

    assert {"203.0.113.7:41000 > 192.0.2.10:80/tcp": "eth0"} == told(analysis, "point")
    assert "in" == one(analysis, "direction")
    assert "ok" == one(analysis)


def test_two_connections_of_one_port_are_two(tmp_path: Path) -> None:
    """The near miss: two pods with one source port and equal packets otherwise."""
    talks = [out(isn=1_000), out(pod="10.244.0.12:20000", nat="192.0.2.10:20001", isn=900_000)]
    for n, talk in enumerate(talks):
        talk.syn(n)
        talk.accept()

    assert 2 == len(told(judged(tmp_path, *talks)))


def test_what_is_no_connection_is_not_counted(tmp_path: Path) -> None:
    """ICMP errors and multicast make none; an echo does."""
    echo = Conversation(pod="10.244.0.11:77", server="192.0.2.100:77", nat="192.0.2.10:77", proto="icmp")
    echo.data(b"ping", at=1)
    echo.reply()
    hello = Conversation(pod="10.244.0.11:5353", server="224.0.0.251:5353", proto="udp", way="veth-a cni0")
    hello.data(b"who", at=2)

    assert 1 == len(told(judged(tmp_path, echo, hello)))


def test_every_flow_belongs_to_the_connection_of_its_partner(bundle_case: Case) -> None:
    """In every fixture both flows of a crossing are in one connection, and each connection begins with a flow of its own."""
    analysis = analysed(bundle_case.name)
    chains = connections(analysis).chains
    index = {point.name: n for n, point in enumerate(chains.points)}
    for gap in analysis.captured.gaps:
        inner = chains.of[index[gap.inner.name]][gap.matches.a]
        outer = chains.of[index[gap.outer.name]][gap.matches.b]
        both = (inner >= 0) & (outer >= 0)
        assert (inner[both] == outer[both]).all()
    begins = [chains.of[at][flow] for at, flow in zip(chains.point, chains.flow, strict=True)]
    assert np.array_equal(np.arange(len(chains)), begins)


def test_a_point_less_changes_no_outcome(tmp_path: Path) -> None:
    """Without the veth the same connections are told from the bridge."""
    talk = out()
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    record(tmp_path, talk, bystander(-5), bystander(20))
    whole = analyze(tmp_path)
    (tmp_path / "veth-a.pcap").unlink()
    (tmp_path / "veth-z.pcap").unlink()

    less = analyze(tmp_path)
    assert told(whole) == told(less)
    assert "cni0" == one(less, "point")


def test_a_pod_that_calls_itself(tmp_path: Path) -> None:
    """What the node turns round to the pod that sent it, by a service, is one connection and not late."""
    talk = Conversation(
        pod="10.244.0.11:20000",
        server="10.96.0.10:80",
        nat="10.244.0.1:20000",
        dnat="10.244.0.11:8080",
        way="veth-a cni0 | cni0 veth-a",
    )
    talk.syn(0)
    talk.accept()
    talk.data(50)
    talk.reply(50)
    for points in (("veth-a", "cni0", "eth0"), ("cni0", "eth0"), ("veth-a",)):
        folder = record(tmp_path / points[0], talk, bystander(-5, "veth-a cni0 | eth0"), points=points)

        assert ["ok", "ok"] == analyze(folder).connections["outcome"].tolist()


def test_two_scans_of_one_isn_are_two(tmp_path: Path) -> None:
    """Equal SYNs that are not one hop apart, nor sent back to their sender, are of different connections."""
    talks = [
        Conversation(pod=f"10.244.0.11:{port}", server="192.0.2.100:80", isn=1, timestamps=False)
        for port in (20000, 20001)
    ]
    for talk in talks:
        talk.syn(0)
        talk.accept()
    analysis = analyze(record(tmp_path, *talks, bystander(-5)))

    assert 3 == analysis.account.connections


def test_a_pod_that_refuses_itself(tmp_path: Path) -> None:
    """The reset of a pod that calls itself has other ends where it arrives: the node has neither lost nor sent it."""
    talk = Conversation(
        pod="10.244.0.11:20000",
        server="10.96.0.10:80",
        nat="10.244.0.1:20000",
        dnat="10.244.0.11:8080",
        way="veth-a cni0 | cni0 veth-a",
    )
    talk.syn(0)
    talk.send("RA", by_pod=False, seq=0, window=0, options=[])
    for points in (("veth-a", "cni0", "eth0"), ("veth-a", "eth0")):
        folder = record(tmp_path / str(len(points)), talk, bystander(-5, "veth-a cni0 | eth0"), points=points)
        analysis = analyze(folder)

        assert not analysis.incidents
        assert ["ok", "refused"] == sorted(analysis.connections["outcome"])


def test_across_a_silent_bridge(tmp_path: Path) -> None:
    """What left untranslated is the rest of its connection, though the bridge's capture ended before."""
    shutil.copytree(ROOT / "fixtures" / "unnatted-leak", tmp_path / "cut")
    path = tmp_path / "cut" / "cni0.pcap"
    with PcapReader(str(path)) as capture:
        packets = list(capture)
    wrpcap(str(path), packets[: len(packets) * 2 // 3])
    account = analyze(tmp_path / "cut").account

    assert (10, 4, 0, 0) == (account.connections, account.node, account.outside, account.unknown)
