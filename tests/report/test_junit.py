"""JUnit XML, valid by its schema."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from analyzer.expectations import Expectation, Rule
from analyzer.report import junit
from analyzer.report.checked import Checked


@cache
def xsd() -> xmlschema.XMLSchema:
    """Return the schema beside this file."""
    return xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def suites(*checked: Checked) -> list[ElementTree.Element]:
    """Render, validate, and return the suites."""
    text = junit.render(checked)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own
    xsd().validate(ElementTree.ElementTree(root))
    assert text.startswith("<?xml version='1.0' encoding='utf-8'?>\n")
    for suite in root:
        cases = suite.findall("testcase")
        assert [len(cases), *(len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error"))] == [
            int(suite.get(name, "")) for name in ("tests", "failures", "errors")
        ]
    return list(root)


def outcomes(suite: ElementTree.Element) -> list[tuple[str, str]]:
    """Return each case's name, and what became of it."""
    return [(case.get("name", ""), case[0].tag if len(case) else "passed") for case in suite.iter("testcase")]


def test_an_incident_fails(sample) -> None:
    """Its name says where, its message what happened, its text in which frames."""
    (suite,) = suites(Checked.of(["captures/node7"], sample.race()))
    (failure,) = suite.iter("failure")

    assert [("syn-vanished-1: SNAT port race between cni0 and eth0", "failure")] == outcomes(suite)
    assert ("snat-port-race", sample.RACE.summary) == (failure.get("type"), failure.get("message"))
    assert "last seen in cni0.pcap frame " in (failure.text or "")
    assert "2026-11-20T10:58:16" == suite.get("timestamp")
    assert "captures/node7" == suite.get("name") == suite.find("testcase").get("classname")


def test_no_incident_passes(sample) -> None:
    """A suite without a case would be taken for one that did not run."""
    (suite,) = suites(Checked.of(["b"], sample.clean()))

    assert [("no incident", "passed")] == outcomes(suite)


def test_errors(sample) -> None:
    """A bundle that cannot be analysed, or tells nothing, is an error, not a failure."""
    blind = dataclasses.replace(sample.clean(), inconclusive="only eth0 was captured")
    one, two = suites(Checked(paths=("a",), error="a: no capture"), Checked.of(["b"], blind))

    assert [("analysis", "error")] == outcomes(one) == outcomes(two)
    assert ["unusable", "inconclusive"] == [s.find("testcase/error").get("type") for s in (one, two)]
    assert ["0", "1"] == [s.get("id") for s in (one, two)]


def test_expectations(sample) -> None:
    """What was expected passes; what was not, and what is missing, fails."""
    rules = Rule(cause="snat-port-race"), Rule(cause="policy-drop")
    (met,) = suites(Checked.of(["b"], sample.race(), Expectation(rules=rules[:1])))
    (quiet,) = suites(Checked.of(["b"], sample.clean(), Expectation()))
    (missing,) = suites(Checked.of(["b"], sample.race(), Expectation(rules=rules)))
    (strange,) = suites(Checked.of(["b"], sample.race(), Expectation()))
    name = "syn-vanished-1: SNAT port race between cni0 and eth0"

    assert [(name, "passed")] == outcomes(met)
    assert [("as expected", "passed")] == outcomes(quiet)
    assert [
        (name, "passed"), ("findings of policy-drop: expected at least 1", "failure")
    ] == outcomes(missing)  # fmt: skip
    assert [(name, "failure")] == outcomes(strange)


def test_one_input_one_file(sample) -> None:
    """Nothing in it depends on the machine or the hour."""
    checked = [Checked.of(["b"], sample.both())]

    assert junit.render(checked) == junit.render(checked)
    assert 'hostname="localhost"' in junit.render(checked)


@given(st.text(), st.text())
def test_any_text(sample, name: str, summary: str) -> None:
    """Control characters, surrogates and markup of captures neither break the document nor get into it."""
    race = dataclasses.replace(sample.RACE, summary=summary, gap=(name, summary))
    analysis = dataclasses.replace(
        sample.race(), incidents=(race,), caveats=(summary,), kernel=summary, inconclusive=name or None
    )
    suites(Checked.of([name], analysis), Checked(paths=(name,), error=summary or "x"))


@pytest.mark.parametrize("broken", ["<testsuites/>", "<testsuites><testsuite name='x'/></testsuites>"])
def test_the_schema_refuses(broken: str) -> None:
    """The schema is one that can say no."""
    assert not xsd().is_valid(ElementTree.ElementTree(ElementTree.fromstring(broken)))  # noqa: S314
