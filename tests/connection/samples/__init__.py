"""Small recordings of real traffic, and what is left of one behind a capture filter."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable
from pathlib import Path


def unpacked(name: str, folder: Path) -> Path:
    """Unpack a recording."""
    with tarfile.open(Path(__file__).parent / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def keep(capture: Path, wanted: Callable[[int, int, int], bool]) -> None:
    """Leave of a capture what a filter lets pass that is asked for IP protocol, source and destination port."""
    data = capture.read_bytes()
    kept, at = [data[:24]], 24
    while at < len(data):
        end = at + 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        frame = data[at + 16 : end]
        if wanted(frame[23], *struct.unpack_from("!HH", frame, 34)):
            kept.append(data[at:end])
        at = end
    capture.write_bytes(b"".join(kept))
