"""The fixtures' incidents, and made ones, with one setting changed."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import Analysis, UnusableInput, analyze
from analyzer.result.whatif import PORTS, SETTINGS, WhatIf, coincidences, parse, what_if
from tests.conftest import analysed
from tests.conversation import Conversation, bystander, record

FIXTURES = Path(__file__).parents[2] / "fixtures"
BUNDLES = sorted(path.parent.name for path in FIXTURES.glob("*/case.toml"))
ASKED = ("be-liberal", "drop-invalid", "random-fully", "kernel=5.4", "kernel=6.1", "table=262144")


def outcome(told: WhatIf) -> str:
    """What becomes of a bundle's only incident."""
    assert 1 == len(told.says)
    return "avoided" if told.avoided else "remaining" if told.remaining else "unknown"


def only(told: WhatIf) -> str:
    """The sentence on the bundle's only incident."""
    (sentence,) = told.says.values()
    return sentence


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("setting", ASKED)
def test_each_incident_has_one_answer(name: str, setting: str) -> None:
    """Every incident is in one of the three lists, and has its sentence, without a full stop."""
    analysis = analysed(name)
    told = what_if(analysis, setting)
    ids = [incident.id for incident in analysis.incidents]

    assert setting == told.setting
    assert sorted(ids) == sorted([*told.avoided, *told.remaining, *told.unknown])
    assert ids == list(told.says)
    assert all(says and not says.endswith(".") for says in told.says.values())


@pytest.mark.parametrize(
    ("name", "setting", "expected"),
    [
        ("late-ack", "be-liberal", "avoided"),
        ("late-ack", "drop-invalid", "avoided"),
        ("late-ack", "kernel=6.1", "avoided"),
        ("late-ack", "kernel=5.15.0-91-generic", "remaining"),
        ("late-ack", "random-fully", "remaining"),
        ("late-ack-seed", "kernel=6.1", "avoided"),
        ("late-ack-seed", "kernel=6.0", "remaining"),
        ("ack-over", "be-liberal", "avoided"),
        ("ack-over", "drop-invalid", "remaining"),
        ("ack-over", "kernel=7.2", "remaining"),
        ("snat-race", "random-fully", "avoided"),
        ("snat-race", "be-liberal", "remaining"),
        ("snat-race", "drop-invalid", "remaining"),
        ("snat-race", "kernel=6.18", "remaining"),
        ("snat-race", "table=9999999", "remaining"),
    ],
)
def test_real_captures(name: str, setting: str, expected: str) -> None:
    """What the laboratory showed of these settings and kernels comes out of their captures."""
    assert expected == outcome(what_if(analysed(name), setting))


def test_the_replay_says_why() -> None:
    """The sentence counts the packets, and names the test that still fails."""
    assert "replayed with it, 1 packet would have been translated and passed on" == only(
        what_if(analysed("late-ack-seed"), "be-liberal")
    )
    assert "4 of 4 packets would still be INVALID: ACK is over upper bound" in only(
        what_if(analysed("ack-over"), "kernel=6.1")
    )


def test_an_older_kernel_is_no_promise() -> None:
    """What it would have refused beside these packets was not checked, and that is said."""
    assert "was not checked" in what_if(analysed("ack-over"), "kernel=5.10").arithmetic
    assert "was not asked" not in what_if(analysed("late-ack"), "kernel=6.1").arithmetic


def test_the_arithmetic_of_random_ports() -> None:
    """30 connections of each pod in pairs, and a pair of echoes; 60 ports are taken towards the one server."""
    told = what_if(analysed("snat-race"), "random-fully")

    assert f"R = {PORTS:,} ports" in told.arithmetic
    assert "U = 60" in told.arithmetic
    assert "31 x P = 0.00048 losses are to be expected at most, against 6 seen" in told.arithmetic
    assert "a chance of 1 in 64,452 each" in only(told)


