"""The verdict in one line: whose doing it was, how sure that is, and what cannot be told."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest

from analyzer import Analysis, analyze
from analyzer.connection.account import WHY
from analyzer.connection.model import Account, Fate
from analyzer.connection.reasons import REASONS
from analyzer.incident.model import Kind, Reconciled
from analyzer.incident.reconcile import unseen
from analyzer.report.checked import Checked
from analyzer.report.verdict import headline
from tests.conftest import CASES, Case, analysed
from tests.conversation import Conversation, bystander, record


def _of(sample: Any, account: Account, **changes: Any) -> str:
    """The verdict of a bundle without incidents that has this account."""
    return headline(dataclasses.replace(sample.clean(), account=account, **changes))


def test_incidents(sample) -> None:
    """How many connections, the cause and how sure it is; then the packets and where."""
    race = sample.race()
    assert (
        "4 of 612 connections waited up to 2.08 s because of this node: SNAT port race (proven); "
        "4 SYNs vanished between cni0 and eth0" == headline(race)
    )


def test_incidents_and_more_that_nobody_can_tell(sample) -> None:
    """Two causes, two kinds of event, and what is left open."""
    both = sample.both()
    said = headline(both)

    assert said.startswith(
        "5 of 613 connections were delayed or failed because of this node: SNAT port race (proven), "
    )
    assert said.endswith("; cannot tell for 1 more")
    assert "4 SYNs vanished between cni0 and eth0; 1 packet was judged INVALID" in said


def test_some_of_the_incidents(sample) -> None:
    """Of a part of a bundle's incidents no more is counted than theirs."""
    assert (
        "1 of 613 connections was delayed or failed because of this node: late ACK rejected by conntrack (proven); "
        "1 packet was judged INVALID and answered with a RST" == headline(sample.both(), [sample.LATE_ACK])
    )


def test_one_is_singular(sample) -> None:
    """One connection was, one packet was."""
    late = sample.late_ack()
    assert headline(late).startswith("1 of 1 connection was delayed or failed because of this node: ")


