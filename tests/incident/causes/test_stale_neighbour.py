"""What is for a pod goes to another station than the pod's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from scapy.packet import Packet

from analyzer import Analysis, analyze
from tests.connection.reasons import NAT, POD, SERVER, inbound, judged, opens
from tests.conversation import BRIDGE, Conversation, Sent, bystander, record
from tests.incident.evidence import vanishing
from tests.incident.node import told

OLD = "02:42:ac:11:00:02"


@dataclass(kw_only=True)
class Astray(Conversation):
    """A conversation of which what is for the pod is in frames to another station."""

    station: str = OLD

    def _frame(self, packet: Sent, place: int, payload: bytes, skip: int) -> Packet:
        frame = Conversation._frame(self, packet, place, payload, skip)
        if not packet.outward and self.points[place] != "eth0":
            frame.dst = self.station
        return frame


def astray(port: int, proto: str) -> Astray:
    """A pod's request that is answered."""
    ends = {"pod": f"{POD[:-5]}{port}", "server": SERVER, "nat": f"{NAT[:-5]}{port}"}
    talk = Astray(proto=proto, isn=port * 1000, **ends)  # type: ignore[arg-type]
    for at in (0, 1):
        if proto == "tcp":
            talk.syn(at)
            talk.synack()
        else:
            talk.data(b"question %d" % at, at)
            talk.reply()
    return talk


def causes(analysis: Analysis) -> list[tuple[str, str, int]]:
    """Causes, how certain they are, and how many connections they are about."""
    return [(one.cause, one.confidence, len(one.findings)) for one in analysis.incidents]


@pytest.mark.parametrize(
    ("proto", "listed", "confidence"),
    [("tcp", "", "proven"), ("udp", "", "likely"), ("udp", "PERMANENT", "proven")],
)
def test_replies_to_another_station(proto: str, listed: str, confidence: str, tmp_path: Path) -> None:
    """The pod's interface shows them all the same, since the bridge floods them."""
    table = f"10.244.0.11 dev cni0 lladdr {OLD} {listed or 'STALE'}\n"
    analysis = judged(told(tmp_path, **{"ip-neigh": table}), astray(20000, proto))

    assert [("stale-neighbour", confidence, 1)] == causes(analysis)
    assert (2, 1) == (analysis.account.worked, analysis.account.node)
    (finding,) = analysis.incidents[0].findings
    assert "ip neigh del 10.244.0.11 dev cni0" == finding.remedies[0].command
    assert f"{NAT} > {SERVER}/{proto}" == finding.outer


@pytest.mark.parametrize(("wrong", "expected"), [(True, [("stale-neighbour", "proven", 1)]), (False, [])])
def test_a_pod_that_acknowledges_nothing(
    wrong: bool, expected: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    """Its frames alone tell, without a table, or any other connection of the pod's; near miss: they go to the pod."""
    talk = astray(20000, "tcp")
    if not wrong:
        talk.station = next(frame for _, _, frame in talk.frames())[6:12].hex(":")

    assert expected == causes(judged(tmp_path, talk))


def test_requests_to_another_station(tmp_path: Path) -> None:
    """What comes in for the pod and gets no answer; a connection of the pod's own shows its station."""
    own = Conversation(pod=POD, server=SERVER, nat=NAT)
    own.syn(-1)
    own.accept()
    lost = Astray(pod="10.244.0.11:8080", server="203.0.113.7:41000", nat="192.0.2.10:80")
    analysis = judged(tmp_path, own, opens(lost, 0, 1, 3))

    assert [("stale-neighbour", "proven", 1)] == causes(analysis)


def test_a_pod_that_takes_them(tmp_path: Path) -> None:
    """By another interface of its own, as what it acknowledges shows."""
    talk = astray(20000, "tcp")
    talk.send("A")
    talk.data()

    assert [] == causes(judged(told(tmp_path, **{"ip-neigh": ""}), talk))


def test_a_station_that_is_heard(tmp_path: Path) -> None:
    """Whether it is another interface of the pod nobody can tell, without a word of refusal."""
    other = Conversation(
        pod="10.244.0.12:20001", server=SERVER, nat="192.0.2.10:20001", way="veth-b cni0 | eth0"
    )
    other.syn(0.5)
    other.accept()
    table = f"10.244.0.11 dev cni0 lladdr {OLD} STALE\n"
    talk = astray(20000, "udp")
    talk.station = next(frame for _, _, frame in other.frames())[6:12].hex(":")

    assert [] == causes(judged(told(tmp_path, **{"ip-neigh": table}), talk, other))


def test_no_answer_of_a_pod_at_its_own_station(tmp_path: Path) -> None:
    """A pod that does not answer is no wrong entry."""
    assert [] == causes(judged(told(tmp_path, **{"ip-neigh": ""}), opens(inbound(), 0, 1, 3)))


def routed(listed: str, tmp_path: Path) -> Analysis:
    """A pod without a bridge, whose interface has an address of the node's table, and that sends to `BRIDGE`."""
    links = f"7: veth-a@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP\n    link/ether {listed} brd ff:ff:ff:ff:ff:ff\n"
    told(tmp_path, **{"ip-link": links})
    ends = {"pod": POD, "server": SERVER, "nat": NAT, "way": "veth-a | eth0"}
    talk = vanishing(Conversation(**ends), 0, 1, 3, after="veth-a")  # type: ignore[arg-type]
    return analyze(record(tmp_path, talk, *(bystander(at, way="veth-z | eth0") for at in (-5, 20))))


def test_frames_to_an_address_that_the_device_does_not_have(tmp_path: Path) -> None:
    """The pod has the old one of its interface's other end."""
    analysis = routed("02:00:00:00:00:99", tmp_path)

    assert [("stale-neighbour", "proven", 1)] == causes(analysis)
    assert f"ip link set dev veth-a address {BRIDGE}" == analysis.incidents[0].findings[0].remedies[0].command


def test_frames_to_the_device_itself(tmp_path: Path) -> None:
    """Then something else lost what is in them."""
    assert [("unknown", "possible", 1)] == causes(routed(BRIDGE, tmp_path))
