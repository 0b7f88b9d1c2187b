"""Where an upload lies on the disk: every name is the server's own, none comes from a client."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from analyzer.result import typed

T = TypeVar("T")
TOLD = 1 << 16
"""Bytes of what a confined process tells of its work, at most."""
REPORT, JSON, EVIDENCE = "report.html", "report.json", "evidence.pcapng"
REDACTED = "redacted.html"
OUTCOME, PROGRESS = "outcome.json", "progress.json"
RESULTS = {
    REPORT: "text/html",
    REDACTED: "text/html",
    JSON: "application/json",
    EVIDENCE: "application/octet-stream",
}
"""What can be downloaded, and its media type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an analysis ended."""

    says: str
    """The headline of the report."""
    incidents: int
    inconclusive: str | None
    """Why it proves nothing; None where it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an analysis is."""

    step: str
    read: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a task was not done."""

    says: str


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one upload."""

    top: Path

    @property
    def files(self) -> Path:
        """Where the uploaded files are, as `00001`, `00002`."""
        return self.top / "files"

    @property
    def results(self) -> Path:
        """What the last analysis that succeeded wrote."""
        return self.top / "results"

    @property
    def recognised(self) -> Path:
        """What was recognised in the files so far, as JSON."""
        return self.top / "recognised.json"

    def file(self, number: int) -> Path:
        """Return where a file is stored."""
        return self.files / f"{number:05d}"

    def work(self, task: str) -> Path:
        """Return where a task works, temporary files included."""
        return self.top / f"{task}.work"

    def received(self, number: int) -> int:
        """Return how many bytes of a file are here; the file itself is what knows."""
        try:
            return self.file(number).stat().st_size
        except OSError:
            return 0

    def fresh(self, task: str) -> Path:
        """Make an empty folder for a task to work in."""
        return emptied(self.work(task))

    def publish(self, work: Path) -> None:
        """Let the results in *work* be the results; the former ones are there until then.

        Only plain files go over: a link that was left there would be followed to whatever the server may read.
        """
        old, new = self.top / "results.old", self.top / "results.new"
        for folder in (old, new):
            shutil.rmtree(folder, ignore_errors=True)
        new.mkdir()
        for name in RESULTS:
            if _is_plain(work / name):
                (work / name).rename(new / name)
        if self.results.exists():
            self.results.rename(old)
        new.rename(self.results)
        for folder in (old, work):
            shutil.rmtree(folder, ignore_errors=True)


def emptied(work: Path) -> Path:
    """Make a folder anew."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return work


def _is_plain(path: Path) -> bool:
    """Say whether a confined process wrote a file there: nothing else, and no other name of somebody else's file."""
    with suppress(OSError):
        status = path.lstat()
        return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    return False


def private(data: Path) -> None:
    """Let nobody else into the data folder and what is ours in it: folders 0700, files 0600, also where they are there.

    Raises:
        OSError: It is somebody else's, or others may use it, and what lies in it is not ours.
    """
    ours = [
        path for path in data.iterdir() if re.fullmatch(r"lock|token|uploads|lostsyn\.sqlite3.*", path.name)
    ]
    if data.stat().st_mode & 0o077 and len(ours) < len(list(data.iterdir())):
        raise OSError(
            errno.EPERM, "others may enter it, and it holds other files; give --data a folder of its own"
        )
    data.chmod(0o700)
    for path in ours:
        _restrict(path, 0o700 if path.name == "uploads" else 0o600)
    for folder, folders, files in os.walk(data / "uploads"):  # which follows no links
        for name in folders:
            _restrict(Path(folder, name), 0o700)
        for name in files:
            _restrict(Path(folder, name), 0o600)


def _restrict(path: Path, mode: int) -> None:
    with suppress(FileNotFoundError):
        found = path.lstat().st_mode
        if not stat.S_ISLNK(found) and stat.S_IMODE(found) & 0o077:
            path.chmod(mode)


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file that a confined process may have written.

    Raises:
        OSError: It is not there, no plain file (a FIFO would block for ever), or longer than *limit*.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path.name} is not a regular file")
        data = opened.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"{path.name} is longer than {limit} bytes")
    return data


def told(kind: type[T], path: Path) -> T | None:
    """Return the *kind*, a dataclass, that a confined process wrote as JSON; None where it wrote none."""
    try:
        return typed.read(kind, read_bytes(path, TOLD))
    except (OSError, ValueError):
        return None


def write_json(path: Path, value: object) -> None:
    """Write a JSON file at once: a reader sees the old one or the new one."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)
