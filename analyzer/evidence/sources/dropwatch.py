"""`dropwatch` with `set alertmode packet`: a block of lines per packet that the kernel dropped.

    drop at: ip6_forward+0x81a/0xb70 (0xffffffff86c73f8a)
    origin: software
    timestamp: Wed Apr 13 11:51:06 2022 130010176 nsec
    protocol: 0x86dd
    drop reason: IP_INADDRERRORS

If dropwatch also prints the payload, the packet has addresses. Times have no zone and are taken as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence import frame
from analyzer.evidence.dates import moment
from analyzer.evidence.drops import MOST, VERSIONS, DropRecord, reason, symbol
from analyzer.evidence.facts import Caveat, Fact, begins, limited
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; a packet has about 250, with its payload a kilobyte."""
_DROP = re.compile(r"[ \t]*drop at: (\S{1,120})[^\n]{0,120}")
_FIELD = re.compile(r"[ \t]*([a-z][a-z ]{2,24}): ([^\n]{1,120})")
_BYTES = re.compile(r"((?:[0-9a-f]{2} {1,2}){1,16})(?: {0,60}[^\n]{0,20})?")
_COUNTS = re.compile(
    r"^\d{1,10} drops at (?:location 0x[0-9a-f]{8,16}|\S{1,80} \(0x[0-9a-f]{8,16}\)|\S{1,80} \[\w)",
    re.MULTILINE,
)
_TIME = re.compile(r"(\w{3} \w{3} +\d{1,2} \d\d:\d\d:\d\d \d{4}) (\d{1,9}) nsec")
_LONGEST = 512
"""Bytes of a payload that are kept; headers come first."""


def recognises(head: str) -> bool:
    told = begins(head, rf"{_DROP.pattern}\n[ \t]*(?:origin|input port|timestamp)")
    return told or _COUNTS.search(head) is not None


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the packets; counts of drops by place are no packets, and said to be of no use."""
    begun = 0
    block: dict[str, str] | None = None
    payload = bytearray()

    for count, line in enumerate(text.splitlines(), 1):
        if found := _DROP.fullmatch(line):
            if block is not None:
                yield _record(block, bytes(payload), file, begun)
            block, begun = {"drop at": found[1]}, count
            payload.clear()
        elif block is None:
            continue
        elif (field := _FIELD.fullmatch(line)) and len(block) < 16:
            block[field[1]] = field[2]
        elif (more := _BYTES.fullmatch(line)) and len(payload) < _LONGEST:
            payload += bytes.fromhex(more[1])
    if block is not None:
        yield _record(block, bytes(payload), file, begun)
    elif _COUNTS.search(text):
        yield Caveat(
            says=f"{file}: counts drops by place only; `set alertmode packet` in dropwatch tells each packet"
        )


def _record(block: dict[str, str], payload: bytes, file: str, line: int) -> DropRecord:
    known = re.fullmatch(r"0x([0-9a-f]{1,4})", block.get("protocol", "").strip())
    told: Any = {"version": VERSIONS.get(int(known[1], 16)) if known else None} | frame.ethernet(payload)
    return DropRecord(
        file=file,
        line=line,
        source="dropwatch",
        time=_time(block.get("timestamp", "")),
        clock="wall",
        offset=0,
        reason=reason(block.get("drop reason", "").strip()),
        location=symbol(block["drop at"]),
        device=printable(block.get("input port name", "").strip()[:64]),
        **told,
    )


def _time(text: str) -> int | None:
    said = _TIME.match(text)
    seconds = moment(said[1]) if said else None
    return seconds.time + int(said[2]) if said and seconds else None
