"""The bytes of a file, decompressed where it is compressed: gzip, zstd, xz, recognised by content.

Everything streams: whatever a file claims, two pieces of at most `PIECE` bytes are in memory,
so that a decompression bomb costs time only. Several members in a row are one stream, as tools write them.
"""

from __future__ import annotations

import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Protocol
from zipfile import BadZipFile

PIECE = 1 << 20
MEMBER = 1 << 16
"""Bytes asked of a zip archive's member at a time: damage costs all that was asked for."""
MEMORY = 1 << 28
"""What a decoder may take for itself; `xz -9` needs 65 MB, `zstd --ultra -22` 128 MB."""


class _Decoder(Protocol):
    """One member's decoder: the part of `lzma.LZMADecompressor` that is used here."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _zstd() -> _Decoder:
    zstd = _library()
    options = {zstd.DecompressionParameter.window_log_max: (MEMORY // 2).bit_length() - 1}
    decoder: _Decoder = zstd.ZstdDecompressor(options=options)
    return decoder


def _library() -> Any:
    """The standard library's zstd, or what stands in for it before Python 3.14 (PEP 784)."""
    try:
        return importlib.import_module("compression.zstd")
    except ModuleNotFoundError:
        return importlib.import_module("backports.zstd")


def _xz() -> _Decoder:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)


def _recognise(head: bytes) -> tuple[str, Callable[[], _Decoder]] | None:
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip", _Gzip
    # pzstd and seekable files begin with a skippable frame, RFC 8878 section 3.1.2.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd", _zstd
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz", _xz
    return None


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces; from the second one on the next is decompressed while one is used (the decoders release the GIL)."""
    first = next(pieces, b"")
    if not first:
        return
    yield first
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, pieces, b"")
        while piece := coming.result():
            coming = beside.submit(next, pieces, b"")
            yield piece


class Stream:
    """The bytes of an opened file, decompressed where it is compressed.

    Damage ends the bytes early and is told in `damage`, never raised.
    """

    compression: str | None
    """`gzip`, `zstd`, `xz`, or None for a plain file."""
    damage: str | None
    """Why the bytes end before the file does; None while all is well."""
    position: int
    """How many bytes of the file, as it is stored, were taken; a piece ahead of what was read."""

    def __init__(self, raw: BinaryIO) -> None:
        """Take over *raw*, an unbuffered binary file."""
        self._raw = raw
        self.damage = None
        self.position = 0
        head = b""
        while len(head) < 6 and (more := self._take(6 - len(head))):
            head += more
        found = _recognise(head)
        self.compression = found[0] if found else None
        self._pieces = _ahead(self._members(head, found[1])) if found else None
        self._ready = memoryview(b"" if found else head)

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of *target* and say how much; 0 at the end."""
        if not self._ready:
            if self._pieces is None:
                return self._stored(target)
            self._ready = memoryview(next(self._pieces, b""))
        count = min(len(self._ready), len(target))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def read(self, count: int) -> bytes:
        """Give *count* bytes, fewer only at the end."""
        parts = []
        while count:
            piece = bytearray(min(count, PIECE))
            got = self.readinto(memoryview(piece))
            if not got:
                break
            parts.append(piece[:got])
            count -= got
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stored(self, target: memoryview) -> int:
        """Fill the beginning of *target* with the file's own bytes."""
        if isinstance(self._raw, io.BufferedIOBase):
            target = target[:MEMBER]
        try:
            count: int | None = self._raw.readinto(target)  # type: ignore[attr-defined]
        except (OSError, EOFError, BadZipFile, zlib.error) as problem:  # the latter two: an archive's member
            self.damage = f"reading failed: {problem}"
            return 0
        if count is None:
            self.damage = "reading it would block"
            return 0
        self.position += count
        return count

    def _take(self, count: int) -> bytes:
        buffer = bytearray(count)
        return bytes(buffer[: self._stored(memoryview(buffer))])

    def _members(self, data: bytes, decoder_of: Callable[[], _Decoder]) -> Iterator[bytes]:
        """Yield what the members of a compressed file hold, piece by piece."""
        damaged: tuple[type[Exception], ...] = (zlib.error, lzma.LZMAError, EOFError)
        if self.compression == "zstd":
            damaged = (_library().ZstdError,)
        while data := data or self._take(PIECE):
            # A tape's last record, and xz's stream padding, are zeros between and after the members.
            data = data.lstrip(b"\0")
            if not data:
                continue
            while len(data) < 6 and (more := self._take(6)):
                data += more
            found = _recognise(data)
            if found is None or found[0] != self.compression:
                self.damage = (
                    f"byte {self.position - len(data)} of the file is no further {self.compression} member; "
                    "what follows is not read"
                )
                return
            decoder = decoder_of()
            while not decoder.eof:
                try:
                    piece = decoder.decompress(data, PIECE)
                except damaged as problem:
                    self.damage = (
                        f"{self.compression} data is damaged near byte {self.position} of the file: {problem}"
                    )
                    return
                if piece:
                    yield piece
                data = b""
                if decoder.needs_input and not decoder.eof:
                    data = self._take(PIECE // 16)
                    if not data and not piece:
                        self.damage = self.damage or (
                            f"{self.compression} data ends early, at byte {self.position} of the file"
                        )
                        return
            data = decoder.unused_data
