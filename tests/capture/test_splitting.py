"""The hot loops of splitting: each row to its part, in order; compiled and not, the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import splitting
from analyzer.capture.columns import views
from tests.conftest import load_uncompiled

FORMS = [
    splitting,
    load_uncompiled("analyzer.capture.splitting", cython=False),
    load_uncompiled("analyzer.capture.splitting", cython=True),
]
PART_OF = (2, 0, 2, 1)
"""Of four flows."""


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 30))
def test_each_part_has_its_rows_in_order(form: Any, flow: list[int], middle: int) -> None:
    """However many slices it is done in."""
    flows, part_of = np.array(flow, np.int32), np.array(PART_OF, np.int32)
    counts, to = np.zeros(3, np.int64), np.full(len(flow), -1, np.int32)
    form.count(*views(flows, part_of, counts))
    cursors = np.cumsum(counts) - counts
    form.place(*views(flows[:middle], part_of, cursors, to[:middle]))
    form.place(*views(flows[middle:], part_of, cursors, to[middle:]))
    expected = sorted(range(len(flow)), key=lambda row: PART_OF[flow[row]])

    assert [[PART_OF[f] for f in flow].count(part) for part in range(3)] == counts.tolist()
    assert expected == np.argsort(to).tolist()
    assert np.cumsum(counts).tolist() == cursors.tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8"])
def test_items_of_any_width_are_scattered(form: Any, dtype: str) -> None:
    """To the places that are told, unchanged to the last bit."""
    column = np.array([0, 1, -1, 7]).astype(dtype)
    out = np.zeros(4, dtype)
    form.scatter(*views(column, np.array([2, 0, 3, 1], np.int32), out))

    assert column[[1, 3, 0, 2]].tolist() == out.tolist()
