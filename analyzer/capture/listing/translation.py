"""A packet listing as the pcapng file that it was printed from, as far as it tells: a stream, made while it is read."""

from __future__ import annotations

import codecs
import io
import re
from array import array
from collections.abc import Iterator
from typing import BinaryIO

from analyzer.capture import blocks
from analyzer.capture.compressed import Stream
from analyzer.capture.listing import fields, packet_list, tcpdump
from analyzer.capture.listing.crafting import frame
from analyzer.capture.listing.listed import Listed, Notes
from analyzer.capture.listing.recognising import Listing, encoding

LINE = 1 << 16
"""Characters of a line that are looked at; of JSON 16 times as many, since a packet may be one."""
PIECE = 1 << 16
_LAST = (1 << 62) - 1
"""ns: no time is later."""
_LISTENING = re.compile(r"(?:tcpdump: )?listening on (\S+), link-type")
_DROPPED = re.compile(r"(\d{1,18}) packets? dropped by kernel")
_SAID = re.compile(
    r"(?:tcpdump: |listening on |reading from file |Capturing on |Running as user |```)"
    r"|\d+ packets? (?:captured|received|dropped)|\^C\s*$"
    r"|[^\n]{0,120}?[#$%>] (?:[\w./=-]{1,60} ){0,6}(?:tcpdump|tshark) "  # a prompt and the command that was typed
)


class Translation(io.RawIOBase):
    """The bytes of a pcapng file of what a listing tells."""

    def __init__(self, listing: Listing) -> None:
        """Open the listing."""
        super().__init__()
        self.notes = Notes()
        self.numbers: array[int] = array("I")
        """Of the packets that were made and not taken yet."""
        self.read_bytes = 0
        self._listing, self._form = listing, listing.form
        self._interfaces: dict[str | None, int] = {}
        self._named: str | None = None
        self._raw = listing.open()
        self.damage: str | None = None
        """Why the text ends before the file does."""
        self._blocks = self._pcapng()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fill the beginning of *target*; 0 at the end."""
        if not self._ready:
            parts, size = [], 0
            for part in self._blocks:
                parts.append(part)
                size += len(part)
                if size >= PIECE:
                    break
            self._ready = memoryview(b"".join(parts))
        count = min(len(self._ready), len(target))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        """Close the listing."""
        self._raw.close()
        super().close()

    def take(self, count: int) -> array[int]:
        """The numbers of the next packets."""
        taken, self.numbers = self.numbers[:count], self.numbers[count:]
        return taken

    def _pcapng(self) -> Iterator[bytes]:
        """Section header, then each packet, behind the description of its interface if it is new."""
        yield blocks.section("made of a packet listing", "lostsyn")
        for packet in self._packets():
            try:
                data, wirelen = frame(packet)
            except ValueError:
                self.notes.not_understood(packet.number)
                continue
            name = packet.interface or self._named
            index = self._interfaces.get(name)
            if index is None:
                index = self._interfaces[name] = len(self._interfaces)
                yield blocks.interface(name or "", "", 1, 0)
            self.notes.packets += 1
            self.numbers.append(packet.number & 0xFFFFFFFF)
            time = min(max(packet.time, 0), _LAST)
            yield blocks.packet(index, time, data, min(wirelen, 0xFFFFFFFF), ())

    def _packets(self) -> Iterator[Listed]:
        lines = self._lines(self._raw)
        if self._form == "tcpdump":
            return tcpdump.packets(lines, self.notes)
        if self._form == "fields":
            return fields.table(lines, self.notes)
        if self._form == "json":
            return fields.documents(lines, self.notes)
        with self._listing.open() as again:
            shifts = packet_list.shifts(self._lines(again))
        return packet_list.packets(lines, self.notes, shifts)

    def _lines(self, raw: BinaryIO) -> Iterator[tuple[int, str]]:
        """Number and text of each line; what tcpdump says beside the packets is noted here."""
        stream = Stream(raw)
        head = stream.read(4096)
        name, rest, number, left = encoding(head), head, 0, max(self._listing.most - len(head), 0)
        decoder = codecs.getincrementaldecoder(name)("replace")
        held, limit = "", LINE * (16 if self._form == "json" else 1)
        while True:
            held += decoder.decode(rest, final=not rest)
            *whole, held = held.split("\n")
            if not rest:
                whole.append(held)
            for text in whole:
                number += 1
                text = text.rstrip("\r")[:limit]
                if not self._said(text):
                    yield number, text
            if not rest:
                self.damage = stream.damage
                if not left and not self.damage and stream.read(1):
                    self.damage = f"only its first {self._listing.most} bytes were read"
                return
            held = held[: 4 * limit]
            rest = stream.read(min(PIECE, left))
            left -= len(rest)
            self.read_bytes = stream.position

    def _said(self, text: str) -> bool:
        """Whether a line is what tcpdump or tshark says of itself."""
        if not _SAID.match(text):
            return False
        if found := _LISTENING.match(text):
            self._named = found[1]
        if found := _DROPPED.match(text):
            self.notes.dropped = (self.notes.dropped or 0) + int(found[1])
        return True
