"""Cilium's dropped flows: `hubble observe`, as text and as JSON, and the exporter's log.

    {"flow": {"time": "2023-08-21T12:12:18.510175415Z", "verdict": "DROPPED", "IP": {"source": "10.244.1.60", ...}, ...}}
    Aug 21 12:12:18.510: default/xwing:44916 (ID:1) <> default/web-0:80 (ID:2) Policy denied DROPPED (TCP Flags: SYN)

Text has pod names instead of addresses: add `kubectl get pods -A -o wide`, or use `--ip-translation=false`. Its times have no
year and no zone, and are not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence.dates import moment
from analyzer.evidence.drops import MOST, DropRecord, address, number
from analyzer.evidence.facts import Caveat, Fact, begins, limited, unread
from analyzer.evidence.json_lines import inner, integer, objects, string
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; a flow has about a kilobyte."""
_END = r"(\S{1,330})(?: \([^()\n]{1,60}\))?"
_LINE = re.compile(
    rf"(?:[A-Z][a-z]{{2}} [ \d]\d [\d:.]{{8,18}}|[\d:T.-]{{19,30}}Z?)(?: \[[^\]\n]{{1,260}}\])?: {_END} (?:<>|->|<-) {_END} "
    r"([^()\n]{1,120}?) (?:DROPPED|DENIED)\b(?: \(([^()\n]{1,80})\))?.{0,200}"
)
_FLOW = (r"[\w :.T-]{15,40}(?: \[[^\]\n]{1,260}\])?: \S{1,330}[^\n]{0,80} (?:<>|->|<-) [^\n]{1,500} "
         r"(?:DROPPED|FORWARDED|DENIED|ALLOWED|REDIRECTED|TRACED|TRANSLATED|ERROR)\b")  # fmt: skip


def recognises(head: str) -> bool:
    return begins(head, _FLOW, r'\{(?=[^\n]{0,4000}"verdict": ?")[^\n]{0,2000}"(?:IP|l4|node_name)": ?["{]')


@limited("dropped flows", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield what was dropped."""
    for item in objects(text, file, '"DROPPED"'):
        if isinstance(item, Caveat):
            yield item
            continue
        line, flow = item
        flow = flow["flow"] if isinstance(flow.get("flow"), dict) else flow
        if flow.get("verdict") == "DROPPED":
            yield _record(flow, file, line)
    lost: list[str] = []
    for line, said in enumerate(text.splitlines(), 1):
        if (" DROPPED" in said or " DENIED" in said) and (told := _LINE.fullmatch(said.strip())):
            yield _told(told, file, line)
        elif said.rstrip().endswith(("DROPPED", "DENIED")) or " DROPPED (" in said:
            lost.append(said)
    yield from unread([one for one in lost if not one.startswith("{")], file, "dropped packets")


def _told(said: re.Match[str], file: str, line: int) -> DropRecord:
    """Make a record of a line: ends are `namespace/pod:port`, `10.0.0.1:80 (world)` or an address alone."""
    ends = []
    for text in said[1], said[2]:
        host, _, port = text.rpartition(":")
        whole = address(text)
        ends.append(
            (whole or address(host), None if whole else number(port, 0xFFFF), host if not whole else "")
        )
    (src, sport, src_name), (dst, dport, dst_name) = ends
    why = said[3].removeprefix("policy-verdict:").removesuffix(" EGRESS").removesuffix(" INGRESS")
    proto = (said[4] or "").split(" ")[0].lower()
    return DropRecord(
        file=file,
        line=line,
        source="hubble",
        reason="POLICY_DENIED"
        if said[3] != why or "olicy" in why
        else printable(why).upper().replace(" ", "_"),
        proto={"icmpv4": "icmp"}.get(proto, proto)
        if proto in ("tcp", "udp", "sctp", "icmpv4", "icmpv6")
        else "",
        src=src,
        dst=dst,
        src_name="" if src else printable(src_name),
        dst_name="" if dst else printable(dst_name),
        sport=sport,
        dport=dport,
    )


def _record(flow: dict[str, Any], file: str, line: int) -> DropRecord:
    src, dst = address(string(flow, "IP", "source")), address(string(flow, "IP", "destination"))
    when = moment(string(flow, "time"))
    proto = next(
        (name for name in ("TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6") if inner(flow, "l4", name) is not None),
        "",
    )
    denied = flow.get("egress_denied_by") or flow.get("ingress_denied_by")
    first = denied[0] if isinstance(denied, list) and denied else None
    policy = "/".join(word for name in ("kind", "namespace", "name") if (word := string(first, name)))
    return DropRecord(
        file=file,
        line=line,
        source="hubble",
        time=when.time if when and when.zoned else None,
        clock="wall",
        offset=0,
        reason=printable(string(flow, "drop_reason_desc")[:64]),
        location=printable(string(flow, "file", "name")[:64]),
        device=printable(string(flow, "interface", "name")[:64]),
        proto={"ICMPv4": "icmp"}.get(proto, proto.lower()),
        src=src,
        dst=dst,
        sport=integer(flow, "l4", proto, "source_port", most=0xFFFF),
        dport=integer(flow, "l4", proto, "destination_port", most=0xFFFF),
        rule=printable(policy[:200]),
    )
