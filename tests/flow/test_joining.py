"""The hot loops of hashing, joining and membership: what numpy says, compiled and not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flow import joining
from tests.conftest import load_uncompiled

FORMS = [
    joining,
    load_uncompiled("analyzer.flow.joining", cython=False),
    load_uncompiled("analyzer.flow.joining", cython=True),
]
# By the factor 1 nearly all of these keys meet in the table.
FACTOR = st.sampled_from([1, 3, 0x9E3779B97F4A7C15])
# Few values, so that many are equal.
KEYS = st.lists(st.sampled_from([0, 1, 2, 16, 17, 32, 1 << 40, (1 << 64) - 1]), max_size=12)


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=9), st.integers(0, 15))
def test_hashes_are_those_of_splitmix64(form: Any, values: list[int], salt: int) -> None:
    """Sums and products wrap at 64 bits, as numpy's do."""
    given_, hashes = np.array(values, np.uint64), np.empty(len(values), np.uint64)
    form.scramble(given_.data, salt, hashes.data)
    h = given_ + np.uint64(salt * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        h = (h ^ h >> np.uint64(shift)) * np.uint64(factor)

    assert (h ^ h >> np.uint64(31)).tolist() == hashes.tolist()


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(st.integers(0, 1), max_size=5), st.integers(0, 15))
def test_keys_have_the_ends_that_are_asked_for(form: Any, reply: list[int], level: int) -> None:
    """Of a reply the source is the flow's destination; what is not asked for, has no part in the key."""
    flow, asked = np.arange(len(reply), dtype=np.int32) % 2, [bool(level >> bit & 1) for bit in range(4)]
    proto, ports = np.array([6, 17], np.uint8), np.array([80 << 16 | 1, 53 << 16 | 2], np.uint32)
    ends = [np.array([value, value + 8], np.uint64) for value in (1, 2, 3, 4)]
    keys = np.full(len(reply), 99, np.uint64)
    columns = (flow, np.array(reply, np.uint8), proto, *ends, ports)
    form.identify(*(column.data for column in columns), *asked, keys.data)

    def hashed(value: int, salt: int) -> int:
        found = np.empty(1, np.uint64)
        form.scramble(np.array([value], np.uint64).data, salt, found.data)
        return int(found[0])

    for f, turned, key in zip(flow.tolist(), reply, keys.tolist(), strict=True):
        src, dst = [
            (int(ends[i][f]), int(ends[i + 1][f]), int(ports[f]) >> s & 0xFFFF) for i, s in ((0, 16), (2, 0))
        ]
        (a, b, sport), (c, d, dport) = (dst, src) if turned else (src, dst)
        parts = [
            hashed(a, 2) ^ hashed(b, 3),
            hashed(sport, 4),
            hashed(c, 5) ^ hashed(d, 6),
            hashed(dport, 7),
        ]
        expected = 99 ^ hashed(int(proto[f]), 1)
        for part, wanted in zip(parts, asked, strict=True):
            expected ^= part * wanted

        assert expected == key


@pytest.mark.parametrize("form", FORMS)
@given(KEYS, KEYS, FACTOR)
def test_join_finds_what_is_unique_on_both_sides(form: Any, a: list[int], b: list[int], factor: int) -> None:
    """A key that comes once here and once there is joined; every other one is not."""
    partner = np.full(len(a), -1, np.int32)
    one, other = np.array(a, np.uint64), np.array(b, np.uint64)
    form.join(one.data, other.data, factor, np.full(32, -1, np.int32).data, partner.data)
    of_a, of_b = Counter(a), Counter(b)
    expected = [b.index(key) if of_a[key] == 1 == of_b[key] else None for key in a]

    assert expected == [int(p) if p >= 0 else None for p in partner]


@pytest.mark.parametrize("form", FORMS)
@given(KEYS, KEYS, FACTOR)
def test_contains_says_what_is_in_the_set(
    form: Any, those: list[int], values: list[int], factor: int
) -> None:
    """As `in` says it."""
    found = np.zeros(len(values), np.uint8)
    slots = np.full(32, -1, np.int32)
    form.contains(
        np.array(those, np.uint64).data, factor, slots.data, np.array(values, np.uint64).data, found.data
    )

    assert [value in those for value in values] == found.astype(bool).tolist()


@pytest.mark.parametrize("form", FORMS)
@given(KEYS, KEYS, FACTOR, st.sampled_from([1, 2, 8]))
def test_buckets_give_back_what_was_put_in(
    form: Any, keys: list[int], wanted: list[int], factor: int, buckets: int
) -> None:
    """The values of all keys that are wanted are marked, and no others."""
    begin = np.zeros(buckets + 1, np.int64)
    keys_of, values_of = np.empty(len(keys), np.uint64), np.empty(len(keys), np.int32)
    put, found = np.array(keys, np.uint64), np.zeros(len(keys), np.uint8)
    values = np.arange(len(keys), dtype=np.int32)
    form.bucket(put.data, values.data, factor, begin.data, keys_of.data, values_of.data)
    asked = np.array(wanted, np.uint64)
    form.mark(asked.data, factor, begin.data, keys_of.data, values_of.data, found.data)

    assert [key in wanted for key in keys] == found.astype(bool).tolist()
    assert len(keys) == begin[-1]
