"""`xtables-monitor --trace`: what each iptables rule did with packets selected by `-j TRACE`, if iptables uses nftables.

    PACKET: 2 55bfc973 IN=veth-c OUT=eth0 MACSRC=... SRC=10.244.0.11 DST=192.0.2.100 ... ID=64695 DF SPORT=53696 DPORT=25 SYN
     TRACE: 2 55bfc973 filter:FORWARD:rule:0x3:JUMP:KUBE-FIREWALL  -4 -t filter -A FORWARD -j KUBE-FIREWALL
     TRACE: 2 55bfc973 filter:KUBE-FIREWALL:rule:0x4:DROP  -4 -t filter -A KUBE-FIREWALL -p tcp -m tcp --dport 25 -j DROP

It has no times, sequence numbers or protocol; only TCP lines have flags after the ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.drops import HOOKS, MOST, DropRecord, Hook, address, number
from analyzer.evidence.facts import Fact, begins, limited
from analyzer.evidence.rules.model import shown
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; a packet has about ten lines of 150."""
_OPEN = 20_000
"""Packets whose headers are remembered while their rules come."""
_LINE = re.compile(r" ?(PACKET|TRACE): (?:2|10) ([0-9a-f]{1,8}) ([^\n]{1,2000})")
_STEP = re.compile(
    r"(\w{1,16}:(\S{1,64}?)):(?:rule:0x[0-9a-f]{1,8}|policy|return):(\w{1,32})(?::\S{1,64})?(?:\s+(.*))?"
)
_FIELD = re.compile(r"\b(IN|OUT|SRC|DST|ID|SPORT|DPORT|TYPE)=(\S{1,64})")


def recognises(head: str) -> bool:
    return begins(
        head, r"PACKET: (?:2|10) [0-9a-f]{1,8} (?:IN|OUT)=", r" TRACE: (?:2|10) [0-9a-f]{1,8} \w{1,16}:"
    )


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the packets that a rule or a chain's policy dropped."""
    packets: dict[str, str] = {}
    hooks: dict[str, Hook] = {}
    for count, line in enumerate(text.splitlines(), 1):
        if not (found := _LINE.fullmatch(line)):
            continue
        what, trace, rest = found.groups()
        if what == "PACKET":
            if len(packets) >= _OPEN:
                packets.clear()
                hooks.clear()
            packets[trace] = rest
            hooks.pop(trace, None)
            continue
        if not (step := _STEP.fullmatch(rest.strip())):
            continue
        chain, name, verdict, rule = step.groups()
        if hook := next((hook for hook in HOOKS if hook == name), None):
            hooks[trace] = hook
        if verdict == "DROP":
            told = f"{chain.replace(':', ' ')}: {rule or 'policy drop'}"
            yield _record(file, count, packets.pop(trace, ""), hooks.pop(trace, None), told)


def _record(file: str, line: int, packet: str, hook: Hook | None, rule: str) -> DropRecord:
    fields: dict[str, str] = dict(_FIELD.findall(packet))
    flags = re.search(r" DPORT=\d+ [A-Z]", packet)
    return DropRecord(
        file=file,
        line=line,
        source="xtables-monitor",
        reason="NETFILTER_DROP",
        hook=hook,
        device=printable(fields.get("IN") or fields.get("OUT") or ""),
        proto="tcp" if flags else "udp" if "DPORT" in fields else "icmp" if "TYPE" in fields else "",
        src=address(fields.get("SRC", "")),
        dst=address(fields.get("DST", "")),
        sport=number(fields.get("SPORT"), 0xFFFF),
        dport=number(fields.get("DPORT"), 0xFFFF),
        ip_id=number(fields.get("ID"), 0xFFFF),
        rule=shown(rule),
    )