def test_what_is_random_already_does_not_help(tmp_path: Path) -> None:
    """A race under rules that draw every port is not avoided by them."""
    folder = tmp_path / "bundle"
    shutil.copytree(FIXTURES / "snat-race", folder)
    rules = folder / "nft-ruleset.txt"
    rules.write_text(rules.read_text().replace("masquerade", "masquerade fully-random"))

    told = what_if(analyze(folder), "random-fully")

    assert ("remaining", "the rules draw every port at random already") == (outcome(told), only(told))


def test_a_search_for_a_port_is_random_already() -> None:
    """Who could not keep its port drew one, from 5.0 on; before, the rover counted up."""
    analysis = analysed("snat-race")
    (incident,) = analysis.incidents
    first = incident.findings[0]
    searched = dataclasses.replace(first, facts={**first.facts, "port_kept": False})
    other = dataclasses.replace(incident, findings=(searched, *incident.findings[1:]))
    old = dataclasses.replace(
        analysis.scene, evidence=dataclasses.replace(analysis.scene.evidence, kernel="4.15.0")
    )

    assert "unknown" == outcome(what_if(dataclasses.replace(analysis, incidents=(other,)), "random-fully"))
    assert "avoided" == outcome(
        what_if(dataclasses.replace(analysis, incidents=(other,), scene=old), "random-fully")
    )


