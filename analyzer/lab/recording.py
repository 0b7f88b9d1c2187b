"""The recording of a run: the capture script of `lostsyn capture`, as on any node."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from analyzer.errors import LostsynError
from analyzer.field.script import script
from analyzer.lab.namespaces import PREFIX, Namespace

_PATIENCE_S = 60
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
_libc = ctypes.CDLL(None)
_TRACEFS = "/sys/kernel/tracing"
# bpftrace finds its tracepoints through tracefs, which not every machine has mounted; unshare's mounts are nobody else's.
_SHELL = f'test -d {_TRACEFS}/events || mount -t tracefs nodev {_TRACEFS} 2>/dev/null; exec sh -s -- "$@"'


class Recording:
    """A run of the script."""

    def __init__(self, where: Namespace, directory: Path, *options: str, tools: Path | None = None) -> None:
        """Start it.

        Args:
            where: The namespace that is the node.
            directory: Where what it records goes in the end.
            options: Of the script.
            tools: A folder of programs that are found before others.
        """
        self._directory = directory
        self._scratch = tempfile.TemporaryDirectory(prefix=PREFIX)
        self._folder = Path(self._scratch.name)
        text, path = self._folder / "capture.sh", os.environ["PATH"]
        text.write_text(script())
        argv = ("unshare", "--mount", "sh", "-c", _SHELL, "sh", *options, "-o", self._scratch.name)
        with text.open() as stdin, self._log.open("w") as said, where.entered():
            # A session of its own: Ctrl-C must not end the captures before the traffic.
            self._process = subprocess.Popen(
                argv,
                stdin=stdin,
                stderr=said,
                start_new_session=True,
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
                env=os.environ | {"PATH": f"{tools}:{path}" if tools else path},
            )

    @property
    def _log(self) -> Path:
        return self._folder / "said"

    def wait(self) -> None:
        """Wait until it records.

        Raises:
            LostsynError: It does not; in its words.
        """
        self._until(lambda: "recording " in self._log.read_text(), "did not begin")

    def tell(self) -> None:
        """Say that it has happened: the node is asked now. Returns when it has answered."""
        self._process.send_signal(signal.SIGUSR1)
        self._until(lambda: any(self._folder.glob(".lostsyn-*/asked")), "did not ask the node")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep its recorders from running during a `with` block: the kernel drops what their buffers cannot hold."""
        (recorders,) = self._folder.glob(".lostsyn-*/recorders")
        pids = [int(line.split()[0]) for line in recorders.read_text().splitlines()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        """End it, and unpack what it recorded; of a ring that never turned each file is called as its interface.

        Raises:
            LostsynError: It failed, in its words.
        """
        self._process.send_signal(signal.SIGTERM)  # which nobody ignores, as INT is in the background
        if self._process.wait(_PATIENCE_S):
            raise LostsynError(f"recording failed: {self._words}")
        (archive,) = self._folder.glob("lostsyn-*.tar.*")
        subprocess.run(
            ["tar", "-xf", archive, "-C", self._directory, "--strip-components=1"],
            check=True,
            capture_output=True,
        )
        for capture in self._directory.glob("*.pcap0"):
            capture.rename(capture.with_suffix(".pcap"))
        self._scratch.cleanup()

    def kill(self) -> None:
        """Get rid of it; the script ends what it began."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # which nobody ignores, as INT is in the background
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE_S)
            self._process.kill()
            self._process.wait()
        self._scratch.cleanup()

    @property
    def _words(self) -> str:
        return (self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]

    def _until(self, done: Callable[[], bool], failed: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not done():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LostsynError(f"the recording {failed}: {self._words}")
            time.sleep(0.02)


@contextmanager
def recorded(
    where: Namespace, directory: Path, points: Sequence[str], *options: str, tools: Path | None = None
) -> Iterator[Recording]:
    """Record during a `with` block; it begins when all interfaces are recorded, and all of it is in the folder after.

    Args:
        where: The namespace that is the node.
        directory: Where to write.
        points: Interfaces; `any` is all of them in one file.
        options: Further ones of the script.
        tools: A folder of programs that are found before others.

    Raises:
        LostsynError: Nothing was recorded.
    """
    interfaces = (word for point in points for word in ("-i", point))
    recording = Recording(where, directory, *interfaces, *options, tools=tools)
    try:
        recording.wait()
        yield recording
        recording.end()
    finally:
        recording.kill()
