"""The hot loops: compiled and not, they give the same, whatever the bytes."""

from __future__ import annotations

import importlib.util
import random
import struct
import sys
from array import array
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import analyzer.capture
from analyzer.capture import walk

ROWS = 6


def uncompiled(*, cython: bool) -> ModuleType:
    """Load the module's source, with Cython's own shadow module or with the stand-in for it."""
    path = Path(analyzer.capture.__file__).with_name("walk.py")
    spec = importlib.util.spec_from_file_location(f"walk_uncompiled_{cython}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {} if cython else {"cython": None}):
        spec.loader.exec_module(module)
    return module


FORMS = [walk, uncompiled(cython=False)]
if importlib.util.find_spec("cython"):
    FORMS.append(uncompiled(cython=True))


def arrays() -> list[Any]:
    """Give the columns that a walk fills, marked where it did not."""
    return [memoryview(np.full(ROWS, -7, kind)) for kind in ("i8", "i8", "i8", "i8", "i4")]


def pcap(form: ModuleType, data: bytes, **changes: Any) -> tuple[Any, ...]:
    """Walk *data* as classic pcap records."""
    said = {"big": False, "header": 16, "tick": 1000, "limit": 1000} | changes
    cursor, rows = memoryview(array("q", [0])), arrays()
    order = (said["big"], said["header"], said["tick"], said["limit"])
    count = form.walk_pcap(bytearray(data), cursor, len(data), *order, *rows[:4])
    return count, cursor[0], [row.tolist() for row in rows]


def pcapng(
    form: ModuleType, data: bytes, clocks: list[tuple[int, int, int]], **changes: Any
) -> tuple[Any, ...]:
    """Walk *data* as pcapng blocks of interfaces that have *clocks*: factor, shift, offset."""
    said = {"big": False, "limit": 1000, "first": 5, "count": 0} | changes
    cursor, rows = memoryview(array("q", [0])), arrays()
    tables = [memoryview(array("q", column)) for column in zip(*clocks, strict=True)]
    head = (said["big"], said["limit"], len(clocks), said["first"])
    count = form.walk_pcapng(bytearray(data), cursor, len(data), *head, *tables, said["count"], *rows)
    return count, cursor[0], [row.tolist() for row in rows]


def same(walked: Any) -> Any:
    """Give what all forms of the module give."""
    first, *others = map(walked, FORMS)
    for other in others:
        assert first == other
    return first


small = st.integers(0, 90)
word = st.one_of(small, st.integers(0, (1 << 32) - 1))


@given(st.lists(st.tuples(word, word, word, word, st.binary(max_size=80)), max_size=8), st.booleans())
def test_pcap_in_all_forms(records: list[tuple[int, int, int, int, bytes]], big: bool) -> None:
    """Whatever the records claim, the forms agree and rows stay inside the data."""
    order = ">" if big else "<"
    data = b"".join(struct.pack(order + "IIII", *head) + body for *head, body in records)
    count, position, (start, caplen, *_) = same(lambda form: pcap(form, data, big=big))
    assert all(16 <= start[row] <= start[row] + caplen[row] <= position for row in range(count))
    assert [-7] * (ROWS - count) == start[count:]
    assert position <= len(data)


clock = st.one_of(
    st.tuples(st.integers(0, 9).map(lambda power: 10**power), st.just(0), st.integers(-(10**18), 10**18)),
    st.tuples(st.integers(1, 18).map(lambda power: -(10**power)), st.just(0), st.integers(-(10**18), 10**18)),
    st.tuples(st.just(0), st.integers(1, 63), st.just(0)),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([6, 6, 6, 2, 3]),
            st.integers(0, 3),
            word,
            word,
            word,
            word,
            st.binary(max_size=40),
        ),
        max_size=8,
    ),
    st.lists(clock, min_size=1, max_size=4),
    st.booleans(),
)
def test_pcapng_in_all_forms(
    records: list[tuple[int, int, int, int, int, int, bytes]], clocks: list[tuple[int, int, int]], big: bool
) -> None:
    """Whatever the blocks claim, the forms agree and rows stay inside the data."""
    order = ">" if big else "<"
    data = b""
    for kind, *head, body in records:
        body += bytes(-len(body) % 4)
        total = 32 + len(body)
        data += struct.pack(order + "7I", kind, total, *head) + body + struct.pack(order + "I", total)
    count, position, (start, caplen, _, _, interface) = same(lambda form: pcapng(form, data, clocks, big=big))
    assert all(28 <= start[row] <= start[row] + caplen[row] <= position - 4 for row in range(count))
    assert all(5 <= interface[row] < 5 + len(clocks) for row in range(count))
    assert position <= len(data)


