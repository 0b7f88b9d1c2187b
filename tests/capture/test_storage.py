"""Columns in temporary files: the same analysis, in less memory."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import analyze
from analyzer.capture import storage
from analyzer.capture.storage import Memory, TemporaryFiles, resident
from analyzer.errors import LostsynError
from tests.conftest import FIXTURES, ROOT, Case

HUNGRY = """
import sys
sys.path.insert(0, "benchmarks")
from analyzer import analyze
limit = int(sys.argv[2]) or None
print(analyze(sys.argv[1], memory=limit).to_json().count("syn-vanished"))
# Not ru_maxrss, which a child inherits.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


@pytest.mark.parametrize("where", [Memory(), TemporaryFiles(1)], ids=["memory", "files"])
def test_columns_grow_and_shrink(where: Memory) -> None:
    """What was written stays, whatever the column's length becomes, and although the pages were taken away."""
    column = where.full(3, 7, np.int32)
    column = where.resized(column, 100_000)
    column[3:] = np.arange(3, 100_000)
    if isinstance(where, TemporaryFiles):
        where.release()
    column = where.resized(column, 5)

    assert [7, 7, 7, 3, 4] == column.tolist()
    assert np.int32 == column.dtype


@given(st.lists(st.sampled_from([0, 1, 5, 1000, 20_000, 200_000]), min_size=1, max_size=6))
@settings(max_examples=20)
def test_a_column_goes_between_memory_and_file(lengths: list[int]) -> None:
    """Whether it becomes larger than what is worth a file or smaller, what it held at its beginning stays."""
    where = TemporaryFiles(1)
    column, kept = where.zeros(7, np.int64), 7
    column[:] = range(1, 8)
    for length in lengths:
        column, kept = where.resized(column, length), min(kept, length)
        where.release()

    assert lengths[-1] == len(column)
    assert list(range(1, kept + 1)) == column[:kept].tolist()


def test_a_storage_that_nobody_has_is_given_up() -> None:
    """The watcher does not keep it, nor its files, alive."""
    made = TemporaryFiles(1 << 40)
    seen = weakref.ref(made)
    del made
    for _ in range(100):
        gc.collect()
        if seen() is None:
            break

    assert None is seen()


def test_a_column_that_nobody_has_gives_its_file_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that was lengthened, and not before the last part of it is gone."""
    closed, close = [], os.close
    monkeypatch.setattr(storage.os, "close", lambda file: (closed.append(file), close(file)))
    where = TemporaryFiles(1 << 40)
    column = where.resized(where.full(20_000, 7, np.int32), 50_000)
    file, _ = where._held[column.ctypes.data]
    part = column[1:3]
    del column

    assert [7, 7] == part.tolist()
    assert file not in closed

    del part

    assert file in closed
    assert {} == where._held


def test_large_files_lie_where_they_belong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the user says, else in /var/tmp, else where Python finds a place."""
    monkeypatch.delenv("TMPDIR", raising=False)

    assert storage.FOR_LARGE_ONES == storage.temporary_folder()

    monkeypatch.setattr(storage.os, "access", lambda *_: False)
    monkeypatch.setattr(storage.tempfile, "tempdir", str(tmp_path))

    assert str(tmp_path) == storage.temporary_folder()

    monkeypatch.setenv("TMPDIR", "/elsewhere")

    assert storage.FOR_LARGE_ONES != storage.temporary_folder()


@pytest.mark.parametrize(("folder", "expected"), [("/dev/shm", True), ("/proc", False), ("/usr", False)])  # noqa: S108
def test_a_folder_in_memory_is_known(folder: str, expected: bool) -> None:
    """By the type of its file system."""
    assert expected == storage.is_memory(folder)


def test_too_many_files_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column is a file: the sentence says what to raise."""

    def none_left(**_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(storage.tempfile, "mkstemp", none_left)

    with pytest.raises(LostsynError, match=r"too many capture points .*ulimit -n"):
        TemporaryFiles(1 << 30).empty(100_000, "i4")


def test_no_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told before it is written to."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.os, "posix_fallocate", full)

    with pytest.raises(LostsynError, match=r"no room for 400000 bytes of columns .*TMPDIR"):
        TemporaryFiles(1).empty(100_000, np.int32)


def test_resident_memory_is_counted() -> None:
    """A process with numpy holds more than 10 MB."""
    assert resident() > 10_000_000


def test_every_fixture_gives_the_same_answer(bundle_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """With next to no memory allowed, and every column in a file, to the last byte of the JSON."""
    monkeypatch.setattr(storage, "SMALL", 0)
    folder = FIXTURES / bundle_case.name

    assert analyze(folder).to_json() == analyze(folder, memory=1).to_json()


def test_a_large_bundle_takes_less_memory(tmp_path: Path) -> None:
    """The same answer from a bundle whose columns do not fit the limit, with less memory held at the peak."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import bundle

    bundle.write(tmp_path, 40_000, 20)
    told = {}
    for limit in (0, 1):
        command = [sys.executable, "-c", HUNGRY, tmp_path, str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        told[limit] = int(done.stdout), int(done.stderr.split()[-1])

    assert told[0][0] == told[1][0]
    assert told[1][1] < told[0][1]
