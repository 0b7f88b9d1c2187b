"""The file of expectations: read, found wrong, and written."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UnusableInput
from analyzer.expectations import Destination, Range, Rule, judge
from analyzer.expectations.file import SIZE, Expectations, key, read, update
from analyzer.incident.model import Counts
from tests.conftest import Case
from tests.expectations.test_expectations import GAP, analysis, finding, incident

TWO = """
# Of node 7.
[[expect]]
bundle = "captures/node7"
exit = 1
counts = { syn_vanished = { max = 9 } }

[[expect.incidents]]
kind = "syn-vanished"
cause = "snat-port-race"
gap = ["cni0", "eth0"]
destination = "192.0.2.100:80"
findings = { min = 1, max = 5 }
required = false

[[expect]]
bundle = ["b.pcap", "a.pcap"]
"""


def written(folder: Path, text: str) -> Expectations:
    """Read *text* as a file in *folder*."""
    (folder / "expect.toml").write_text(text, encoding="utf-8")
    return read(folder / "expect.toml")


def test_every_key(tmp_path: Path) -> None:
    """A table becomes an expectation, which knows where it stands."""
    known = written(tmp_path, TWO)
    seven = known.of([str(tmp_path / "captures" / "node7")])

    assert [("captures/node7",), ("a.pcap", "b.pcap")] == list(known.bundles)
    assert (1, {"syn_vanished": Range(most=9)}) == (seven.exit, seven.counts)
    assert (
        Rule(
            kind="syn-vanished", cause="snat-port-race", gap=GAP, destination=Destination.of("192.0.2.100:80"),
            findings=Range(least=1, most=5), required=False,
        ),
    ) == seven.rules  # fmt: skip
    assert [3, 16] == [expectation.line for expectation in known.bundles.values()]
    assert str(tmp_path / "expect.toml") == seven.source


def test_a_bundle_is_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the file, wherever the command runs, however the path is written, in any order."""
    known = written(tmp_path, TWO)
    (tmp_path / "captures").mkdir()
    monkeypatch.chdir(tmp_path / "captures")

    assert known.names(["node7"])
    assert known.names(["node7/"])
    assert known.names(["../captures/./node7"])
    assert known.names(["../a.pcap", "../b.pcap"])
    assert not known.names(["../a.pcap"])
    assert not known.names(["captures/node7"])
    assert [(str(tmp_path / "a.pcap"), str(tmp_path / "b.pcap"))] == known.besides([["node7"]])


def test_a_table_without_a_bundle(tmp_path: Path) -> None:
    """It is for the folder of the file: a case.toml."""
    known = written(tmp_path, "[case]\nname = 'x'\n[expect]\nexit = 0\n")

    assert known.names([str(tmp_path)])
    assert 3 == known.of([str(tmp_path)]).line
    assert not known.names([str(tmp_path / "below")])
    assert () == known.of([str(tmp_path / "below")]).rules


