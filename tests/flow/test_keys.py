"""Keys: different fields give different numbers, and sets of them compare as sets do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flow.keys import (
    Buckets,
    address_key,
    among,
    distinct,
    distinct_rows,
    halves,
    is_v4,
    keys_of,
    scramble,
    unique_join,
)


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


def test_only_mapped_addresses_are_ipv4() -> None:
    """`::ffff:192.0.2.1` is IPv4; `::`, `::1`, NAT64's prefix and one with 0xffff at another place are not."""
    addresses = [(0, 0xFFFF_C000_0201), (0, 0), (0, 1), (0x64FF9B << 32, 0xC0000201), (0, 0xFFFF << 48)]
    hi, lo = np.array(addresses, np.uint64).T

    assert [True, False, False, False, False] == is_v4(hi, lo).tolist()


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


@given(st.lists(st.integers(0, 9)))
def test_distinct_is_a_sorted_set(values: list[int]) -> None:
    """Each value once."""
    assert sorted(set(values)) == distinct(np.array(values, np.int64)).tolist()


@given(st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)))
def test_buckets_can_be_asked_again(keys: list[int], first: list[int], second: list[int]) -> None:
    """Whatever was asked before: the values of the keys that are wanted, also of one that is wanted twice."""
    held = Buckets(scramble(np.array(keys), 1), np.arange(len(keys), dtype=np.int32))
    for wanted in (first, second):
        found = np.zeros(len(keys), np.uint8)
        held.mark(scramble(np.array(wanted), 1), found)
        assert [key in wanted for key in keys] == found.astype(bool).tolist()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))))
def test_distinct_rows_are_those_of_numpy(rows: list[tuple[int, int]]) -> None:
    """In numpy's order, and each row finds itself again."""
    values = np.array(rows, np.uint64).reshape(-1, 2)
    found, of = distinct_rows(values)

    assert np.unique(values, axis=0).tolist() == found.tolist()
    assert values.tolist() == found[of].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10.0.0.1", (0, 0xFFFF0A000001)), ("2001:db8::1", (0x20010DB8 << 32, 1)), ("::", (0, 0))],
)
def test_halves(text: str, expected: tuple[int, int]) -> None:
    """IPv4 is mapped, as in the columns of flows; the key of a text is that of its columns."""
    assert expected == halves(text)
    assert address_key(*np.array(expected, np.uint64).reshape(2, 1)) == keys_of([text])
    assert 0 == len(keys_of([]))
