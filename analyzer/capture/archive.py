"""The members of a tar or zip archive, opened in place: nothing is extracted under a name the archive gives.

A compressed tar is decompressed once into an unnamed temporary file, bounded by `TOTAL` and by the free disk.
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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from analyzer.capture.compressed import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMBERS = 10_000
TOTAL = 64 << 30
"""Bytes of all members together."""
SPARE = 1 << 30
"""Bytes of the disk that a temporary file leaves free."""
_BLOCK = 512
DEFLATED = 1032
"""How much shorter deflate makes bytes, at most (zlib's technical details)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A regular file in an archive."""

    name: str
    size: int
    open: Callable[[], BinaryIO]
    """Raises OSError where the member cannot be read."""


def is_zip(head: bytes) -> bool:
    """Say whether a file that begins like this is a zip archive."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_tar(head: bytes) -> bool:
    """Say whether a file that begins, decompressed, like this is a tar archive (POSIX or GNU)."""
    return head[257:262] == b"ustar"


class _Store:
    """An open file that slices read from, at any place and from any thread; closed with the last of them."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, at: int, count: int) -> bytes:
        return os.pread(self.descriptor, count, at)

    def __del__(self) -> None:
        os.close(self.descriptor)


class _Slice(io.RawIOBase):
    """A part of a store as a file of its own."""

    def __init__(self, store: _Store, at: int, size: int) -> None:
        self._store, self._at, self._left = store, at, size

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        view = memoryview(target)[: self._left]
        count = os.preadv(self._store.descriptor, [view], self._at) if view else 0
        self._at += count
        self._left -= count
        return count


def zip_members(path: Path, caveats: list[str]) -> Iterator[Member]:
    """Yield the members of a zip archive; what cannot be used is told in *caveats*."""
    try:
        archive = zipfile.ZipFile(path)
        listed = archive.infolist()
    except (
        zipfile.BadZipFile,
        ValueError,
        OverflowError,
        NotImplementedError,
        EOFError,
        struct.error,
    ) as problem:
        caveats.append(f"{path.name}: the zip archive cannot be read: {problem}")
        return
    for info in listed:
        if info.is_dir():
            continue
        if info.flag_bits & 1:
            caveats.append(f"{path.name}: {info.filename} is encrypted and was ignored")
        # zipfile bounds what a step of these two gives; bzip2 and LZMA members could fill the memory.
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            caveats.append(f"{path.name}: {info.filename} is neither stored nor deflated and was ignored")
        else:
            yield Member(
                name=info.filename,
                size=min(info.file_size, info.compress_size * DEFLATED),
                open=_zip_opener(archive, info),
            )


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        try:
            return cast(BinaryIO, archive.open(info))
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            ValueError,
            struct.error,
            EOFError,
        ) as problem:
            raise OSError(str(problem)) from None

    return opened


def tar_members(path: Path, caveats: list[str]) -> Iterator[Member]:
    """Yield the regular files of a tar archive, plain or compressed; damage is told in *caveats*."""
    with Stream(path.open("rb", buffering=0)) as stream:
        if stream.compression is None:
            store = _Store(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        else:
            store = _spooled(stream, path.name, caveats)
    name, size, sparse = "", None, False
    at = 0
    while len(header := store.read(at, _BLOCK)) == _BLOCK and header.count(0) < _BLOCK:
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
            if info.size < 0:
                raise ValueError("negative size")
        except (tarfile.HeaderError, ValueError, OverflowError) as problem:
            caveats.append(
                f"{path.name}: the tar header at byte {at} is damaged ({problem}); what follows was ignored"
            )
            return
        body = at + _BLOCK
        if info.type == tarfile.XHDTYPE:
            name, size, sparse = _extended(store.read(body, min(info.size, 1 << 16)), name)
        elif info.type == tarfile.GNUTYPE_LONGNAME:
            name = store.read(body, min(info.size, 1 << 12)).rstrip(b"\0").decode("utf-8", "replace")
        elif info.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            pass
        else:
            called, info.size = name or info.name, info.size if size is None else size
            sparse = sparse or info.type == tarfile.GNUTYPE_SPARSE
            name, size = "", None
            if sparse:
                caveats.append(f"{path.name}: {called} is stored as a sparse file and was ignored")
                sparse = False
            elif info.isreg():
                there = max(min(info.size, store.size - body), 0)  # less than claimed, of a partial archive
                yield Member(name=called, size=there, open=_tar_opener(store, body, info.size))
        at = body + -(-info.size // _BLOCK) * _BLOCK
    if at > store.size or 0 < len(header) < _BLOCK:
        caveats.append(f"{path.name}: the archive ends within its last member")


def _tar_opener(store: _Store, at: int, size: int) -> Callable[[], BinaryIO]:
    return lambda: cast(BinaryIO, _Slice(store, at, size))


def _extended(data: bytes, name: str) -> tuple[str, int | None, bool]:
    """Read path, size and sparseness from a POSIX extended header: records of `length key=value`."""
    size, sparse = None, False
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not 0 < int(length) <= len(data):
            break
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "replace")
        elif key == b"size" and value.isdigit() and len(value) < 16:
            size = int(value)
        sparse = sparse or key.startswith(b"GNU.sparse")
        data = data[int(length) :]
    return name, size, sparse


def _spooled(stream: Stream, name: str, caveats: list[str]) -> _Store:
    """Decompress into an unnamed temporary file."""
    with tempfile.TemporaryFile() as spool:
        room = min(TOTAL, shutil.disk_usage(tempfile.gettempdir()).free - SPARE)
        while (piece := stream.read(1 << 20)) and (room := room - len(piece)) >= 0:
            spool.write(piece)
        if piece:
            caveats.append(
                f"{name}: decompressed, the archive is larger than {TOTAL >> 30} GiB or than the temporary "
                "folder has room for; the rest was ignored"
            )
        if stream.damage:
            caveats.append(f"{name}: {stream.damage}")
        spool.flush()
        return _Store(os.dup(spool.fileno()))
