"""The hot loop of selecting: every kind of packet that tells something, and none of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.layout import CUT, FRAGMENT, QUOTES, REPLY
from analyzer.flow import selecting
from analyzer.flow.selecting import ANSWER, BARE_RESET, ERROR, NEIGHBOUR, REQUEST
from tests.conftest import load_uncompiled

FORMS = [
    selecting,
    load_uncompiled("analyzer.flow.selecting", cython=False),
    load_uncompiled("analyzer.flow.selecting", cython=True),
]
ARP, ICMP, TCP, UDP, ICMP6 = 0, 1, 6, 17, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16
Row = tuple[int, int, int, int, int]
"""Protocol, bits, flags, window, length."""


def selected(form: Any, rows: list[Row], begin: int = 0) -> list[tuple[int, int]]:
    """Select from rows of which each is a flow of its own: (row, kind)."""
    n = len(rows)
    columns = [
        np.array([row[k] for row in rows], dtype) for k, dtype in ((1, "u1"), (2, "u2"), (3, "u2"), (4, "i4"))
    ]
    proto = np.array([row[0] for row in rows], np.uint8)
    out, kinds = np.zeros(n, np.int32), np.zeros(n, np.uint8)
    count = form.select(
        begin,
        n,
        np.arange(n, dtype=np.int32).data,
        *(c.data for c in columns),
        proto.data,
        out.data,
        kinds.data,
    )
    return list(zip(out[:count].tolist(), kinds[:count].tolist(), strict=True))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ((TCP, 0, SYN, 64240, 0), REQUEST),
        ((TCP, REPLY, SYN, 64240, 0), REQUEST),
        ((TCP, FRAGMENT, SYN, 64240, 0), 0),
        ((TCP, REPLY, SYN | ACK, 64240, 0), ANSWER),
        ((TCP, 0, SYN | ACK, 64240, 0), 0),
        ((TCP, REPLY, RST, 64240, 0), ANSWER),
        ((TCP, REPLY, RST | ACK, 0, 0), ANSWER | BARE_RESET),
        ((TCP, 0, RST, 0, 0), BARE_RESET),
        ((TCP, 0, RST, 0, 5), 0),
        ((TCP, 0, RST | FIN, 0, 0), 0),
        ((TCP, 0, ACK, 0, 0), 0),
        ((TCP, 0, FIN | ACK, 0, 0), 0),
        ((UDP, 0, 0, 0, 9), REQUEST),
        ((UDP, REPLY, 0, 0, 9), ANSWER),
        ((UDP, CUT, 0, 0, 9), 0),
        ((UDP, FRAGMENT, 0, 0, 9), 0),
        ((ICMP, QUOTES, 0, 0, 9), ERROR),
        ((ICMP, 0, 0, 0, 9), 0),
        ((ICMP6, 0, 0, 0, 9), NEIGHBOUR),
        ((ICMP6, QUOTES, 0, 0, 9), NEIGHBOUR | ERROR),
        ((ARP, 0, 0, 0, 0), NEIGHBOUR),
        ((47, 0, SYN, 0, 0), 0),
    ],
)
def test_kinds(row: Row, kind: int) -> None:
    """What each packet is."""
    for form in FORMS:
        assert [(0, kind)][: bool(kind)] == selected(form, [row])


@given(
    st.lists(
        st.tuples(
            st.sampled_from([ARP, ICMP, TCP, UDP, ICMP6, 47]),
            st.integers(0, 15),
            st.integers(0, 0x3F),
            st.integers(0, 1),
            st.integers(0, 1),
        ),
        max_size=20,
    ),
    st.integers(0, 20),
)
def test_every_form_selects_alike(rows: list[Row], cut: int) -> None:
    """Compiled and not, in one piece and in two, the same."""
    cut = min(cut, len(rows))
    whole = selected(FORMS[0], rows)

    assert [whole] * 3 == [selected(form, rows) for form in FORMS]
    assert whole == selected(FORMS[0], rows[:cut]) + selected(FORMS[0], rows, cut)
