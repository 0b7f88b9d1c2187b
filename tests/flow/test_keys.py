"""Keys: different fields give different numbers, and sets of them compare as sets do."""

from __future__ import annotations

import numpy as np

from analyzer.flow.keys import address_key, among, scramble, unique_join


def test_a_salt_tells_equal_fields_apart() -> None:
    """A source port of 80 is no destination port of 80."""
    ports = np.arange(1000, dtype=np.uint32)

    assert 2000 == len(np.unique(np.concatenate([scramble(ports, 1), scramble(ports, 2)])))


def test_the_column_is_left_alone() -> None:
    """Scrambling works on a copy, also of numbers that have 64 bits already."""
    values = np.arange(3, dtype=np.uint64)
    scramble(values, 1)

    assert [0, 1, 2] == values.tolist()


def test_both_halves_of_an_address_matter() -> None:
    """Two addresses that differ in one half have different keys."""
    hi, lo = np.array([0, 0, 1], np.uint64), np.array([5, 6, 5], np.uint64)

    assert 3 == len(np.unique(address_key(hi, lo)))


def test_among_nothing_is_nothing() -> None:
    """An empty set, and no values at all."""
    none, some = np.zeros(0, np.uint64), scramble(np.arange(3), 1)

    assert [False, False, False] == among(some, none).tolist()
    assert [] == among(none, some).tolist()


def test_a_join_keeps_the_order_of_its_first_side() -> None:
    """Pairs come as A has them; what is not unique is left out."""
    a, b = scramble(np.array([4, 9, 7, 7, 1]), 1), scramble(np.array([1, 9, 3, 4, 4]), 1)
    i, j = unique_join(a, b)

    assert [1, 4] == i.tolist()
    assert [1, 0] == j.tolist()
