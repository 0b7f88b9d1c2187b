"""The kernel's own record of a lost packet, where the bundle has one: it outranks every inference."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.connection.fates import VANISHED
from analyzer.connection.passages import addresses
from analyzer.connection.reasons import CODES
from analyzer.evidence.counting import UNTOLD, read
from analyzer.evidence.witness import LostPacket, join
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.incident.model import Evidence, Exclusion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.evidence.counting import Reading
    from analyzer.evidence.drops import DropRecord, Kind
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.scene import Scene

MOST = 50_000
"""Packets that are compared with the records."""
_LOSSES = re.compile(
    r"(?i)drop|discard|miss|error|no_?buf|overrun|overflow|fifo|noroute|csum|squeeze|flow_limit|tx_timeout|exceeded"
)
"""What counters of lost packets have in their names, whichever tool prints them."""
_COUNTERS = 6
"""Counters that are told of one loss."""
OPEN = tuple(
    CODES[code]
    for code in (
        "not-recording", "not-captured", "one-direction", "capture-dropped", "undecoded", "filtered", "way-unknown",
    )
)  # fmt: skip
"""Reasons that say nothing of the packet, only of the point that should have seen it."""
REFUSED = tuple(CODES[code] for code in ("refused-here", "rejected", "refused"))
"""Reasons of packets that a rule may have dropped when it refused them."""
ARRIVED = frozenset({"receiver", "no-listener"})
"""What is recorded of packets that got to a socket's own stack: no loss on the way."""
COPIES: frozenset[Kind] = frozenset({"not-a-loss", "other-host"})
"""What is recorded of copies: of a packet that a bridge flooded, or that an interface in promiscuous mode took."""
_NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmpv6"}


def record_of(case: Case, scene: Scene) -> DropRecord | None:
    """The kernel's record of the first of a case's lost packets that has one."""
    if not scene.evidence.drops:
        return None
    known = joined(scene)
    found = (known.get((point.name, row)) for point, row in (step.seen[-1] for step in case.lost))
    return next((record for record in found if record is not None), None)


def recorded(case: Case, scene: Scene, *kinds: Kind, reason: str = "", alone: bool = True) -> Evidence | None:
    """What the kernel recorded of one of a case's lost packets; None without a record of these kinds.

    Args:
        case: Whose packets.
        scene: Everything known.
        kinds: Of `analyzer.evidence.drops.Meaning`.
        reason: Of the record, where no kind is as narrow as what is asked for.
        alone: Whether only a record counts that leaves nothing else possible.
    """
    record = record_of(case, scene)
    if record is None:
        return None
    what = record.means
    fits = record.reason == reason if reason else what.kind in kinds and (what.sole or not alone)
    return told(record) if fits else None


def told(record: DropRecord) -> Evidence:
    """A record as evidence."""
    at = " at ".join(filter(None, (record.reason, record.location)))
    return Evidence(
        says=f"the kernel recorded that it dropped the packet {record.means.says}"
        + (f" ({at})" if at else ""),
        source=f"{record.file} line {record.line}",
    )


def agrees(cause: ModuleType, record: DropRecord | None) -> bool:
    """Whether a packet of which the kernel left this record can have died of a cause.

    A record of a place that nobody knows contradicts nothing.
    """
    return record is None or record.means.kind in ("unknown", *getattr(cause, "RECORDS", ()))


def outranked(cause: str, record: DropRecord) -> Exclusion:
    """Say that a record contradicts a cause whose signs are there."""
    return Exclusion(
        cause=cause,
        because=f"its signs are there, but the kernel's own record says that it dropped the packet {record.means.says}",
    )


def joined(scene: Scene) -> Mapping[tuple[str, int], DropRecord]:
    """Point and row to the record of that packet: of lost ones, of refused ones, and of those that the captures leave open."""
    return scene.once("drop records", lambda: _joined(scene, certain=True))


def hinted(case: Case, scene: Scene) -> DropRecord | None:
    """The last sign of one of a case's lost packets, where nothing says that it was dropped there: a rule logged it."""
    known = scene.once("logged packets", lambda: _joined(scene, certain=False))
    found = (known.get((point.name, row)) for point, row in (step.seen[-1] for step in case.lost))
    return next((record for record in found if record is not None), None)


