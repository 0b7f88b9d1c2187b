"""Events of retis (`retis collect -c skb-drop,skb,dev,ns --stack -o`), one JSON object per line.

    {"common": {"timestamp": 30419169457160, "smp_id": 6, ...}, "skb-drop": {"drop_reason": "NO_SOCKET"}, ...}

The objects are simple, so they are read here and not by retis' own package. The packet's headers come in base64; the first
event says how the timestamps, CLOCK_MONOTONIC, relate to wall time.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from analyzer.capture.naming import printable
from analyzer.evidence import frame
from analyzer.evidence.drops import DEEP, MOST, DropRecord, hook_of, place_of, reason, symbol
from analyzer.evidence.facts import Caveat, limited
from analyzer.evidence.json_lines import inner, integer, objects, string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

LIMIT = 64 << 20
"""Bytes read; each event has about a kilobyte."""


def recognises(head: str) -> bool:
    """Say whether an event of retis begins a line."""
    return re.search(r'^\{"common": ?\{"timestamp": ?\d', head, re.MULTILINE) is not None


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
        if not isinstance(event.get("skb-drop"), dict):
            continue
        yield _record(event, file, line, offset)


def _record(event: dict[str, Any], file: str, line: int, offset: int | None) -> DropRecord:
    trace = inner(event, "kernel", "stack_trace")
    frames = trace[:DEEP] if isinstance(trace, list) else []
    stack = tuple(symbol(frame) for frame in frames if isinstance(frame, str))
    why, where = reason(string(event, "skb-drop", "drop_reason")), place_of(stack)
    packet: Any = frame.ethernet(_bytes(string(event, "packet", "data")))
    return DropRecord(
        file=file,
        line=line,
        source="retis",
        time=integer(event, "common", "timestamp"),
        clock="monotonic",
        offset=offset,
        cpu=integer(event, "common", "smp_id", most=0xFFFF),
        reason=why,
        location=where,
        stack=stack,
        hook=hook_of(why, where, stack),
        device=printable(string(event, "dev", "name")[:64]),
        netns=integer(event, "netns", "inum", most=0xFFFFFFFF),
        **packet,
    )


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text[:1024], validate=True)
    except (binascii.Error, ValueError):
        return b""
