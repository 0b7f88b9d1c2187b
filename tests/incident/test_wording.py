"""Numbers as sentences have them."""

from __future__ import annotations

import pytest

from analyzer.incident.wording import count, seconds, wait


def test_count() -> None:
    """One of a thing has no s, and thousands have a comma."""
    assert ["0 packets", "1 packet", "1,204 packets"] == [count(n, "packet") for n in (0, 1, 1204)]
    assert ["1 reply", "2 replies"] == [count(n, "reply", "replies") for n in (1, 2)]


@pytest.mark.parametrize(
    ("given", "expected"), [(1.0265, "1.03 s"), (0.5, "500 ms"), (0.0042, "4.2 ms"), (125.0, "2 min 5 s")]
)
def test_wait(given: float, expected: str) -> None:
    """A wait is told to 10 ms, a shorter one as it is."""
    assert expected == wait(given)


def test_seconds() -> None:
    """In the unit that suits; `analyzer.report.words` tests the units."""
    assert ["16.8 µs", "7.58 ms", "1.027 s"] == [seconds(one) for one in (0.0000168, 0.00758, 1.0265332)]
