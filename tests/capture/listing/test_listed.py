"""Ports, times and addresses as words."""

from __future__ import annotations

import pytest

from analyzer.capture.listing.listed import Notes, mac, nanoseconds, port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", 80),
        ("http", 80),
        ("65536", None),
        ("nosuch", None),
        ("", None),
        ("٣", None),
        ("1" * 5000, None),
    ],
)
def test_ports(text: str, expected: int | None) -> None:
    """Numbers, and names that every system has."""
    assert expected == port(text)


def test_times_and_addresses() -> None:
    """Any number of digits; what is no address is zeros."""
    assert (5_100_000_000, 5_000_000_001) == (nanoseconds("5", "1"), nanoseconds("5", "000000001"))
    assert (b"\2\0\0\0\0\1", bytes(6), bytes(6)) == (mac("02:00:00:00:00:01"), mac("Broadcast"), mac("02:00"))


def test_the_first_strange_line_is_kept() -> None:
    """The others are counted."""
    notes = Notes()
    notes.not_understood(3)
    notes.not_understood(5)

    assert (2, 3) == (notes.strange, notes.first_strange)
