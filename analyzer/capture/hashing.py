"""SHA-256 of a bundle's files, so that an output says what it was made from."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT = 64 << 20
"""Bytes of a bundle that are hashed unasked. Decoding plain captures takes about as long as hashing them (1.1 GB/s and
processor with SHA instructions), so of gigabytes it would be half the time again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file that an analysis was made from: a capture, a text or an archive."""

    file: str
    """Its path within the bundle."""
    size: int
    """Bytes, as stored."""
    sha256: str | None
    """Hexadecimal; None where it was not computed: see `hashes`."""


def hashes(files: Sequence[tuple[str, Path]], limit: int | None = LIMIT) -> tuple[Input, ...]:
    """Hash *files*, the small ones first, as long as all that is hashed stays within *limit* bytes.

    Args:
        files: What each is called, and where it is.
        limit: None for no limit.

    Returns:
        One for each, in their order.
    """
    sizes = {path: _size(path) for _, path in files}
    found: dict[Path, str | None] = {}
    left = limit
    for path, size in sorted(sizes.items(), key=lambda item: item[1]):
        if left is None or size <= left:
            found[path] = _sha256(path)
            left = None if left is None else left - size
    return tuple(Input(file=label, size=sizes[path], sha256=found.get(path)) for label, path in files)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sha256(path: Path) -> str | None:
    """None where the file is gone, or something else by now: what a pipe in its place gives would be waited for."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb", buffering=0) as raw:
            os.set_blocking(raw.fileno(), False)
            return hashlib.file_digest(raw, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
