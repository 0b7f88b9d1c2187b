"""Which rules a kernel follows."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import pytest

from analyzer.conntrack.generation import (
    CLASSIC,
    GENERATIONS,
    LINUX_4_15,
    LINUX_5_0,
    LINUX_5_14,
    LINUX_5_18,
    LINUX_6_0,
    MODERN,
    Generation,
    generation_of,
)

IN_ORDER = tuple(GENERATIONS.values())


@pytest.mark.parametrize(
    ("uname", "expected"),
    [
        ("4.15.0-20-generic", LINUX_4_15),
        ("4.20.17", LINUX_4_15),
        ("5.0.21", LINUX_5_0),
        ("5.1.0", CLASSIC),
        ("5.10.0-32-amd64", CLASSIC),
        ("5.13.19", CLASSIC),
        ("5.14.0-427.el9.x86_64", LINUX_5_14),
        ("5.15.0-91-generic", LINUX_5_14),
        ("5.19.17", LINUX_5_18),
        ("6.0.9", LINUX_6_0),
        ("6.1.0-50-amd64", MODERN),
        ("6.18.44", MODERN),
        ("7.2.13", MODERN),
        ("Linux node7 5.10.0-32-amd64 #1 SMP Debian 5.10.223-1 (2024-08-10) x86_64 GNU/Linux", CLASSIC),
    ],
)
def test_release_chooses_the_rules(uname: str, expected: Generation) -> None:
    """Every release falls into the generation that its number makes most likely."""
    assert expected is generation_of(uname)


@pytest.mark.parametrize("uname", [None, "", "unknown", "x86_64"])
def test_without_a_release_the_modern_rules_hold(uname: str | None) -> None:
    """What cannot be read as a release chooses the generation that calls the fewest packets INVALID."""
    assert generation_of(uname) is MODERN


@pytest.mark.parametrize(("older", "newer"), list(pairwise(IN_ORDER)))
def test_a_behaviour_once_changed_stays(older: Generation, newer: Generation) -> None:
    """Each generation keeps what the one before it brought, and brings something."""
    gained = [
        field.name for field in fields(Generation) if getattr(newer, field.name) != getattr(older, field.name)
    ]

    gained.remove("name")
    assert gained
    assert all(getattr(newer, name) is True for name in gained)
