"""The hot loop that sums up connections: by hand, compiled and not the same, and as tshark counts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analyzer.flow import tally
from tests.conftest import CASES, analysed, load_uncompiled

FORMS = [
    tally,
    load_uncompiled("analyzer.flow.tally", cython=False),
    load_uncompiled("analyzer.flow.tally", cython=True),
]
FIN, SYN, RST, ACK = 1, 2, 4, 16
TCP, UDP = 6, 17
M32 = 0xFFFFFFFF
Row = tuple[int, int, int, int, int, int]
"""Side, flags, seq, ack, length, window."""


def summed(form: Any, rows: list[Row], proto: int = TCP, slot: int = 0) -> dict[str, list[Any]]:
    """Sum up the packets of one connection."""
    column = {
        name: np.array([row[k] for row in rows], dtype)
        for k, (name, dtype) in enumerate(
            [
                ("bits", "u1"),
                ("flags", "u2"),
                ("seq", "u4"),
                ("ack", "u4"),
                ("length", "i4"),
                ("window", "u2"),
            ]
        )
    }
    out: dict[str, NDArray[Any]] = {
        "seen": np.zeros((1, 2), np.uint16),
        "high": np.zeros((1, 2), np.uint32),
        "acked": np.zeros((1, 2), np.uint32),
        "again": np.zeros((1, 2), np.int32),
        "repeated": np.full((1, 2), -1, np.int32),
        "syn": np.full((1, 3), -1, np.int32),
        "reset": np.full((1, 2), -1, np.int32),
        "begun": np.full((1, 2), -1, np.int32),
        "last": np.full(1, -1, np.int32),
        "history": np.zeros((1, 12), np.uint8),
    }
    form.tally(
        np.array([slot], np.int32).data,
        np.zeros(len(rows), np.int32).data,
        *(column[name].data for name in ("bits", "flags", "window", "seq", "ack", "length")),
        np.array([proto], np.uint8).data,
        *(each.data for each in out.values()),
    )
    return {name: each.tolist() for name, each in out.items()}


def letters(rows: list[Row], proto: int = TCP) -> str:
    """The history of these packets."""
    return bytes(summed(tally, rows, proto)["history"][0]).rstrip(b"\0").decode()


HANDSHAKE: list[Row] = [(0, SYN, 99, 0, 0, 9), (1, SYN | ACK, 499, 100, 0, 9), (0, ACK, 100, 500, 0, 9)]


@pytest.mark.parametrize(
    ("rows", "history"),
    [
        (HANDSHAKE, "ShA"),
        ([*HANDSHAKE, (0, ACK, 100, 500, 10, 9), (1, ACK, 500, 110, 20, 9)], "ShADd"),
        ([*HANDSHAKE, (1, ACK, 500, 100, 0, 0)], "ShAaw"),
        ([*HANDSHAKE, (0, FIN | ACK, 100, 500, 0, 9), (1, FIN | ACK, 500, 101, 0, 9)], "ShAFf"),
        ([*HANDSHAKE, (1, RST | ACK, 500, 100, 0, 0)], "ShAr"),
        ([(1, SYN | ACK, 499, 100, 0, 9)], "h"),
        ([], ""),
    ],
)
def test_history(rows: list[Row], history: str) -> None:
    """Each letter when it is seen first, the originator's in capitals."""
    assert history == letters(rows)


def test_another_protocol_has_data_only() -> None:
    """Whatever its bytes look like."""
    assert "Dd" == letters([(0, SYN, 1, 2, 3, 0), (1, RST, 1, 2, 3, 0)], UDP)


def test_what_no_connection_has_is_passed_over() -> None:
    """Flows that are summed up elsewhere."""
    assert [[-1, -1, -1]] == summed(tally, HANDSHAKE, slot=-1)["syn"]


@pytest.mark.parametrize("base", [100, M32 - 5])
def test_data_that_was_sent_again(base: int) -> None:
    """Old bytes count, new ones do not, and one old byte is a keepalive's; across the wrap of numbers, too."""

    def data(offset: int, length: int) -> Row:
        return 0, ACK, (base + offset) & M32, 500, length, 9

    told = summed(tally, [data(0, 10), data(10, 10), data(10, 10), data(20, 5), data(24, 1), data(0, 10)])

    assert [[2, 0]] == told["again"]
    assert [[2, -1]] == told["repeated"]
    assert [[(base + 25) & M32, 0]] == told["high"]


def test_syns() -> None:
    """The first, the last before an answer, and the answer; later ones are another connection's."""
    rows = [HANDSHAKE[0], HANDSHAKE[0], HANDSHAKE[1], HANDSHAKE[0], HANDSHAKE[1]]
    assert [[0, 1, 2]] == summed(tally, rows)["syn"]


@pytest.mark.parametrize(("before", "strange"), [(False, True), (True, False)])
def test_an_ack_before_any_syn_ack_is_strange(before: bool, strange: bool) -> None:
    """It acknowledges another connection; after a SYN-ACK it is an ordinary one."""
    rows = [HANDSHAKE[0], *([HANDSHAKE[1]] if before else []), (1, ACK, 7, 8, 0, 9)]
    assert strange == bool(summed(tally, rows)["seen"][0][1] & tally.STRANGE)


@pytest.mark.parametrize(("first", "expected"), [(HANDSHAKE[0], True), ((0, SYN | ACK, 1, 2, 0, 9), False)])
def test_an_opener_that_goes_on(first: Row, expected: bool) -> None:
    """What it sends after its SYN says that it had the answer; without a SYN nothing does."""
    told = summed(tally, [first, (0, ACK, 7, 8, 0, 9)])["seen"]
    assert expected == bool(told[0][0] & tally.WENT_ON)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(0, 63),
            st.sampled_from([0, 1, 10, 20, M32, M32 - 9, 1 << 31]),
            st.sampled_from([0, 1, 10, 20, M32, 1 << 31]),
            st.integers(0, 11),
            st.integers(0, 1),
        ),
        max_size=15,
    ),
    st.sampled_from([TCP, UDP]),
)
def test_every_form_sums_up_alike(rows: list[Row], proto: int) -> None:
    """Compiled and not, with Cython and without."""
    first, *others = [summed(form, rows, proto) for form in FORMS]
    assert [first] * 2 == others


@pytest.mark.tshark
@pytest.mark.parametrize("name", ["mtu-black-hole", "late-ack", "clean", "service-local"])
def test_as_many_as_tshark_counts(name: str) -> None:
    """Segments with data that were sent again, over all connections of a point: as in tshark's own analysis."""
    connections = analysed(name).captured.connections
    assert connections is not None
    for number, point in enumerate(connections.chains.points):
        (capture,) = [path for path in CASES[name].captures if path.name.split(".")[0] == point.name]
        mine = connections.outcomes.repeated[connections.chains.point == number]
        again = _tshark(capture)
        if len(mine) and point.role == "pod":
            assert again == int(mine.sum())


def _tshark(capture: Path) -> int:
    chosen = "tcp.analysis.retransmission && tcp.len > 1"
    argv = ["tshark", "-n", "-r", str(capture), "-Y", chosen, "-T", "fields", "-e", "frame.number"]
    return len(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())
