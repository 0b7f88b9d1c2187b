"""Lines about packets that rules log: iptables' `-j TRACE`, and `-j LOG` or `NFLOG` with a prefix that says drop.

    [  669.976414] TRACE: filter:FORWARD:rule:1 IN=veth-c OUT=eth0 MAC=... SRC=10.244.0.11 DST=192.0.2.100 ... ID=24891 ...
    [   12.345678] [UFW BLOCK] IN=eth0 OUT= MAC=... SRC=...

TRACE shows each rule that a packet matched; the last one of a packet may have dropped it, or not. A prefix is what people
wrote into a rule that stands before the one that drops. Neither is certain.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.capture.naming import printable
from analyzer.evidence.drops import MOST, DropRecord, Hook, address, nanoseconds, number
from analyzer.evidence.facts import Caveat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

LIMIT = 64 << 20
"""Bytes read; a line has about 250."""
_LINE = re.compile(
    r"(?:TRACE: (?P<table>\w{1,16}):(?P<chain>[^\s:]{1,32}):(?P<kind>rule|policy|return):(?P<number>\d{1,6}) "
    r"|(?P<prefix>[^\n=]{0,64}\b(?:drop|dropped|deny|denied|block|blocked|reject|rejected)\b[^\n=]{0,20}?))"
    r"IN=(?P<iif>\S{0,32}) OUT=(?P<oif>\S{0,32}) (?P<rest>[^\n]{1,600})",
    re.IGNORECASE,
)
_FIELD = re.compile(r"\b(SRC|DST|ID|PROTO|SPT|DPT|SEQ)=(\S{1,45})")
_UPTIME = re.compile(r"\[ *(\d{1,10}\.\d{6})\] ")
_BEFORE = re.compile(r".*?(?:kernel: |\] )")
_HOOKS: tuple[Hook, ...] = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def recognises(head: str) -> bool:
    """Say whether a packet is logged so."""
    return any(_LINE.search(line[:1000]) for line in head.splitlines() if "IN=" in line)


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield each packet's last traced rule, and each line that says drop."""
    last: dict[tuple[str, ...], DropRecord] = {}
    kept = left_out = 0
    for count, line in enumerate(text.splitlines(), 1):
        if "IN=" not in line or not (found := _LINE.search(line[:1000])):
            continue
        fields: dict[str, str] = {}
        for name, value in _FIELD.findall(found["rest"]):
            fields.setdefault(name, value)  # an ICMP error quotes another packet behind its own
        record = _record(found, fields, line, file, count)
        if found["table"]:
            key = tuple(fields.get(name, "") for name in ("DST", "ID", "PROTO", "DPT", "SEQ"))
            if key in last or len(last) < MOST:
                last[key] = record
            else:
                left_out += 1
        elif kept < MOST:
            kept += 1
            yield record
        else:
            left_out += 1
    yield from (record for record in last.values() if record.hook not in ("POSTROUTING", None))
    if left_out:
        yield Caveat(says=f"{file}: {left_out} lines on packets beyond the first {MOST} were left out")


def _record(found: re.Match[str], fields: dict[str, str], line: str, file: str, count: int) -> DropRecord:
    uptime = _UPTIME.search(line[: found.start() + 100])
    src, proto = address(fields.get("SRC", "")), fields.get("PROTO", "").lower()
    if found["table"]:
        rule = f"{found['table']} {found['chain']} {found['kind']} {found['number']}"
        hook = next((hook for hook in _HOOKS if hook == found["chain"]), None)
    else:
        rule, hook = _BEFORE.sub("", found["prefix"]).strip(), None
    return DropRecord(
        file=file,
        line=count,
        source="TRACE" if found["table"] else "LOG",
        time=nanoseconds(uptime[1]) if uptime else None,
        clock="boot" if uptime else "unknown",
        hook=hook,
        device=printable(found["iif"] or found["oif"]),
        version=(6 if ":" in src else 4) if src else None,
        proto=printable(proto[:16]),
        src=src,
        dst=address(fields.get("DST", "")),
        sport=number(fields.get("SPT"), 0xFFFF),
        dport=number(fields.get("DPT"), 0xFFFF),
        seq=number(fields.get("SEQ"), 0xFFFFFFFF),
        ip_id=number(fields.get("ID"), 0xFFFF),
        rule=printable(rule[:100]),
        certain=False,
    )
