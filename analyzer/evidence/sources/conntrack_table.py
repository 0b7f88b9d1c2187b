"""`conntrack -L`, plain and `-o extended,id,...`, and `/proc/net/nf_conntrack`: one line per entry.

    tcp      6 119 SYN_SENT src=10.1.0.4 dst=192.0.2.2 sport=41000 dport=80 [UNREPLIED] src=192.0.2.2 ... use=1

Optional are `ipv4     2 ` before the line, counters after each tuple, and marks, zones, ids and times after both. The
tool ends a listing with `conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.` on stderr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from analyzer.evidence.conntrack_columns import IPV6, Columns, columns
from analyzer.evidence.facts import Caveat, Fact, begins
from analyzer.evidence.table import ASSURED, OFFLOAD, TYPES, UNREPLIED, Coding, Table

PURPOSE = "entries: stale ones, taken ports, how full the table is"

LIMIT = 192 << 20
"""Bytes read of a listing: a million entries have 170 million."""
MOST = 1_000_000
"""Entries kept of one listing; further ones are counted."""
_HEAD = r"(?:ipv[46] +\d+ +)?([a-z][\w-]{0,15}) +\d+ +(?:(\d{1,10}) +)?(?:([A-Z][A-Z0-9_]{1,20}) +)?"
TUPLE = (
    r"src=([\da-fA-F.:]{2,45}) dst=([\da-fA-F.:]{2,45})"
    r"(?: sport=(\d{1,5}) dport=(\d{1,5})| type=\d+ code=\d+ id=(\d{1,5})| srckey=\w+ dstkey=\w+)?"
)
# A line that was cut does not end with its use count.
_ENTRY = re.compile(rf"{_HEAD}{TUPLE} (.{{0,300}}?){TUPLE} (.{{0,600}}?\buse=\d.*)")
_SHOWN = re.compile(r"conntrack v\S+ \(conntrack-tools\): \d+ flow entries have been shown")
_LINE = re.compile(r"[^\n]+")
_PIECE = 8 << 20
"""Characters that are read at once."""
_FEW = 64
"""Lines that are read one by one; arrays would take longer."""


def recognises(head: str) -> bool:
    """Say whether a line lists an entry, or the tool tells how many; events (`conntrack -E`) begin otherwise."""
    return begins(head, f"{_HEAD}{TUPLE} ") or _SHOWN.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the listings; IPv4 and IPv6 listed one after the other are one."""
    listing = _Listing(file)
    lost, example = 0, ""
    at = 0
    while at < len(text):
        shown = _SHOWN.search(text, at)
        end = shown.start() if shown else len(text)
        for part in _parts(text, at, end):
            families = _families(part)
            if families & listing.whole:  # of another listing than those before
                yield from listing.tables()
                listing = _Listing(file)
            listing.seen |= families
            left, first = listing.read(part)
            lost, example = lost + left, example or first
        if not shown:
            break
        listing.whole |= listing.seen
        at = shown.end()
    if lost:
        entries = f"{lost} entries were" if lost > 1 else "an entry was"
        yield Caveat(says=f"{file}: {entries} not understood and left out, the first: {example[:80]!r}")
    yield from listing.tables()


def _parts(text: str, at: int, end: int) -> Iterator[str]:
    """Cut into pieces that end with a line, so that memory stays bounded."""
    while at < end:
        stop = end if end - at <= _PIECE else text.find("\n", at + _PIECE, end) + 1 or end
        yield text[at:stop]
        at = stop


def _families(part: str) -> set[str]:
    """Say of which families entries are listed here."""
    found = set()
    if re.search(r"\bsrc=\d{1,3}\.", part):
        found.add("ipv4")
    if ":" in part and re.search(r"\bsrc=[\da-fA-F]{0,4}:", part):
        found.add("ipv6")
    return found


