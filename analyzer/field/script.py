"""The script that records, as it is given to a shell."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
_PROGRAM = "@drops.bt@\n"


def script() -> str:
    """Return the script with bpftrace's program inside: a node gets this one text and nothing else."""
    text = (_HERE / "capture.sh").read_text(encoding="utf-8")
    return text.replace(_PROGRAM, (_HERE / "drops.bt").read_text(encoding="utf-8"))
