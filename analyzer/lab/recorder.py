"""Captures: tcpdump (or dumpcap) inside the node, from the first packet to the flush of the last."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from analyzer.errors import LostsynError
from analyzer.lab.namespaces import Namespace
from analyzer.lab.node import POINTS

# Headers, options and the start of the payload; packet lengths are in the IP headers.
SNAPLEN = 256
# tcpdump gets packets in blocks, when one is full or a second old. (--immediate-mode hands over each, but
# waking tcpdump for every packet makes the CPUs wait for each other.) So what IPv6 says of itself in the last
# second may be counted as received and not be in the file; the traffic always is.
SETTLE_S = 1.5
_TCPDUMP = (
    "tcpdump", "-n", "-Z", "root",  # it would give up root, and with it the right to write into DIR
    "--time-stamp-precision=nano", "-B", "16384",  # KiB
    "-s", str(SNAPLEN),
)  # fmt: skip


def _points() -> dict[str, tuple[str, ...]]:
    """One capture per point: the usual bundle."""
    return {point: (*_TCPDUMP, "-i", point, "-w", f"{point}.pcap") for point in POINTS}


def _any() -> dict[str, tuple[str, ...]]:
    """All interfaces in one file; SLL2 records each packet's interface as a number, see ip-link.json."""
    return {"any": (*_TCPDUMP, "-i", "any", "-y", "LINUX_SLL2", "-w", "any.pcap")}


def _pcapng() -> dict[str, tuple[str, ...]]:
    """All points in one pcapng, which records the interfaces' names."""
    interfaces = [argument for point in POINTS for argument in ("-i", point)]
    return {"node": ("dumpcap", "-q", *interfaces, "-s", str(SNAPLEN), "-B", "16", "-w", "node.pcapng")}


def _rotated() -> dict[str, tuple[str, ...]]:
    """One capture per point in files of a second each, compressed once complete: all but the last."""
    return {
        point: (*_TCPDUMP, "-i", point, "-G", "1", "-z", "gzip", "-w", f"{point}-%Y%m%dT%H%M%S.pcap")
        for point in POINTS
    }


RECORDERS: dict[str, Callable[[], dict[str, tuple[str, ...]]]] = {
    "points": _points,
    "any": _any,
    "pcapng": _pcapng,
    "rotated": _rotated,
}
"""Name -> the programs to run, by the name of their log; file names are relative to where they run."""


class Captures:
    """Capture programs that run in one namespace."""

    def __init__(self, where: Namespace, programs: dict[str, tuple[str, ...]], directory: Path) -> None:
        self._where = where
        self._programs = programs
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *options: str) -> None:
        """Start a program and wait until it captures; what it captured before is overwritten.

        Args:
            name: Of the program.
            options: Further ones for its command line; of an option given twice the last one counts.

        Raises:
            LostsynError: There is no such program, or it did not start to listen.
        """
        self._launch(name, *options)
        self._wait_until_listening(name)

    def start_all(self) -> None:
        """Start every program; they start side by side."""
        for name in self._programs:
            self._launch(name)
        for name in self._programs:
            self._wait_until_listening(name)

    def stop(self, name: str) -> None:
        """End a program; its file holds what came until `SETTLE_S` ago, and perhaps more.

        Raises:
            LostsynError: There is no such program, or it failed.
        """
        process = self._process(name)
        process.send_signal(signal.SIGINT)
        if process.wait(timeout=20):
            raise LostsynError(f"{self._programs[name][0]} failed: {_last_line(self._log(name))}")
        del self._running[name]

    def stop_all(self) -> None:
        """End every program that runs."""
        for name in list(self._running):
            self.stop(name)

    def kill_all(self) -> None:
        """Get rid of whatever still runs."""
        for process in self._running.values():
            process.kill()
            process.wait()

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Keep a program from running during a `with` block: the kernel drops what its buffer cannot hold.

        Raises:
            LostsynError: There is no such program.
        """
        process = self._process(name)
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def _process(self, name: str) -> subprocess.Popen[bytes]:
        if name not in self._running:
            raise LostsynError(f"this scenario needs a capture of {name} alone: use the recorder 'points'")
        return self._running[name]

    def _log(self, name: str) -> Path:
        return self._directory / f"{self._programs[name][0]}-{name}.log"

    def _launch(self, name: str, *options: str) -> None:
        argv = (*self._programs[name], *options)
        with self._log(name).open("w") as said, self._where.entered():
            # A session of its own: Ctrl-C must not end the capture before the traffic.
            self._running[name] = subprocess.Popen(
                argv, cwd=self._directory, stderr=said, stdout=said, start_new_session=True
            )

    def _wait_until_listening(self, name: str) -> None:
        deadline = time.monotonic() + 30
        log = self._log(name)
        while not any(word in log.read_text(errors="replace") for word in ("listening on", "File: ")):
            if self._running[name].poll() is not None or time.monotonic() > deadline:
                raise LostsynError(f"{self._programs[name][0]} does not capture: {_last_line(log)}")
            time.sleep(0.02)


@contextmanager
def recording(where: Namespace, programs: dict[str, tuple[str, ...]], directory: Path) -> Iterator[Captures]:
    """Capture during a `with` block; it starts when all programs listen, and all of it is in the files after.

    Args:
        where: Namespace to capture in.
        programs: Name and command line of each program.
        directory: Where they run and leave their files, and what each says: `tcpdump-NAME.log` ends with how
            many packets were captured, received by the filter and dropped by the kernel.

    Raises:
        LostsynError: A program did not start to listen, or failed at the end.
    """
    captures = Captures(where, programs, directory)
    try:
        captures.start_all()
        yield captures
        time.sleep(SETTLE_S)
        captures.stop_all()
    finally:
        captures.kill_all()


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
