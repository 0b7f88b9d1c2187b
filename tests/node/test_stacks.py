"""One packet at several devices of one place: one connection, and a loss between them has its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

BOND = "veth-z cni0 | eth0 eth1"
NAMES = {"eth0": "bond0", "eth1": "eth0", "eth2": "eth1"}


def stacked(analysis: Analysis) -> set[tuple[str, str]]:
    """The gaps within a stack."""
    return {gap.names for gap in analysis.captured.gaps if gap.stacked}


def connection(way: str, port: int = 20000) -> Conversation:
    """One from the pod to a server, without any packet yet."""
    return Conversation(
        pod=f"10.244.0.99:{port}", server="192.0.2.100:80", nat=f"192.0.2.10:{port}", way=way, isn=port * 999
    )


@pytest.mark.parametrize("clock", [0, 0.3, -7])
def test_a_pods_own_interface(tmp_path: Path, clock: float) -> None:
    """The pod's eth0 and its veth are one stack, the former inside, whatever the clocks say."""
    way = "inner veth-z cni0 | eth0"
    folder = record(
        tmp_path,
        *(bystander(at, way) for at in range(3)),
        names={"inner": "pod-eth0"},
        clocks={"inner": clock},
    )
    analysis = analyze(folder)

    assert {("pod-eth0", "veth-z")} == stacked(analysis)
    assert 3 == analysis.account.connections == analysis.account.worked
    assert ["pod-eth0", "veth-z", "cni0", "eth0"] == [point.name for point in analysis.capture_points]


def test_two_pods_are_no_stack(tmp_path: Path) -> None:
    """What one pod sends another over a bridge crosses both veths unchanged, and has another address at each end."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:80", way="veth-a cni0 veth-b")
    talk.syn()
    talk.accept()
    others = [bystander(at, way) for at, way in ((1, "veth-a cni0 | eth0"), (2, "veth-b cni0 | eth0"))]

    assert set() == stacked(analyze(record(tmp_path, talk, *others)))


def test_a_bond_and_its_ports(tmp_path: Path) -> None:
    """Each connection passes the bond and one of its ports, and is one."""
    talks = [bystander(at, BOND) for at in (0, 1, 2)] + [
        bystander(at, "veth-z cni0 | eth0 eth2") for at in (3, 4)
    ]
    analysis = analyze(record(tmp_path, *talks, names=NAMES))

    assert {("bond0", "eth0"), ("bond0", "eth1")} == stacked(analysis)
    assert 5 == analysis.account.connections == analysis.account.worked
    assert not analysis.incidents


def test_lost_between_bond_and_port(tmp_path: Path) -> None:
    """The loss is told of the gap between them, and no rule, route or translation is blamed."""
    talk = connection(BOND)
    talk.syn(1).lost_after("eth0")
    talk.syn(2).lost_after("eth0")
    (tmp_path / "b").mkdir()
    analysis = analyze(record(tmp_path / "b", talk, *(bystander(at, BOND) for at in (0, 3)), names=NAMES))

    assert [(("bond0", "eth0"), "unknown")] == [(i.gap, i.cause) for i in analysis.incidents]
    assert 1 == analysis.account.node


def test_a_port_that_nobody_captured(tmp_path: Path) -> None:
    """Answers that no captured port had show another one: what is missing may have gone there."""
    talk = connection(BOND)
    talk.syn(1).lost_after("eth0")
    other = bystander(2, BOND)
    for packet in other.sent:
        packet.missed_at("eth1")
    analysis = analyze(record(tmp_path, talk, other, *(bystander(at, BOND) for at in (0, 3)), names=NAMES))

    assert not analysis.incidents
    assert {"way-unknown": 1} == analysis.account.why_unknown


def test_a_vlan_and_its_parent(tmp_path: Path) -> None:
    """The parent has what the VLAN has, and traffic of its own with the bridge."""
    talks = [bystander(at, BOND) for at in (0, 1, 2)] + [bystander(at, "veth-z cni0 | eth1") for at in (3, 4)]
    lost = connection(BOND)
    lost.syn(1.5).lost_after("cni0")
    names = {"eth0": "eth0.100", "eth1": "eth0"}
    analysis = analyze(record(tmp_path, lost, *talks, names=names))

    assert {("eth0.100", "eth0")} == stacked(analysis)
    assert (6, 5) == (analysis.account.connections, analysis.account.worked)


def test_two_uplinks_are_no_stack(tmp_path: Path) -> None:
    """Uplinks that share no packet are two ways out."""
    talks = [bystander(0), bystander(1, "veth-z cni0 | eth1")]

    assert set() == stacked(analyze(record(tmp_path, *talks)))
