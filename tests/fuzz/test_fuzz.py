"""A bounded number of seeded cases of every target in every run, and what the fuzzer found before."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.mutate import mutate
from tests.fuzz.running import campaign, case, seeds_of
from tests.fuzz.targets import SOURCES, TARGETS

PART = 5000
"""Cases of one test: several processes share a target's."""
PARTS = [(name, first) for name, target in TARGETS.items() for first in range(0, target.cases, PART)]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str) -> None:
    """What the cases are made from is read without a complaint: they reach what lies behind."""
    assert seeds_of(name)
    for seed in seeds_of(name)[:20]:
        TARGETS[name].run(seed)


@pytest.mark.parametrize(("name", "first"), PARTS)
def test_no_case_fails(name: str, first: int) -> None:
    """Errors of ours or none, and none that hangs; `python -m tests.fuzz NAME --show NUMBER` shows one that does."""
    cases = min(PART, TARGETS[name].cases - first)
    found = campaign(name, cases, first)

    assert {} == {where: number for where, (number, _) in found.finds.items()}
    assert cases == found.cases


def test_enough_is_tried() -> None:
    """200,000 cases in every run: what is quickly read gets the most of them, so that all take 50 s of one processor."""
    assert 200_000 <= sum(target.cases for target in TARGETS.values())


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
