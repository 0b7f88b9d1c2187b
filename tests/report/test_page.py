"""What the page shows and folds."""

from __future__ import annotations

import dataclasses

import pytest

from analyzer.incident.model import Incident
from analyzer.report import page


def test_fold() -> None:
    """What is cut is counted."""
    assert page.Folded(shown=(1, 2), hidden=1) == page.fold([1, 2, 3], 2)
    assert page.Folded(shown=(1, 2, 3), hidden=0) == page.fold([1, 2, 3], 3)


def test_a_large_incident_is_folded(sample) -> None:
    """Of hundreds of findings the first are drawn, some hundreds listed, the rest counted."""
    analysis = sample.many(1000)
    (view,) = page.build(analysis, analysis.incidents).causes

    assert page.DRAWN == len(view.drawn)
    assert (page.LISTED, 1000 - page.LISTED) == (len(view.listed.shown), view.listed.hidden)


def test_a_small_incident_is_not_listed_twice(sample) -> None:
    """Where every finding is drawn, no table repeats them."""
    (view,) = page.build(sample.race(), (sample.RACE,)).causes

    assert (3, ()) == (len(view.drawn), view.listed.shown)


def _unlike(sample, number: int) -> list[Incident]:
    """Incidents that have no cause in common."""
    return [
        dataclasses.replace(sample.RACE, id=f"syn-vanished-{at}", cause="unknown", gap=(f"veth{at}", "cni0"))
        for at in range(number)
    ]


def test_many_causes_share_the_budget(sample) -> None:
    """Every cause told is drawn at least once; the incidents of those beyond are in the table without a link."""
    built = page.build(sample.race(), _unlike(sample, 100))

    assert page.TOLD == len(built.causes)
    assert {1} == {len(view.drawn) for view in built.causes}
    assert 100 == len(built.table.shown)
    assert 100 - page.TOLD == [anchor for _, anchor in built.table.shown].count("")


def test_incidents_of_one_cause_are_told_once(sample) -> None:
    """One section has them all, with one connection of each drawn before a second of any, and each sentence once."""
    first = sample.RACE
    second = dataclasses.replace(
        first, id="syn-vanished-2", gap=("veth1", "cni0"), findings=first.findings[::-1]
    )
    built = page.build(sample.race(), [first, second])
    (view,) = built.causes

    assert ["syn-vanished-1", "syn-vanished-2"] == [anchor for _, anchor in view.incidents.shown]
    assert [first.findings[0], second.findings[0], first.findings[1]] == [one.finding for one in view.drawn]
    assert first.evidence == view.evidence.shown
    assert (first.excluded, first.remedies) == (view.excluded.shown, view.cause.first.remedies)
    assert ["syn-vanished-1", "points"] == [anchor for anchor, _ in built.contents][:2]


def test_another_fix_is_another_section(sample) -> None:
    """What needs another remedy, or is less sure, is not told under the fix of the first."""
    other = dataclasses.replace(sample.RACE, id="syn-vanished-2", remedies=sample.RACE.remedies[:1])
    unsure = dataclasses.replace(sample.RACE, id="syn-vanished-3", confidence="likely")
    built = page.build(sample.race(), [sample.RACE, other, unsure])

    assert [1, 1, 1] == [len(view.cause.incidents) for view in built.causes]


def test_anchors_are_unique_and_plain(sample) -> None:
    """An incident's id is its anchor where HTML allows it, and two equal ones are told apart."""
    incidents = [dataclasses.replace(sample.RACE, id=name) for name in ("a-1", "a-1", '"><b>', "été 1", "")]
    built = page.build(sample.race(), incidents)

    assert ["a-1", "a-1.2", "b", "t-1", "incident"] == [anchor for _, anchor in built.table.shown]


def test_evidence_is_not_repeated(sample) -> None:
    """What the incident says already is left out of its findings; the same of another packet, with its own source, is not."""
    shared = sample.RACE.evidence[0]
    own = (dataclasses.replace(shared, source="drops.txt line 9"), *sample.RACE.findings[0].evidence)
    finding = dataclasses.replace(sample.RACE.findings[0], evidence=(shared, *own))
    incident = dataclasses.replace(sample.RACE, findings=(finding,))
    (view,) = page.build(sample.race(), (incident,)).causes

    assert own == view.drawn[0].evidence.shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (20000, "20000"),
        (True, "yes"),
        ([1, "a"], "1, a"),
        ({"port": 1, "free": False}, "port 1, free no"),
        ("text", "text"),
        (2.5, "2.5"),
    ],
)
def test_facts_are_for_reading(sample, value: object, expected: str) -> None:
    """Facts of any JSON type are printed for a reader."""
    finding = dataclasses.replace(sample.RACE.findings[0], facts={"some_fact": value})
    (view,) = page.build(sample.race(), (dataclasses.replace(sample.RACE, findings=(finding,)),)).causes

    assert (("some fact", expected),) == view.drawn[0].facts.shown
