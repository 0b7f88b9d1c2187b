"""A real `lostsyn serve` for tests: started, asked, stopped and killed as its users would."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds after which a test that waits for an event gives up."""


def until(look: Callable[[], T], what: str) -> T:
    """Wait until *look* finds something, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.02)
    return found


class Server:
    """One running server."""

    def __init__(self, data: Path, *options: str, log: Path | None = None, files: int | None = None) -> None:
        """Start it on *data*, on any free port; it may have so many *files* open."""
        self.data = data
        with (log or Path(os.devnull)).open("ab") as errors:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-c", "from analyzer.cli import main; main()",
                    "serve", "--port", "0", "--data", str(data), "--spare", "0.1", *options,
                ],
                stdout=subprocess.PIPE, stderr=errors, text=True,
                preexec_fn=files and partial(resource.setrlimit, resource.RLIMIT_NOFILE, (files, files)),
            )  # fmt: skip
        assert self.process.stdout
        said = self.process.stdout.readline()
        found = re.search(r"(http://\S+)/\?token=(\S+)", said)
        assert found, said
        self.url, self.token = found.groups()
        self.client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=PATIENCE,
            trust_env=False,
        )
        # The line is printed when the socket listens; what comes before the application is ready waits in it.
        assert self.client.get("/api/uploads").status_code == 200

    def kill(self) -> None:
        """Kill it at once, as a crash or the kernel would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Interrupt it, as Ctrl-C does."""
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def get(self, upload: str) -> dict[str, Any]:
        """Return what the API tells of an upload."""
        answer = self.client.get(f"/api/uploads/{upload}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def post(self, files: dict[str, bytes], **fields: str) -> dict[str, Any]:
        """Post a bundle as one form; it is analysed at once."""
        answer = self.client.post(
            "/api/uploads", data=fields, files=[("files", (name, data)) for name, data in files.items()]
        )
        assert answer.status_code == 202, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def begin(self, name: str, size: float, upload: str | None = None) -> tuple[str, str]:
        """Announce a file; return the upload's id and the file's address."""
        upload = upload or self.client.post("/api/uploads", json={"name": "test"}).json()["id"]
        answer = self.client.post(f"/api/uploads/{upload}/files", json={"name": name, "size": size})
        assert answer.status_code == 201, answer.text
        return upload, answer.json()["url"]

    def offset(self, url: str) -> int:
        """Return how much of a file has arrived, as one who wants to go on asks for it."""
        return int(self.client.head(url).headers["upload-offset"])

    def received(self, url: str) -> int:
        """Return how much of a file has arrived, as the page shows it."""
        upload, number = url.split("/")[3], int(url.split("/")[5])
        (file,) = [file for file in self.get(upload)["files"] if file["number"] == number]
        return int(file["received"])

    def ended(self, upload: str) -> dict[str, Any]:
        """Wait for the end of an analysis."""
        return until(
            lambda: told if (told := self.get(upload))["state"] in ("done", "failed") else None,
            "the analysis",
        )

    def recognised(self, upload: str) -> dict[str, Any]:
        """Wait until everything that has arrived was looked at."""
        return until(lambda: told if not (told := self.get(upload))["recognising"] else None, "recognition")

    def children(self, task: str) -> list[int]:
        """Return the processes that do *task* now, once they are confined."""
        return [pid for pid in _children(self.process.pid) if task in _command(pid) and _confined(pid)]

    def peak(self) -> int:
        """Return the most memory that the server ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) << 10


def _children(parent: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(stat.parent.name)


def _command(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


def _confined(pid: int) -> bool:
    with suppress(OSError):
        return re.search(r"Max cpu time\s+\d", Path(f"/proc/{pid}/limits").read_text()) is not None
    return False


def gone(pid: int) -> bool:
    """Say whether a process has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True
