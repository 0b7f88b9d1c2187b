"""A bounded number of seeded cases of every target in every run, and what the fuzzer found before."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.mutate import mutate
from tests.fuzz.running import campaign, case, seeds_of
from tests.fuzz.targets import SOURCES, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str) -> None:
    """What the cases are made from is read without a complaint: they reach what lies behind."""
    for seed in seeds_of(name)[:20]:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_no_case_fails(name: str) -> None:
    """Errors of ours or none, and none that hangs; `python -m tests.fuzz NAME --show NUMBER` shows one that does."""
    found = campaign(name, TARGETS[name].cases)

    assert {} == {where: number for where, (number, _) in found.finds.items()}
    assert TARGETS[name].cases == found.cases


def test_a_number_is_a_case() -> None:
    """The same on any machine; others are others."""
    assert case("words", 7) == case("words", 7)
    assert 90 < len({case("words", number) for number in range(100)})


def test_cases_differ_from_their_seeds() -> None:
    """Most of them, and none grows beyond bounds."""
    seeds = seeds_of("container")
    rng = random.Random(1)
    made = [mutate(seeds[0], seeds, rng) for _ in range(200)]

    assert 150 < len({*made} - {*seeds})
    assert max(map(len, made)) <= 1 << 17


def test_every_source_is_a_target() -> None:
    """Found by being there."""
    assert SOURCES
    assert {f"source-{name}" for name in SOURCES} <= TARGETS.keys()
