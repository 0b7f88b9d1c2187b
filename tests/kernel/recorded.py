"""Runs the capture script inside a network namespace, under a shell of choice, and looks at what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from analyzer.field.script import script
from analyzer.lab.namespaces import Namespace

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "ash"), "bash": ("bash",)}
PATIENCE_S = 40


class Script:
    """One run of the script, fed through stdin as by `ssh NODE sh -s`."""

    started: ClassVar[list[Script]] = []

    def __init__(
        self,
        where: Namespace,
        folder: Path,
        *options: object,
        shell: Sequence[str] = ("dash",),
        first: Path | None = None,
    ) -> None:
        """Start it; archives go into *folder*, programs of the folder *first* are found before others."""
        self.started.append(self)
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._said = folder.parent / f"{folder.name}.said"
        text = folder.parent / "capture.sh"
        text.write_text(script())
        # A shell cannot trap what was ignored when it began, as INT and HUP are after `nohup` or `&`.
        inside = ("env", "--default-signal", "ip", "netns", "exec", where.name)
        argv = (*inside, *shell, "-s", "--", "-o", folder, "--size", "12", *options)
        path = f"{first}:{os.environ['PATH']}" if first else os.environ["PATH"]
        with text.open() as stdin, self._said.open("w") as stderr:
            # A session of its own, as a terminal's: nobody else gets its signals.
            self.process = subprocess.Popen(
                list(map(str, argv)),
                stdin=stdin,
                stderr=stderr,
                start_new_session=True,
                env={**os.environ, "PATH": path},
            )

    @property
    def said(self) -> str:
        """What it has said on stderr."""
        return self._said.read_text()

    def begun(self) -> Script:
        """Wait until it records."""
        wait_for(lambda: "capture: recording " in self.said or self.process.poll() is not None)
        assert "capture: recording " in self.said, self.said
        return self

    def end(self, number: int = signal.SIGINT) -> int:
        """Send it a signal and wait."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return its exit status."""
        return self.process.wait(PATIENCE_S)

    @property
    def archive(self) -> Path:
        """The one archive that it wrote."""
        (archive,) = self.folder.glob("lostsyn-*.tar.*")
        return archive

    def unpacked(self) -> Path:
        """The folder inside the archive, unpacked."""
        inside = self.folder.parent / f"{self.folder.name}.unpacked"
        inside.mkdir(exist_ok=True)
        if self.archive.suffix == ".zst":
            subprocess.run(["tar", "--zstd", "-xf", self.archive, "-C", inside], check=True)
        else:
            with tarfile.open(self.archive) as tar:
                tar.extractall(inside, filter="data")
        (folder,) = inside.iterdir()
        return folder

    def manifest(self) -> dict[str, Any]:
        """The manifest of the archive."""
        loaded: dict[str, Any] = json.loads((self.unpacked() / "manifest.json").read_text())
        return loaded

    def leftovers(self) -> list[str]:
        """Processes that work in its folder, and files beside the archives."""
        wait_for(lambda: not self._processes())
        hidden = [path.name for path in self.folder.iterdir() if not path.name.startswith("lostsyn-")]
        return self._processes() + hidden

    def _processes(self) -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                here = str((entry / "cwd").readlink())
            except OSError:
                continue
            if int(entry.name) != os.getpid() and (
                str(self.folder) in words or here.startswith(str(self.folder))
            ):
                found.append(words or entry.name)
        return found


def packets(file: Path, wanted: str = "") -> int:
    """How many packets of a capture's ring pass a filter of tcpdump's."""
    count = 0
    for part in sorted(file.parent.glob(f"{file.name}*")):
        argv = ["tcpdump", "-n", "-r", str(part), *([wanted] if wanted else [])]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        count += len(done.stdout.splitlines())
    return count


def wait_for(condition: Any, seconds: float = PATIENCE_S) -> None:
    """Wait until a condition holds, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
