"""All connections of a bundle: one length of all columns, and each incident's connections are of this node."""

from __future__ import annotations

from pathlib import Path

from analyzer import analyze
from analyzer.connection.account import CLASSES, NODE, UNTOLD, WHY
from tests.conftest import Case
from tests.connection.told import connections, judged, out


def test_columns_have_one_length(bundle_case: Case) -> None:
    """And a reason is given just where a connection cannot be told."""
    all_ = connections(analyze(bundle_case.folder))
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
    analysis = analyze(bundle_case.folder)
    all_ = connections(analysis)
    named = {
        all_.of(finding.point, finding.flow)
        for incident in analysis.incidents
        for finding in incident.findings
    }

    assert all(all_.told[number] == NODE for number in named if number is not None)


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
