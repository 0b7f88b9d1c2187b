"""The hot loop of entries: the same, compiled and not, in one piece and in slices.

What it means is held against the models packet by packet in `test_lives.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analyzer.conntrack import ageing
from tests.conftest import load_uncompiled

FORMS: list[Any] = [
    ageing,
    load_uncompiled("analyzer.conntrack.ageing", cython=False),
    load_uncompiled("analyzer.conntrack.ageing", cython=True),
]
PROTOCOLS = np.array([6, 17, 1, 6], np.uint8)
Row = tuple[int, int, int, int]
"""Flow, bits, flags, pause before it."""


def aged(form: Any, rows: list[Row], lost: list[int], cuts: list[int]) -> tuple[list[Any], list[Any]]:
    """Follow rows, slice by slice: what is left per flow, and what ended."""
    flow, bits, flags = (
        np.array([row[k] for row in rows], dtype) for k, dtype in ((0, "i4"), (1, "u1"), (2, "u2"))
    )
    time = np.cumsum([row[3] for row in rows], dtype=np.int64)
    gone = np.array([*lost, len(rows)], np.int64)
    state = [np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(4, np.uint16)]
    ended = [np.zeros(len(rows) + 1, dtype) for dtype in ("i4", "i8", "i8", "u2")]
    short, long = np.full(256, 30, np.int64), np.full(256, 120, np.int64)
    out: list[Any] = []
    for begin, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        columns = [
            c.data for c in (flow, bits, flags, time, gone, PROTOCOLS, np.ones(4, np.uint8), short, long)
        ]
        count = form.age(begin, stop, *columns, 300, 2, *(c.data for c in (*state, *ended)))
        out += zip(*(column[:count].tolist() for column in ended), strict=True)
    return [column.tolist() for column in state], out


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 15),
            st.sampled_from([0, 1, 2, 4, 16, 17, 18, 20]),
            st.sampled_from([0, 1, 29, 30, 119, 121, 301]),
        ),
        max_size=25,
    ),
    st.sets(st.integers(0, 24)),
    st.sets(st.integers(0, 25)),
)
def test_every_form_follows_alike(rows: list[Row], lost: set[int], cuts: set[int]) -> None:
    """Three forms, and slices of any length, give one result."""
    gone = sorted(row for row in lost if row < len(rows))
    whole = aged(FORMS[0], rows, gone, [])

    assert [whole] * 3 == [aged(form, rows, gone, []) for form in FORMS]
    assert whole == aged(FORMS[0], rows, gone, sorted(cut for cut in cuts if cut <= len(rows)))


def test_a_lost_packet_is_passed_over() -> None:
    """It neither begins an entry nor keeps one alive."""
    rows = [(0, 0, 2, 5), (0, 0, 2, 5)]

    assert [10, 0, 0, 0] == aged(ageing, rows, [0], [])[0][0]
    assert [5, 0, 0, 0] == aged(ageing, rows, [1], [])[0][1]