def upload(kernel: str, folder: Path) -> Analysis:
    """A late ACK that nobody answered: a rule dropped it."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:31000")
    talk.syn()
    talk.accept()
    for _ in range(40):
        talk.data(2000)
        talk.reply(b"")
    talk.send("A", by_pod=False, ack=1_010_001).only_at("eth0")
    talk.data(2000)
    talk.reply(b"")
    record(folder, talk)
    (folder / "uname.txt").write_text(f"Linux node7 {kernel} #1 SMP x86_64 GNU/Linux\n")
    return analyze(folder)


def test_dropped_without_an_answer(tmp_path: Path) -> None:
    """INVALID packets that a rule dropped: only what changes the verdict helps."""
    analysis = upload("5.10.0-32-amd64", tmp_path)

    assert ["invalid-dropped"] == [incident.kind for incident in analysis.incidents]
    assert ["avoided", "remaining", "avoided", "remaining"] == [
        outcome(what_if(analysis, setting))
        for setting in ("be-liberal", "drop-invalid", "kernel=6.1", "kernel=5.4")
    ]


def test_what_no_replay_explains_stays_open(tmp_path: Path) -> None:
    """Where the rules that are known do not say INVALID, no other setting can be judged."""
    analysis = upload("5.10.0-32-amd64", tmp_path)
    (incident,) = analysis.incidents
    (finding,) = incident.findings
    puzzling = dataclasses.replace(finding, facts={**finding.facts, "generation": "6.1"})
    analysis = dataclasses.replace(analysis, incidents=(dataclasses.replace(incident, findings=(puzzling,)),))

    assert ["unknown", "unknown"] == [outcome(what_if(analysis, s)) for s in ("be-liberal", "kernel=6.1")]


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [("4.19", "remaining"), ("5.4", "unknown"), ("5.10", "avoided"), ("6.18", "avoided")],
)
def test_two_queries_of_one_socket(tmp_path: Path, kernel: str, expected: str) -> None:
    """The clash of A and AAAA was resolved by and by."""
    talk = Conversation(
        pod="10.244.0.11:40000",
        server="10.96.0.10:53",
        dnat="192.0.2.53:53",
        nat="192.0.2.10:40000",
        proto="udp",
    )
    talk.data(b"A?" * 20, at=0.0).lost_after("cni0")
    talk.data(b"AAAA" * 10, at=0.00002)
    talk.reply(80, at=0.01)
    talk.data(b"A?" * 20, at=5.0)
    talk.reply(90, at=5.01)
    analysis = analyze(record(tmp_path, talk, bystander(-1.0), bystander(6.0)))

    assert ["dns-insert-race"] == [incident.cause for incident in analysis.incidents]
    assert expected == outcome(what_if(analysis, f"kernel={kernel}"))


def full(folder: Path, *files: tuple[str, str]) -> Analysis:
    """Five connections to five servers that the table refused, one of which got in later."""
    talks = []
    for n in range(5):
        talk = Conversation(
            pod=f"10.244.0.11:{20000 + n}",
            server=f"192.0.2.{100 + n}:80",
            nat=f"192.0.2.10:{20000 + n}",
            isn=(n + 1) * 1_000_000,
        )
        talk.syn(at=n / 100).lost_after("cni0")
        talks.append(talk)
    talks[0].syn(at=1.0)
    talks[0].accept()
    record(folder, *talks, bystander(-1.0), bystander(6.0))
    for moment, drop in (("before", 0), ("after", 5)):
        (folder / f"conntrack-S-{moment}.txt").write_text(
            f"cpu=0   \tfound=1 invalid=0 insert=0 insert_failed=0 drop={drop} early_drop=0 error=0 search_restart=0 "
            "clash_resolve=0 chaintoolong=0 \n"
        )
    for name, text in files:
        (folder / name).write_text(text)
    return analyze(folder)


SYSCTLS = ("sysctl.txt", "net.netfilter.nf_conntrack_max = 1000\nnet.netfilter.nf_conntrack_buckets = 1024\n")


@pytest.mark.parametrize(("size", "expected"), [(1000, "remaining"), (1004, "remaining"), (1005, "avoided")])
def test_a_larger_table(tmp_path: Path, size: int, expected: str) -> None:
    """Full at 1,000, and five more at once before one of those that were refused got in by itself."""
    analysis = full(tmp_path, SYSCTLS)
    told = what_if(analysis, f"table={size}")

    assert ["conntrack-table-full"] == [incident.cause for incident in analysis.incidents]
    assert expected == outcome(told)
    assert "1,000 + 5 = 1,005" in told.arithmetic


def test_a_table_of_unknown_size(tmp_path: Path) -> None:
    """Without nf_conntrack_max there is a lower bound only."""
    analysis = full(tmp_path)

    assert ["remaining", "unknown"] == [outcome(what_if(analysis, f"table={size}")) for size in (6, 10**6)]
    assert "up to 3 entries at once, and would show 7" in what_if(analysis, "table=6").arithmetic


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "=",
        "liberal",
        "be-liberal=1",
        "be-liberal=",
        "kernel",
        "kernel=",
        "kernel=six",
        "kernel=6",
        "kernel=6.1 6.2",
        "kernel=٦.١",
        "table",
        "table=",
        "table=0",
        "table=-1",
        "table=1e6",
        "table=²",
        "table=" + "9" * 5000,
        "\x1b[31m",
    ],
)
def test_what_is_no_setting_is_told(setting: str) -> None:
    """One sentence that names those that there are; control characters do not get through."""
    with pytest.raises(UnusableInput) as caught:
        parse(setting)

    assert all(known.form in str(caught.value) for known in SETTINGS.values())
    assert str(caught.value).isprintable()


def test_captures_are_needed() -> None:
    """An analysis that was put together by hand cannot be judged again."""
    with pytest.raises(ValueError, match="holds no captures"):
        what_if(dataclasses.replace(analysed("clean"), scene=None), "be-liberal")


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=40), st.integers(0, 20))
def test_coincidences_are_pairs(requests: list[tuple[int, int]], within: int) -> None:
    """As many as comparing each with each finds."""
    expected = sum(
        one[1] == other[1] and abs(one[0] - other[0]) <= within
        for one, other in itertools.combinations(requests, 2)
    )
    time = np.array([time for time, _ in requests], np.int64)
    destination = np.array([destination for _, destination in requests], np.uint64)

    assert expected == coincidences(time, destination, within)


def test_a_flood_is_counted_quickly() -> None:
    """A million at one instant are half a billion pairs, not half a billion steps."""
    million = 10**6

    assert million * (million - 1) // 2 == coincidences(
        np.zeros(million, np.int64), np.zeros(million, np.uint64), 1
    )
