"""The report on a terminal."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from analyzer.expectations import Expectation, Rule
from analyzer.incident.model import Evidence, Reconciled
from analyzer.report import text
from analyzer.report.checked import Checked

GOLDEN = Path(__file__).with_name("golden.txt")


def test_golden(sample) -> None:
    """The text of the sample is the text in `golden.txt`."""
    assert GOLDEN.read_text(encoding="utf-8") == text.render(sample.both())


@pytest.mark.parametrize("name", ["race", "late_ack", "both", "clean", "empty"])
def test_80_columns(sample, name: str) -> None:
    """No line is longer than a terminal is wide, and none ends in spaces."""
    lines = text.render(getattr(sample, name)()).splitlines()

    assert [] == [line for line in lines if len(line) > 80 or line != line.rstrip()]


def test_the_verdict_comes_first(sample) -> None:
    """The first line answers the question."""
    assert text.render(sample.race()).startswith(
        "4 of 612 connections waited up to 2.08 s because of this node"
    )
    assert text.render(sample.clean()).startswith("2 of 508 connections failed outside this node")
    assert text.render(sample.empty()).startswith("No incident: the captures hold no connection to follow\n")


def test_a_point_without_a_role(sample) -> None:
    """It is called what it is, not a word cut short."""
    told = sample.race()
    (first, *others) = told.capture_points
    told = dataclasses.replace(told, capture_points=(dataclasses.replace(first, role="unknown"), *others))

    assert f"  point   {first.name}, " in text.render(told)


def test_hostile_strings_stay_on_their_line(sample) -> None:
    """A string from a capture can neither move the cursor nor forge a line of the report."""
    forged = "x\x1b[2J\r\nNo incident: all is well\u202e\udc80"
    race = dataclasses.replace(
        sample.RACE, summary=forged, evidence=(Evidence(says=forged, source=forged),), id=forged, cause=forged
    )
    shown = text.render(
        dataclasses.replace(sample.race(), incidents=(race,), caveats=(forged,), bundle=forged)
    )

    assert not [line for line in shown.splitlines() if line.startswith("No incident")]
    assert {"\x1b", "\r", "\u202e", "\udc80"}.isdisjoint(shown)


def test_long_lists_are_counted(sample) -> None:
    """Hundreds of connections are counted after the first three."""
    shown = text.render(sample.many(500))

    assert "... and 497 further connections" in shown
    assert len(shown.splitlines()) < 120


def test_expectations_come_first(sample) -> None:
    """Whether all is as expected, and what is not, stands before the report."""
    race, rule = sample.race(), Rule(cause="snat-port-race")
    met = text.render_checked(Checked.of(["b"], race, Expectation(rules=(rule,))))
    unmet = text.render_checked(Checked.of(["b"], race, Expectation()))

    assert text.render(race) == text.render_checked(Checked.of(["b"], race))
    assert "As expected\n\n" + text.render(race) == met
    assert unmet.startswith("Not as expected\n  - not expected: syn-vanished-1 (syn-vanished snat-port-race")
    assert unmet.endswith("\n\n" + text.render(race))
    assert not [line for line in unmet.splitlines() if len(line) > 80]


def test_each(sample) -> None:
    """Each bundle under its path, what could not be analysed too, and a sum at the end."""
    told = text.render_each(
        [
            Checked.of(["a"], sample.race()),
            Checked(paths=("b",), error="b: no capture"),
            Checked.of(["c"], sample.clean()),
        ]
    )

    assert ["==> a <==", "==> b <==", "==> c <=="] == [
        line for line in told.splitlines() if line.startswith("==>")
    ]
    assert "==> b <==\nb: no capture\n\n==> c" in told
    assert text.render(sample.race()) in told
    assert told.endswith("\n3 bundles: 1 without incident or as expected, 1 with findings, 1 inconclusive\n")


def test_overview(sample) -> None:
    """What a terminal shows of the object: the head of the text, and each incident's first lines."""
    shown, whole = text.overview(sample.both()), text.render(sample.both())

    assert whole.startswith(shown.partition("\n\n")[0])
    assert all(f"{incident.id}: " in shown for incident in sample.both().incidents)
    assert len(shown.splitlines()) < 30
    assert "... and 5 further incidents" in text.overview(
        dataclasses.replace(sample.race(), incidents=(sample.RACE,) * (text.INCIDENTS + 5))
    )


def test_the_fix_comes_before_the_proof(sample) -> None:
    """Impact, cause, confidence, fix, account, and only then connections, evidence and captures."""
    shown = text.render(sample.race())
    parts = (
        "4 of 612",
        "Cause: SNAT port race (proven",
        "Fix: ",
        "Connections",
        "Evidence",
        "Captures",
        "Made by",
    )

    assert sorted(map(shown.index, parts)) == [shown.index(part) for part in parts]


def test_colour_and_width(sample) -> None:
    """Colours add nothing but themselves, and a line is as long as the terminal is wide."""
    plain, coloured = (text.render(sample.both(), 60, colour=colour) for colour in (False, True))

    assert "\x1b" not in plain
    assert plain == re.sub("\x1b\\[[0-9;]+m", "", coloured)
    assert max(map(len, text.render(sample.both(), 120).splitlines())) > 80
    assert all(part in coloured for part in ("\x1b[1;31m5 of 613", "\x1b[1;32mFix:", "\x1b[32mproven"))


def test_a_counter_that_did_not_rise_has_no_line(sample) -> None:
    """It is named in one sentence."""
    rows = tuple(
        Reconciled(counter=name, delta=0, explained=0, note="0 of 0 explained")
        for name in ("drop", "invalid")
    )
    shown = text.render(dataclasses.replace(sample.race(), reconciliation=rows))

    assert "drop and invalid did not rise." in shown
    assert "0 of 0" not in shown
