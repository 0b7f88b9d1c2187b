"""What the page shows and folds."""

from __future__ import annotations

import dataclasses

import pytest

from analyzer.report import page


def test_fold() -> None:
    """What is cut is counted."""
    assert page.Folded(shown=(1, 2), hidden=1) == page.fold([1, 2, 3], 2)
    assert page.Folded(shown=(1, 2, 3), hidden=0) == page.fold([1, 2, 3], 3)


def test_a_large_incident_is_folded(sample) -> None:
    """Of hundreds of findings the first are drawn, some hundreds listed, the rest counted."""
    analysis = sample.many(1000)
    (view,) = page.build(analysis, analysis.incidents).incidents

    assert page.DRAWN == len(view.drawn)
    assert (page.LISTED, 1000 - page.LISTED) == (len(view.listed.shown), view.listed.hidden)


def test_a_small_incident_is_not_listed_twice(sample) -> None:
    """Where every finding is drawn, no table repeats them."""
    (view,) = page.build(sample.race(), (sample.RACE,)).incidents

    assert (3, ()) == (len(view.drawn), view.listed.shown)


def test_many_incidents_share_the_budget(sample) -> None:
    """Every incident told is drawn at least once; those beyond are in the table without a link."""
    incidents = [dataclasses.replace(sample.RACE, id=f"syn-vanished-{number}") for number in range(100)]
    built = page.build(sample.race(), incidents)

    assert page.INCIDENTS == len(built.incidents)
    assert {1} == {len(view.drawn) for view in built.incidents}
    assert 100 == len(built.table.shown)
    assert 100 - page.INCIDENTS == [anchor for _, anchor in built.table.shown].count("")


def test_anchors_are_unique_and_plain(sample) -> None:
    """An incident's id is its anchor where HTML allows it, and two equal ones are told apart."""
    incidents = [dataclasses.replace(sample.RACE, id=name) for name in ("a-1", "a-1", '"><b>', "été 1", "")]
    views = page.build(sample.race(), incidents).incidents

    assert ["a-1", "a-1.2", "b", "t-1", "incident"] == [view.anchor for view in views]


def test_evidence_is_not_repeated(sample) -> None:
    """What the incident says already is left out of its findings."""
    shared = sample.RACE.evidence[0]
    finding = dataclasses.replace(
        sample.RACE.findings[0], evidence=(shared, *sample.RACE.findings[0].evidence)
    )
    incident = dataclasses.replace(sample.RACE, findings=(finding,))
    (view,) = page.build(sample.race(), (incident,)).incidents

    assert sample.RACE.findings[0].evidence == view.drawn[0].evidence.shown


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
    (view,) = page.build(sample.race(), (dataclasses.replace(sample.RACE, findings=(finding,)),)).incidents

    assert (("some fact", expected),) == view.drawn[0].facts.shown