def _joined(scene: Scene, *, certain: bool) -> dict[tuple[str, int], DropRecord]:
    records = [record for record in scene.evidence.drops if record.means.kind not in COPIES]
    if not records:
        return {}
    lost = _packets((at, at.fate == VANISHED) for at in scene.followed)
    more = _packets((at, np.isin(at.reason, (*OPEN, *REFUSED)) & ~at.answered) for at in scene.followed)
    some = (lost + more)[:MOST]
    losses = _losses(some)
    # A record without addresses names nobody: it is joined by the number of losses, which an open packet may not be.
    found = join([r for r in records if not r.src], losses[: len(lost)], certain=certain)
    found |= join([r for r in records if r.src], losses, certain=certain)
    return {(some[number][0].name, some[number][1]): record for number, record in found.items()}


def _packets(chosen: Iterable[tuple[Followed, NDArray[np.bool_]]]) -> list[tuple[Point, int]]:
    return list(chain.from_iterable(
        ((at.point, row) for row in at.rows[mask][:MOST].tolist()) for at, mask in chosen
    ))[:MOST]  # fmt: skip


def _losses(packets: Sequence[tuple[Point, int]]) -> list[LostPacket]:
    times: dict[tuple[str, int, bool], NDArray[np.int64]] = {}
    found = []
    for point, row in packets:
        flow, reply = int(point.packets.flow[row]), bool(point.packets.bits[row] & REPLY)
        key = point.name, flow, reply
        if key not in times:
            times[key] = np.sort(point.packets.time[point.rows(flow, int(reply))])
        found.append(_loss(point, row, flow, reply, times[key]))
    return found


def _loss(point: Point, row: int, flow: int, reply: bool, times: NDArray[np.int64]) -> LostPacket:
    packets, flows = point.packets, point.flows
    proto, ports = int(flows.proto[flow]), int(flows.ports[flow])
    src, dst = addresses(flows, flow)
    ends = (src, ports >> 16), (dst, ports & 0xFFFF)
    (src, sport), (dst, dport) = ends[::-1] if reply else ends
    ported = proto in (TCP, UDP)
    sent = int(packets.time[row])
    later = int(np.searchsorted(times, sent, "right"))
    return LostPacket(
        proto=_NAMES.get(proto, str(proto)),
        src=src,
        dst=dst,
        sport=sport if ported else None,
        dport=dport if ported else None,
        seq=int(packets.seq[row]) if proto == TCP else None,
        ip_id=int(packets.ip_id[row]) or None,
        last_seen_ns=sent,
        next_ns=int(times[later]) if later < len(times) else None,
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


def drops_counted(scene: Scene, devices: Sequence[str]) -> list[Evidence]:
    """What counters of lost packets say that rose meanwhile: of the node, and of these interfaces, their queues and drivers.

    Where snapshots of before and after are there and none of them rose, that is told.
    """
    mine = [c for c in scene.evidence.statistics if c.of.split(" ")[0] in ("", UNTOLD, *devices)]
    found: list[tuple[int, str, str, str]] = []
    looked = set()
    for name in sorted({name for counters in mine for name in counters.values if _LOSSES.search(name)}):
        for reading in read(mine, name):
            if reading.rose is not None:
                looked.add(reading.of.split(" ")[0] or "the node")
            if reading.rose:
                files = f"{reading.files[0]} and {reading.files[-1]}"
                found.append((reading.rose, name, reading.of, files))
    if looked and not found:
        return [
            Evidence(
                says=f"no counter of lost packets of {' and '.join(sorted(looked))} rose",
                source="counters before and after",
            )
        ]
    return [
        Evidence(says=f"{name.replace('.', '')} rose by {rose:,}" + (f" on {of}" if of else ""), source=files)
        for rose, name, of, files in sorted(found, key=lambda one: -one[0])[:_COUNTERS]
    ]


def queue_drops(device: str, scene: Scene) -> Reading | None:
    """The queue of a device, or of one that is not told, that dropped most between the first and the last snapshot.

    A classful qdisc counts what its children drop as well, so the largest is taken, not the sum.
    """
    readings = [r for r in scene.evidence.readings("dropped") if r.rose]
    named = [r for r in readings if r.of.split(" ")[0] == device]
    untold = [r for r in readings if r.of.split(" ")[0] == UNTOLD]
    return max(named or untold, key=lambda r: r.rose or 0, default=None)
