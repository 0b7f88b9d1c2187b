"""Listings as the installed tools print them, to be compared with the captures that they are printed from."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.capture.rows import Row, rows


def printed(command: Sequence[str], capture: Path, to: Path) -> Path:
    """Print a capture into a file."""
    with to.open("wb") as out:
        subprocess.run([*command, "-r", str(capture)], stdout=out, stderr=subprocess.DEVNULL, check=True)
    return to


def compared(command: Sequence[str], capture: Path, to: Path, *untold: str) -> tuple[list[Row], list[Row]]:
    """The rows of a capture and of a listing of it, times in microseconds; columns that it does not tell are blank."""
    both = []
    for path in (capture, printed(command, capture, to)):
        found = [row._replace(time=row.time // 1000) for row in rows(path)[0]]
        if command[0] == "tcpdump":
            # It prints no sequence number of a bare ACK; the next one is taken, which is wrong where that ACK was late.
            found = [row._replace(seq=0) if row.flags == 16 and not row.length else row for row in found]
        # What has no IP ID has none in either.
        both.append(
            [row._replace(**{name: 0 for name in untold if getattr(row, name) is not None}) for row in found]
        )
    return both[0], both[1]
