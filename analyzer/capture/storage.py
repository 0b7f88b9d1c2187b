"""Where columns lie: in memory, or in a temporary file of which only so much is in memory at a time.

Both give the same arrays to the same loops, so a bundle that is larger than memory has the same analysis. The loops go
through the columns in slices of time and do not come back; what a slice leaves behind, a watcher takes out of memory.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from analyzer.errors import LostsynError

OFTEN = 0.005
"""Seconds between two looks at how much memory is in use."""
MEANWHILE = 256 << 20
"""Bytes that may come into memory between two looks (measured: 170 MB): the columns that two processors go through, which the
kernel maps 16 pages at a time, and what is made of them."""

FOR_LARGE_ONES = "/var/tmp"  # noqa: S108 - a file has no name there
SMALL = 1 << 16
"""Bytes of a column for which a file is not worth while: a node has hundreds of veths, and may open so many files only."""


class Memory:
    """Columns in memory."""

    def empty(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Make a column of so many items, whatever they are."""
        return np.empty(count, dtype)

    def zeros(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Make a column of so many zeros."""
        return np.zeros(count, dtype)

    def full(self, count: int, value: int, dtype: DTypeLike) -> NDArray[Any]:
        """Make a column of so many equal items."""
        column = self.empty(count, dtype)
        column[:] = value
        return column

    def resized(self, column: NDArray[Any], count: int) -> NDArray[Any]:
        """Take a column of this storage, and give it back longer or shorter; it must not be used any more."""
        if count <= len(column):
            # What was never written to takes no memory; but many little pieces of that add up.
            shorter = column[:count]
            return shorter.copy() if shorter.nbytes < SMALL else shorter
        longer = np.empty(count, column.dtype)
        longer[: len(column)] = column
        return longer


class TemporaryFiles(Memory):
    """Columns in unnamed temporary files, mapped into memory.

    The pages that were touched are given back to the kernel whenever the process holds more memory than *limit*; the
    kernel keeps them as long as it has room, and else writes them to disk.
    """

    def __init__(self, limit: int) -> None:
        """Begin to watch.

        Args:
            limit: Bytes of memory that the process may hold. What lies not in columns counts as well: about 70 MB for
                Python and its libraries, and some 120 bytes for each flow.
        """
        self._limit = limit
        self._held: dict[int, tuple[int, weakref.ref[mmap.mmap]]] = {}
        """Where a column begins, to its file's descriptor and its pages."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (most, most)
        )  # a file a column, and a node may have 200 pods
        threading.Thread(target=_watch, args=(weakref.ref(self),), daemon=True).start()

    def empty(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Make a column in a file of its own, or in memory if it is `SMALL`."""
        return self.zeros(count, dtype)

    def zeros(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """The same: a new file is all zeros."""
        size = count * np.dtype(dtype).itemsize
        if size < SMALL:
            return np.zeros(count, dtype)
        try:
            file, name = tempfile.mkstemp(dir=temporary_folder())
        except OSError as error:
            raise _no_room(size, error) from None
        Path(name).unlink()
        return self._mapped(file, count, np.dtype(dtype))

    def resized(self, column: NDArray[Any], count: int) -> NDArray[Any]:
        """Lengthen or shorten its file, and map that anew."""
        if column.ctypes.data in self._held:
            file, _ = self._held.pop(column.ctypes.data)
            return self._mapped(file, count, column.dtype)
        other = self.empty(count, column.dtype)
        both = min(count, len(column))
        other[:both] = column[:both]
        return other

    def _mapped(self, file: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        size = max(count, 1) * dtype.itemsize
        try:
            # Else a full disk would be met by writing to memory, which ends the process (SIGBUS).
            os.posix_fallocate(file, 0, size)
            pages = mmap.mmap(file, size)
        except OSError as error:
            os.close(file)
            raise _no_room(size, error) from None
        column = np.frombuffer(pages, dtype, count)
        at = column.ctypes.data
        self._held[at] = file, weakref.ref(pages)
        weakref.finalize(pages, _close, self._held, at, file)
        return column

    def release(self) -> None:
        """Take the columns out of memory before it is too much; what is used again comes back by itself."""
        if resident() > self._limit - min(self._limit // 4, MEANWHILE):
            for _, held in list(self._held.values()):
                if (pages := held()) is not None:
                    pages.madvise(mmap.MADV_DONTNEED)  # of a shared mapping: nothing is lost


def temporary_folder() -> str:
    """Return where the files are made: in TMPDIR; else where large ones belong, as /tmp may be memory (file-hierarchy(7))."""
    if "TMPDIR" not in os.environ and os.access(FOR_LARGE_ONES, os.W_OK | os.X_OK):
        return FOR_LARGE_ONES
    return tempfile.gettempdir()


def is_memory(folder: str) -> bool:
    """Say whether a folder's files lie in memory after all; False where nothing tells (proc_pid_mountinfo(5))."""
    device = Path(folder).stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
            mount, _, source = line.partition(" - ")
            if mount.split()[2] == number:
                return source.split()[0] in ("tmpfs", "ramfs")
    return False


def _no_room(size: int, error: OSError) -> LostsynError:
    if error.errno == errno.EMFILE:
        return LostsynError(
            f"--memory: too many capture points for the files that this process may open ({error.strerror}); raise "
            "`ulimit -n`, or do without --memory"
        )
    if error.errno == errno.ENOMEM:
        return LostsynError(
            f"--memory: columns of {size} bytes do not fit into the address space of this process; raise `ulimit -v`"
        )
    return LostsynError(
        f"{temporary_folder()}: no room for {size} bytes of columns ({error.strerror}); set TMPDIR to a "
        "folder that has it, or do without --memory"
    )


def _close(held: dict[int, tuple[int, weakref.ref[mmap.mmap]]], at: int, file: int) -> None:
    """Give a column's file up, with the last array that shows it, if it has not been mapped anew."""
    if held.get(at, (-1,))[0] == file:
        del held[at]
        os.close(file)


def _watch(storage: weakref.ref[TemporaryFiles]) -> None:
    """Release as long as anybody has the storage."""
    while (held := storage()) is not None:
        with suppress(OSError):  # all descriptors are in use: whoever needs one now says so
            held.release()
        del held
        time.sleep(OFTEN)


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * mmap.PAGESIZE
