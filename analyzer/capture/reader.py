"""One capture file to blocks of records: classic pcap and pcapng, plain or compressed.

A record is never a Python object: `analyzer.capture.walk` fills arrays, a block at a time. Damage ends a file
early, keeps every packet before it, and is told in `Reader.caveats` by file, frame and byte.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from analyzer.capture import pcapng
from analyzer.capture.compressed import Stream
from analyzer.capture.walk import walk_pcap, walk_pcapng
from analyzer.capture.window import Window
from analyzer.errors import UnusableInput

BLOCK = 4 << 20
"""Bytes read at a time."""
ROWS = 1 << 16
"""Rows handed out at a time, at most."""
LIMIT = 64 << 20
"""A record that claims more bytes is damage; Wireshark stops at 128 MB (USB), for most links at 256 KB."""
INTERFACES = 1 << 16
"""A file that describes more interfaces is damaged."""

_PCAP = {
    bytes.fromhex("d4c3b2a1"): ("<", 16, 1000),
    bytes.fromhex("a1b2c3d4"): (">", 16, 1000),
    bytes.fromhex("4d3cb2a1"): ("<", 16, 1),
    bytes.fromhex("a1b23c4d"): (">", 16, 1),
    # Kuznetzov's format, written by 1990s Linux libpcap and `editcap -F modlibpcap`: the record's header also
    # carries interface index, protocol and packet type.
    bytes.fromhex("34cdb2a1"): ("<", 24, 1000),
    bytes.fromhex("a1b2cd34"): (">", 24, 1000),
}
"""Magic of a classic pcap: byte order, bytes of a record's header, ns of a unit of the time's fraction."""
_SECTION = bytes.fromhex("0a0d0d0a")
_ORDER = {bytes.fromhex("4d3c2b1a"): "<", bytes.fromhex("1a2b3c4d"): ">"}
HEAD = 12
"""How many first bytes tell a capture."""


def is_capture(head: bytes) -> bool:
    """Say whether a file that begins, decompressed, with these `HEAD` bytes is a capture."""
    return head[:4] in _PCAP or (head[:4] == _SECTION and head[8:12] in _ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What the packets of one capture interface have in common."""

    index: int
    """Position in `Reader.interfaces`."""
    link: int
    """LINKTYPE_ value, https://www.tcpdump.org/linktypes.html."""
    name: str | None = None
    """pcapng's if_name; classic pcap has none."""
    snaplen: int = 0
    """Most bytes captured of a packet; 0 for no limit."""
    section: int = 0
    """Index of the first interface of its section: each section of a pcapng file tells of its interfaces anew."""


@dataclass(slots=True, kw_only=True)
class Records:
    """A block of whole records; valid until the next one is asked for."""

    data: bytearray
    """The block's bytes, writable; longer by `scan.SLACK` or more than what is valid."""
    base: int
    """Offset of `data[0]` in the uncompressed file."""
    count: int
    first_frame: int
    """Frame number of row 0, as Wireshark counts in the file; every row counts one."""
    start: NDArray[np.int64]
    """Where the packet's bytes begin in `data`; `caplen` bytes from there are inside it."""
    caplen: NDArray[np.int64]
    wirelen: NDArray[np.int64]
    time: NDArray[np.int64]
    """Nanoseconds since the epoch."""
    interface: NDArray[np.int32]
    """Index into `Reader.interfaces`."""
    frames: NDArray[np.uint32] | None = None
    """The rows' frame numbers where they are not counted from `first_frame` on: a listing has its own."""

    def find(self, wanted: set[int]) -> list[tuple[int, int]]:
        """Which of these frames are in the block: number and row, in the order of the rows."""
        if self.frames is not None:
            rows = np.flatnonzero(np.isin(self.frames, list(wanted))).tolist()
            return [(int(self.frames[row]), row) for row in rows]
        last = self.first_frame + self.count
        return [(n, n - self.first_frame) for n in sorted(wanted) if self.first_frame <= n < last]


