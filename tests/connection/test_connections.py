"""All connections of a bundle: one length of all columns, and each incident's connections are of this node."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from scapy.utils import PcapReader, wrpcap

from analyzer import Analysis, analyze
from analyzer.connection.account import CLASSES, NODE, UNTOLD, WHY
from tests.conftest import Case, analysed
from tests.connection.told import connections, judged, out
from tests.conversation import Conversation, bystander, record
from tests.golden import ROOT
from tests.incident.node import LINKS, told


def test_columns_have_one_length(bundle_case: Case) -> None:
    """And a reason is given just where a connection cannot be told."""
    all_ = connections(analysed(bundle_case.name))
    o = all_.outcomes
    columns = (
        o.code,
        o.by,
        o.proto,
        o.first,
        o.last,
        o.delay,
        o.packets,
        o.deciding,
        o.side,
        o.strange,
        o.state,
    )

    assert {len(all_)} == {len(column) for column in (*columns, all_.direction, all_.told, all_.why)}
    assert (all_.told < len(CLASSES)).all()
    assert ((all_.why > 0) == (all_.told == UNTOLD)).all()
    assert (all_.why < len(WHY)).all()
    assert (o.first <= o.last).all()


def test_incidents_are_of_this_node(bundle_case: Case) -> None:
    """Whoever is in an incident failed or waited because of this node."""
    analysis = analysed(bundle_case.name)
    all_ = connections(analysis)
    named = {
        all_.of(finding.point, finding.flow)
        for incident in analysis.incidents
        for finding in incident.findings
    }

    assert all(all_.told[number] == NODE for number in named if number is not None)


def without(fixture: str, folder: Path, *files: str) -> Analysis:
    """Analyse a shipped bundle without some of its files."""
    shutil.copytree(ROOT / "fixtures" / fixture, folder / fixture, ignore=shutil.ignore_patterns(*files))
    return analyze(folder / fixture)


def test_replies_under_another_address(tmp_path: Path) -> None:
    """Where a bridge has questions translated already and answers translated back, both are one connection, which worked."""
    account = without("dns-race", tmp_path, "veth-a.pcap", "*.txt", "*.json").account

    assert (account.connections, 0, 0) == (account.worked, account.outside, account.unknown)


def test_what_a_silent_uplink_leaves_open(tmp_path: Path) -> None:
    """A connection that was reset after the uplink's last packet did not fail outside for all that anybody saw."""
    shutil.copytree(ROOT / "fixtures" / "late-ack", tmp_path / "cut")
    with PcapReader(str(tmp_path / "cut" / "eth0.pcap")) as capture:
        packets = list(capture)
    wrpcap(str(tmp_path / "cut" / "eth0.pcap"), packets[: len(packets) * 2 // 3])
    account = analyze(tmp_path / "cut").account

    assert (0, 0, 1) == (account.worked, account.outside, account.unknown)


@pytest.mark.parametrize("rules", [False, True])
def test_a_port_without_a_listener(rules: bool, tmp_path: Path) -> None:
    """A RST of this node is a port's without a listener where its rules are known; else it may be a rule's."""
    talk = Conversation(pod="192.0.2.10:80", server="192.0.2.77:20000", way="eth0")
    talk.send("S", by_pod=False, at=0, options=[])
    talk.send("RA", options=[])
    told(tmp_path, **{"ip-addr": LINKS})
    if rules:
        text = "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority 0; policy accept;\n\t}\n}\n"
        (tmp_path / "nft.txt").write_text(text)
    account = analyze(record(tmp_path, talk, bystander(-5), bystander(20))).account

    assert (int(rules), int(not rules)) == (account.outside, account.unknown)


def test_the_deciding_packet(tmp_path: Path) -> None:
    """Of a connection that never came about it is the first SYN, of one that hangs the first segment sent again."""
    lost = out()
    for at in (0, 1, 3):
        lost.syn(at).lost_after("cni0")
    hangs = out(pod="10.244.0.12:20001", nat="192.0.2.10:20001", way="veth-b cni0 | eth0", isn=70_000)
    hangs.syn(4)
    hangs.accept()
    first = hangs.data(500)
    hangs.send("PA", first.payload, at=6, seq=first.seq)
    all_ = connections(judged(tmp_path, lost, hangs))
    decided = {
        all_.chains.points[int(all_.chains.point[i])].name: int(all_.outcomes.deciding[i])
        for i in range(len(all_))
        if all_.outcomes.deciding[i] >= 0
    }

    assert {"veth-a": 0, "veth-b": 4} == decided


def test_nothing(tmp_path: Path) -> None:
    """A bundle without a connection has none, and no error."""
    path = tmp_path / "eth0.pcap"
    judged(tmp_path, out())
    path.write_bytes(path.read_bytes()[:24])
    for other in tmp_path.glob("*.pcap"):
        other.write_bytes(other.read_bytes()[:24])

    assert 0 == len(connections(analyze(tmp_path)))


def _half(folder: Path, point: str, into: Path, *, late: bool = False) -> Analysis:
    """Analyse a bundle of which one capture was stopped when half of its packets were there, or begun."""
    shutil.copytree(folder, into)
    capture = into / f"{point}.pcap"
    data, ends = capture.read_bytes(), [24]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 16 + struct.unpack_from("<I", data, ends[-1] + 8)[0])
    middle = ends[(len(ends) - 1) // 2]
    capture.write_bytes(data[:24] + data[middle:] if late else data[:middle])
    return analyze(into)


@pytest.mark.parametrize(
    ("case", "point"), [("late-ack", "cni0"), ("mtu-black-hole", "docker0")], ids=lambda name: name
)
def test_a_bridge_that_stopped_first(cases: dict[str, Case], case: str, point: str, tmp_path: Path) -> None:
    """What broke when a point of its path recorded no more is not placed outside, though the uplink went on."""
    analysis = _half(cases[case].folder, point, tmp_path / "bundle")

    assert 0 == analysis.account.outside
    assert analysis.account.why_unknown.get("unwatched", 0) > 0


@pytest.mark.parametrize(("hidden", "told"), [("", "outside"), ("RA", "unwatched"), ("all", "unwatched")])
def test_a_point_that_does_not_show_the_reset(hidden: str, told: str, tmp_path: Path) -> None:
    """A filter that hid the peer's RST from the bridge, or all that came in, hid what led to it as well."""
    talk = out()
    talk.syn(0)
    talk.accept()
    talk.send("RA", by_pod=False, at=2)
    for sent in talk.sent if hidden else ():
        if not sent.outward and hidden in (sent.flags, "all"):
            sent.missed_at("cni0")
    account = judged(tmp_path, talk).account

    assert (told == "outside", told == "unwatched") == (
        account.outside == 1,
        "unwatched" in account.why_unknown,
    )


def test_an_uplink_that_began_late(cases: dict[str, Case], tmp_path: Path) -> None:
    """What was reset there may be the end of what the uplink had not seen begin: not placed outside."""
    analysis = _half(cases["late-ack"].folder, "eth0", tmp_path / "bundle", late=True)

    assert 0 == analysis.account.outside


def test_on_its_way_when_the_capture_ended(cases: dict[str, Case], tmp_path: Path) -> None:
    """A request that the bridge saw less than a transit before the uplink's last packet is not lost."""
    assert () == _half(cases["dns-race"].folder, "eth0", tmp_path / "bundle").incidents


@pytest.mark.parametrize(("later", "expected"), [(True, (2, {"not-recording": 1})), (False, (3, {}))])
def test_answers_that_wait_for_the_pod(tmp_path: Path, later: bool, expected: object) -> None:
    """Before the pod's interface there is a queue: what is not seen behind it may be in it, or was dropped there.

    If the interface has nothing later, its capture may have ended before.
    """

    def asks(port: int, at: float) -> Conversation:
        talk = Conversation(
            pod=f"10.244.0.11:{port}", server="192.0.2.100:53", nat=f"192.0.2.10:{port}", proto="udp"
        )
        talk.data(b"asks %d" % port, at)
        return talk

    first, last, missed = asks(1001, 0), asks(1002, 0.2), asks(1003, 0.3)
    first.reply(b"told 1", 0.01).queued("veth-a", 0.4)
    last.reply(b"told 2", 0.31).queued("veth-a", 0.1 if later else 0)
    missed.reply(b"told 3", 0.35 if later else 0.5).lost_after("cni0")
    account = analyze(record(tmp_path, first, last, missed, bystander(-1), bystander(2))).account

    assert expected == (account.worked - 2, account.why_unknown)
