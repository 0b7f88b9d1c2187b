"""A stream read through a buffer that grows where a record needs it."""

from __future__ import annotations

from analyzer.capture.compressed import Stream
from analyzer.capture.scan import SLACK


class Window:
    """The part of a stream that is in memory: `data[position:end]` is yet to be read."""

    data: bytearray
    """Longer by `SLACK` or more than what is valid."""
    base: int
    """Offset of `data[0]` in the uncompressed file."""
    exhausted: bool
    """Whether the stream has ended."""

    def __init__(self, stream: Stream, size: int, stored: int | None = None) -> None:
        """Begin with *size* bytes of room, of a smaller plain file with its *stored* ones.

        A node has hundreds of veths with little in each: clearing a whole block for one takes longer than reading it. One byte
        more, so that its end is met.
        """
        if stored is not None and not stream.compression:
            size = min(size, stored + 1)
        self.stream = stream
        self.data = bytearray(size + SLACK)
        self.base = self.position = self.end = 0
        self.exhausted = False

    def more(self) -> bool:
        """Drop what was read, else grow, and fill up; False at the end of the stream."""
        if self.position:
            keep = self.left
            self.data[:keep] = self.data[self.position : self.end]
            self.base += self.position
            self.position, self.end = 0, keep
        elif self.end == len(self.data) - SLACK:
            self.data = self.data + bytes(len(self.data))
        before, view = self.end, memoryview(self.data)[:-SLACK]
        while self.end < len(view) and not self.exhausted:
            count = self.stream.readinto(view[self.end :])
            self.end += count
            self.exhausted = count == 0
        return self.end > before

    @property
    def left(self) -> int:
        """Bytes that are yet to be read."""
        return self.end - self.position