class _Damage(Exception):  # noqa: N818 - reads as the sentence it becomes
    """Why the record at the window's position cannot be taken."""


@dataclass(slots=True)
class _Section:
    """The pcapng section being read."""

    order: str = "<"
    first: int = 0
    """Index of its first interface in `Reader.interfaces`."""
    unknown: bool = False
    """Whether its version is one that is not read: its blocks are passed over by their lengths."""


class Reader:
    """One capture file, read once from start to end in bounded memory."""

    name: str
    """How messages call the file."""
    size: int | None
    """Bytes of the file as it is stored, where that is known."""
    interfaces: list[Interface]
    """Grows while reading; each section of a pcapng file appends its own."""
    recorded_by: dict[int, tuple[int, int]]
    """Interface index to when it was captured, ns, as the last statistics block of each says (pcapng)."""
    dropped_by: dict[int, int]
    """Interface index to packets dropped, from the last statistics block of each (pcapng)."""
    caveats: list[str]
    """What is damaged or missing."""
    lacks: frozenset[str] = frozenset()
    """Columns that the file tells nothing of: a listing does not print all."""
    damaged: bool = False
    """Whether reading ended before the file did, or the file before its last record."""
    frames: int
    """How many were read."""

    def __init__(
        self, source: Callable[[], BinaryIO], *, name: str, size: int | None = None, block: int = BLOCK
    ) -> None:
        """Describe the file; nothing is opened yet.

        Args:
            source: Opens the file's stored bytes, unbuffered.
            name: How messages shall call it.
            size: Bytes that *source* gives in all.
            block: Bytes read at a time.
        """
        self.name = name
        self.size = size
        self.interfaces, self.caveats = [], []
        self.dropped_by, self.recorded_by = {}, {}
        self._said: list[pcapng.Description] = []
        self._source = source
        self._block = block
        self._stream: Stream | None = None
        self.frames = self._not_packets = self._sections = 0
        self._first_section = ""
        self._time = self._count = 0
        self._rows: list[NDArray[Any]] = [np.zeros(ROWS, kind) for kind in ("i8", "i8", "i8", "i8", "i4")]

    @property
    def dropped(self) -> int | None:
        """Packets that the capturing program lost; None where the file does not say."""
        return sum(self.dropped_by.values()) if self.dropped_by else None

    @property
    def bytes_read(self) -> int:
        """How many bytes of the file as it is stored were read, for progress."""
        return self._stream.position if self._stream else 0

    def blocks(self) -> Iterator[Records]:
        """Read the file, once.

        Raises:
            UnusableInput: The file cannot be opened, or is no capture.
        """
        try:
            raw = self._source()
        except OSError as problem:
            raise UnusableInput(f"{self.name}: cannot be read: {problem.strerror or problem}") from None
        with Stream(raw) as self._stream:
            window = Window(self._stream, self._block, self.size)
            while window.left < HEAD and window.more():
                pass
            head = bytes(window.data[: min(window.end, HEAD)])
            if not is_capture(head):
                raise UnusableInput(f"{self.name}: neither pcap nor pcapng")
            try:
                yield from self._pcapng(window) if head.startswith(_SECTION) else self._pcap(window)
            except _Damage as damage:
                if self._count:
                    yield self._records(window)
                self._tell(window, damage)
                self.damaged = True
            if self._stream.damage:
                self.damaged = True
                self.caveats.append(f"{self.name}: {self._stream.damage}; {self._kept()}")
            if self._sections:
                self.caveats.append(
                    f"{self.name}: {self._sections} section{'s are' if self._sections > 1 else ' is'} of an unknown "
                    f"version ({self._first_section}); packets in there were not read"
                )
            if self._not_packets:
                self.caveats.append(
                    f"{self.name}: {self._not_packets} frames are journal or custom entries, not packets"
                )

    def _records(self, window: Window) -> Records:
        """Hand out the rows that are filled."""
        count, self._count = self._count, 0
        first, self.frames = self.frames + 1, self.frames + count
        start, caplen, wirelen, time, interface = (column[:count] for column in self._rows)
        self._time = int(time[-1])
        return Records(
            data=window.data, base=window.base, count=count, first_frame=first,
            start=start, caplen=caplen, wirelen=wirelen, time=time, interface=interface,
        )  # fmt: skip

    def _tell(self, window: Window, damage: _Damage) -> None:
        """Note why reading ends before the file does."""
        unit = " of the uncompressed data" if self._stream and self._stream.compression else ""
        byte = window.base + window.position
        self.caveats.append(
            f"{self.name}: frame {self.frames + 1} at byte {byte}{unit} {damage}, {self._kept()}"
        )

    def _kept(self) -> str:
        packets = self.frames - self._not_packets
        return f"{packets} packet{'s were' if packets != 1 else ' was'} read"

    def _pcap(self, window: Window) -> Iterator[Records]:
        order, header, tick = _PCAP[bytes(window.data[:4])]
        while window.left < 24:
            if not window.more():
                self.caveats.append(f"{self.name}: ends within its 24-byte header, no packets were read")
                return
        snaplen, link = struct.unpack_from(order + "II", window.data, 16)
        # Above the 16 bits of the link type are the length of the frame check sequence and reserved bits.
        self.interfaces.append(Interface(index=0, link=link & 0xFFFF, snaplen=snaplen))
        window.position = 24
        cursor, rows = memoryview(array("q", [0])), [column.data for column in self._rows]
        while True:
            cursor[0] = window.position
            self._count = walk_pcap(
                window.data, cursor, window.end, order == ">", header, tick, LIMIT, *rows[:4]
            )
            window.position = cursor[0]
            if self._count:
                yield self._records(window)
                continue
            claim = 0
            if window.left >= header:
                (claim,) = struct.unpack_from(order + "I", window.data, window.position + 8)
            if claim > LIMIT:
                raise _Damage(_excess(f"{claim} captured bytes", window.left - header, window))
            if not window.more():
                if window.left >= header:
                    raise _Damage(_excess(f"{claim} captured bytes", window.left - header, window))
                if window.left:
                    raise _Damage(
                        f"has {window.left} of its header's {header} bytes; the capture was cut short"
                    )
                return

    def _pcapng(self, window: Window) -> Iterator[Records]:
        section = _Section()
        clocks = np.zeros((3, INTERFACES), np.int64)
        factor, shift, offset = (column.data for column in clocks)
        cursor, rows = memoryview(array("q", [0])), [column.data for column in self._rows]
        while True:
            cursor[0] = window.position
            described = len(self.interfaces) - section.first
            self._count = walk_pcapng(
                window.data, cursor, window.end, section.order == ">", LIMIT, described, section.first,
                factor, shift, offset, self._count, *rows,
            )  # fmt: skip
            window.position = cursor[0]
            if self._count == ROWS:
                yield self._records(window)
                continue
            kind, total = _next_block(window, section)
            if total <= window.left:
                if kind in pcapng.OTHER_FRAMES and not section.unknown:
                    if self._count:
                        yield self._records(window)
                    self.frames += 1
                    self._not_packets += 1
                else:
                    self._take(window, kind, total, section, clocks)
                window.position += total
                continue
            if self._count:
                yield self._records(window)
            if not window.more():
                if window.left >= 12:
                    raise _Damage(_excess(f"a block of {total} bytes", window.left, window))
                if window.left:
                    raise _Damage(f"has {window.left} of a block's least 12 bytes; the capture was cut short")
                return

    def _take(
        self, window: Window, kind: int, total: int, section: _Section, clocks: NDArray[np.int64]
    ) -> None:
        """Take a whole block that the hot loop left."""
        at = window.position
        body = memoryview(window.data)[at + 8 : at + total - 4]
        order = _order(window, section)
        (again,) = struct.unpack_from(order + "I", window.data, at + total - 4)
        if again != total:
            raise _Damage(f"is a block of {total} bytes at its beginning and of {again} at its end")
        if kind == pcapng.SECTION:
            section.order, section.first = order, len(self.interfaces)
            major, minor = struct.unpack_from(order + "HH", body, 4)
            section.unknown = major != 1
            if section.unknown:
                self._sections += 1
                if self._sections == 1:
                    self._first_section = f"pcapng {major}.{minor}, at byte {window.base + at}"
        elif section.unknown:
            return
        elif kind == pcapng.INTERFACE:
            index = len(self.interfaces)
            if index == INTERFACES:
                raise _Damage(f"describes more than {INTERFACES} interfaces")
            said = pcapng.description(body, order)
            self.interfaces.append(
                Interface(
                    index=index, link=said.link, name=said.name, snaplen=said.snaplen, section=section.first
                )
            )
            clocks[:, index - section.first] = said.factor, said.shift, said.offset
            self._said.append(said)
        elif kind == pcapng.STATISTICS:
            interface, dropped = pcapng.drops(body, order)
            if dropped is not None and section.first + interface < len(self.interfaces):
                self.dropped_by[section.first + interface] = dropped
            if section.first + interface < len(self._said) and (
                times := pcapng.recorded(body, order, self._said[section.first + interface])
            ):
                self.recorded_by[section.first + interface] = times
        elif kind == pcapng.SIMPLE_PACKET:
            self._take_simple(body, at + 12, section)
        elif kind in pcapng.PACKETS:
            interface, _, _, captured = struct.unpack_from(order + "IIII", body)
            described = len(self.interfaces) - section.first
            if captured > total - 32:
                raise _Damage(f"claims {captured} captured bytes in a block of {total}")
            raise _Damage(f"names an interface that its section does not describe ({described} are known)")

    def _take_simple(self, body: memoryview, start: int, section: _Section) -> None:
        """Take a Simple Packet Block, section 4.4: of the section's first interface, without a time."""
        (wirelen,) = struct.unpack_from(section.order + "I", body)
        if section.first == len(self.interfaces):
            raise _Damage("is of an interface that its section does not describe (0 are known)")
        caplen = min(wirelen, self.interfaces[section.first].snaplen or wirelen)
        if caplen > len(body) - 4:
            raise _Damage(f"claims {caplen} captured bytes in a block of {len(body) + 12}")
        time = self._rows[3][self._count - 1] if self._count else self._time
        for column, value in zip(self._rows, (start, caplen, wirelen, time, section.first), strict=True):
            column[self._count] = value
        self._count += 1
        caveat = f"{self.name}: some packets carry no time; each got the time of the packet before it"
        if caveat not in self.caveats:
            self.caveats.append(caveat)


def _order(window: Window, section: _Section) -> str:
    """Give the byte order of the block at the window's position."""
    at = window.position
    if window.data[at : at + 4] != _SECTION:
        return section.order
    order = _ORDER.get(bytes(window.data[at + 8 : at + 12]))
    if order is None:
        raise _Damage("begins a section in no known byte order")
    return order


def _next_block(window: Window, section: _Section) -> tuple[int, int]:
    """Give type and length of the block at the window's position; a length beyond what is left if unknown."""
    if window.left < 12:
        return 0, 12
    kind, total = struct.unpack_from(_order(window, section) + "II", window.data, window.position)
    least = 12 if section.unknown and kind != pcapng.SECTION else pcapng.LEAST.get(kind, 12)
    if total < least or total % 4:
        raise _Damage(f"claims a block of {total} bytes, which cannot be")
    if total > LIMIT:
        raise _Damage(_excess(f"a block of {total} bytes", window.left, window))
    return kind, total


def _excess(claim: str, remain: int, window: Window) -> str:
    """Say that a record claims more than the file, or any packet, has."""
    if window.exhausted:
        return f"claims {claim} but {remain} remain; the capture was cut short"
    return f"claims {claim}, more than any packet has; what follows cannot be read"
