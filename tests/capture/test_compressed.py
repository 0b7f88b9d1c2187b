"""Decompression: by content, in bounded memory, with damage told."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.compressed import Stream

COMPRESSORS = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "xz": lzma.compress,
}
names = pytest.mark.parametrize("name", COMPRESSORS)
TEXT = b"a packet here, a packet there, " * 3000


def everything(stored: bytes, step: int = 1 << 16) -> tuple[bytes, Stream]:
    """Read to the end in steps."""
    stream = Stream(io.BytesIO(stored))
    parts = []
    while part := stream.read(step):
        parts.append(part)
    return b"".join(parts), stream


@given(st.binary(max_size=200), st.integers(1, 50))
def test_plain_bytes(data: bytes, step: int) -> None:
    """What is not compressed comes through as it is, be it shorter than any magic."""
    if Stream(io.BytesIO(data)).compression is None:
        found, stream = everything(data, step)
        assert data == found
        assert stream.damage is None
        assert len(data) == stream.position


@names
@given(parts=st.lists(st.binary(max_size=100), min_size=1, max_size=4), step=st.integers(1, 300))
def test_members_in_a_row(name: str, parts: list[bytes], step: int) -> None:
    """Members one after the other are one stream."""
    stored = b"".join(map(COMPRESSORS[name], parts))
    found, stream = everything(stored, step)
    assert b"".join(parts) == found
    assert (name, None, len(stored)) == (stream.compression, stream.damage, stream.position)


@names
def test_zeros_between_and_after_members(name: str) -> None:
    """Padding with zeros is no damage."""
    member = COMPRESSORS[name](b"text")
    found, stream = everything(member + bytes(4) + member + bytes(2 << 20))
    assert b"texttext" == found
    assert stream.damage is None


@names
def test_something_else_after_a_member(name: str) -> None:
    """What follows and is no member is told with its place, and not read."""
    member = COMPRESSORS[name](TEXT)
    found, stream = everything(member + b"something else")
    assert found == TEXT
    assert stream.damage is not None
    assert f"byte {len(member)} of the file" in stream.damage


@names
def test_damage_in_the_middle(name: str) -> None:
    """Damaged data ends the stream with a word, after what came out before."""
    data = bytes(range(256)) * 4000 + TEXT
    stored = bytearray(COMPRESSORS[name](data))
    stored[len(stored) // 2 :] = bytes(255 - byte for byte in stored[len(stored) // 2 :])
    found, stream = everything(bytes(stored))
    # gzip and xz may give some garbage before they notice; zstd gives whole blocks.
    assert data.startswith(found[:1000])
    assert stream.damage is not None
    assert re.match(rf"{name} data (is damaged near byte|ends early, at byte) \d+ of the file", stream.damage)


@given(st.sampled_from(sorted(COMPRESSORS)), st.binary(max_size=100))
def test_garbage_after_a_magic(name: str, junk: bytes) -> None:
    """Garbage that begins like a compressed file is never an exception."""
    _, stream = everything(COMPRESSORS[name](b"")[:6] + junk)
    assert name == stream.compression


def test_skippable_frame_first() -> None:
    """Files of pzstd begin with a frame that holds no data."""
    found, stream = everything(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + COMPRESSORS["zstd"](TEXT))
    assert (TEXT, "zstd", None) == (found, stream.compression, stream.damage)


@names
def test_bomb(name: str) -> None:
    """A hundred megabytes of zeros take a few megabytes of memory."""
    stored = COMPRESSORS[name](bytes(100 << 20))
    tracemalloc.start()
    try:
        stream, total = Stream(io.BytesIO(stored)), 0
        target = memoryview(bytearray(1 << 16))
        while count := stream.readinto(target):
            total += count
        # Buffers inside the decoders are not Python's: zstd's window is limited by name in the module.
        assert 40 << 20 > tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 100 << 20 == total


def test_file_that_fails() -> None:
    """An error of the disk is damage."""

    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: object) -> int:
            raise OSError(5, "Input/output error")

    stream = Stream(Failing())  # type: ignore[arg-type]
    assert b"" == stream.read(10)
    assert "reading failed: [Errno 5] Input/output error" == stream.damage
