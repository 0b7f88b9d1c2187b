"""What `lostsyn serve` was told, and the limits it keeps to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
DAY = 24 * 3600
LOCAL = ("127.0.0.0/8", "::1/128")
"""This machine's own networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits of the server and of each analysis."""

    data: Path
    """The folder that holds everything."""
    keep: float = 30 * DAY
    """Seconds after which an upload that nobody touched is deleted."""
    size: int = 20 * GIB
    """Bytes of one upload, at most."""
    files: int = 1000
    """Files of one upload, at most."""
    uploads: int = 1000
    """Uploads that are kept at one time, at most."""
    spare: int = 2 * GIB
    """Bytes of the disk that are left free."""
    jobs: int = 1
    """Concurrent analyses."""
    memory: int = max(2 * GIB, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    """Address space of one analysis, bytes: half of the machine's memory, at least 2 GiB."""
    time: float = 3600
    """Seconds that one analysis may take; of processor time, as many on each processor."""

    base: str = ""
    """The path that a server in front puts before ours, such as `/lostsyn`; without a slash at its end."""

    proxies: tuple[str, ...] = LOCAL
    """Networks of the servers in front, whose word about scheme and user is taken."""
    user_header: str = ""
    """The header in which they name the user; empty where they name nobody."""
    webhook: str = ""
    """Where to tell that an analysis has ended."""

    @property
    def largest(self) -> str:
        """The size of the largest upload, for reading."""
        return f"{self.size / GIB:g} GiB"

    @property
    def cpu(self) -> int:
        """Seconds of processor time that one analysis may take."""
        return max(1, int(self.time * (os.cpu_count() or 1)))
