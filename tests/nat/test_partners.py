"""Partners are read like a column, however they are held."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analyzer.nat.partners import Partners

COLUMN = st.lists(st.integers(-1, 5), max_size=20).map(lambda given: np.array(given, np.int32))
SPARSE = st.lists(st.sampled_from([-1, -1, -1, 7]), max_size=20).map(lambda given: np.array(given, np.int32))


@given(COLUMN | SPARSE, st.data())
def test_a_column_reads_as_it_was_given(column: NDArray[np.int32], data: st.DataObject) -> None:
    """Single rows, some rows, all rows, and those that have a partner or have none."""
    partners = Partners(column)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(column), max_size=len(column)))
    rows = np.flatnonzero(np.array(chosen, bool))

    assert column.tolist() == partners.whole().tolist()
    assert column[rows].tolist() == partners[rows].tolist()
    assert column[1:3].tolist() == partners[1:3].tolist()
    assert column.tolist() == [int(partners[row]) for row in range(len(column))]
    assert np.flatnonzero(column[rows] >= 0).tolist() == partners.having(rows).tolist()
    assert np.flatnonzero(column < 0).tolist() == partners.lacking().tolist()


@given(COLUMN | SPARSE)
def test_a_part_stands_at_its_rows(found: NDArray[np.int32]) -> None:
    """Partners of some rows only; the others have none."""
    rows = np.arange(len(found), dtype=np.int32) * 2 + 1
    column = np.full(2 * len(found) + 1, -1, np.int32)
    column[rows] = found

    assert column.tolist() == Partners(found, rows, len(column)).whole().tolist()


@pytest.mark.parametrize(
    ("found", "held"), [([0, 1, -1, 3], 4), ([-1, 9, -1, -1], 4), ([-1, 9, -1, -1, -1], 1), ([-1, -1], 0)]
)
def test_what_few_have_is_held_as_a_list(found: list[int], held: int) -> None:
    """A column where a quarter have a partner, else only those that have one."""
    partners = Partners(np.array(found, np.int32))

    assert held == len(partners._there)
