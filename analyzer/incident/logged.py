"""What logs say: conntrack's (`conntrack -E`) of a connection, its translation and who ended its entry, the kernel's of a packet.

An entry is logged when it is confirmed, behind the last hook (nf_conntrack_confirm, nf_ct_deliver_cached_events): so a NEW line
also says that the packet passed every rule, though no point outside was recording.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.evidence.events import lives
from analyzer.incident.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.evidence.events import EventLog, Life
    from analyzer.flow.point import Point
    from analyzer.incident.model import Finding, Untold
    from analyzer.incident.scene import Scene

MOST = 200
"""Connections that are looked up; each goes through the log once."""
_NEAR = 10**9
"""Nanoseconds by which an entry's end may lie before a connection's first packet: clocks that were moved."""
_FLOW = re.compile(r"\[?([^\s\]]+?)\]?:(\d+) > \[?([^\s\]]+?)\]?:(\d+)/(tcp|udp)")


def findings(told: Sequence[Finding], logs: Sequence[EventLog]) -> list[Finding]:
    """Add the log's word to findings whose connection no point saw outside."""
    if not logs:
        return list(told)
    return [_finding(one, logs) if number < MOST else one for number, one in enumerate(told)]


def untold(told: Sequence[Untold], logs: Sequence[EventLog]) -> tuple[Untold, ...]:
    """Add the log's word to connections of which nobody can tell where they failed."""
    return tuple(
        replace(one, logged=said[0].says) if logs and (said := _said(one.connection, one.time, logs)) else one
        for one in told
    )


def _finding(told: Finding, logs: Sequence[EventLog]) -> Finding:
    said = _said(told.inner, told.time, logs) if told.outer is None else None
    if said is None:
        return told
    return replace(told, evidence=(*told.evidence, said[0]), facts={**told.facts, "logged_outer": said[1]})


def _said(flow: str, time: int, logs: Sequence[EventLog]) -> tuple[Evidence, str] | None:
    """What the logs say of a flow that began at some time, and the addresses that it was translated to."""
    read = _FLOW.fullmatch(flow)
    if read is None:
        return None
    src, sport, dst, dport, proto = read.groups()
    for log in logs:
        for life in lives(log, proto, src, int(sport), dst, int(dport)):
            ended = life.destroyed.time if life.destroyed else None
            if life.seen is not None and (ended is None or ended >= time - _NEAR):
                line = (life.made or life.destroyed or log[0]).line
                outer = f"{_end(life.outer)} > {_end(life.target)}/{proto}"
                return Evidence(says=_says(life, outer), source=f"{log.file} line {line}"), outer
    return None


def _says(life: Life, outer: str) -> str:
    made = "its entry was made, so its first packet passed every rule" if life.made else "it had an entry"
    end = life.destroyed
    if end is None:
        ended = ""
    elif end.by_user:
        ended = "; a program deleted it"
    else:
        ended = (
            f"; the kernel ended it with {end.entry.timeout} s left" if end.entry.timeout else "; it expired"
        )
    if end is not None and life.made is not None and None not in (end.time, life.made.time):
        ended += f" {((end.time or 0) - (life.made.time or 0)) / 1e9:.1f} s later"
    answered = "and was never answered" if life.entry.unreplied else "and was answered"
    return f"conntrack's log: {made}; it left as {outer} {answered}{ended}"


def _end(end: tuple[str, int]) -> str:
    address, port = end
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def packet(scene: Scene, point: Point, row: int) -> list[Evidence]:
    """The kernel's own log line on a TCP packet, found by its ports, sequence and acknowledgement numbers."""
    packets = point.packets
    ends = int(point.flows.ports[packets.flow[row]])
    ports = {ends >> 16, ends & 0xFFFF}
    return [
        Evidence(says=f"the kernel logged this packet: {line.says}", source=line.file)
        for line in scene.evidence.log
        if line.about == "packet"
        and line.seq == int(packets.seq[row])
        and line.ack == int(packets.ack[row])
        and {line.sport, line.dport} == ports
    ][:1]
