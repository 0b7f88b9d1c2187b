"""The members of a tar or zip archive, opened in place: nothing is extracted under a name the archive gives.

Compressed tars are decompressed once, into one unnamed temporary file for all archives of a bundle. Descriptors are held
by opened members alone, so that any number of archives needs none. What an archive costs is bounded by an `Allowance`
that all archives of a bundle share: of bytes, and of headers, which are dear and compress a thousandfold.
Paths of members are words in messages only.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from analyzer.capture.compressed import Stream
from analyzer.capture.naming import printable

MEMBERS = 10_000
HEADERS = 50_000
"""Headers of all archives of a bundle: 10,000 members with extended headers, and their folders; a second or two of Python."""
TOTAL = 64 << 30
"""Bytes of all members together."""
SPARE = 1 << 30
"""Bytes of the disk that a temporary file leaves free; of a small disk, half of what is free."""
DEFLATED = 1032
"""How much shorter deflate makes bytes, at most (zlib's technical details)."""
LEAST = 256 << 20
"""Bytes that any archive may be when it is decompressed, though it is `DEFLATED` times as large as it is stored; zstd makes
zeros 30,000 times as short, and captures perhaps a hundred times."""
DIRECTORY = 4 << 20
"""Bytes of a zip archive's directory: 10,000 members with names of 300 bytes."""
_BLOCK = 512
_LOCAL = struct.Struct("<4s22xHH")
"""A zip member's local header: signature, lengths of name and extra field, which its bytes follow (APPNOTE.TXT 4.3.7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A regular file in an archive."""

    name: str
    size: int
    stored: int
    """The part that it has of the bytes that the archive is stored in."""
    open: Callable[[], BinaryIO]
    """Raises OSError where the member cannot be read."""


def is_zip(head: bytes) -> bool:
    """Say whether a file that begins like this is a zip archive."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_tar(head: bytes) -> bool:
    """Say whether a file that begins, decompressed, like this is a tar archive (POSIX or GNU)."""
    return head[257:262] == b"ustar"


class Allowance:
    """What the archives of one bundle may still cost, and the temporary file of those that are compressed."""

    def __init__(self) -> None:
        """Begin with all that is allowed."""
        self._headers = HEADERS
        self._room = TOTAL
        self._spool: _Descriptor | None = None
        self._end = 0

    def header(self, size: int = 0) -> bool:
        """Take one header, with so many bytes that are read in little pieces; say whether it was still allowed."""
        self._headers -= 1 + size // 128
        return self._headers >= 0

    def spool(self, stream: Stream, path: Path, caveats: list[str]) -> _Store:
        """Decompress into the temporary file."""
        if self._spool is None:
            with tempfile.TemporaryFile() as made:
                self._spool = _Descriptor(os.dup(made.fileno()))
        begin = self._end
        free = shutil.disk_usage(tempfile.gettempdir()).free
        room = min(self._room, max(free - SPARE, free // 2), max(LEAST, path.stat().st_size * DEFLATED))
        while (piece := stream.read(1 << 20)) and self._end + len(piece) - begin <= room:
            os.pwrite(self._spool.number, piece, self._end)
            self._end += len(piece)
        self._room -= self._end - begin
        if piece:
            caveats.append(
                f"{printable(path.name)}: decompressed, the archive exceeds its limit of {room >> 20} MiB; "
                "the rest was ignored"
            )
        if stream.damage:
            caveats.append(f"{printable(path.name)}: {stream.damage}")
        return _Store(self._spool.again, begin, self._end - begin)


class _Descriptor:
    """A descriptor that is closed with the last of those who may use it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def again(self) -> int:
        return os.dup(self.number)

    def __del__(self) -> None:
        os.close(self.number)


@dataclass(frozen=True, slots=True)
class _Store:
    """Where the bytes of an archive are, in a file that is opened anew for each use."""

    descriptor: Callable[[], int]
    begin: int
    size: int

    def open(self, at: int = 0, size: int | None = None) -> _Slice:
        """Open a part; one that the archive does not have, or not all of it, is shorter."""
        at = min(at, self.size)
        size = self.size - at if size is None else min(size, self.size - at)
        return _Slice(self.descriptor(), self.begin + at, size)


class _Slice(io.RawIOBase):
    """A part of a file as a file of its own; closes the descriptor that it is given."""

    def __init__(self, descriptor: int, at: int, size: int) -> None:
        self._descriptor, self._at, self._left = descriptor, at, size

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        view = memoryview(target)[: self._left]
        count = os.preadv(self._descriptor, [view], self._at) if view else 0
        self._at += count
        self._left -= count
        return count

    def piece(self, at: int, count: int) -> bytes:
        """Read from anywhere in the file that this is a part of."""
        return os.pread(self._descriptor, count, at)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _plain(path: Path) -> _Store:
    return _Store(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0, path.stat().st_size)


class _Directory(io.FileIO):
    """A zip archive, while its directory is read: zipfile asks for all of that at once, however large it claims to be."""

    def read(self, count: int | None = -1, /) -> bytes:
        if count is None or count > DIRECTORY:
            raise ValueError(f"its directory is larger than {DIRECTORY >> 20} MiB")
        return super().read(count) or b""


def zip_members(path: Path, caveats: list[str], allowance: Allowance) -> Iterator[Member]:
    """Yield the members of a zip archive; what cannot be used is told in *caveats*."""
    name = printable(path.name)
    try:
        store = _plain(path)
        with _Directory(path) as file, zipfile.ZipFile(file) as archive:
            listed = archive.infolist()
    # What a crafted directory makes zipfile raise is nowhere listed: BadZipFile, struct.error, OverflowError, IndexError ...
    except Exception as problem:
        caveats.append(f"{name}: the zip archive cannot be read: {printable(str(problem))}")
        return
    ignored: dict[str, list[str]] = {}
    usable, left = [], store.size
    for info in listed:
        if not allowance.header():
            caveats.append(_exhausted(name))
            break
        if info.flag_bits & 1:
            ignored.setdefault("encrypted", []).append(info.filename)
        # zipfile bounds what a step of these two gives; bzip2 and LZMA members could fill the memory.
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            ignored.setdefault("neither stored nor deflated", []).append(info.filename)
        # A bomb names the same bytes as thousands of members; what is there is read once.
        elif info.compress_size > left:
            ignored.setdefault("stored where others are", []).append(info.filename)
        elif not info.filename.endswith("/"):
            usable.append(info)
            left -= info.compress_size
    for reason, members in ignored.items():
        caveats.append(_left_out(name, members[0], len(members), reason))
    for info in usable:
        size = min(info.file_size, info.compress_size * DEFLATED)
        yield Member(
            name=info.filename or "unnamed",
            size=size,
            stored=info.compress_size,
            open=_zip_opener(store, info),
        )


def _left_out(archive: str, first: str, count: int, reason: str) -> str:
    first = printable(first) or "unnamed"
    if count == 1:
        return f"{archive}: {first} is {reason} and was ignored"
    return f"{archive}: {first} and {count - 1} more are {reason} and were ignored"


def _exhausted(name: str) -> str:
    return f"{name}: the archives of this bundle have more than {HEADERS} headers; what follows was ignored"


def _zip_opener(store: _Store, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        with store.open(max(info.header_offset, 0), _LOCAL.size) as start:
            header = start.read(_LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
            raise OSError("the archive has no such member where its directory says")
        _, name, extra = _LOCAL.unpack(header)
        stored = store.open(info.header_offset + _LOCAL.size + name + extra, info.compress_size)
        return cast(BinaryIO, zipfile.ZipExtFile(cast(Any, stored), "r", info, None, True))

    return opened


def tar_members(path: Path, caveats: list[str], allowance: Allowance) -> Iterator[Member]:
    """Yield the regular files of a tar archive, plain or compressed; damage is told in *caveats*."""
    name = printable(path.name)
    try:
        with Stream(path.open("rb", buffering=0)) as stream:
            store = _plain(path) if stream.compression is None else allowance.spool(stream, path, caveats)
        stored = path.stat().st_size
        opened = store.open()
    except OSError as problem:  # it vanished, or the disk is full
        caveats.append(f"{name}: the archive cannot be read: {problem.strerror or problem}")
        return
    sparse: list[str] = []
    with opened:
        for member in _tar_members(store, opened, name, caveats, allowance, sparse):
            yield replace(member, stored=member.size * stored // max(store.size, 1))
    if sparse:
        caveats.append(_left_out(name, sparse[0], len(sparse), "stored as a sparse file"))


def _tar_members(
    store: _Store,
    opened: _Slice,
    archive: str,
    caveats: list[str],
    allowance: Allowance,
    left_out: list[str],
) -> Iterator[Member]:
    def read(at: int, count: int) -> bytes:
        return opened.piece(store.begin + at, min(count, store.size - at)) if at < store.size else b""

    name, size, sparse = "", None, False
    at = 0
    while len(header := read(at, _BLOCK)) == _BLOCK and header.count(0) < _BLOCK:
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
            if info.size < 0:
                raise ValueError("negative size")
        except (tarfile.HeaderError, ValueError, OverflowError) as problem:
            caveats.append(
                f"{archive}: the tar header at byte {at} is damaged ({problem}); what follows was ignored"
            )
            return
        body, more = at + _BLOCK, b""
        if info.type == tarfile.XHDTYPE:
            more = read(body, min(info.size, 1 << 16))
        if not allowance.header(len(more)):
            caveats.append(_exhausted(archive))
            return
        if info.type == tarfile.XHDTYPE:
            name, size, sparse = _extended(more, name)
        elif info.type == tarfile.GNUTYPE_LONGNAME:
            name = read(body, min(info.size, 1 << 12)).rstrip(b"\0").decode("utf-8", "replace")
        elif info.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            pass
        else:
            called, info.size = name or info.name, info.size if size is None else size
            sparse = sparse or info.type == tarfile.GNUTYPE_SPARSE
            name, size = "", None
            if sparse:
                left_out.append(called)
                sparse = False
            elif info.isreg():
                there = max(min(info.size, store.size - body), 0)  # less than claimed, of a partial archive
                yield Member(name=called, size=there, stored=there, open=_tar_opener(store, body, there))
        at = body + -(-info.size // _BLOCK) * _BLOCK
    if at > store.size or 0 < len(header) < _BLOCK:
        caveats.append(f"{archive}: the archive ends within its last member")


def _tar_opener(store: _Store, at: int, size: int) -> Callable[[], BinaryIO]:
    return lambda: cast(BinaryIO, store.open(at, size))


def _extended(data: bytes, name: str) -> tuple[str, int | None, bool]:
    """Read path, size and sparseness from a POSIX extended header: records of `length key=value`."""
    size, sparse, at = None, False, 0
    while at < len(data):
        length, _, _ = data[at : at + 7].partition(b" ")
        if not length.isdigit() or len(length) > 6 or not 0 < int(length) <= len(data) - at:
            break
        end = at + int(length)
        key, _, value = data[at + len(length) + 1 : end - 1].partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "replace")
        elif key == b"size" and value.isdigit() and len(value) < 16:
            size = int(value)
        sparse = sparse or key.startswith(b"GNU.sparse")
        at = end
    return name, size, sparse
