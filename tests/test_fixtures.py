"""Every fixture: what `case.toml` expects is found, nothing else, and `reports/` shows it."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analyzer import Analysis, analyze
from analyzer.expectations import judge
from analyzer.expectations.file import read
from tests.agreeing import agree
from tests.golden import FIXTURES, ROOT, renderings


@pytest.fixture(scope="module", params=FIXTURES, ids=lambda path: path.name)
def case(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any], Analysis]:
    """A fixture's folder, its case.toml, and its analysis."""
    folder: Path = request.param
    return folder, tomllib.loads((folder / "case.toml").read_text()), analyze(folder)


def test_expected_incidents(case: tuple[Path, dict[str, Any], Analysis]) -> None:
    """Kind, cause, gap and number of findings are those expected, and there are no others."""
    _, told, analysis = case
    expected = {
        (i["kind"], i["cause"], tuple(i["gap"])): i["findings"] for i in told["expect"].get("incidents", [])
    }
    found: Counter[Any] = Counter()
    for incident in analysis.incidents:
        found[incident.kind, incident.cause, incident.gap] += len(incident.findings)

    assert expected == dict(found)


def test_expected_counts(case: tuple[Path, dict[str, Any], Analysis]) -> None:
    """The counts that follow from what the kernel and the traffic programs counted are met."""
    _, told, analysis = case
    expected = told["expect"].get("counts", {})

    assert expected == {name: getattr(analysis.counts, name) for name in expected}


def test_check_would_say_so(case: tuple[Path, dict[str, Any], Analysis]) -> None:
    """`lostsyn check --expect case.toml` and the pytest plugin have nothing to complain of."""
    folder, _, analysis = case

    assert () == judge(analysis, read(folder / "case.toml").of([str(folder)]))


def test_race_partners(case: tuple[Path, dict[str, Any], Analysis]) -> None:
    """Every loser of a race has its partner named: another pod, with the port that both wanted."""
    _, _, analysis = case
    for incident in analysis.incidents:
        if incident.cause == "snat-port-race":
            for finding in incident.findings:
                lost, partner = finding.inner.split(" > ")[0], finding.facts["partner_inner"].split(" > ")[0]

                assert lost != partner
                assert lost.rpartition(":")[2] == str(finding.facts["contested_port"])


def test_kernel_rejected_exactly_these(case: tuple[Path, dict[str, Any], Analysis]) -> None:
    """The offending replies are those that the kernel itself logged as INVALID, RSTs of the host aside."""
    folder, _, analysis = case
    truth = folder / "truth.json"
    logged = json.loads(truth.read_text())["invalid"] if truth.exists() else []
    from_pods = ("10.244.", "fd00:")
    expected = sorted(
        p["ack"] for p in logged if "R" not in p["flags"] and not p["src"].startswith(from_pods)
    )
    found = [f for i in analysis.incidents if i.kind.startswith("invalid-") for f in i.findings]
    if truth.exists():
        assert expected == sorted(o["ack"] for f in found for o in f.facts["offenders"])


def test_records_and_inference_agree(case: tuple[Path, dict[str, Any], Analysis], tmp_path: Path) -> None:
    """The captures alone tell of the losses that the kernel recorded, each of which has its record."""
    folder, told, analysis = case
    if list(folder.glob("drops.txt*")):
        agree(analysis, folder, json.loads((folder / "truth.json").read_text())["scenario"], tmp_path)
    else:
        assert not told["case"]["command"].startswith("lostsyn lab ")


def test_shipped_report_is_current(case: tuple[Path, dict[str, Any], Analysis]) -> None:
    """`reports/` holds what the fixture renders to; `make reports` brings it up to date."""
    folder, _, analysis = case
    for name, content in renderings(analysis).items():
        assert content == (ROOT / "reports" / folder.name / name).read_text(encoding="utf-8")


def test_libnetwork_1090_arithmetic() -> None:
    """The listings of libnetwork#1090 give the known numbers to the byte, the mapping and the clock offset."""
    analysis = analyze(ROOT / "fixtures" / "late-ack-seed")
    (incident,) = analysis.incidents
    (finding,) = incident.findings
    offender = next(p for p in finding.window if p.verdict == "invalid")
    after = {p.role: p for p in finding.passages if p.role in ("offender", "host-reset")}
    late, rst = after["offender"].sightings[0], after["host-reset"].sightings[0]

    assert (10322531, 10149475, 39008) == (offender.upper, offender.bound, offender.short_by)
    assert 10110467 == offender.ack == finding.facts["offenders"][0]["rst_seq"]
    assert 34 == round((rst.time - late.time) / 1000)
    assert [("eth0", 117898)] == [(s.point, s.frame) for s in after["offender"].sightings]
    assert [("eth0", 117899)] == [(s.point, s.frame) for s in after["host-reset"].sightings]
    assert "10.251.0.1:56284 > 192.168.0.100:80/tcp" == finding.inner
    assert "10.205.13.199:56284 > 192.168.0.100:80/tcp" == finding.outer
    assert 907.6 == round(analysis.capture_points[1].clock_offset / 1e9, 1)
    assert "5.10" == finding.facts["generation"]
