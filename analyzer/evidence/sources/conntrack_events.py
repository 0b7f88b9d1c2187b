"""`conntrack -E`, plain, with `-o timestamp,id,ktimestamp,extended`, or as XML: one line per event.

    [1795989822.589664]	    [NEW] udp      17 30 src=10.244.0.11 dst=192.0.2.100 sport=40000 ... [UNREPLIED] src=... id=691320781
    [1795989831.133752]	[DESTROY] udp      17 21 src=10.244.0.11 ... id=691320781 [USERSPACE] portid=3623547823

`[USERSPACE]` marks what a program changed. If `ts` or a loop put a date before a line, that is its time. XML has times in whole
seconds of the node's local time, which are taken as UTC.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from analyzer.evidence.dates import moment
from analyzer.evidence.drops import nanoseconds
from analyzer.evidence.events import KINDS, NO_TIME, EventLog
from analyzer.evidence.facts import Caveat, Fact, begins
from analyzer.evidence.sources.conntrack_table import TUPLE
from analyzer.evidence.table import ASSURED, OFFLOAD, TYPES, UNREPLIED, Coding

PURPOSE = "entries made and destroyed: who had a port, what was deleted"

LIMIT = 192 << 20
"""Bytes read: a million events have 180 million."""
MOST = 1_000_000
"""Events kept of one log; further ones are counted."""
_HEAD = (
    r"[ \t]*(?:\[(\d{9,10}\.\d{1,9})[ \t]*\][ \t]+)?\[(NEW|UPDATE|DESTROY)\] "
    r"(?:ipv[46] +\d+ +)?([a-z][\w-]{0,15}) +\d+ +(?:(\d{1,10}) +)?(?:([A-Z][A-Z0-9_]{1,20}) +)?"
)
_EVENT = re.compile(rf"{_HEAD}{TUPLE} (.{{0,300}}?){TUPLE}(?: (.{{0,600}}))?")
_DATED = re.compile(r"^(\S[^\n\[\]]{7,40}?)[ \t]+(?=\[(?:NEW|UPDATE|DESTROY)\] )", re.MULTILINE)
_BEGINS = re.compile(_HEAD)
_ID = re.compile(r"(?:^| )id=(\d{1,10})(?: |$)")
_FLOW = re.compile(r'<flow type="(new|update|destroy)">([^\n]{0,4000}?)</flow>([^\n]{0,100})')
_SIDE = re.compile(
    r'<meta direction="(?:original|reply)"><layer3[^>]{0,60}><src>([^<]{2,45})</src><dst>([^<]{2,45})</dst></layer3>'
    r'<layer4[^>]{0,40}?protoname="([\w-]{1,16})"[^>]{0,10}>'
    r"(?:<sport>(\d{1,5})</sport><dport>(\d{1,5})</dport>|(?:<type>\d+</type><code>\d+</code>)?<id>(\d{1,5})</id>)?"
)
_WHEN = re.compile(
    r"<hour>(\d+)</hour><min>(\d+)</min><sec>(\d+)</sec><wday>\d+</wday><day>(\d+)</day><month>(\d+)</month><year>(\d+)</year>"
)


def recognises(head: str) -> bool:
    return begins(_stamped(head), f"{_HEAD}src=") or begins(
        head, r'<flow type="(?:new|update|destroy)"><meta '
    )


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the log, if there are events."""
    log = _Log(file)
    lost, example = 0, ""
    for count, found in enumerate(re.finditer(r"[^\n]*\n?", _stamped(text)), 1):
        line = found[0].strip()
        if line.startswith("<flow type="):
            taken = log.flow(line, count)
        elif match := _EVENT.fullmatch(line):
            taken = log.event(match, count)
        elif _BEGINS.match(line):
            taken = False
        else:
            continue
        if not taken:
            lost, example = lost + 1, example or line
    if lost:
        events = f"{lost} events were" if lost > 1 else "an event was"
        yield Caveat(says=f"{file}: {events} not understood and left out, the first: {example[:80]!r}")
    yield from log.done()


