"""The pcapng blocks that are not packets."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import pcapng


def option(code: int, value: bytes) -> bytes:
    """Write an option, padded."""
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def described(*options: bytes) -> pcapng.Description:
    """Read an interface description with *options*."""
    return pcapng.description(memoryview(struct.pack("<HHI", 1, 0, 96) + b"".join(options)), "<")


@given(st.lists(st.tuples(st.integers(1, 65535), st.binary(max_size=20)), max_size=6), st.binary(max_size=9))
def test_options(written: list[tuple[int, bytes]], junk: bytes) -> None:
    """Options end at the end mark; what follows it is none."""
    data = b"".join(option(*each) for each in written) + option(0, b"") + junk
    assert written == list(pcapng.options(memoryview(data), 0, "<"))


@given(st.binary(max_size=100), st.sampled_from("<>"))
def test_options_stay_inside(data: bytes, order: str) -> None:
    """Garbage gives options that are parts of it, or none."""
    for _, value in pcapng.options(memoryview(data), 0, order):
        assert value in data


def test_option_cut_short() -> None:
    """An option that claims more than the block has is left out."""
    data = memoryview(option(2, b"eth0") + struct.pack("<HH", 3, 5) + b"four")
    assert [(2, b"eth0")] == list(pcapng.options(data, 0, "<"))


@pytest.mark.parametrize(
    ("resolution", "clock"),
    [
        (0, (10**9, 0)), (6, (1000, 0)), (9, (1, 0)), (10, (-10, 0)), (27, (-(10**18), 0)),
        (28, (0, 0)), (127, (0, 0)), (0x80, (10**9, 0)), (0x81, (0, 1)),
        (0x80 | 63, (0, 63)), (0x80 | 64, (0, 0)), (0xFF, (0, 0)),
    ],
)  # fmt: skip
def test_resolution(resolution: int, clock: tuple[int, int]) -> None:
    """Each resolution has a factor and a shift; a tick too short for 64 bits is no time."""
    said = described(option(9, bytes([resolution])))
    assert clock == (said.factor, said.shift)


def test_description() -> None:
    """Name, resolution and offset are read; an absurd offset and options of a wrong size are not."""
    plain = described()
    assert (1, 96, None, 1000, 0, 0) == (
        plain.link, plain.snaplen, plain.name, plain.factor, plain.shift, plain.offset,
    )  # fmt: skip
    assert "eth0" == described(option(2, b"eth0\0junk")).name
    assert described(option(2, b"")).name is None
    assert 256 == len(described(option(2, b"x" * 60000)).name or "")
    assert "\ufffd" == described(option(2, b"\xff")).name
    assert -5_000_000_000 == described(option(14, struct.pack("<q", -5))).offset
    assert 0 == described(option(14, struct.pack("<q", 1 << 40))).offset
    assert 1000 == described(option(9, b"\x09\x09")).factor


def test_drops() -> None:
    """Drops of interface and system are added; without either nothing is known."""
    head = struct.pack("<III", 3, 0, 0)
    counted = [option(code, struct.pack("<Q", number)) for code, number in ((4, 9), (5, 2), (7, 1 << 40))]
    assert (3, 2 + (1 << 40)) == pcapng.drops(memoryview(head + b"".join(counted)), "<")
    assert (3, 0) == pcapng.drops(memoryview(head + option(7, bytes(8))), "<")
    assert (3, None) == pcapng.drops(memoryview(head + counted[0]), "<")
    assert (3, None) == pcapng.drops(memoryview(head + option(5, bytes(4))), "<")
