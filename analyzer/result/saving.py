"""Files that are written whole or not at all, and never over what was read.

Written beside their place, synced, and renamed into it: a full disk, a folder that is read-only and a process that is
killed leave the old file, or none.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from analyzer.errors import LostsynError

Inode = tuple[int, int]
"""Device and number: two names of one file, be they links or hard links, have the same."""


def inode(path: Path) -> Inode | None:
    """Return which file *path* leads to; None if to none that a rename could replace."""
    with suppress(OSError, ValueError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            return status.st_dev, status.st_ino
    return None


@contextmanager
def saving(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of *path* when the block ends well; else nothing has changed.

    A link keeps leading where it does. A terminal, a pipe or `/dev/stdout` cannot be replaced, and is written to.

    Raises:
        LostsynError: It cannot be written.
    """
    try:
        place = Path(os.path.realpath(path))
        if place.exists() and not place.is_file():
            with path.open("wb") as file:
                yield file
            return
        with _beside(place) as file:
            yield file
    except OSError as error:
        if isinstance(error, LostsynError):
            raise
        raise LostsynError(f"{path}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _beside(place: Path) -> Iterator[BinaryIO]:
    # Hidden, so that a bundle does not hold what a killed process left of it.
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name[:100]}.", suffix=".part", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _mode(place))
            yield file
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(place)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    _sync(place.parent)


def _mode(place: Path) -> int:
    """The permissions of the file that is replaced, else what the process gives to new ones."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(place.stat().st_mode)
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _sync(folder: Path) -> None:
    """Make the rename last, where the file system can sync a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
