"""`conntrack -L`, plain and `-o extended,id,...`, and `/proc/net/nf_conntrack`: one line per entry.

    tcp      6 119 SYN_SENT src=10.1.0.4 dst=192.0.2.2 sport=41000 dport=80 [UNREPLIED] src=192.0.2.2 ... use=1

`ipv4     2 ` before it, counters after each tuple, marks, zones, ids and times after both are optional. The
tool ends a listing with `conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.` on stderr.
"""

from __future__ import annotations

import ipaddress
import re
from array import array
from typing import TYPE_CHECKING

import numpy as np

from analyzer.evidence.facts import Caveat
from analyzer.evidence.table import ASSURED, OFFLOAD, UNREPLIED, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

LIMIT = 192 << 20
"""Bytes read of a listing: a million entries have 170 million."""
MOST = 1_000_000
"""Entries kept of one listing; further ones are counted."""
_HEAD = r"(?:ipv[46] +\d+ +)?([a-z][\w-]{0,15}) +\d+ +(?:(\d{1,10}) +)?(?:([A-Z][A-Z0-9_]{1,20}) +)?"
_TUPLE = (
    r"src=([\da-fA-F.:]{2,45}) dst=([\da-fA-F.:]{2,45})"
    r"(?: sport=(\d{1,5}) dport=(\d{1,5})| type=\d+ code=\d+ id=(\d{1,5})| srckey=\w+ dstkey=\w+)?"
)
# A line that was cut does not end with its use count.
_ENTRY = re.compile(rf"{_HEAD}{_TUPLE} (.{{0,300}}?){_TUPLE} (.{{0,600}}?\buse=\d.*)")
_SHOWN = re.compile(r"conntrack v\S+ \(conntrack-tools\): \d+ flow entries have been shown")
_LINE = re.compile(r"[^\n]+")
_PORTS = 1 << 16


def recognises(head: str) -> bool:
    """Say whether a line lists an entry, or the tool tells how many; events (`conntrack -E`) begin otherwise."""
    return re.search(rf"^{_HEAD}{_TUPLE} |{_SHOWN.pattern}", head, re.MULTILINE) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the listings; IPv4 and IPv6 listed one after the other are one."""
    listing = _Listing(file)
    lost, example = 0, ""
    for found in _LINE.finditer(text):  # splitting a million lines would take as much memory again
        line = found[0]
        if match := _ENTRY.fullmatch(line.strip()):
            if listing.begins_again(match[4]):
                yield from listing.tables()
                listing = _Listing(file)
            if not listing.add(match):
                lost, example = lost + 1, example or line
        elif _SHOWN.search(line):
            listing.shown()
        elif "src=" in line:
            lost, example = lost + 1, example or line
    if lost:
        entries = f"{lost} entries were" if lost > 1 else "an entry was"
        yield Caveat(says=f"{file}: {entries} not understood and left out, the first: {example[:80]!r}")
    yield from listing.tables()


class _Listing:
    """Columns that grow."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._names = {"": 0}
        self._addresses: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._columns = {name: array(kind) for name, kind in _KINDS.items()}
        self._omitted = 0
        self._families: set[bool] = set()
        self._shown: set[bool] = set()

    def add(self, match: re.Match[str]) -> bool:
        """Take an entry; False where its numbers or addresses are none."""
        proto, timeout, state, src, dst, sport, dport, id_, between, src2, dst2, sport2, dport2, id2, rest = (
            match.groups()
        )
        ports = [int(port or 0) for port in (sport or id_, dport, sport2 or id2, dport2)]
        codes = [self._address(address) for address in (src, dst, src2, dst2)]
        if max(ports) >= _PORTS or min(codes) < 0 or len(self._names) > _PORTS - 2:
            return False
        self._families.add(":" in src)
        if len(self._columns["proto"]) == MOST:
            self._omitted += 1
            return True
        flags = (
            ASSURED * ("[ASSURED]" in rest)
            | UNREPLIED * ("[UNREPLIED]" in between)
            | OFFLOAD * ("OFFLOAD]" in rest)
        )
        names = self._names
        row = (
            names.setdefault(proto, len(names)),
            names.setdefault(state or "", len(names)),
            min(int(timeout or 0), 0xFFFFFFFF),
            flags,
            codes[0],
            codes[1],
            ports[0],
            ports[1],
            codes[2],
            codes[3],
            ports[2],
            ports[3],
        )
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)
        return True

    def shown(self) -> None:
        """Note that the tool said its listing was complete."""
        self._shown |= self._families

    def begins_again(self, address: str) -> bool:
        """Say whether an entry of this address belongs to another listing than those before."""
        return (":" in address) in self._shown

    def tables(self) -> Iterator[Table]:
        """Give the table, if there are entries."""
        if self._columns["proto"]:
            yield Table(
                file=self._file,
                names=tuple(self._names),
                addresses=tuple(self._addresses),
                omitted=self._omitted,
                **{name: np.array(column, column.typecode) for name, column in self._columns.items()},
            )

    def _address(self, text: str) -> int:
        """Number an address; -1 where it is none. /proc writes IPv6 at full length."""
        code = self._codes.get(text)
        if code is None:
            try:
                address = str(ipaddress.ip_address(text))
                code = self._addresses.setdefault(address, len(self._addresses))
            except ValueError:
                code = -1
            self._codes[text] = code
        return code


_KINDS = {
    "proto": "H", "state": "H", "timeout": "I", "flags": "B",
    "orig_src": "I", "orig_dst": "I", "orig_sport": "H", "orig_dport": "H",
    "reply_src": "I", "reply_dst": "I", "reply_sport": "H", "reply_dport": "H",
}  # fmt: skip
"""Column to its type, as `array` and numpy name it."""
