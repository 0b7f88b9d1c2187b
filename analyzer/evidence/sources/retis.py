"""Events of retis (`retis collect -c skb-drop,skb,dev,ns --stack -o`), as JSON, one object per line, and as text.

    {"common": {"timestamp": 30419169457160, "smp_id": 6, ...}, "skb-drop": {"drop_reason": "NO_SOCKET"}, ...}

    3392678938917 (2) [nc] 2311 [tp] skb:kfree_skb drop (NO_SOCKET)
        kfree_skb_reason+0x8f
        tcp_v4_rcv+0x77
      if 1 (lo) 10.244.0.11.60634 > 192.0.2.1.80 ttl 64 tos 0x0 id 54321 ... proto TCP (6) flags [S] seq 3918324 win 65476

The packet's headers are in base64. Timestamps are CLOCK_MONOTONIC; in JSON, the first event relates them to wall time, in text
nothing does. (retis' own package is not needed: the objects are simple.)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence import frame
from analyzer.evidence.drops import DEEP, MOST, DropRecord, address, number, place_of, reason, symbol
from analyzer.evidence.facts import Caveat, Fact, begins, limited
from analyzer.evidence.json_lines import inner, integer, objects, string
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; each event has about a kilobyte."""
_EVENT = re.compile(
    r"(?P<time>\d{6,19}|\d{4}-\d\d-\d\d \S{8,18})(?: \((?P<cpu>\d{1,5})\))? \[[^\]\n]{1,32}\] \d{1,10} "
    r"\[(?:tp|k|kr|u|raw_tracepoint)\] (?P<at>[\w:.]{1,100})(?P<rest>[^\n]{0,400})"
)
_DROP = re.compile(r" drop(?: \((?:reason )?(\S{1,64})\))?\s*$")
_PACKET = re.compile(r"(?<!\S)(\S{2,60}) > (\S{2,60}) (?=(?:tos|ttl|label|id|len|proto)\b)(.{0,300})")
_DEVICE = re.compile(r"(?<!\S)if \d{1,10} \((\S{1,64})\)")
_BLOCK = 64
"""Lines of an event."""


def recognises(head: str) -> bool:
    return begins(head, r'\{"common": ?\{"timestamp": ?\d', rf"{_EVENT.pattern}$")


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the drops; other events are none of our business."""
    offset: int | None = None
    for item in objects(text, file, '"skb-drop"', '"startup"'):
        if isinstance(item, Caveat):
            yield item
            continue
        line, event = item
        if isinstance(said := inner(event, "startup", "clock_monotonic_offset"), dict):
            seconds, rest = integer(said, "sec", most=1 << 33), integer(said, "nsec", most=10**9)
            offset = None if seconds is None or rest is None else seconds * 10**9 + rest
        if isinstance(event.get("skb-drop"), dict):
            yield _record(event, file, line, offset)
    yield from _lines(text.splitlines(), file)


def _lines(lines: list[str], file: str) -> Iterator[DropRecord]:
    """Read what retis prints: an event, and indented lines that belong to it."""
    for index, line in enumerate(lines):
        if " drop" in line and (said := _EVENT.fullmatch(line)) and (why := _DROP.search(said["rest"])):
            after = lines[index + 1 : index + 1 + _BLOCK]
            body = list(takewhile(lambda one: one.startswith((" ", "\t")), after))
            yield _printed(said, reason(why[1] or ""), body, file, index + 1)


def _printed(said: re.Match[str], why: str, body: list[str], file: str, line: int) -> DropRecord:
    stack = tuple(
        symbol(frame) for frame in body if re.fullmatch(r"\s+[\w.]{1,100}\+0x[0-9a-f]{1,8}\s*", frame)
    )[:DEEP]
    about = " ".join(one.strip() for one in body)
    packet = _PACKET.search(about)
    src, sport = _end(packet[1] if packet else "")
    dst, dport = _end(packet[2] if packet else "")
    rest = packet[3] if packet else ""
    device = _DEVICE.search(about)
    numbers = {
        name: found[1] if (found := re.search(rf"\b{name} (\d+)", rest)) else None for name in ("id", "seq")
    }
    proto = re.search(r"\bproto (\w{2,12})", rest)
    return DropRecord(
        file=file,
        line=line,
        source="retis",
        time=int(said["time"]) if said["time"].isdecimal() else None,
        clock="monotonic" if said["time"].isdecimal() else "unknown",
        cpu=number(said["cpu"], 0xFFFF),
        reason=why,
        location=place_of(stack),
        stack=stack,
        device=printable(device[1]) if device else "",
        proto=proto[1].lower() if proto else "",
        src=src,
        dst=dst,
        sport=sport,
        dport=dport,
        seq=number(numbers["seq"], 0xFFFFFFFF),
        ip_id=number(numbers["id"], 0xFFFF),
    )


def _end(text: str) -> tuple[str, int | None]:
    """Read `10.244.0.11.60634`, as tcpdump writes an address and a port, or an address alone."""
    if whole := address(text):
        return whole, None
    host, _, port = text.rpartition(".")
    return address(host), number(port, 0xFFFF)


def _record(event: dict[str, Any], file: str, line: int, offset: int | None) -> DropRecord:
    trace = inner(event, "kernel", "stack_trace")
    frames = trace[:DEEP] if isinstance(trace, list) else []
    stack = tuple(symbol(frame) for frame in frames if isinstance(frame, str))
    packet: Any = frame.ethernet(_bytes(string(event, "packet", "data")))
    return DropRecord(
        file=file,
        line=line,
        source="retis",
        time=integer(event, "common", "timestamp"),
        clock="monotonic",
        offset=offset,
        cpu=integer(event, "common", "smp_id", most=0xFFFF),
        reason=reason(string(event, "skb-drop", "drop_reason")),
        location=place_of(stack),
        stack=stack,
        device=printable(string(event, "dev", "name")[:64]),
        **packet,
    )


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text[:1024], validate=True)
    except (binascii.Error, ValueError):
        return b""
