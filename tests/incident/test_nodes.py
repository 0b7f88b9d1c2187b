"""Two nodes in one bundle: each is told as it is told alone, under names of its own."""

from __future__ import annotations

import shutil
from dataclasses import astuple
from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conftest import FIXTURES

PAIRS = [("snat-race", "policy-drop"), ("table-full", "late-ack"), ("second-way", "stale-entry")]


def told(analysis: Analysis, node: str = "") -> list[tuple[object, ...]]:
    """What an analysis says of one node's incidents."""
    return sorted(
        (
            one.kind, one.cause, one.confidence, tuple(name.removeprefix(f"{node}/") for name in one.gap or ()),
            len(one.findings), tuple(remedy.command for remedy in one.remedies), tuple(e.says for e in one.evidence),
        )
        for one in analysis.incidents
        if one.findings[0].point.startswith(node)
    )  # fmt: skip


@pytest.mark.parametrize("fixtures", PAIRS, ids="-".join)
@pytest.mark.parametrize("form", ["folders", "prefixes"])
def test_each_as_it_is_alone(tmp_path: Path, fixtures: tuple[str, str], form: str) -> None:
    """Causes, confidence, evidence, fixes and counters of both; what is beside the one changes nothing of the other."""
    alone = {node: analyze(FIXTURES / name) for node, name in zip("ab", fixtures, strict=True)}
    for node, name in zip("ab", fixtures, strict=True):
        for file in (FIXTURES / name).iterdir():
            target = tmp_path / node / file.name if form == "folders" else tmp_path / f"{node}-{file.name}"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
    both = analyze(tmp_path)

    for node, one in alone.items():
        assert told(one) == [
            (*rest, tuple(says.replace(f"{node}/", "").replace(f"{node}-", "") for says in evidence))
            for *rest, evidence in told(both, node)
        ]
    assert [
        sum(numbers) for numbers in zip(*(astuple(one.counts) for one in alone.values()), strict=True)
    ] == [*astuple(both.counts)]
    for kind in ("connections", "worked", "node", "outside", "unknown"):
        assert sum(getattr(one.account, kind) for one in alone.values()) == getattr(both.account, kind)
    assert [
        (f"{node}: {row.counter}", row.delta, row.explained)
        for node, one in alone.items()
        for row in one.reconciliation
    ] == [(row.counter, row.delta, row.explained) for row in both.reconciliation]


def test_every_packet_is_found(tmp_path: Path) -> None:
    """The tables, and the packets of an incident, have the new names."""
    for node, name in (("a", "snat-race"), ("b", "snat-race-ipv6")):
        shutil.copytree(FIXTURES / name, tmp_path / node)
    analysis = analyze(tmp_path)
    points = {point.name for point in analysis.capture_points}

    assert {"a/eth0", "b/eth0"} < points
    assert points == set(analysis.flows["point"])
    assert points >= {
        sighting.point
        for i in analysis.incidents
        for f in i.findings
        for p in f.passages
        for sighting in p.sightings
    }
    assert {*analysis.findings["point"]} <= points
    assert "a/eth0" in analysis.to_html()
