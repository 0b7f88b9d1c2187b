"""The bars of the capture points."""

from __future__ import annotations

import dataclasses

from analyzer.report.coverage import WIDTH, Bar, bars


def test_bars_are_to_scale(sample) -> None:
    """A point that recorded the second half of the time has the second half of the bar."""
    whole = sample.point("cni0", "bridge", 1, first=1000, last=3000)
    half = sample.point("eth0", "uplink", 1, first=2000, last=3000)

    assert (Bar(x=0.0, width=WIDTH), Bar(x=WIDTH / 2, width=WIDTH / 2)) == bars((whole, half))


def test_a_point_without_packets_has_no_bar(sample) -> None:
    """An empty point has no bar, and does not spoil those of the others."""
    empty = dataclasses.replace(sample.point("eth0", "uplink", 0), first=None, last=None)

    assert (None,) == bars((empty,))
    assert (None, Bar(x=0.0, width=WIDTH)) == bars((empty, sample.point("cni0", "bridge", 1)))


def test_an_instant_can_be_seen(sample) -> None:
    """A point with one packet has a bar that is wide enough to see and within the chart."""
    long = sample.point("cni0", "bridge", 2, first=0, last=10**12)
    last = sample.point("eth0", "uplink", 1, first=10**12, last=10**12)

    assert Bar(x=WIDTH - 2, width=2.0) == bars((long, last))[1]
