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


OTHER, ECHO = 8 << 16, 77 << 16 | 77
"""Ports of a flow: type and code of ICMP, or twice an echo's identifier."""


def selected(form: Any, rows: list[Row], begin: int = 0, ports: int = OTHER) -> list[tuple[int, int]]:
    """Select from rows of which each is a flow of its own, with these ports: (row, kind)."""
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
        np.full(n, ports, np.uint32).data,
        out.data,
        kinds.data,
    )
    return list(zip(out[:count].tolist(), kinds[:count].tolist(), strict=True))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ((TCP, 0, SYN, 64240, 0), REQUEST),
        ((TCP, REPLY, SYN, 64240, 0), 0),
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


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ((ICMP, 0, 0, 0, 9), REQUEST),
        ((ICMP, REPLY, 0, 0, 9), ANSWER),
        ((ICMP, FRAGMENT, 0, 0, 9), 0),
        ((ICMP, QUOTES, 0, 0, 9), ERROR),
        ((ICMP6, 0, 0, 0, 9), REQUEST),
        ((ICMP6, REPLY, 0, 0, 9), ANSWER),
        ((UDP, 0, 0, 0, 9), REQUEST),
    ],
)
def test_kinds_of_echoes(row: Row, kind: int) -> None:
    """Packets of a flow that has an identifier on both sides ask and answer."""
    for form in FORMS:
        assert [(0, kind)][: bool(kind)] == selected(form, [row], ports=ECHO)


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
    st.sampled_from([OTHER, ECHO]),
)
def test_every_form_selects_alike(rows: list[Row], cut: int, ports: int) -> None:
    """Compiled and not, in one piece and in two, the same."""
    cut = min(cut, len(rows))
    whole = selected(FORMS[0], rows, ports=ports)

    assert [whole] * 3 == [selected(form, rows, ports=ports) for form in FORMS]
    assert whole == selected(FORMS[0], rows[:cut], ports=ports) + selected(FORMS[0], rows, cut, ports)


def answered(form: Any, events: list[tuple[int, int]], protocol: int = UDP) -> list[tuple[int, int, bool]]:
    """Requests, each with its first answer and whether that came soon; of (flow, kind), each a row. Flow 2 is of TCP."""
    n = len(events)
    flow, kinds = np.array([f for f, _ in events], np.int32), np.array([k for _, k in events], np.uint8)
    proto, state = np.array([UDP, UDP, TCP], np.uint8), [np.full(3, -1, np.int32) for _ in range(2)]
    out = [np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.uint8)]
    seen = [c.data for c in (np.arange(n, dtype=np.int32), kinds, flow, proto)]
    begin = form.answers(*seen, protocol, *(c.data for c in (*state, *out)))
    return [(int(a), int(f), bool(s)) for a, f, s in zip(*(c[begin:] for c in out), strict=True)]


def test_what_answers_a_request() -> None:
    """The flow's next answer; soon if no further request came before it; of one protocol."""
    events = [(0, REQUEST), (0, REQUEST), (1, REQUEST), (2, REQUEST), (0, ANSWER), (2, ANSWER), (0, REQUEST)]

    assert [(0, 4, False), (1, 4, True), (2, -1, False), (6, -1, False)] == answered(selecting, events)
    assert [(3, 5, True)] == answered(selecting, events, TCP)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=15))
def test_every_form_answers_alike(events: list[tuple[int, int]]) -> None:
    """Compiled and not; and as a search from each request on finds it."""
    found = answered(selecting, events)
    expected = []
    for row, (flow, kind) in enumerate(events):
        if kind & REQUEST and flow < 2:
            later = [(n, k) for n, (f, k) in enumerate(events) if n > row and f == flow]
            first = next((n for n, k in later if k & ANSWER), -1)
            again = next((n for n, k in later if k & REQUEST), len(events))
            expected.append((row, first, 0 <= first < again))

    assert [found] * 3 == [answered(form, events) for form in FORMS]
    assert expected == found
