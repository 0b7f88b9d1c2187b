"""What the laboratory's tests share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from analyzer.lab.namespaces import NAMES, PREFIX
from analyzer.lab.node import POINTS


class _Tshark:
    """A tshark that runs, with the fields of the packets of a file that pass a display filter."""

    def __init__(self, file: Path, display_filter: str, names: Sequence[str] = ("frame.number",)) -> None:
        argv = ["tshark", "-r", str(file), "-Y", display_filter, "-T", "fields"]
        argv += [argument for name in names for argument in ("-e", name)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def lines(self) -> list[str]:
        told, complained = self.process.communicate()
        assert 0 == self.process.returncode, complained
        return told.splitlines()


@pytest.fixture
def namespaces() -> Callable[[], list[str]]:
    """A function that lists the laboratory's namespaces of this process."""
    return lambda: sorted(path.name for path in NAMES.glob(f"{PREFIX}{os.getpid()}-*"))


@pytest.fixture
def tshark() -> Callable[..., list[list[str]]]:
    """A function that returns tshark's fields of the packets of a file that pass a display filter."""

    def fields(file: Path, display_filter: str, *names: str) -> list[list[str]]:
        return [
            line.split("\t") for line in _Tshark(file, display_filter, names or ("frame.number",)).lines()
        ]

    return fields


@pytest.fixture
def seen() -> Callable[[Path, str], list[int]]:
    """A function that counts the packets of a filter at veth-a, veth-b, cni0 and eth0; ICMP that quotes one is none."""

    def count(folder: Path, wanted: str) -> list[int]:
        # All four at once: most of tshark's time goes into starting.
        asked = [_Tshark(folder / f"{point}.pcap", f"({wanted}) && !icmp && !icmpv6") for point in POINTS]
        return [len(one.lines()) for one in asked]

    return count
