"""The server's log, bounded: who is not signed in can cause a line with each request, and must not fill the disk."""

from __future__ import annotations

import logging
import time
from typing import TextIO

ROOM = 1 << 16
"""Characters that are written in one `SPAN`, at most: a few tracebacks, or 800 lines."""
SPAN = 60.0


class Bounded(logging.StreamHandler[TextIO]):
    """Writes records as long as there is room, and says how many it left out."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to *stream*, standard error unless told."""
        super().__init__(stream)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._since = -SPAN
        self._room = ROOM
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if there is room."""
        now = time.monotonic()
        if now - self._since >= SPAN:
            self._since, self._room = now, ROOM
            if self._left_out:
                self._write(f"{self._left_out} messages were left out of the log")
                self._left_out = 0
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        if len(text) > self._room:
            self._left_out += 1
        else:
            self._write(text)

    def _write(self, text: str) -> None:
        self._room -= len(text)
        try:
            self.stream.write(text + self.terminator)
            self.flush()
        except OSError:
            self._left_out += 1  # the disk is full, or nobody reads: nothing to tell it to


def begin() -> None:
    """Let all loggers of this process write there."""
    root = logging.getLogger()
    root.handlers[:] = [Bounded()]
    root.setLevel(logging.WARNING)
