"""Cilium's dropped flows: `hubble observe -o json`, and the exporter's log; one JSON object per line.

{"flow": {"time": "2023-08-21T12:12:18.510175415Z", "verdict": "DROPPED", "IP": {"source": "10.244.1.60", ...}, ...}}
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from analyzer.capture.naming import printable
from analyzer.evidence.drops import MOST, DropRecord, address
from analyzer.evidence.facts import Caveat, limited
from analyzer.evidence.json_lines import inner, integer, objects, string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

LIMIT = 64 << 20
"""Bytes read; a flow has about a kilobyte."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def recognises(head: str) -> bool:
    """Say whether a line holds a flow with a verdict."""
    return (
        re.search(
            r'^\{(?=[^\n]{0,4000}"verdict": ?")[^\n]{0,2000}"(?:IP|l4|node_name)": ?["{]', head, re.MULTILINE
        )
        is not None
    )


@limited("dropped flows", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield what was dropped."""
    for item in objects(text, file, '"DROPPED"'):
        if isinstance(item, Caveat):
            yield item
            continue
        line, flow = item
        flow = flow["flow"] if isinstance(flow.get("flow"), dict) else flow
        if flow.get("verdict") != "DROPPED":
            continue
        yield _record(flow, file, line)


def _record(flow: dict[str, Any], file: str, line: int) -> DropRecord:
    src, dst = address(string(flow, "IP", "source")), address(string(flow, "IP", "destination"))
    version: Literal[4, 6] | None = (6 if ":" in src else 4) if src else None
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
        time=_time(string(flow, "time")),
        clock="wall",
        offset=0,
        reason=printable(string(flow, "drop_reason_desc")[:64]),
        location=printable(string(flow, "file", "name")[:64]),
        device=printable(string(flow, "interface", "name")[:64]),
        version=version,
        proto={"ICMPv4": "icmp"}.get(proto, proto.lower()),
        src=src,
        dst=dst,
        sport=integer(flow, "l4", proto, "source_port", most=0xFFFF),
        dport=integer(flow, "l4", proto, "destination_port", most=0xFFFF),
        rule=printable(policy[:200]),
    )


def _time(text: str) -> int | None:
    if not (said := _TIME.fullmatch(text)):
        return None
    try:
        whole = datetime.fromisoformat(said[1] + said[3].replace("Z", "+00:00"))
    except ValueError:
        return None
    return int(whole.timestamp()) * 10**9 + int((said[2] or "").ljust(9, "0"))
