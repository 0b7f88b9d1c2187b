"""`perf script` of the event skb:kfree_skb, with call stacks (`perf record -e skb:kfree_skb -g -a`) or without.

    python3 12696 [000]   700.955874: skb:kfree_skb: skbaddr=0x... location=nft_do_chain+0x3e8 reason: NETFILTER_DROP
            ffffffff81eb9271 __traceiter_kfree_skb+0x41 ([kernel.kallsyms])

Times are from perf's own clock. With `perf record -k mono` and `perf script --header`, clock and wall time are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from analyzer.evidence.drops import (
    DEEP,
    MOST,
    VERSIONS,
    Clock,
    DropRecord,
    nanoseconds,
    place_of,
    reason,
    symbol,
)
from analyzer.evidence.facts import Fact, begins, limited, unread
from analyzer.evidence.sources import DROPS
from analyzer.evidence.sources.tracefs import EVENT, LIMIT

PURPOSE = DROPS

__all__ = ["LIMIT", "parse", "recognises"]

_LINE = re.compile(
    r"[^\n\[\]]{1,48}?(?:\[(\d{3,5})\])?[ \t]+(\d{1,12}\.\d{6,9}):[ \t]+(?:\d{1,6} )?skb:" + EVENT + r"[ \t]*"
)
_FRAME = re.compile(r"[ \t]+[0-9a-f]{1,16} (\S{1,120}) \([^\n]{0,200}\)[ \t]*")
_REFERENCE = re.compile(
    r"^# reference time: [^\n=]{1,40} = (\d{9,10}\.\d{6}) \(TOD\) = (\d{1,12}\.\d{9}) \((\w{1,20})\)",
    re.MULTILINE,
)
_CLOCKS: dict[str, Clock] = {"monotonic": "monotonic", "boottime": "boot"}


def recognises(head: str) -> bool:
    return begins(head, rf"{_LINE.pattern}$")


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    clock: dict[str, Any] = {}
    if said := _REFERENCE.search(text[:65536]):
        clock = {
            "clock": _CLOCKS.get(said[3], "unknown"),
            "offset": nanoseconds(said[1]) - nanoseconds(said[2]),
        }
    stacks: dict[tuple[str, ...], tuple[str, ...]] = {}
    told: dict[str, Any] | None = None
    frames: list[str] = []
    damaged: list[str] = []

    def record() -> DropRecord:
        assert told is not None
        stack = stacks.setdefault(tuple(frames), tuple(frames))
        location = told.pop("location") or place_of(stack)
        return DropRecord(location=location, stack=stack, **told, **clock)

    for count, line in enumerate(text.splitlines(), 1):
        if told is not None and (frame := _FRAME.fullmatch(line)):
            if len(frames) < DEEP:
                frames.append(symbol(frame[1]))
            continue
        if not (found := _LINE.fullmatch(line)):
            if "kfree_skb:" in line:
                damaged.append(line)
            continue
        if told is not None:
            yield record()
            told = None
        frames = []
        told = {
            "file": file,
            "line": count,
            "source": "perf script",
            "time": nanoseconds(found[2]),
            "cpu": int(found[1]) if found[1] else None,
            "version": VERSIONS.get(int(found[3])),
            "location": symbol(found[4]),
            "reason": reason(found[5] or ""),
        }
    if told is not None:
        yield record()
    yield from unread(damaged, file, "dropped packets")
