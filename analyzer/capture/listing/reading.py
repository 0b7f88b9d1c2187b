"""The reader of a packet listing: records as of any capture, with the numbers that the listing gives its packets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from analyzer.capture.listing.listed import Notes
from analyzer.capture.listing.recognising import Form, Listing
from analyzer.capture.listing.translation import Translation
from analyzer.capture.reader import Reader, Records

_MISSING = {
    "ip_id": "IP ID",
    "ttl": "TTL",
    "window": "the windows as they were sent",
    "options": "TCP options",
    "payload": "payload",
    "length": "the length of some datagrams",
    "bare_seq": "the sequence number of segments without data",
}


class ListingReader(Reader):
    """Reads a listing as the capture that it was printed from."""

    def __init__(self, listing: Listing, *, name: str, size: int) -> None:
        """Describe the file; nothing is opened yet.

        Args:
            listing: Where it is, and what kind of listing.
            name: How messages shall call it.
            size: Bytes, as stored.
        """
        super().__init__(self._translate, name=name, size=size)
        self._listing = listing
        self._translation: Translation | None = None

    @property
    def bytes_read(self) -> int:
        """How many bytes of the text were read, for progress."""
        return self._translation.read_bytes if self._translation else 0

    def blocks(self) -> Iterator[Records]:
        """Read the file, once."""
        for records in super().blocks():
            if self._translation:
                records.frames = np.array(self._translation.take(records.count), np.uint32)
            yield records
        if self._translation:
            notes = self._translation.notes
            self.lacks = frozenset(notes.lacks | ({"relative"} if notes.relative else set()))
            self.caveats += [f"{self.name}: {said}" for said in _told(notes, self._listing.form)]
            if self._translation.damage:
                self.caveats.append(f"{self.name}: {self._translation.damage}")
            if notes.dropped is not None:
                self.dropped_by[0] = notes.dropped

    def _translate(self) -> BinaryIO:
        self._translation = Translation(self._listing)
        return self._translation  # type: ignore[return-value]  # as much of a file as `Stream` needs


def _told(notes: Notes, form: Form) -> Iterator[str]:
    """What a listing leaves open, a sentence each."""
    missing = [words for column, words in _MISSING.items() if column in notes.lacks]
    if missing:
        yield f"a packet listing without {', '.join(missing)}; these are not compared with other captures"
    if notes.relative:
        yield (
            "its sequence numbers are relative, so it can only be compared with other such listings; tshark "
            "-o tcp.relative_sequence_numbers:FALSE prints them as they are"
        )
    if notes.dateless:
        yield "its times have no date; 1970-01-01 is assumed"
    if notes.inferred:
        yield (
            f"{_segments(notes.inferred)} listed by its payload (HTTP, TLS); its sequence numbers are inferred "
            "from the packets before it"
        )
    if notes.portless:
        yield (
            f"{_lines(notes.portless)} no ports and cannot be used; "
            "tshark -T json or tcpdump -nn -r prints them with their ports"
        )
    if notes.strange:
        were = "line was" if notes.strange == 1 else "lines were"
        unit = "the first is" if form != "json" else "the first begins in"
        yield f"{notes.strange} {were} not understood, {unit} line {notes.first_strange}"


def _segments(count: int) -> str:
    return "1 segment is" if count == 1 else f"each of {count} segments is"


def _lines(count: int) -> str:
    return "1 line tells" if count == 1 else f"{count} lines tell"
