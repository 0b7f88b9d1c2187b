"""Where an upload lies on the disk: every name is the server's own, none comes from a client."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPORT, JSON, EVIDENCE = "report.html", "report.json", "evidence.pcapng"
OUTCOME, PROGRESS = "outcome.json", "progress.json"
RESULTS = {REPORT: "text/html", JSON: "application/json", EVIDENCE: "application/octet-stream"}
"""What can be downloaded, and its media type."""


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
        work = self.work(task)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        return work

    def publish(self, work: Path) -> None:
        """Let what *work* holds be the results; the former ones are there until then."""
        old = self.top / "results.old"
        shutil.rmtree(old, ignore_errors=True)
        if self.results.exists():
            self.results.rename(old)
        work.rename(self.results)
        shutil.rmtree(old, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file that this application wrote; empty where it is not there, or not whole."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, value: object) -> None:
    """Write a JSON file at once: a reader sees the old one or the new one."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)
