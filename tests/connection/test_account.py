"""Every connection is in one class, and the four numbers add up, whatever the captures lack."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.connection.model import Account
from analyzer.connection.outcome import OUTCOMES
from tests.conftest import CASES, ROOT, Case, analysed
from tests.connection.told import AROUND, judged, one, out, told
from tests.conversation import Conversation, bystander, record


def _adds_up(account: Account) -> None:
    assert account.connections == account.worked + account.node + account.outside + account.unknown
    assert account.connections == sum(account.outcomes.values())
    assert account.unknown == sum(account.why_unknown.values())
    assert account.outside == sum(account.outcomes_outside.values())
    assert set(account.outcomes) <= set(OUTCOMES)


def _syns(talk: Conversation, after: str | None = None) -> Conversation:
    for at in (0, 1, 3):
        sent = talk.syn(at)
        if after:
            sent.lost_after(after)
    return talk


def test_adds_up(bundle_case: Case) -> None:
    """In every fixture, as its report says, and what lost something here is of this node."""
    analysis = analysed(bundle_case.name)
    reported = json.loads((ROOT / "reports" / bundle_case.name / "report.json").read_text())["account"]
    del reported["waited"]

    _adds_up(analysis.account)
    assert bool(analysis.account.node) == bool(analysis.incidents)
    assert reported == {name: getattr(analysis.account, name) for name in reported}


@pytest.mark.parametrize("name", ["snat-race", "policy-drop", "late-ack", "clean", "next-hop", "table-full"])
@pytest.mark.parametrize("dropped", ["veth", "cni0", "eth0"])
def test_adds_up_without_a_point(name: str, dropped: str, tmp_path: Path) -> None:
    """The near misses: the same bundles with a capture less."""
    shutil.copytree(CASES[name].folder, tmp_path / name)
    for path in (tmp_path / name).glob(f"{dropped}*.pcap"):
        path.unlink()

    _adds_up(analyze(tmp_path / name).account)


def test_worked(tmp_path: Path) -> None:
    """What was answered, though an attempt may have been unfinished."""
    talk = out()
    talk.syn(0)
    talk.accept()
    analysis = judged(tmp_path, talk)

    assert "worked" == one(analysis, "class")
    assert Account(connections=3, worked=3, outcomes={"ok": 3}) == analysis.account


def test_failed_because_of_this_node(tmp_path: Path) -> None:
    """A SYN that vanished in a gap."""
    assert "node" == one(judged(tmp_path, _syns(out(), "cni0")), "class")


def test_failed_outside(tmp_path: Path) -> None:
    """The same SYN, seen to leave by the uplink."""
    assert "outside" == one(judged(tmp_path, _syns(out())), "class")


def test_refused_by_the_peer(tmp_path: Path) -> None:
    """A RST that came in by the uplink is the peer's will."""
    talk = out()
    talk.syn(0)
    talk.send("RA", by_pod=False)
    analysis = judged(tmp_path, talk)

    assert "outside" == one(analysis, "class")
    assert {"refused": 1} == analysis.account.outcomes_outside


def test_refused_by_this_node(tmp_path: Path) -> None:
    """The same RST, which no point but the pod's saw, though the uplink was recording."""
    talk = out()
    talk.syn(0).lost_after("cni0")
    talk.send("RA", by_pod=False).only_at("veth-a", "cni0")
    analysis = judged(tmp_path, talk, *(bystander(at / 10) for at in range(-5, 6)))

    assert "node" == told(analysis, "class")["10.244.0.11:20000 > 192.0.2.100:80/tcp"]
    assert ["refused"] == [incident.kind for incident in analysis.incidents]


def test_nobody_can_tell_where_only_one_point_was_captured(tmp_path: Path) -> None:
    """Nothing that was captured lies behind it."""
    record(tmp_path, _syns(out(), "cni0"), *AROUND, points=("veth-a",))
    analysis = analyze(tmp_path)

    assert "unknown" == one(analysis, "class")
    assert {"not-captured": 1} == analysis.account.why_unknown


def test_nobody_can_tell_where_the_uplink_was_silent(tmp_path: Path) -> None:
    """A total outage: nothing says that eth0 was recording, and the account says so instead of nothing."""
    early = bystander(-5)
    record(tmp_path, early, _syns(out(), "cni0"), points=("veth-a", "cni0", "eth0"))
    analysis = analyze(tmp_path)

    assert "unknown" == one(analysis, "class")
    assert {"not-recording": 1} == analysis.account.why_unknown
    assert not analysis.incidents
    assert 1 == analysis.account.open


def test_an_address_of_the_node_itself(tmp_path: Path) -> None:
    """What a pod sends to the node ends there: the captures cannot say how."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.10:80", way="veth-a cni0")
    _syns(talk)
    analysis = judged(tmp_path, talk)

    assert ("unknown", "local") == (one(analysis, "class"), one(analysis, "why"))


def test_the_end_of_the_capture(tmp_path: Path) -> None:
    """Half a second is too short to fail: unfinished, and not counted as open."""
    talk = out()
    talk.syn(19.8)
    analysis = judged(tmp_path, talk)

    assert ("unknown", "unfinished") == (one(analysis, "class"), one(analysis, "why"))
    assert 0 == analysis.account.open


@pytest.mark.parametrize("name", ["snat-race", "policy-drop", "table-full-silent", "policy-reject"])
def test_a_capture_less_never_clears(name: str, tmp_path: Path) -> None:
    """Metamorphic: without a point there is the same incident, or nobody can tell; it is never clear."""
    whole = CASES[name].folder
    lost = {incident.cause for incident in analyze(whole).incidents}
    for path in sorted(whole.glob("*.pcap")):
        copy = tmp_path / path.stem
        shutil.copytree(whole, copy)
        (copy / path.name).unlink()
        analysis = analyze(copy)
        _adds_up(analysis.account)
        assert {incident.cause for incident in analysis.incidents} <= {*lost, "unknown"}, path.name
