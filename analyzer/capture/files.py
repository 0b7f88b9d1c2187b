"""The files of a bundle: what each is called, and how it is opened."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from analyzer.capture import naming
from analyzer.capture.compressed import Stream
from analyzer.capture.listing.reading import ListingReader
from analyzer.capture.listing.recognising import Listing
from analyzer.capture.reader import Reader

EVIDENCE = 32 << 20
"""Bytes read of a piece of side evidence, at most."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NO_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\b\a")) + b"\x7f"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureFile:
    """A capture of the bundle."""

    label: str
    """Its path within the bundle; unique, and fit for messages."""
    source: Callable[[], BinaryIO]
    """Opens the stored bytes; raises OSError."""
    size: int
    """Bytes, as stored."""
    point_hint: naming.Hint
    """What its name says of the capture point; a pcapng file may know better (`naming.refine`)."""
    if_name: str | None = None
    """Of the one interface that a pcapng file begins with, if it has a name."""
    listing: Listing | None = None
    """If it is a packet listing; `source` then gives the capture that it is translated to."""

    @property
    def name(self) -> str:
        """The last part of the label."""
        return self.label.rpartition("/")[2]

    def open(self) -> Reader:
        """Make a reader; nothing is opened before its `blocks` are asked for."""
        if self.listing:
            return ListingReader(self.listing, name=self.label, size=self.size)
        return Reader(self.source, name=self.label, size=self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """A text file of the bundle."""

    label: str
    """Its path within the bundle; unique, and fit for messages."""
    source: Callable[[], BinaryIO]
    """Opens the stored bytes; raises OSError."""
    size: int
    """Bytes, as stored."""
    most: int = 1 << 62
    """Bytes that are read of it, decompressed, whatever is asked for."""

    @property
    def name(self) -> str:
        """The last part of the label."""
        return self.label.rpartition("/")[2]

    def read(self, limit: int = EVIDENCE) -> tuple[str, str | None]:
        """Read the text, decompressed where it is compressed.

        Args:
            limit: Most bytes to read; the text ends with the last whole line within.

        Returns:
            The text, with undecodable bytes replaced, and why it is not all of it (None when it is).
        """
        limit = min(limit, self.most)
        data, missing = self.stored(limit)
        if len(data) > limit:
            data = data[: data.rfind(b"\n", 0, limit) + 1 or limit]
            missing = f"only its first {len(data)} bytes were read"
        return _decoded(data), missing

    def stored(self, limit: int = EVIDENCE) -> tuple[bytes, str | None]:
        """Read the bytes, decompressed, one more than *limit* at most; and why they are not all (None when they are)."""
        try:
            with Stream(self.source()) as stream:
                return stream.read(min(limit, self.most) + 1), stream.damage
        except OSError as problem:
            return b"", f"cannot be read: {problem.strerror or problem}"


def _decoded(data: bytes) -> str:
    """Decode a text; PowerShell and editors on Windows write UTF-16, or UTF-8 with a mark, and line ends of their own."""
    text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig", "replace")
    return text.replace("\r\n", "\n")


def is_text(head: bytes) -> bool:
    """Whether a file that begins like this is text."""
    return head.startswith(_UTF_16) or len(head.translate(None, _NO_TEXT)) == len(head)
