"""The hot loop of grouping: each row once, in its flow and direction, in order; compiled and not, the same."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flow import grouping
from tests.conftest import load_uncompiled

FORMS = [
    grouping,
    load_uncompiled("analyzer.flow.grouping", cython=False),
    load_uncompiled("analyzer.flow.grouping", cython=True),
]


def grouped(
    form: ModuleType, rows: list[tuple[int, int]], swap: list[int]
) -> tuple[list[int], list[int], list[int]]:
    """Group rows of (flow, bits): where each group starts, the order of the rows, the bits afterwards."""
    flow = np.array([row[0] for row in rows], np.int32)
    bits = np.array([row[1] for row in rows], np.uint8)
    starts, order = np.zeros(2 * len(swap) + 1, np.int64), np.full(len(rows), -1, np.int32)
    form.group(*map(memoryview, (flow, bits, np.array(swap, np.uint8), starts, order)))
    return starts.tolist(), order.tolist(), bits.tolist()


def test_two_flows() -> None:
    """Rows of flow 0's sides, then of flow 1's, which is turned round."""
    rows = [(0, 0), (1, 0), (0, 1), (1, 0), (1, 1), (0, 0)]
    for form in FORMS:
        assert ([0, 2, 3, 4, 6], [0, 5, 2, 4, 1, 3], [0, 1, 1, 1, 0, 0]) == grouped(form, rows, [0, 1])


def test_nothing() -> None:
    """No rows, no flows; flows without rows."""
    for form in FORMS:
        assert ([0], [], []) == grouped(form, [], [])
        assert ([0, 0, 0, 0, 0], [], []) == grouped(form, [], [0, 1])


@given(st.lists(st.integers(0, 1), min_size=1, max_size=5), st.data())
def test_invariants(swap: list[int], data: st.DataObject) -> None:
    """A permutation of the rows, ascending within each group, every row in the group that it says it is in."""
    rows = data.draw(st.lists(st.tuples(st.integers(0, len(swap) - 1), st.integers(0, 255)), max_size=40))
    starts, order, bits = grouped(grouping, rows, swap)

    assert list(range(len(rows))) == sorted(order)
    assert [bit ^ swap[flow] for flow, bit in rows] == bits
    for group in range(2 * len(swap)):
        mine = order[starts[group] : starts[group + 1]]
        assert sorted(mine) == mine
        assert all((rows[row][0], bits[row] & 1) == divmod(group, 2) for row in mine)
    for form in FORMS[1:]:
        assert (starts, order, bits) == grouped(form, rows, swap)
