"""The retry timeline."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from analyzer.connection.model import Fate
from analyzer.incident.model import Attempt
from analyzer.report import timeline


def test_to_scale(sample) -> None:
    """All rows share one linear scale: twice the time is twice the way."""
    chart = timeline.build(sample.RACE.findings)
    assert chart is not None
    for row, finding in zip(chart.rows, sample.RACE.findings, strict=True):
        scale = (chart.right - chart.left) / 2_079_803_000
        expected = [chart.left + (attempt.time - finding.time) * scale for attempt in finding.attempts]

        assert expected == pytest.approx([mark.x for mark in row.marks], abs=0.06)


def test_fates_labels_and_wait(sample) -> None:
    """A row says when each attempt came, what became of it, and how long waited."""
    chart = timeline.build(sample.RACE.findings)
    assert chart is not None
    row = chart.rows[1]

    assert ["0", "+1.031847 s", "+2.079803 s"] == [mark.label for mark in row.marks]
    assert ["vanished", "vanished", "passed"] == [mark.fate for mark in row.marks]
    assert "waited 2.08 s" == row.verdict
    assert (row.marks[0].x, row.marks[2].x) == row.wait


def test_no_attempt_no_timeline(sample) -> None:
    """An event without attempts, such as a late ACK, has no timeline."""
    assert timeline.build(sample.LATE_ACK.findings) is None


def test_nothing_passed(sample) -> None:
    """A connection that never got through says so."""
    attempts = tuple(Attempt(time=number * 10**9, fate=Fate.VANISHED, packets=()) for number in range(3))
    finding = dataclasses.replace(sample.RACE.findings[0], attempts=attempts, delay_s=None)
    chart = timeline.build([finding])
    assert chart is not None

    assert "none passed" == chart.rows[0].verdict
    assert chart.rows[0].failed


def test_labels_do_not_touch_and_rows_are_bounded(sample) -> None:
    """Attempts in a burst keep their marks and share a label; what is not drawn is counted."""
    attempts = tuple(Attempt(time=number * 10**6, fate=Fate.UNDECIDABLE, packets=()) for number in range(100))
    finding = dataclasses.replace(sample.RACE.findings[0], attempts=attempts)
    chart = timeline.build([finding] * 30)
    assert chart is not None
    labelled = [mark.x for mark in chart.rows[0].marks if mark.label]

    assert timeline.ROWS == len(chart.rows)
    assert 30 - timeline.ROWS == chart.hidden
    assert 100 - timeline.ATTEMPTS == chart.rows[0].hidden
    assert all(after - before >= 60 for before, after in pairwise(labelled))


def test_one_attempt(sample) -> None:
    """A single attempt has no span to scale, and is drawn at the left."""
    finding = dataclasses.replace(sample.RACE.findings[0], attempts=sample.RACE.findings[0].attempts[:1])
    chart = timeline.build([finding])
    assert chart is not None

    assert chart.left == chart.rows[0].marks[0].x
    assert chart.rows[0].wait is None
