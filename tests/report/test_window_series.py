"""The numbers of the window chart; tests/report/test_window_chart.py has what is drawn of them."""

from __future__ import annotations

import dataclasses

from analyzer.report import window_series


def test_the_late_ack(sample) -> None:
    """The ACK of libnetwork issue 1090: acks of the server against what the client sent, and by how much it fell short."""
    series = window_series.build(sample.LATE_ACK.findings[0], 300)
    assert series is not None

    assert ("acknowledged byte", "client") == (series.quantity, series.sender)
    assert 10110467 == series.number(series.culprit)
    assert 39_008 == series.culprit.short_by
    assert (10322531, 10149475) == tuple(
        [bound for time, bound in steps if time <= series.culprit.time][-1]
        for steps in (series.upper, series.lower)
    )


def test_limit(sample) -> None:
    """The rows nearest to the judged packet stay, in time order."""
    finding = sample.LATE_ACK.findings[0]
    series = window_series.build(finding, 3)
    assert series is not None

    assert 3 == len(series.rows)
    assert series.culprit in series.rows
    assert sorted(row.time for row in series.rows) == [row.time for row in series.rows]


def test_nothing_judged(sample) -> None:
    """Without a packet that fell out there is no series."""
    finding = sample.LATE_ACK.findings[0]
    accepted = tuple(dataclasses.replace(row, verdict="accept", test="") for row in finding.window)

    assert window_series.build(dataclasses.replace(finding, window=accepted), 300) is None
    assert window_series.build(dataclasses.replace(finding, window=()), 300) is None
