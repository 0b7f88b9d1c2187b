"""The hot loop of pairing: the right partner, once, whatever is missing; compiled and not, the same."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.nat import pairing
from tests.conftest import load_uncompiled

WINDOW = 500_000_000
CURSORS = pairing.CURSORS
FORMS = [
    pairing,
    load_uncompiled("analyzer.nat.pairing", cython=False),
    load_uncompiled("analyzer.nat.pairing", cython=True),
]
Packet = tuple[int, int, int]
"""Time, and print or sequence number, and length."""


def columns(flows: list[tuple[list[Packet], list[Packet]]]) -> list[Any]:
    """Lay the packets of flows, originator's and responder's, out as a point does.

    Returns: starts, order, time, value, length, flow, bits.
    """
    sides = [side for flow in flows for side in flow]
    starts = np.cumsum([0, *map(len, sides)], dtype=np.int64)
    rows = sorted((packet[0], g, i) for g, side in enumerate(sides) for i, packet in enumerate(side))
    place = {(g, i): row for row, (_, g, i) in enumerate(rows)}
    order = np.array([place[g, i] for g, side in enumerate(sides) for i in range(len(side))], np.int32)
    packets = [sides[g][i] for _, g, i in rows]
    time = np.array([p[0] for p in packets], np.int64)
    value = np.array([p[1] & 0xFFFFFFFF for p in packets], np.uint32)
    length = np.array([p[2] for p in packets], np.int32)
    side = np.array([g for _, g, _ in rows], np.int32)
    return [starts, order, time, value, length, side // 2, (side % 2).astype(np.uint8)]


def paired(
    form: ModuleType,
    a: list[tuple[list[Packet], list[Packet]]],
    b: list[tuple[list[Packet], list[Packet]]],
    flip: list[int] | None = None,
) -> tuple[list[int], list[int]]:
    """Pair in slices of two rows: per row of A its row of B, and the reverse."""
    left, right = columns(a), columns(b)
    flows = np.arange(len(a), dtype=np.int32)
    in_b, in_a = np.full(len(left[2]), -1, np.int32), np.full(len(right[2]), -1, np.int32)
    matched = (
        flows,
        flows,
        np.array(flip or [0] * len(a), np.uint8),
        np.zeros((2 * len(a), CURSORS), np.int32),
    )
    other = (right[5], right[6], right[2], right[3])
    for begin in range(0, len(in_a), 2):
        form.pair(
            begin,
            min(begin + 2, len(in_a)),
            *map(memoryview, (*matched, *left[:4], *other)),
            WINDOW,
            memoryview(in_b),
            memoryview(in_a),
        )
    return in_b.tolist(), in_a.tolist()


def covered(
    form: ModuleType,
    a: list[tuple[list[Packet], list[Packet]]],
    b: list[tuple[list[Packet], list[Packet]]],
    window: int,
) -> tuple[list[int], list[int]]:
    """Cover by sequence ranges what nothing has paired."""
    left, right = columns(a), columns(b)
    flows = np.arange(len(a), dtype=np.int32)
    in_b, in_a = np.full(len(left[2]), -1, np.int32), np.full(len(right[2]), -1, np.int32)
    exact = np.zeros(len(in_a), np.uint8)
    form.cover(
        *map(memoryview, (flows, flows, np.zeros(len(a), np.uint8), *left[:5], *right[:5])),
        window,
        memoryview(in_b),
        memoryview(in_a),
        memoryview(exact),
    )
    return in_b.tolist(), in_a.tolist()


def one_way(*packets: tuple[int, int]) -> list[tuple[list[Packet], list[Packet]]]:
    """One flow whose originator sends packets of these times (ms) and prints."""
    return [([(ms * 1_000_000, mark, 0) for ms, mark in packets], [])]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([(0, 1), (1, 2)], [(0, 1), (1, 2)], [0, 1]),
        ([(0, 1), (1, 2), (2, 3)], [(0, 1), (2, 3)], [0, -1, 1]),
        ([(0, 1)], [(0, 1), (1, 2)], [0]),
        ([(0, 1), (1, 2)], [(0, 2), (1, 1)], [1, 0]),
        ([(0, 7), (1000, 7)], [(1000, 7)], [-1, 0]),
        ([(0, 7), (1000, 7)], [(0, 7)], [0, -1]),
        ([(0, 7), (1000, 7), (3000, 7)], [(1000, 7)], [-1, 0, -1]),
        ([(0, 7)], [(501, 7)], [-1]),
        ([(0, 7)], [(499, 7)], [0]),
        ([(499, 7)], [(0, 7)], [0]),
    ],
    ids=[
        "all seen", "one lost", "one missed", "overtaken", "second attempt", "first attempt", "middle attempt",
        "too late", "just in time", "seen behind first",
    ],
)  # fmt: skip
def test_partners(a: list[tuple[int, int]], b: list[tuple[int, int]], expected: list[int]) -> None:
    """Which packet of B each packet of A is."""
    for form in FORMS:
        in_b, _ = paired(form, one_way(*a), one_way(*b))

        assert expected == in_b


def test_directions_do_not_mix() -> None:
    """A packet of the originator is none of the responder's, unless the flows are matched the other way round."""
    a: Any = [([(0, 5, 0)], [])]
    b: Any = [([], [(0, 5, 0)])]

    assert ([-1], [-1]) == paired(pairing, a, b)
    assert ([0], [0]) == paired(pairing, a, b, flip=[1])


