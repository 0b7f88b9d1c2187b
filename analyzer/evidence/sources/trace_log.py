"""Lines about packets that rules log: iptables' `-j TRACE`, and `-j LOG` or `NFLOG` with a prefix that says drop.

    [  669.976414] TRACE: filter:FORWARD:rule:1 IN=veth-c OUT=eth0 MAC=... SRC=10.244.0.11 DST=192.0.2.100 ... ID=24891 ...
    [   12.345678] [UFW BLOCK] IN=eth0 OUT= MAC=... SRC=...

TRACE shows each rule that a packet matched; the last one may have dropped it, or not. A prefix is free text in a LOG rule
that usually comes before the rule that drops. Neither is certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.drops import HOOKS, MOST, DropRecord, address, nanoseconds, number
from analyzer.evidence.facts import Caveat, Fact
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; a line has about 250."""
_TRACE = re.compile(r"TRACE: (\w{1,16}):([^\s:]{1,32}):(rule|policy|return):(\d{1,6}) $")
_SAYS_DROP = re.compile(r"\b(?:drop|dropp?ed|deny|denied|block|blocked|reject|rejected)\b", re.IGNORECASE)
_PACKET = re.compile(r"IN=(\S{0,32}) OUT=(\S{0,32}) ")
_FIELD = re.compile(r"\b(SRC|DST|ID|PROTO|SPT|DPT|SEQ)=(\S{1,45})")
_UPTIME = re.compile(r"\[ *(\d{1,10}\.\d{6})\] ")
_BEFORE = re.compile(r"^(?:.*kernel: )?(?:\[ *\d{1,10}\.\d{1,9}\] )?")
_PREFIX = 120
"""Characters before the packet that are looked at: iptables allows 29 for a prefix, nftables 127."""


def recognises(head: str) -> bool:
    return any(_says(line) for line in head.splitlines())


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield each packet's last traced rule, and each line that says drop."""
    last: dict[tuple[str, ...], DropRecord] = {}
    kept = left_out = 0
    for count, line in enumerate(text.splitlines(), 1):
        if not (said := _says(line)):
            continue
        before, traced, packet = said
        fields: dict[str, str] = {}
        for name, value in _FIELD.findall(line[packet.end() : packet.end() + 600]):
            fields.setdefault(name, value)  # an ICMP error quotes another packet behind its own
        record = _record(before, traced, packet, fields, file, count)
        if traced:
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


def _says(line: str) -> tuple[str, re.Match[str] | None, re.Match[str]] | None:
    """Give what stands before a logged packet, the traced rule in it if there is one, and where the packet begins."""
    at = line.find("IN=")
    if at < 0 or not (packet := _PACKET.match(line, at)):
        return None
    before = line[max(0, at - _PREFIX) : at]
    traced = _TRACE.search(before)
    return (before, traced, packet) if traced or _SAYS_DROP.search(before) else None


def _record(
    before: str,
    traced: re.Match[str] | None,
    packet: re.Match[str],
    fields: dict[str, str],
    file: str,
    line: int,
) -> DropRecord:
    uptime = _UPTIME.search(before)
    if traced:
        rule = f"{traced[1]} {traced[2]} {traced[3]} {traced[4]}"
        hook = next((hook for hook in HOOKS if hook == traced[2]), None)
    else:
        rule, hook = _BEFORE.sub("", before).strip(), None
    return DropRecord(
        file=file,
        line=line,
        source="TRACE" if traced else "LOG",
        time=nanoseconds(uptime[1]) if uptime else None,
        clock="boot" if uptime else "unknown",
        hook=hook,
        device=printable(packet[1] or packet[2]),
        proto=printable(fields.get("PROTO", "").lower()[:16]),
        src=address(fields.get("SRC", "")),
        dst=address(fields.get("DST", "")),
        sport=number(fields.get("SPT"), 0xFFFF),
        dport=number(fields.get("DPT"), 0xFFFF),
        seq=number(fields.get("SEQ"), 0xFFFFFFFF),
        ip_id=number(fields.get("ID"), 0xFFFF),
        rule=printable(rule),
        certain=False,
    )
