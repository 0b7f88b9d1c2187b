"""Annotations of GitHub Actions."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.expectations import Expectation, Rule
from analyzer.report import github
from analyzer.report.checked import Checked

COMMAND = re.compile(r"::(?:error|notice) ([^:\r\n]*)::([^\r\n]*)")


def unescaped(text: str) -> str:
    """Read a value as the runner does."""
    for code, char in (("%3A", ":"), ("%2C", ","), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, char)
    return text


def commands(text: str) -> list[tuple[dict[str, str], str]]:
    """Read the annotations of errors of *text*; its last line is none."""
    told = []
    *every, last = [line for line in text.splitlines() if not line.startswith("made by ")]
    assert last.startswith("lostsyn: ")
    for command in every:
        found = COMMAND.fullmatch(command)
        assert found, command
        if command.startswith("::notice"):
            continue
        pairs = (pair.split("=", 1) for pair in found[1].split(","))
        told.append(({name: unescaped(value) for name, value in pairs}, unescaped(found[2])))
    return told


def test_an_incident(sample, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its title, the capture where the packet was seen last, and all its lines."""
    (tmp_path / "node7").mkdir()
    (tmp_path / "node7" / "cni0.pcap").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    text = github.render([Checked.of(["node7"], sample.race())])
    ((properties, message),) = commands(text)

    assert {"title": "SNAT port race between cni0 and eth0", "file": "node7/cni0.pcap"} == properties
    assert sample.RACE.summary == message.splitlines()[0]
    assert text.endswith("\nlostsyn: 1 bundle checked, 1 with findings\n")


def test_the_verdict(sample) -> None:
    """A bundle with findings has its headline and its account in a notice."""
    text = github.render([Checked.of(["node7"], sample.race())])
    (notice,) = [row for row in text.splitlines() if row.startswith("::notice ")]

    assert notice.startswith("::notice title=Lostsyn::node7: 4 of 612 connections waited up to 2.08 s")
    assert "(612 connections: 608 worked, 4 delayed or failed because of this node)" in notice


def test_nothing_to_say(sample) -> None:
    """A clean bundle, and one that is as expected, have no annotation."""
    fine = Expectation(rules=(Rule(cause="snat-port-race"),))

    text = github.render([Checked.of(["a"], sample.clean()), Checked.of(["b"], sample.race(), fine)])

    assert text.endswith("lostsyn: 2 bundles checked, 0 with findings\n")
    assert "::" not in text


def test_what_is_missing(sample) -> None:
    """It is shown at the table that requires it."""
    required = Expectation(rules=(Rule(cause="policy-drop"),), source="lostsyn.toml", line=12)
    ((properties, message),) = commands(github.render([Checked.of(["node7"], sample.clean(), required)]))

    assert {"title": "Not as expected", "file": "lostsyn.toml", "line": "12"} == properties
    assert "node7: findings of policy-drop: expected at least 1, found 0" == message


def test_errors() -> None:
    """A bundle that cannot be analysed is one annotation; a path outside the repository is no file of it."""
    ((properties, message),) = commands(github.render([Checked(paths=("/nowhere/x",), error="no capture")]))

    assert ({"title": "Inconclusive"}, "/nowhere/x: no capture") == (properties, message)


def test_ten_are_shown(sample) -> None:
    """GitHub shows ten: the last of them says how many are left out."""
    race = sample.race()
    many = dataclasses.replace(race, incidents=(sample.RACE,) * 30)
    told = commands(github.render([Checked.of(["node7"], many)]))

    assert github.ANNOTATIONS == len(told)
    assert "and 21 more; see the log" == told[-1][1]
    assert 10 == len(
        commands(github.render([Checked.of(["n"], dataclasses.replace(race, incidents=(sample.RACE,) * 10))]))
    )


@given(st.text(), st.text())
def test_no_text_acts(sample, name: str, summary: str) -> None:
    """Whatever a capture or a path says, there is one command, and the runner reads back printable text."""
    race = dataclasses.replace(sample.race(), incidents=(dataclasses.replace(sample.RACE, summary=summary),))
    told = commands(github.render([Checked.of([f"in/{name}"], race)]))

    assert 1 == len(told)
    assert {"title", "file"} >= set(told[0][0])