class _Listing:
    """Columns that grow."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._coding = Coding()
        self._columns: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in TYPES}
        self._kept = self._omitted = 0
        self.seen: set[str] = set()
        """Families of which there are entries."""
        self.whole: set[str] = set()
        """Those of which the tool said that its listing was complete."""

    def read(self, part: str) -> tuple[int, str]:
        """Take the entries of some lines; tell how many lines with an address are none, and the first of them."""
        told = part.encode("utf-8", "replace")
        rows: dict[str, npt.NDArray[np.generic]] = {}
        taken = np.zeros(0, np.int64)
        if part.count("\n") < _FEW:
            begins = [found.start() for found in _LINE.finditer(part)]
            others = [found[0] for found in _LINE.finditer(part)]
            numbers = list(range(len(begins)))
        else:
            read = columns(told)
            taken, rows = read.lines, self._rows(read)
            free = np.ones(len(read.starts), bool)
            free[taken] = False
            numbers = np.flatnonzero(free).tolist()
            ends = np.append(read.starts[1:], len(told) + 1)
            others = [
                told[read.starts[number] : ends[number] - 1].decode("utf-8", "replace") for number in numbers
            ]
        slow: dict[str, list[int]] = {name: [] for name in TYPES}
        order: list[int] = []
        lost, example = 0, ""
        for number, line in zip(numbers, others, strict=True):
            match = _ENTRY.fullmatch(line.strip())
            row = self._row(match) if match else None
            if row:
                order.append(number)
                for name, value in zip(slow, row, strict=True):
                    slow[name].append(value)
            elif "src=" in line:
                lost, example = lost + 1, example or line
        places = np.concatenate((taken, np.array(order, np.int64)))
        sort = np.argsort(places, kind="stable")
        room = max(MOST - self._kept, 0)
        for name, kind in TYPES.items():
            fast = rows.get(name, np.zeros(0, kind)).astype(kind)
            whole = np.concatenate((fast, np.array(slow[name], kind)))[sort]
            self._columns[name].append(whole[:room])
        self._kept += min(len(places), room)
        self._omitted += max(len(places) - room, 0)
        return lost, example

    def _rows(self, read: Columns) -> dict[str, npt.NDArray[np.generic]]:
        """Bring columns that were read at once to this listing's numbers."""
        named, ipv6 = self._coding.names, self._coding.ipv6
        names = np.array([named.setdefault(name, len(named)) for name in read.names], np.int64)
        known = [ipv6.setdefault(address, len(ipv6)) for address in read.known]
        codes = np.array(known or [0], np.int64)
        src, dst, reply_src, reply_dst = (
            np.where(column < IPV6, column, IPV6 + codes[np.maximum(column - IPV6, 0)])
            for column in read.addresses
        )
        sport, dport, reply_sport, reply_dport = read.ports
        return {
            "proto": names[read.proto],
            "state": names[read.state],
            "timeout": read.timeout,
            "flags": ASSURED * read.assured | UNREPLIED * read.unreplied | OFFLOAD * read.offload,
            "orig_src": src, "orig_dst": dst, "orig_sport": sport, "orig_dport": dport,
            "reply_src": reply_src, "reply_dst": reply_dst, "reply_sport": reply_sport, "reply_dport": reply_dport,
        }  # fmt: skip

    def _row(self, match: re.Match[str]) -> tuple[int, ...] | None:
        """Read an entry; None where its numbers or addresses are none."""
        proto, timeout, state, src, dst, sport, dport, id_, between, src2, dst2, sport2, dport2, id2, rest = (
            match.groups()
        )
        flags = (
            ASSURED * ("[ASSURED]" in rest)
            | UNREPLIED * ("[UNREPLIED]" in between)
            | OFFLOAD * ("[OFFLOAD]" in rest or "[HW_OFFLOAD]" in rest)
        )
        addresses, ports = (src, dst, src2, dst2), (sport or id_, dport, sport2 or id2, dport2)
        return self._coding.row(proto, state or "", int(timeout or 0), flags, addresses, ports)

    def tables(self) -> Iterator[Table]:
        """Give the table, if there are entries."""
        if self._kept:
            columns = {name: np.concatenate(column) for name, column in self._columns.items()}
            yield self._coding.table(self._file, columns, self._omitted)
