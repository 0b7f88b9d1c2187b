"""What the laboratory's tests share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.lab.namespaces import NAMES, PREFIX
from analyzer.lab.node import POINTS


@pytest.fixture
def namespaces() -> Callable[[], list[str]]:
    """A function that lists the laboratory's namespaces of this process."""
    return lambda: sorted(path.name for path in NAMES.glob(f"{PREFIX}{os.getpid()}-*"))


@pytest.fixture
def tshark() -> Callable[..., list[list[str]]]:
    """A function that returns tshark's fields of the packets of a file that pass a display filter."""

    def fields(file: Path, display_filter: str, *names: str) -> list[list[str]]:
        argv = ["tshark", "-r", str(file), "-Y", display_filter, "-T", "fields"]
        argv += [argument for name in names or ("frame.number",) for argument in ("-e", name)]
        told = subprocess.run(argv, capture_output=True, text=True, check=True)
        return [line.split("\t") for line in told.stdout.splitlines()]

    return fields


@pytest.fixture
def seen(tshark: Callable[..., list[list[str]]]) -> Callable[[Path, str], list[int]]:
    """A function that counts the packets of a filter at veth-a, veth-b, cni0 and eth0; ICMP that quotes one is none."""
    return lambda folder, wanted: [
        len(tshark(folder / f"{point}.pcap", f"({wanted}) && !icmp && !icmpv6")) for point in POINTS
    ]
