"""The words that renderers share."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.incident.model import Kind
from analyzer.report import words


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (34_000, "34 µs"),
        (34_120, "34.1 µs"),
        (-201_000, "-201 µs"),
        (1_000_000, "1 ms"),
        (20_340_000, "20.34 ms"),
        (1_024_012_000, "1.024 s"),
        (100_000_000_000, "1 min 40 s"),
        (5_400_000_000_000, "1 h 30 min"),
    ],
)
def test_duration(ns: int, expected: str) -> None:
    """A duration has the unit that suits it and no idle zeros."""
    assert expected == words.duration(ns)


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        (0, "0"),
        (34_000, "+34 µs"),
        (-9_000, "-9 µs"),
        (1_000_000, "+1.000 ms"),
        (1_024_012_000, "+1.024012 s"),
    ],
)
def test_offset(ns: int, expected: str) -> None:
    """An offset has its sign and is exact to the microsecond."""
    assert expected == words.offset(ns)


def test_iso_keeps_nanoseconds() -> None:
    """A time is printed with all nine digits, before the epoch too."""
    assert "2026-11-20T10:58:16.123456789Z" == words.iso(1_795_172_296_123_456_789)
    assert "1969-12-31T23:59:59.999999999Z" == words.iso(-1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eth0", "eth0"),
        ("\x1b[31mred", "[U+001B][31mred"),
        ("gnp\u202e.exe", "gnp[U+202E].exe"),
        ("a\x00b\udc80c\ufffe", "a[U+0000]b[U+DC80]c[U+FFFE]"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("été 東京 µs", "été 東京 µs"),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """Characters that act instead of showing are spelt out; letters of all scripts stay."""
    assert expected == words.printable(text)


@given(st.text(max_size=300), st.integers(min_value=4, max_value=80))
def test_short_fits(text: str, width: int) -> None:
    """A shortened text is one printable line within its width."""
    line = words.short(text, width)

    assert len(line) <= width
    assert [line] == (line.splitlines() or [line])
    assert line == words.printable(line)
    line.encode()


def test_short_keeps_both_ends() -> None:
    """The middle of a long name goes; its beginning and its end tell it apart."""
    assert "node7.veth1a…pcapng" == words.short("node7.veth1a2b3c4d5e6f.0001.pcapng", 19)


def test_title(sample) -> None:
    """A heading names the cause, and, where that is unknown, what happened."""
    unknown = dataclasses.replace(sample.RACE, cause="unknown", kind="reply-vanished")

    assert "SNAT port race" == words.title(sample.RACE)
    assert "replies vanished, cause unknown" == words.title(unknown)


def test_every_kind_and_cause_has_its_words(sample) -> None:
    """No kind of incident and no known cause is without a title."""
    for kind in get_args(Kind):
        incident = dataclasses.replace(sample.RACE, kind=kind, cause="unknown")

        assert words.title(incident).endswith(", cause unknown")