def _stamped(text: str) -> str:
    """Bring dates before events to the form of `-o timestamp`; what is no date with a day goes."""
    if not _DATED.search(text, 0, 1 << 16):
        return text

    def stamp(found: re.Match[str]) -> str:
        said = moment(found[1].rstrip(" :|"))
        return f"[{said.time // 10**9}.{said.time % 10**9:09}]\t" if said else ""

    return _DATED.sub(stamp, text)


class _Log:
    """Columns that grow."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._coding = Coding()
        self._columns = {name: array(kind) for name, kind in _COLUMNS.items()}
        self._omitted = 0

    def event(self, match: re.Match[str], line: int) -> bool:
        """Take an event; False where its numbers or addresses are none."""
        at, kind, proto, timeout, state, *told = match.groups()
        src, dst, sport, dport, id_, between, src2, dst2, sport2, dport2, id2, rest = told
        if ((sport or id_) is None) != ((sport2 or id2) is None):  # cut short
            return False
        flags = f"{between} {rest or ''} "
        number = _ID.search(rest or "")
        entry = self._coding.row(
            proto,
            state or "",
            int(timeout or 0),
            ASSURED * ("[ASSURED]" in flags)
            | UNREPLIED * ("[UNREPLIED]" in flags)
            | OFFLOAD * ("OFFLOAD]" in flags),
            (src, dst, src2, dst2),
            (sport or id_, dport, sport2 or id2, dport2),
        )
        time, by_user = nanoseconds(at) if at else NO_TIME, "[USERSPACE]" in flags
        return self._add(
            entry, KINDS.index(kind), time, int(number[1]) if number else 0, by_user=by_user, line=line
        )

    def flow(self, text: str, line: int) -> bool:
        """Take an event in XML."""
        found = _FLOW.search(text[:5000])
        sides = _SIDE.findall(found[2]) if found else []
        if not found or len(sides) != 2:
            return False
        (src, dst, proto, sport, dport, id_), (src2, dst2, _, sport2, dport2, id2) = sides
        last = found[2].rpartition('direction="independent"')[2]
        told = dict(re.findall(r"<(state|timeout|id)>(\w{1,20})</", last))
        timeout, number = told.get("timeout", ""), told.get("id", "")
        entry = self._coding.row(
            proto,
            told.get("state", ""),
            int(timeout) if timeout.isdecimal() else 0,
            ASSURED * ("<assured/>" in found[2]) | UNREPLIED * ("<unreplied/>" in found[2]),
            (src, dst, src2, dst2),
            (sport or id_, dport, sport2 or id2, dport2),
        )
        kind, id_ = KINDS.index(found[1].upper()), int(number) if number.isdecimal() else 0
        return self._add(entry, kind, _when(found[2]), id_, by_user="[USERSPACE]" in found[3], line=line)

    def _add(
        self, entry: tuple[int, ...] | None, kind: int, time: int, id_: int, *, by_user: bool, line: int
    ) -> bool:
        if entry is None:
            return False
        if len(self._columns["kind"]) == MOST:
            self._omitted += 1
            return True
        row = (*entry, kind, time, min(id_, 0xFFFFFFFF), by_user, min(line, 0xFFFFFFFF))
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)
        return True

    def done(self) -> Iterator[EventLog]:
        """Give the log, if there are events."""
        if not self._columns["kind"]:
            return
        columns: dict[str, Any] = {
            name: np.array(column, column.typecode) for name, column in self._columns.items()
        }
        yield EventLog(
            file=self._file,
            entries=self._coding.table(self._file, {name: columns.pop(name) for name in TYPES}),
            by_user=columns.pop("by_user").astype(np.bool_),
            omitted=self._omitted,
            **columns,
        )


_COLUMNS = TYPES | {"kind": "B", "time": "q", "id": "I", "by_user": "B", "line": "I"}


def _when(text: str) -> int:
    found = _WHEN.search(text)
    if not found:
        return NO_TIME
    hour, minute, second, day, month, year = (int(number[:6]) for number in found.groups())
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 10**9
    except ValueError:
        return NO_TIME