def test_many_kinds_stay_one_line(sample) -> None:
    """Two places are named; of more the packets are summed up, and of three kinds two are named."""
    gaps = (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"))
    many = [dataclasses.replace(sample.RACE, gap=gap) for gap in gaps]
    kinds = [dataclasses.replace(sample.RACE, kind=f"{name}-vanished") for name in ("syn", "reply", "data")]

    assert headline(sample.race(), many[:2]).endswith(
        "; 4 SYNs vanished between a and b; 4 SYNs vanished between b and c"
    )
    assert headline(sample.race(), many).endswith("(proven); 16 SYNs vanished")
    assert headline(sample.race(), [*many, *kinds]).endswith(
        "; 20 SYNs vanished; 4 replies vanished; and 1 more"
    )


def test_nothing_to_say(sample) -> None:
    """All worked; nothing was followed; all was cut off by the end. Three different sentences."""
    assert "No incident: all 7 connections worked" == _of(sample, Account(connections=7, worked=7))
    assert "No incident: the one connection worked" == _of(sample, Account(connections=1, worked=1))
    assert "No incident: the captures hold no connection to follow" == _of(sample, Account())
    assert "No incident: all 7 connections worked; 2 more are unfinished when the capture ends" == _of(
        sample, Account(connections=9, worked=7, unknown=2, why_unknown={"unfinished": 2})
    )
    assert "The capture ends before the outcome of 2 connections is known" == _of(
        sample, Account(connections=2, unknown=2, why_unknown={"unfinished": 2})
    )


def test_outside(sample) -> None:
    """Failures elsewhere are said, and that none is of this node."""
    assert (
        "2 of 508 connections failed outside this node or at the peer; none because of this node"
        == headline(sample.clean())
    )


def test_open_is_never_no_incident(sample) -> None:
    """Failed connections that nothing places are the verdict, with the reason."""
    said = _of(
        sample,
        Account(connections=17, worked=12, outside=2, unknown=3, why_unknown={"not-recording": 3}),
    )
    assert (
        "3 of 17 connections failed, cannot tell where: nothing shows that the next point was "
        "recording then; 2 more failed outside this node" == said
    )


@pytest.mark.parametrize(
    "why", [*filter(None, WHY[2:-1]), *(r.code for r in REASONS if r.fate is Fate.UNDECIDABLE)]
)
def test_every_why_has_a_sentence(why: str, sample) -> None:
    """No code is shown in place of words."""
    said = _of(sample, Account(connections=1, unknown=1, why_unknown={why: 1}))
    reason = said.partition("cannot tell where: ")[2]

    assert " " in reason
    assert why != reason


def test_every_kind_has_a_verdict(sample) -> None:
    """One line that begins with a number."""
    for kind in get_args(Kind):
        incident = dataclasses.replace(sample.RACE, kind=kind, cause="unknown")
        said = headline(sample.race(), [incident])
        assert said[0].isdigit()
        assert "\n" not in said


def _side(analysis: Analysis) -> int:
    return Checked.of(("bundle",), analysis).exit


def test_says_no_incident_only_where_exit_is_0(bundle_case: Case) -> None:
    """In every fixture verdict and exit code agree."""
    analysis = analysed(bundle_case.name)
    said = headline(analysis)

    assert bundle_case.expect["exit"] == _side(analysis)
    assert ("No incident" in said or "none because of this node" in said) == (_side(analysis) == 0)


@pytest.mark.parametrize("side", ["worked", "outside"])
def test_drops_that_no_capture_shows(sample, side: str) -> None:
    """The kernel counted them: then this node is not said to have lost nothing."""
    told = Reconciled(counter="drop", delta=19, explained=0, note="")
    analysis = dataclasses.replace(
        sample.race(), incidents=(), account=Account(connections=7, **{side: 7}), reconciliation=(told,),
        inconclusive=unseen([told]),
    )  # fmt: skip
    said = headline(analysis)

    assert said.endswith("this node dropped packets that the captures do not show")
    assert "No incident" not in said
    assert "none because of this node" not in said


def test_full_table_before_the_bridge_alone(tmp_path: Path) -> None:
    """With br_netfilter the table drops between veth and bridge: without the veths only the counter tells, and that is said."""
    for file in CASES["table-full-br-netfilter"].folder.iterdir():
        if not file.name.startswith(("veth", "tcpdump-veth", "drops")):
            shutil.copy(file, tmp_path)
    analysis = analyze(tmp_path)

    assert 2 == _side(analysis) or analysis.incidents
    assert "No incident" not in headline(analysis)


@pytest.mark.parametrize(
    "name",
    ["snat-race", "policy-drop", "policy-reject", "table-full", "policy-drop-local", "late-ack", "next-hop"],
)
@pytest.mark.parametrize("point", ["veth", "cni0", "eth0", "cali"])
def test_a_point_less_weakens_and_never_clears(name: str, point: str, tmp_path: Path) -> None:
    """Metamorphic: incidents of the same cause, or unknown, or `cannot tell`; never clear."""
    dropped = sorted(CASES[name].folder.glob(f"{point}*.pcap"))
    if not dropped:
        return
    folder = tmp_path / "bundle"
    shutil.copytree(CASES[name].folder, folder)
    for path in dropped:
        (folder / path.name).unlink()

    assert _side(analyze(folder)) in (1, 2)


@pytest.mark.parametrize("name", ["clean", "remote-loss", "service-local", "capture-loss", "second-way"])
@pytest.mark.parametrize("point", ["veth", "cni0", "eth0"])
def test_a_point_less_makes_no_incident(name: str, point: str, tmp_path: Path) -> None:
    """Metamorphic: where nothing was lost nothing is, whatever is missing."""
    folder = tmp_path / "bundle"
    shutil.copytree(CASES[name].folder, folder)
    for path in folder.glob(f"{point}*.pcap"):
        path.unlink()

    assert _side(analyze(folder)) in (0, 2)


SPOILT: dict[str, Callable[[bytes, bytes, float], bytes]] = {
    "snaplen": lambda frame, station, chance: frame[:54],
    "dropped": lambda frame, station, chance: frame if chance < 0.5 else b"",
    "direction": lambda frame, station, chance: frame if frame[6:12] == station else b"",
    "syn filter": lambda frame, station, chance: frame if frame[23:24] == b"\x06" and frame[47] & 2 else b"",
}
"""What is left of a frame; told the station that sends most, and a random number."""


@pytest.mark.parametrize(
    ("name", "side"), [("clean", 0), ("remote-loss", 0), ("snat-race", 1), ("policy-reject", 1)]
)
@pytest.mark.parametrize("point", ["cni0", "eth0"])
@pytest.mark.parametrize("how", SPOILT)
def test_a_worse_capture_never_changes_sides(
    name: str, side: int, point: str, how: str, tmp_path: Path
) -> None:
    """Metamorphic: what a capture lacks leaves a loss, or less of it is said; and it makes none."""
    folder = tmp_path / "bundle"
    shutil.copytree(CASES[name].folder, folder, ignore=shutil.ignore_patterns("tcpdump-*.log"))
    path, chances = folder / f"{point}.pcap", Random(0)
    data = path.read_bytes()
    begins, at = [], 24
    while at < len(data):
        begins.append(at)
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    records = [(data[i : i + 16], data[i + 16 : end]) for i, end in pairwise([*begins, at])]
    ((station, _),) = Counter(frame[6:12] for _, frame in records).most_common(1)
    kept = ((head, SPOILT[how](frame, station, chances.random())) for head, frame in records)
    spoilt = (
        head[:8] + len(frame).to_bytes(4, "little") + head[12:] + frame for head, frame in kept if frame
    )
    path.write_bytes(data[:24] + b"".join(spoilt))

    assert _side(analyze(folder)) in (side, 2)


@pytest.mark.parametrize("name", ["snat-race", "clean", "policy-reject", "remote-loss"])
def test_names_of_files_do_not_matter(name: str, tmp_path: Path) -> None:
    """Metamorphic: side evidence and captures under other names and in another order tell the same."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for n, path in enumerate(sorted(CASES[name].folder.iterdir(), reverse=True)):
        if path.name in ("case.toml", "truth.json"):
            continue
        new = path.name if path.suffix == ".log" or ".pcap" in path.name else f"{n}{path.suffix}"
        if "before" in path.name or "after" in path.name:
            new = path.name
        (folder / f"x{n}").mkdir()
        shutil.copy(path, folder / f"x{n}" / new)
    whole, renamed = analysed(name), analyze(folder)

    assert headline(whole) == headline(renamed)
    assert whole.account == renamed.account


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("end", [0.5, 1.5, 4, 10])
def test_an_earlier_end_never_changes_sides(lost: bool, end: float, tmp_path: Path) -> None:
    """Metamorphic: captures that end sooner leave a loss or say less of it; and never make one."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    for at in (0, 1, 3):
        sent = talk.syn(at)
        if lost:
            sent.lost_after("cni0")
    points = ("veth-a", "veth-z", "cni0", "eth0")
    others = [bystander(at) for at in (-5, 2, 20)]
    record(tmp_path, talk, *others, points=points, end=dict.fromkeys(points, end))
    analysis = analyze(tmp_path)

    assert _side(analysis) in ((0, 1, 2) if lost and end < 2 else (1,) if lost else (0, 2))
    assert bool(analysis.incidents) <= lost
