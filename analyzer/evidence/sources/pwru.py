"""pwru, text and JSON (`--output-json`): the kernel functions that packets passed.

    SKB                CPU PROCESS          NETNS      MARK/x  IFACE   PROTO  MTU   LEN   TUPLE                           FUNC
    0xffff8b7f0331f800 0   ~/bin/curl:18515 4026531840 0       eth0:2  0x0800 1500  60    10.0.0.1:4000->10.0.0.2:80(tcp) ip_rcv

Before pwru 1.0.7 the function came first, then `netns=4026531840 mark=0x0 ifindex=2 ...` and the tuple.

Without a call stack, the functions that the packet passed before serve as one. Times are CLOCK_MONOTONIC's, if `--timestamp
current` was given. For a dropped packet, pwru shows `kfree_skb_reason(SKB_DROP_REASON_NETFILTER_DROP)`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence.drops import (
    DEEP,
    MOST,
    VERSIONS,
    DropRecord,
    address,
    number,
    place_of,
    protocol,
    reason,
    symbol,
)
from analyzer.evidence.facts import Caveat, Fact, begins, limited
from analyzer.evidence.json_lines import LONGEST, integer, string
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; a line has about 200."""
_PACKETS = 4096
"""Packets whose ways are remembered."""
_HEADER = re.compile(r"^ *(?:TIME +)?SKB +CPU +PROCESS +[^\n]{0,200}\bFUNC\b", re.MULTILINE)
_LINE = re.compile(r"(?:\S{8,30} +)?(0x[0-9a-f]{8,16}) +(\d{1,5}) +(\S{1,64}) +([^\n]{1,600})")
_TUPLE = re.compile(r"(?<!\S)(\S{1,50}):(\d{1,5})->(\S{1,50}):(\d{1,5})\((\w{1,12})(?::[^\s)]{0,40})?\)")
_BARE = re.compile(
    rf"^(?:\S{{8,30}} +)?0x[0-9a-f]{{8,16}} +\d{{1,5}} +\S{{1,64}} +[^\n]{{0,300}}?{_TUPLE.pattern}",
    re.MULTILINE,
)
_META = re.compile(r"(?<!\S)\d{4,10} +[0-9a-f]{1,8} +(\S{1,32}) +(0x[0-9a-f]{4}) +\d{1,5} +\d{1,6}(?!\S)")
_DROP = re.compile(r"(kfree_skb_reason|sk_skb_reason_drop) ?\((\w{1,64})\)(?: +([\w.]{1,80}))?")
_PORTED = ("tcp", "udp", "sctp")
"""Protocols with ports; of others pwru prints zeros."""
_FREED = frozenset({"kfree_skb", "kfree_skb_reason", "sk_skb_reason_drop"})
_FRAME = re.compile(r"[\w.]{2,100}(?:\+0x[0-9a-f]{1,8})?(?: ?\[\w{1,64}\])?")


def recognises(head: str) -> bool:
    found = _HEADER.search(head) or _BARE.search(head)
    return found is not None or begins(head, r'\{"skb": ?"0x[0-9a-f]{4,16}",[^\n]{0,300}"func": ?"')


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield where packets were dropped."""
    timed = "TIMESTAMP" in (header[0] if (header := _HEADER.search(text)) else "")
    ways: dict[str, list[str]] = {}
    lines = text.splitlines()
    damaged = at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        event = _json(line) if line.startswith("{") else _text(line, timed=timed)
        if event is None:
            damaged += line.startswith('{"skb"')
            continue
        begun = at
        while at < len(lines) and not line.startswith("{") and _FRAME.fullmatch(lines[at]):
            at += 1
        if len(ways) >= _PACKETS:
            ways.clear()
        way = ways.setdefault(event.pop("skb"), [])
        func, caller = event.pop("func"), event.pop("caller")
        if not (drop := _DROP.match(func)) and func not in _FREED:
            way.append(symbol(func.split("(")[0]))
            del way[:-DEEP]
            continue
        frames = event.pop("frames") or lines[begun : min(at, begun + DEEP)]
        stack = tuple(symbol(frame) for frame in frames) or tuple(reversed(way))
        yield DropRecord(
            file=file,
            line=begun,
            source="pwru",
            clock="monotonic" if event["time"] is not None else "unknown",
            reason=reason(drop[2]) if drop and not drop[2].isdecimal() else "",
            location=symbol(caller or (drop[3] if drop and drop[3] else "")) or place_of(stack),
            stack=stack,
            **event,
        )
    if damaged:
        yield Caveat(says=f"{file}: {damaged} lines were not understood as JSON, or cut short")


def _text(line: str, *, timed: bool) -> dict[str, Any] | None:
    found = _LINE.match(line)
    if not found:
        return None
    rest = found[4]
    packet, meta = _TUPLE.search(rest), _META.search(rest)
    words = rest[packet.end() if packet else meta.end() if meta else 0 :].split() or rest.split()
    drop = _DROP.search(rest)
    func = drop[0] if drop and drop.start() > (packet.end() if packet else -1) else words[0] if words else ""
    return {
        "skb": found[1],
        "func": func,
        "caller": "",
        "frames": None,
        "time": _time(rest.split()[0]) if timed else None,
        "cpu": number(found[2], 0xFFFF),
        "device": printable(meta[1].rpartition(":")[0]) if meta else "",
        "version": VERSIONS.get(int(meta[2], 16)) if meta else None,
        "proto": packet[5] if packet else "",
        "src": address(packet[1]) if packet else "",
        "dst": address(packet[3]) if packet else "",
        "sport": number(packet[2], 0xFFFF) if packet and packet[5] in _PORTED else None,
        "dport": number(packet[4], 0xFFFF) if packet and packet[5] in _PORTED else None,
    }


def _time(text: str) -> int | None:
    """Read a time of up to 19 digits."""
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None


def _json(line: str) -> dict[str, Any] | None:
    try:
        item = json.loads(line) if len(line) <= LONGEST else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(item, dict) or not string(item, "func"):
        return None
    proto = protocol(integer(item, "tuple", "proto", most=255))
    ported = proto in _PORTED
    stack = item.get("stack")
    return {
        "skb": string(item, "skb"),
        "func": string(item, "func"),
        "caller": string(item, "caller_func"),
        "frames": stack.split()[:DEEP] if isinstance(stack, str) else None,
        "time": integer(item, "time"),
        "cpu": integer(item, "cpu", most=0xFFFF),
        "device": printable(string(item, "iface").rpartition(":")[0][:64]),
        "version": VERSIONS.get(integer(item, "proto") or 0),
        "proto": proto,
        "src": address(string(item, "tuple", "saddr")),
        "dst": address(string(item, "tuple", "daddr")),
        "sport": integer(item, "tuple", "sport", most=0xFFFF) if ported else None,
        "dport": integer(item, "tuple", "dport", most=0xFFFF) if ported else None,
    }
