"""The ladder's time."""

from __future__ import annotations

import pytest

from analyzer.connection.model import Fate, Passage
from analyzer.report import rows


def passage(sample, *times: int) -> Passage:
    """Return a packet seen at these times, from lane to lane."""
    points = ("veth1a2b", "cni0", "eth0")
    seen = tuple(sample.seen(point, 1, time, "a", "b") for point, time in zip(points, times, strict=False))
    return Passage(sightings=seen, outward=True, label="SYN", fate=Fate.PASSED)


def test_within_a_packet_time_is_to_scale(sample) -> None:
    """Twice the time between two lanes is twice the height."""
    down = rows.place([passage(sample, 0, 4_000, 12_000)], [1])
    first, second, third = down.ys[0]

    assert 2 * (second - first) == pytest.approx(third - second)
    assert ["scale", "scale"] == [part.kind for part in down.axis]


def test_silence_is_compressed(sample) -> None:
    """A second and an hour take the same room, each with its own label."""
    for silence, label in ((10**9, "1 s"), (3600 * 10**9, "1 h 0 min")):
        down = rows.place(
            [passage(sample, 0, 4_000), passage(sample, silence + 4_000, silence + 8_000)], [1, 1]
        )

        assert [("break", label)] == [(part.kind, part.label) for part in down.axis if part.label]
        assert 48 == pytest.approx(down.ys[1][0] - down.ys[0][1])


def test_neighbours_are_spread(sample) -> None:
    """Packets a nanosecond apart stand a row apart, and the axis says that this is not to scale."""
    down = rows.place([passage(sample, 0, 4_000), passage(sample, 1, 4_001)], [2, 1])

    assert down.ys[1][0] - down.ys[0][0] >= 2 * rows.LINE
    assert "spread" == down.axis[0].kind


def test_nothing() -> None:
    """No packet, no row."""
    assert rows.Rows(ys=(), axis=()) == rows.place([], [])
