"""Every connection is in one class, and the four numbers add up, whatever the captures lack."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analyzer import analyze
from analyzer.connection.account import CLASSES, WHY, Fates, classes
from analyzer.connection.model import Account
from analyzer.connection.outcome import OUTCOMES
from analyzer.connection.reasons import CODES
from analyzer.connection.refusing import Refused
from tests.conftest import CASES, ROOT, Case, analysed
from tests.connection.reasons import inbound, opens
from tests.connection.told import AROUND, judged, one, out, told
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import Frames


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


def test_nobody_outside_takes_the_answer(tmp_path: Path) -> None:
    """A pod's SYN-ACKs leave by the uplink, and who asked never goes on: that is not this node's."""
    talk = opens(inbound(), 0)
    for at in (0.1, 1.1, 3.1):
        talk.send("SA", at=at, seq=talk.isn)

    assert "outside" == one(judged(tmp_path, talk), "class")


@pytest.mark.parametrize(
    ("server", "expected"), [("192.0.2.100:81", "unknown"), ("192.0.2.200:81", "outside")]
)
def test_answers_come_in_another_way(server: str, expected: str, tmp_path: Path) -> None:
    """One connection's answers never were at the uplink that it left by: those of others may have died on that way, too.

    The near miss: from the destination in question answers did come in there.
    """
    aside = out(pod="10.244.0.12:30000", nat="192.0.2.10:30000", isn=7_000_000)
    aside.syn(0)
    aside.synack().missed_at("eth0")
    aside.send("A")
    aside.data(100)
    aside.reply(100).missed_at("eth0")
    here = out(pod="10.244.0.12:30001", server="192.0.2.200:80", nat="192.0.2.10:30001", isn=8_000_000)
    here.syn(1)
    here.accept()
    talk = _syns(out(server=server))
    analysis = judged(tmp_path, talk, aside, here)

    assert expected == told(analysis, "class")[f"10.244.0.11:20000 > {server}/tcp"]


@pytest.mark.parametrize(("more", "expected"), [(None, "stalled"), (100, "ok")])
def test_half_a_connection_that_repeats_itself(more: int | None, expected: str, tmp_path: Path) -> None:
    """It began before the capture, and nobody answers; where new data follows, the answers came another way."""
    talk = out()
    for at in (0, 0.2, 0.6):
        talk.send("PA", b"same", at=at, seq=talk.isn + 1).lost_after("cni0")
    if more:
        talk.send("PA", more, at=1, seq=talk.isn + 5).lost_after("cni0")

    assert expected == one(judged(tmp_path, talk))


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


SNMP = "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 5 {} 0 5 {}\n"


@pytest.mark.parametrize(
    ("no_ports", "full", "expected"),
    [(9, 0, "worked"), (11, 0, "worked"), (12, 0, "unknown"), (10, 1, "worked"), (9, 3, "unknown")],
)
def test_datagrams_that_may_have_found_no_socket(
    no_ports: int, full: int, expected: str, tmp_path: Path
) -> None:
    """To the node itself, or no room at one: as many as the kernel counted may be among them, beside those an error refused."""
    ends = {"nat": None, "way": "veth-a cni0", "proto": "udp"}
    refused, talk = out(server="192.0.2.10:9", **ends), out(server="192.0.2.10:8125", **ends)
    refused.data(b"asks", 2)
    for at in (0, 1, 3):
        talk.data(b"counts", at)
    for moment, counts in (("before", (8, 0)), ("after", (no_ports, full))):
        (tmp_path / f"snmp-{moment}.txt").write_text(SNMP.format(*counts))
    found = told(judged(tmp_path, refused, talk, Frames().unreachable(refused, 2.1, code=3)), "class")

    assert expected == next(value for name, value in found.items() if ":8125" in name)


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


def _class(outcome: str, reason: str, **changes: Any) -> tuple[str, str]:
    """The class, and why it cannot be told, of a lone connection that was seen at both ends of its way, but for the changes."""
    told = {"far": True, "home": True, "reached": True, "placed": True, "inside": True, "alone": False}
    node = {"routed": True, "exits": True, "ruled": True}
    flag = {name: np.array([changes.get(name, usual)]) for name, usual in told.items()}
    known = {name: bool(changes.get(name, usual)) for name, usual in node.items()}
    of = {
        name: [0] * bool(changes.get(name))
        for name in ("accused", "waited", "doubtful", "unwatched", "misaddressed", "unreached")
    }
    refused = {}
    if by := changes.get("by"):
        refused[0] = Refused(by=by, address="192.0.2.1", says="RST", harmless=bool(changes.get("harmless")))
    outcomes: Any = SimpleNamespace(
        code=np.array([OUTCOMES.index(outcome)], np.int8),
        unheard=np.array([bool(changes.get("unheard"))]),
        proto=np.array([changes.get("proto", 6)]),
    )
    fates = Fates(reason=np.array([CODES[reason]], np.int8), gap=np.array([-1], np.int16), **flag, **known)
    found, why = classes(outcomes, fates, refused=refused, **of)
    return CLASSES[found[0]], WHY[why[0]]


OPEN_END = {"far": False}
"""Nothing but what the row says shows that it got out of this node."""


@pytest.mark.parametrize(
    ("outcome", "reason", "changes", "expected"),
    [
        ("ok", "seen-beyond", {}, ("worked", "")),
        ("one-way", "not-recording", {}, ("worked", "")),
        ("ok", "seen-beyond", {"accused": True}, ("node", "")),
        ("delayed", "seen-beyond", {"waited": True}, ("node", "")),
        ("timed-out", "lost", {}, ("node", "")),
        ("refused", "refused-here", {"by": "node"}, ("node", "")),
        ("refused", "rejected", {}, ("node", "")),
        *((trouble, "seen-beyond", {}, ("outside", ""))
          for trouble in ("delayed", "refused", "timed-out", "reset", "stalled", "unanswered")),
        # Nothing shows that it got beyond this node.
        ("timed-out", "seen-beyond", {"reached": False}, ("unknown", "untold")),
        ("timed-out", "seen-beyond", OPEN_END, ("unknown", "untold")),
        ("reset", "seen-beyond", {"reached": False}, ("outside", "")),
        ("stalled", "seen-beyond", {"reached": False}, ("outside", "")),
        ("refused", "seen-beyond", {"reached": False}, ("outside", "")),
        ("refused", "seen-beyond", OPEN_END, ("unknown", "untold")),
        ("timed-out", "seen-beyond", {"unheard": True}, ("outside", "")),
        ("timed-out", "seen-beyond", {"home": False}, ("outside", "")),
        ("timed-out", "seen-beyond", {"unheard": True, "home": False}, ("unknown", "local")),
        ("timed-out", "seen-beyond", {"unwatched": True}, ("unknown", "unwatched")),
        ("timed-out", "seen-beyond", {"misaddressed": True}, ("unknown", "station")),
        ("unanswered", "seen-beyond", {"misaddressed": True}, ("unknown", "station")),
        ("reset", "seen-beyond", {"misaddressed": True}, ("outside", "")),
        ("reset", "seen-beyond", {"unreached": True}, ("unknown", "station")),
        ("ok", "seen-beyond", {"unreached": True}, ("worked", "")),
        ("ok", "seen-beyond", {"unreached": True, "proto": 17}, ("unknown", "station")),
        ("unanswered", "seen-beyond", {"doubtful": True}, ("unknown", "entry")),
        ("timed-out", "seen-beyond", {"doubtful": True}, ("outside", "")),
        ("unfinished", "seen-beyond", {}, ("unknown", "unfinished")),
        ("unfinished", "lost", {}, ("node", "")),
        # The next point was silent: only a refusal that came in by a way out, and is of a known place, tells.
        ("timed-out", "not-recording", {}, ("unknown", "open")),
        ("reset", "not-recording", {}, ("unknown", "open")),
        ("refused", "not-recording", {"by": "peer"}, ("outside", "")),
        ("refused", "not-recording", {"by": "peer", "exits": False}, ("unknown", "open")),
        ("refused", "not-recording", {"by": "peer", "placed": False}, ("unknown", "open")),
        ("refused", "not-recording", {"by": "node"}, ("unknown", "open")),
        ("refused", "answered-beyond", {"by": "peer", "exits": False, **OPEN_END}, ("outside", "")),
        ("timed-out", "seen-beyond", {"alone": True}, ("unknown", "alone")),
        ("refused", "seen-beyond", {"alone": True, "by": "router"}, ("outside", "")),
        # An ICMP error answered it.
        ("refused", "refused", OPEN_END, ("outside", "")),
        ("refused", "refused", {"by": "node", **OPEN_END}, ("unknown", "untold")),
        ("refused", "refused", {"by": "node", "harmless": True, **OPEN_END}, ("outside", "")),
        # It went, or was answered, another way.
        ("timed-out", "answered-beyond", OPEN_END, ("outside", "")),
        ("timed-out", "answered-beyond", {"exits": False, **OPEN_END}, ("unknown", "untold")),
        ("refused", "answered-here", OPEN_END, ("outside", "")),
        ("timed-out", "answered-here", OPEN_END, ("unknown", "untold")),
        ("timed-out", "other-way", OPEN_END, ("outside", "")),
        ("timed-out", "other-way", {"routed": False, **OPEN_END}, ("unknown", "untold")),
        ("timed-out", "other-way", {"exits": False, **OPEN_END}, ("unknown", "untold")),
        # It ended on this node.
        *(("timed-out", own, {}, ("unknown", "local")) for own in ("own-address", "bridged", "turned")),
        *(("refused", own, OPEN_END, ("outside", "")) for own in ("own-address", "bridged", "turned")),
        ("refused", "own-address", {"ruled": False, **OPEN_END}, ("outside", "")),
        ("refused", "own-address", {"ruled": False, "by": "node", **OPEN_END}, ("unknown", "local")),
        ("refused", "own-address", {"by": "node", **OPEN_END}, ("outside", "")),
    ],
)  # fmt: skip
def test_every_class(outcome: str, reason: str, changes: dict[str, Any], expected: tuple[str, str]) -> None:
    """What became of a connection, where it was seen and what is known of the node put it into one class."""
    assert expected == _class(outcome, reason, **changes)
