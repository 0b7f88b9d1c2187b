"""What recording costs: throughput of a pod with and without, and what the recorders miss. Needs root.

python benchmarks/recording.py [RUNS]
"""

from __future__ import annotations

import json
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.lab import machine
from analyzer.lab.node import POINTS, V4, Node, built
from analyzer.lab.recording import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 4


def send(seconds: float) -> int:
    """UDP packets of 300 bytes, as fast as one processor sends them."""
    count, end = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((V4.server, 9))
        payload = bytes(300)
        while time.monotonic() < end:
            for _ in range(100):
                with suppress(OSError):  # ICMP says that nobody listens
                    sender.send(payload)
                count += 1
    return count


@contextmanager
def nothing(_: Node, __: Path) -> Iterator[list[int]]:
    """Record nothing."""
    yield []


@contextmanager
def plain(net: Node, folder: Path) -> Iterator[list[int]]:
    """Record by tcpdump, one process for each point."""
    with ExitStack() as stack:
        running = []
        for point in POINTS:
            log = stack.enter_context((folder / f"{point}.log").open("w"))
            argv = [
                "tcpdump",
                "-n",
                "-i",
                point,
                "-s",
                "256",
                "-B",
                "16384",
                "-Z",
                "root",
                "-w",
                f"{point}.pcap",
            ]
            with net.node.entered():
                running.append(subprocess.Popen(argv, cwd=folder, stderr=log))
        time.sleep(0.5)
        lost: list[int] = []
        yield lost
        time.sleep(1.5)
        for process in running:
            process.send_signal(signal.SIGINT)
            process.wait()
        lost += [
            int(re.findall(r"(\d+) packets? dropped by kernel", (folder / f"{point}.log").read_text())[0])
            for point in POINTS
        ]


@contextmanager
def script(net: Node, folder: Path) -> Iterator[list[int]]:
    """Record by `lostsyn capture`."""
    lost: list[int] = []
    with recorded(net.node, folder, POINTS):
        yield lost
    lost += [each["dropped"] for each in json.loads((folder / "manifest.json").read_text())["recordings"]]


def main() -> None:
    """Take turns, so that a busy machine is busy for all of them."""
    rates: dict[str, list[float]] = {}
    lost: dict[str, int] = {}
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 6):
        for name, how in {"nothing": nothing, "tcpdump": plain, "lostsyn capture": script}.items():
            with machine.alone(), built() as net, tempfile.TemporaryDirectory() as folder:
                with how(net, Path(folder)) as missed:
                    sent = net.a.start(send, SECONDS).result(60)
                rates.setdefault(name, []).append(sent / SECONDS)
                lost[name] = lost.get(name, 0) + sum(missed)
    for name, runs in rates.items():
        total = sum(runs) * SECONDS
        print(
            f"{name}: {statistics.median(runs):.0f} packets a second ({min(runs):.0f} to {max(runs):.0f}), "
            f"{lost[name]} of {total * (len(POINTS) - 1):.0f} records missed"
        )


if __name__ == "__main__":
    main()
