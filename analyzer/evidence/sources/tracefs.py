"""The kernel's trace of dropped packets: `trace` and `trace_pipe` of tracefs with the event skb:kfree_skb.

    <idle>-0  [001] ..s1.  594.397911: kfree_skb: skbaddr=... location=nf_hook_slow+0x7d/0x110 reason: NETFILTER_DROP

With the trigger `stacktrace`, a call stack follows each line. Times are seconds of `trace_clock`, whichever that was. A
line beside them can name it and its wall time: `# clock: mono t=596911056860 wall=1795989718.812445931`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
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
from analyzer.evidence.facts import Caveat, Fact, begins, unread
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read: some two hundred thousand drops without their stacks."""
EVENT = (
    r"kfree_skb: skbaddr=\S{1,20}(?: rx_sk=\S{1,20})? protocol=(\d{1,5}) location=(\S{1,120})"
    r"(?: \[\w{1,64}\])?(?: reason: (\w{1,64}))?"
)
"""Protocol, location and reason of the tracepoint, as tracefs and perf print it."""
_LINE = re.compile(
    r"[ \t]*[^\n]{1,32}-\d{1,10}[ \t]+(?:\([ \d-]{1,10}\)[ \t]+)?\[(\d{3,5})\][ \t]+(?:\S{3,12}[ \t]+)?(\d{1,12}\.\d{1,9}): "
    rf"(?:{EVENT}|(<stack trace>))[ \t]*"
)
_CLOCK = re.compile(r"# clock: (mono|boot|tai) t=(\d{1,19}) wall=(\d{9,10}\.\d{1,9})")
_LOST = re.compile(r"# entries-in-buffer/entries-written: (\d{1,12})/(\d{1,12})\b")
_CLOCKS: dict[str, Clock] = {"mono": "monotonic", "boot": "boot", "tai": "unknown"}


def recognises(head: str) -> bool:
    return begins(head, "# tracer: ", rf"{_LINE.pattern}$")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the drops, in the order of the file.

    CPUs write side by side, so a stack follows the drop of its own CPU.
    """
    clock: dict[str, Any] = _clock(text)
    records: list[DropRecord] = []
    open_: dict[int, int] = {}
    damaged: list[str] = []
    stack: list[str] | None = None
    cpu = left_out = 0
    stacks: dict[tuple[str, ...], tuple[str, ...]] = {}

    def close() -> None:
        nonlocal stack
        if stack is not None and (number := open_.pop(cpu, None)) is not None:
            frames = stacks.setdefault(tuple(stack), tuple(stack))
            drop = records[number]
            records[number] = replace(drop, stack=frames, location=drop.location or place_of(frames))
        stack = None

    for count, line in enumerate(text.splitlines(), 1):
        if stack is not None and line.startswith(" => "):
            if len(stack) < DEEP:
                stack.append(symbol(line[4:]))
            continue
        close()
        if not (found := _LINE.fullmatch(line)):
            if "kfree_skb: skbaddr=" in line:
                damaged.append(line)
            continue
        cpu = int(found[1])
        if found[6]:
            stack = []
            continue
        if len(records) == MOST:
            left_out += 1
            open_.pop(cpu, None)
            continue
        open_[cpu] = len(records)
        records.append(
            DropRecord(
                file=file,
                line=count,
                source="tracefs",
                time=nanoseconds(found[2]),
                cpu=cpu,
                version=VERSIONS.get(int(found[3])),
                location=symbol(found[4]),
                reason=reason(found[5] or ""),
                **clock,
            )
        )
    close()
    yield from unread(damaged, file, "dropped packets")
    yield from records
    if left_out:
        yield Caveat(says=f"{file}: {left_out} dropped packets beyond the first {MOST} were left out")
    if (lost := _LOST.search(text[:4096])) and int(lost[2]) > int(lost[1]):
        yield Caveat(
            says=f"{file}: {int(lost[2]) - int(lost[1])} of the kernel's records were overwritten before they were read"
        )


def _clock(text: str) -> dict[str, Any]:
    if not (said := _CLOCK.search(text[:4096])):
        return {}
    # Its times are rounded to microseconds (trace_print_time): half of one later, none comes before its packet.
    return {"clock": _CLOCKS[said[1]], "offset": nanoseconds(said[3]) - int(said[2]) + 500}
