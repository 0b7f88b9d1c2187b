"""The result object: what it holds, how it renders, and what it does without captures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import analyzer
from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    """An analysis of two whole connections."""
    (tmp_path / "uname.txt").write_text("6.1.0-18-amd64\n")
    return analyze(record(tmp_path, bystander(0), bystander(1)))


def test_what_it_holds(analysis: Analysis, tmp_path: Path) -> None:
    """The bundle's name, its kernel, its points from the pod outwards."""
    assert (tmp_path.name, "6.1.0-18-amd64") == (analysis.bundle, analysis.kernel)
    assert [("veth-z", "pod"), ("cni0", "bridge"), ("eth0", "uplink")] == [
        (p.name, p.role) for p in analysis.capture_points
    ]
    assert (2, 2) == (analysis.counts.connections, analysis.counts.syn_attempts)
    assert ((), (), None) == (analysis.incidents, analysis.caveats, analysis.inconclusive)


def test_renderings(analysis: Analysis) -> None:
    """JSON that a program reads, HTML that a browser reads."""
    assert 1 == json.loads(analysis.to_json())["format_version"]
    assert analysis.to_html().lower().startswith("<!doctype html>")


def test_representations(analysis: Analysis, tmp_path: Path) -> None:
    """A terminal shows the verdict and the points in a few lines, a notebook a fragment of the report."""
    shown = repr(analysis)

    assert shown.startswith("No incident: all 2 connections worked")
    assert all(point.name in shown for point in analysis.capture_points)
    assert "No incident: all 2 connections worked" in analysis._repr_html_()


def test_ladders(tmp_path: Path) -> None:
    """The ladder of an incident, of its finding, and of the flow itself: one connection's, each time."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    analysis = analyze(record(tmp_path, talk, bystander(-1), bystander(5)))
    (incident,) = analysis.incidents
    crossing = analysis.crossings.query("outer_orig == '192.0.2.10:1024'").iloc[0]
    row = analysis.findings.iloc[0]
    drawings = [
        analysis.ladder(of)
        for of in (incident, incident.findings[0], row, crossing, analysis.follow(crossing))
    ]

    assert 1 == len({drawing.of for drawing in drawings})
    assert "10.244.0.11:20000" in drawings[0].of
    assert incident.summary in repr(analysis).replace("\n ", "")
    for told in (incident, incident.findings[0]):
        assert len(repr(told)) < 1000
    assert (
        drawings[-1].of.removeprefix("ladder of ").split(" > ")[0] in analysis.follow(crossing)._repr_html_()
    )
    with pytest.raises(KeyError, match="no finding of 'syn-vanished-1' is of 'nobody'"):
        analysis.ladder(dict(row) | {"inner": "nobody"})


def test_without_captures(analysis: Analysis) -> None:
    """What was not made by `analyze` renders, but has no tables."""
    alone = replace(analysis, scene=None)

    assert alone == analysis
    assert analysis.to_json() == alone.to_json()
    for table in ("flows", "crossings", "passages"):
        with pytest.raises(ValueError, match="holds no captures"):
            getattr(alone, table)
    assert 0 == len(alone.findings)


def test_public_names() -> None:
    """Every public name is there, and nothing else pretends to be."""
    assert sorted(analyzer.__all__) == analyzer.__all__
    for name in analyzer.__all__:
        assert name == getattr(analyzer, name).__name__
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        analyzer.nonsense  # noqa: B018 - the access is the test
