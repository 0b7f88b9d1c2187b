"""The kernel's own record of a lost packet, where the bundle has one: it outranks every inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.evidence.drops import meaning
from analyzer.evidence.witness import Loss, join
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.model import Evidence
from analyzer.nat.fates import VANISHED
from analyzer.nat.passages import address

if TYPE_CHECKING:
    from analyzer.evidence.drops import DropRecord, Kind
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.scene import Scene

MOST = 50_000
"""Lost packets that are compared with the records."""
_NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmpv6"}


def recorded(case: Case, scene: Scene, *kinds: Kind, reason: str = "") -> Evidence | None:
    """What the kernel recorded of one of a case's lost packets; None without a record of these kinds.

    Args:
        case: Whose packets.
        scene: Everything known.
        kinds: Of `analyzer.evidence.drops.Meaning`; only those that the record alone proves count.
        reason: Of the record, where no kind is as narrow as what is asked for.
    """
    if not scene.evidence.drops:
        return None
    known = scene.once("drop records", lambda: _joined(scene))
    for step in case.lost:
        point, row = step.seen[-1]
        record = known.get((point.name, row))
        if record is None:
            continue
        what = meaning(record.reason, record.location, record.stack, record.hook)
        if record.reason == reason if reason else what.kind in kinds and what.sole:
            return Evidence(
                says=f"the kernel recorded that it dropped the packet {what.says}"
                + (f" ({record.reason})" if record.reason else ""),
                source=f"{record.file} line {record.line}",
            )
    return None


def _joined(scene: Scene) -> dict[tuple[str, int], DropRecord]:
    lost = [
        (at.point, int(row))
        for kind in (scene.requests, scene.replies)
        for followed in kind.values()
        for at in followed
        for row in at.rows[at.fate == VANISHED][:MOST]
    ][:MOST]
    records = join(scene.evidence.drops, [_loss(point, row) for point, row in lost])
    return {(lost[number][0].name, lost[number][1]): record for number, record in records.items()}


def _loss(point: Point, row: int) -> Loss:
    packets, flows = point.packets, point.flows
    flow, reply = int(packets.flow[row]), bool(packets.bits[row] & REPLY)
    proto, ports = int(flows.proto[flow]), int(flows.ports[flow])
    src, dst = (
        address(int(getattr(flows, f"{side}_hi")[flow]), int(getattr(flows, f"{side}_lo")[flow]))
        for side in ("src", "dst")
    )
    ends = (src, ports >> 16), (dst, ports & 0xFFFF)
    (src, sport), (dst, dport) = ends[::-1] if reply else ends
    ported = proto in (TCP, UDP)
    sent = int(packets.time[row])
    times = packets.time[point.rows(flow, int(reply))]
    later = times[times > sent]
    return Loss(
        proto=_NAMES.get(proto, str(proto)),
        src=src,
        dst=dst,
        sport=sport if ported else None,
        dport=dport if ported else None,
        seq=int(packets.seq[row]) if proto == TCP else None,
        ip_id=int(packets.ip_id[row]) or None,
        last_seen_ns=sent,
        next_ns=int(np.min(later)) if len(later) else None,
    )


def risen(scene: Scene, name: str, of: str | None = None) -> list[Evidence]:
    """What one of the kernel's counters says where it rose between the first and the last snapshot: `IpExt.InNoRoutes`."""
    return [
        Evidence(
            says=f"{name.replace('.', '')} rose by {reading.rose:,}"
            + (f" on {reading.of}" if reading.of else ""),
            source=f"{reading.files[0]} and {reading.files[-1]}",
        )
        for reading in scene.evidence.readings(name, of)
        if reading.rose
    ]