def test_every_fixture_is_one(bundle_case: Case) -> None:
    """The case.toml of every fixture is read, rule by rule."""
    told = read(bundle_case.folder / "case.toml").of([str(bundle_case.folder)])

    assert bundle_case.expect["exit"] == told.exit
    assert set(bundle_case.expect["counts"]) == set(told.counts)
    assert [i["findings"] for i in bundle_case.expect.get("incidents", [])] == [
        rule.findings.least for rule in told.rules
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "the file has no table [expect]"),
        ("expect = 1", "the file has no table [expect]"),
        ("expect = []", "the file has no table [expect]"),
        ("expect = [1]", "expect[1] is not a table"),
        ("[expects]", "the file knows no 'expects'; it knows case, expect"),
        ("[expect]\nexti = 1", "expect knows no 'exti'; it knows bundle, counts, exit, incidents"),
        ("[expect]\nexit = 3", "expect.exit is 3, none of 0, 1, 2"),
        ("[expect]\nexit = true", "expect.exit is True, none of 0, 1, 2"),
        ("[expect]\nbundle = 1", "expect.bundle is neither a path nor a list of paths"),
        ("[expect]\nbundle = []", "expect.bundle is neither a path nor a list of paths"),
        ("[expect.counts]\nsyns = 1", "expect.counts knows no 'syns'; it knows connections, "),
        ("[expect.counts]\nconnections = -1", "expect.counts.connections is neither a number nor { min"),
        ("[expect.counts]\nconnections = true", "expect.counts.connections is neither a number nor { min"),
        ("[expect]\ncounts = 1", "expect.counts is not a table"),
        ("[expect]\nincidents = 1", "expect.incidents is not a list of tables"),
        ("[expect]\nincidents = [1]", "expect.incidents[1] is not a table"),
        ("[[expect]]\n[[expect]]\nbundle = '.'", "expect[2] is a second table for '.'"),
        ("[[expect.incidents]]\nkind = 'syn-lost'", "expect.incidents[1].kind is 'syn-lost', none of syn-vanished, "),
        ("[[expect.incidents]]\nkind = ['a']", "expect.incidents[1].kind is ['a'], none of syn-vanished, "),
        ("[[expect.incidents]]\ncause = 'race'", "expect.incidents[1].cause is 'race', none of "),
        ("[[expect.incidents]]\ngap = ['cni0']", "expect.incidents[1].gap is not two names"),
        ("[[expect.incidents]]\ndestination = 'x'", "expect.incidents[1].destination is no ADDRESS:PORT"),
        ("[[expect.incidents]]\nrequired = 0", "expect.incidents[1].required is 0, none of true, false"),
        ("[[expect.incidents]]\nfindings = 'a'", "expect.incidents[1].findings is neither a number nor"),
        ("[[expect.incidents]]\nfindings = { least = 1 }", "expect.incidents[1].findings knows no 'least'"),
        ("[expect", "is not TOML: "),
        ("expect = " + "[" * 5000, "is not TOML: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, wrong: str, tmp_path: Path) -> None:
    """One sentence that names the file, the place and the mistake."""
    with pytest.raises(UnusableInput) as caught:
        written(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path / 'expect.toml'}: {wrong}")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """One that is not there, one that is a folder, one that is no text, and one that never ends."""
    for name, data, wrong in (
        ("gone", None, "no such file; `--update` writes it"),
        (".", None, "cannot be read: Is a directory"),
        ("bytes", b"\xff\xfe", "is not TOML"),
        ("long", b"#" * (SIZE + 1), f"has more than {SIZE} bytes"),
    ):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(UnusableInput, match=wrong):
            read(tmp_path / name)
    assert {} == read(tmp_path / "gone", missing_ok=True).bundles


def test_update_writes_what_is_met(tmp_path: Path) -> None:
    """What is written from nothing is met by what it was written from, and by nothing less."""
    found = analysis(incident(finding(), finding("192.0.2.7:53/udp")), incident(finding(gap=None), number=2))
    file = tmp_path / "expect.toml"
    one, two = ([str(tmp_path / "one")], found), ([str(tmp_path / "b"), str(tmp_path / "a")], analysis())
    text = update(read(file, missing_ok=True), [one, two])
    known = written(tmp_path, text)

    assert () == judge(found, known.of(one[0]))
    assert () == judge(analysis(), known.of(two[0]))
    assert judge(analysis(), known.of(one[0]))
    assert [
        {
            "bundle": "one", "exit": 1,
            "incidents": [
                {"kind": "syn-vanished", "cause": "snat-port-race", "gap": ["cni0", "eth0"], "findings": 2},
                {"kind": "syn-vanished", "cause": "snat-port-race", "findings": 1},
            ],
        },
        {"bundle": ["a", "b"], "exit": 0},
    ] == tomllib.loads(text)["expect"]  # fmt: skip


def test_update_keeps_the_rest(tmp_path: Path) -> None:
    """Other bundles, other tables and the counts that are compared stay."""
    known = written(tmp_path, "[case]\nname = 'seven'\n" + TWO)
    found = analysis(counts=Counts(syn_vanished=10))
    told = tomllib.loads(update(known, [([str(tmp_path / "captures/node7")], found)]))

    assert {"name": "seven"} == told["case"]
    assert [
        {"bundle": "captures/node7", "exit": 0, "counts": {"syn_vanished": 10}},
        {"bundle": ["b.pcap", "a.pcap"]},
    ] == told["expect"]


def test_update_of_a_case(tmp_path: Path) -> None:
    """A case.toml keeps its one table, until there is a second bundle."""
    known = written(tmp_path, "[case]\nname = 'x'\n[expect]\nexit = 1\n")
    alone = update(known, [([str(tmp_path)], analysis())])
    both = update(known, [([str(tmp_path)], analysis()), ([str(tmp_path / "y")], analysis())])

    assert {"case": {"name": "x"}, "expect": {"exit": 0}} == tomllib.loads(alone)
    assert [{"exit": 0}, {"bundle": "y", "exit": 0}] == tomllib.loads(both)["expect"]


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4, unique=True), st.integers(0, 3))
def test_update_is_stable(tmp_path_factory: pytest.TempPathFactory, names: list[str], number: int) -> None:
    """Written again from what was read, a file is the same to the byte, whatever the bundles are called."""
    folder = tmp_path_factory.getbasetemp()
    found = analysis(*([incident(*[finding()] * number)] if number else []))
    bundles: list[tuple[list[str], Any]] = [([os.path.join(folder, "in", name)], found) for name in names]  # noqa: PTH118
    first = update(Expectations(path=folder / "expect.toml", content={}, bundles={}), bundles)
    known = written(folder, first)

    assert first == update(known, bundles)
    assert all(known.names(paths) for paths, _ in bundles)


def test_keys_are_the_same_everywhere(tmp_path: Path) -> None:
    """A bundle's name has forward slashes and leads out of the folder where it must."""
    assert ("../x/y",) == key([str(tmp_path / "x" / "y")], tmp_path / "file" / "expect.toml")