@given(st.binary(max_size=200), st.booleans())
def test_garbage_in_all_forms(data: bytes, big: bool) -> None:
    """Random bytes are read in bounds."""
    same(lambda form: pcap(form, data, big=big))
    same(lambda form: pcapng(form, data, [(1000, 0, 0)], big=big))


def enhanced(ticks: int) -> bytes:
    """Write an empty Enhanced Packet Block."""
    return struct.pack("<8I", 6, 32, 0, ticks >> 32, ticks & 0xFFFFFFFF, 0, 0, 32)


@given(st.integers(0, 63), st.integers(0, (1 << 62) - 1))
def test_binary_resolution(power: int, nanoseconds: int) -> None:
    """Ticks of 2**-k seconds become the nanoseconds they are, rounded down, to 1 ns beyond 34 bits."""
    ticks = (nanoseconds << power) // 10**9
    if ticks >> 64:
        ticks = (1 << 64) - 1
    factor = 10**9 if power == 0 else 0
    _, _, (_, _, _, time, _) = same(lambda form: pcapng(form, enhanced(ticks), [(factor, power, 0)]))
    exact = (ticks * 10**9) >> power
    assert exact - (power > 34) <= time[0] <= exact


@given(st.integers(0, 27), st.integers(0, (1 << 62) - 1), st.integers(-(10**18), 10**18))
def test_decimal_resolution(power: int, nanoseconds: int, offset: int) -> None:
    """Ticks of 10**-k seconds become the nanoseconds they are, rounded down, and the offset is added."""
    ticks = min(nanoseconds * 10**power // 10**9, (1 << 64) - 1)
    factor = 10 ** (9 - power) if power <= 9 else -(10 ** (power - 9))
    _, _, (_, _, _, time, _) = same(lambda form: pcapng(form, enhanced(ticks), [(factor, 0, offset)]))
    assert ticks * 10**9 // 10**power + offset == time[0]


def test_stops_when_rows_are_full() -> None:
    """The walk stops behind the last row it could fill, and goes on filling from `count`."""
    record = struct.pack("<IIII", 1, 2, 4, 4) + b"data"
    assert (ROWS, 20 * ROWS) == same(lambda form: pcap(form, record * 9))[:2]
    assert (ROWS, 32 * 2) == same(lambda form: pcapng(form, enhanced(1) * 9, [(1, 0, 0)], count=ROWS - 2))[:2]


def test_limit() -> None:
    """A record that claims more than the limit is left, be it there or not."""
    record = struct.pack("<IIII", 1, 2, 4, 4) + b"data"
    assert 0 == same(lambda form: pcap(form, record, limit=3))[0]
    assert 0 == same(lambda form: pcapng(form, enhanced(1), [(1, 0, 0)], limit=31))[0]


def test_long_runs_agree() -> None:
    """A block of valid and broken records, as long as the arrays allow, gives the same in every form."""
    rng = random.Random(1)
    for _ in range(200):
        data = b"".join(
            struct.pack("<IIII", rng.getrandbits(32), rng.getrandbits(32), size, size) + rng.randbytes(size)
            for size in (rng.randrange(40) for _ in range(8))
        )
        cut = data[: rng.randrange(len(data) + 1)]
        same(lambda form, cut=cut: pcap(form, cut, header=rng.choice([16])))
