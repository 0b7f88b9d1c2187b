"""Drop records of `analyzer/field/drops.bt`, a program for bpftrace that reads each dropped packet's addresses.

    clock: t=587222635466 wall=1795989709.124026
    drop: t=587572881160 cpu=1 reason=12 at=nf_hook_slow netns=4026532177 dev=eth0 proto=6 src=192.0.2.10 sport=20003 ...
            sk_skb_reason_drop+144
            nf_hook_slow+125

Times are nanoseconds since boot. The reason numbers differ between kernels. The tracepoint's `format`, in the same file, names
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.drops import (
    DEEP,
    MOST,
    PORTED,
    DropRecord,
    address,
    nanoseconds,
    number,
    place_of,
    protocol,
    reason,
    symbol,
)
from analyzer.evidence.facts import Caveat, Fact, begins, limited
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read: some hundred thousand drops with their stacks."""
_CLOCK = re.compile(r"clock: t=(\d{1,19}) wall=(\d{9,10}\.\d{1,9})[ \t]*")
_DROP = re.compile(r"drop: t=(\d{1,19}) ([^\n]{1,400})")
_LOST = re.compile(r"Lost (\d{1,9}) events")
_NAME = re.compile(r'\{ ?(\d{1,10}|0x[0-9a-f]{1,8}), "(\w{1,64})" ?\}')


def recognises(head: str) -> bool:
    return begins(head, rf"{_CLOCK.pattern}$", _DROP.pattern)


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the drops; those of whose reason only the number is known have none."""
    lines = text.splitlines()
    named = {
        int(key, 0): name
        for line in lines
        if line.startswith("print fmt:")
        for key, name in _NAME.findall(line[:65536])
    }
    clocks = [(int(c[1]), nanoseconds(c[2])) for line in lines if (c := _CLOCK.fullmatch(line))]
    if not clocks:
        yield Caveat(says=f"{file}: no line `clock: t=... wall=...`, so the times of its drops are unknown")
    stacks: dict[tuple[str, ...], tuple[str, ...]] = {}
    damaged = 0
    at = nearest = 0
    while at < len(lines):
        found = _DROP.fullmatch(lines[at])
        at += 1
        if not found:
            damaged += lines[at - 1].startswith("drop: ")
            continue
        begun = at
        while at < len(lines) and lines[at][:1] in (" ", "\t") and lines[at].strip():
            at += 1
        frames = [symbol(frame) for frame in lines[begun : min(at, begun + DEEP)]]
        stack = stacks.setdefault(tuple(frames), tuple(frames))
        time = int(found[1])
        while nearest + 1 < len(clocks) and clocks[nearest + 1][0] <= time:
            nearest += 1
        offset = clocks[nearest][1] - clocks[nearest][0] if clocks else None
        yield _record(found, file, begun, stack, named, offset)
    if lost := sum(int(found[1]) for line in lines if (found := _LOST.fullmatch(line))):
        yield Caveat(says=f"{file}: {lost} of bpftrace's records were lost before they were read")
    if damaged:
        yield Caveat(says=f"{file}: {damaged} lines on dropped packets were not understood")


def _record(
    found: re.Match[str],
    file: str,
    line: int,
    stack: tuple[str, ...],
    named: dict[int, str],
    offset: int | None,
) -> DropRecord:
    said = {name: value for name, _, value in (word.partition("=") for word in found[2].split())}
    code = number(said.get("reason"), 0xFFFFFFFF)
    proto = number(said.get("proto"), 255)
    ported = proto in PORTED
    return DropRecord(
        file=file,
        line=line,
        source="bpftrace",
        time=int(found[1]),
        clock="boot",
        offset=offset,
        cpu=number(said.get("cpu"), 0xFFFF),
        reason=reason(named.get(code, "")) if code is not None else "",
        location=symbol(said.get("at", "")) or place_of(stack),
        stack=stack,
        device=printable(said.get("dev", "")[:64]),
        proto=protocol(proto),
        src=address(said.get("src", "")),
        dst=address(said.get("dst", "")),
        sport=number(said.get("sport"), 0xFFFF) if ported else None,
        dport=number(said.get("dport"), 0xFFFF) if ported else None,
        seq=number(said.get("seq"), 0xFFFFFFFF) if proto == 6 else None,
        ip_id=number(said.get("id"), 0xFFFF),
    )