def test_a_long_burst_that_one_point_missed() -> None:
    """Behind a thousand packets that only A saw, the rest is paired again."""
    packets = [(n, n + 1) for n in range(1500)]
    in_b, _ = paired(pairing, one_way(*packets), one_way(*packets[:100], *packets[1100:]))

    assert [*range(100), *[-1] * 1000, *range(100, 500)] == in_b


def test_equal_packets_cost_no_more() -> None:
    """Prints that are all alike (unfragmented bulk of a replayed file) are searched in a bounded reach."""
    a = [(0, 9)] * 3000
    in_b, in_a = paired(pairing, one_way(*a), one_way(*a[:1500]))

    assert 1500 == sum(partner >= 0 for partner in in_b)
    assert list(range(1500)) == in_a


@pytest.mark.parametrize(
    ("a", "b", "in_b", "in_a"),
    [
        ([(0, 100, 300)], [(0, 100, 100), (1, 200, 100), (2, 300, 100)], [2], [0, 0, 0]),
        ([(0, 100, 100), (1, 200, 100), (2, 300, 100)], [(2, 100, 300)], [0, 0, 0], [0]),
        ([(0, 100, 100)], [(0, 200, 100)], [-1], [-1]),
        ([(0, 2**32 - 50, 100)], [(0, 2**32 - 50, 50), (1, 0, 50)], [1], [0, 0]),
        ([(0, 100, 0)], [(0, 100, 100)], [-1], [-1]),
        ([(0, 100, 100)], [(30_000_000, 100, 100)], [-1], [-1]),
    ],
    ids=["split", "joined", "next to each other", "split where the numbers wrap", "no payload", "much later"],
)
def test_ranges(a: list[Packet], b: list[Packet], in_b: list[int], in_a: list[int]) -> None:
    """Segments that overlap in sequence and lie near in time are the same data."""
    for form in FORMS:
        found_b, found_a = covered(form, [(a, [])], [(b, [])], 20_000_000)

        assert [partner >= 0 for partner in in_b] == [partner >= 0 for partner in found_b]
        assert in_a == found_a


moments = st.integers(0, 40).map(lambda n: n * 60_000_000)
side = st.lists(
    st.tuples(moments, st.integers(0, 5).map(lambda n: n * 50), st.integers(0, 2).map(lambda n: n * 60)),
    max_size=12,
)
points = st.lists(st.tuples(side, side), min_size=3, max_size=3)


def ordered(flows: list[tuple[list[Packet], list[Packet]]]) -> list[tuple[list[Packet], list[Packet]]]:
    """Each side's packets in the order of time, as a file has them."""
    return [(sorted(one, key=lambda p: p[0]), sorted(other, key=lambda p: p[0])) for one, other in flows]


@given(points, points, st.lists(st.integers(0, 1), min_size=3, max_size=3))
def test_every_form_pairs_alike(
    a: list[tuple[list[Packet], list[Packet]]], b: list[tuple[list[Packet], list[Packet]]], flip: list[int]
) -> None:
    """Compiled and not give the same; partners are mutual, in time, and of one print."""
    a, b = ordered(a), ordered(b)
    in_b, in_a = paired(pairing, a, b, flip)
    left, right = columns(a), columns(b)

    for form in FORMS[1:]:
        assert (in_b, in_a) == paired(form, a, b, flip)
    for row, partner in enumerate(in_b):
        if partner >= 0:
            assert row == in_a[partner]
            assert left[3][row] == right[3][partner]
            assert abs(int(left[2][row]) - int(right[2][partner])) <= WINDOW
    assert sum(p >= 0 for p in in_b) == sum(p >= 0 for p in in_a)
    for form in FORMS[1:]:
        assert covered(pairing, a, b, 20_000_000) == covered(form, a, b, 20_000_000)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.data())
@settings(max_examples=40)
def test_what_is_left_out_is_what_is_missing(steps: list[int], data: st.DataObject) -> None:
    """Of packets with prints of their own, exactly those that B did not record have no partner."""
    times = np.cumsum(steps).tolist()
    kept = data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times)))
    a = [(ms, n + 1) for n, ms in enumerate(times)]
    in_b, _ = paired(pairing, one_way(*a), one_way(*(p for p, keep in zip(a, kept, strict=True) if keep)))

    assert kept == [partner >= 0 for partner in in_b]
