"""What is said once per bundle: its capture points, its NAT mappings, its caveats."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.fates import CAPTURE_LOSS
from analyzer.connection.passages import ends
from analyzer.flow.point import TCP, UDP
from analyzer.incident import challenge_ack, tunnels
from analyzer.incident.cases import unexamined
from analyzer.incident.health import Signal, signals
from analyzer.incident.model import CapturePoint, Occupancy
from analyzer.incident.wording import count
from analyzer.nat.tuples import AGREED, DPORT, DST, PACKETS, SPORT, SRC
from analyzer.node.topology import depth
from analyzer.node.ways import LOCAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.capture.bundle import Bundle
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

MOST_MAPPINGS = 1000
"""NAT mappings that are listed; the tables have all."""
NAMED = 8
"""Capture points that a sentence names."""
_UNMET = "no flow was seen at two neighbouring capture points, so nothing can be concluded"


def capture_points(scene: Scene) -> tuple[CapturePoint, ...]:
    """The capture points in the order of the way out."""
    found = sorted((point for point in scene.points if not point.absent), key=lambda p: (depth(p), p.name))
    return tuple(
        CapturePoint(
            name=point.name,
            role=point.role or "unknown",
            files=tuple(file.label for file in point.recording.files),
            packets=len(point.packets),
            skipped=dict(point.recording.skipped),
            first=point.span[0] if len(point.packets) else None,
            last=point.span[1] if len(point.packets) else None,
            dropped=scene.drops.get(point.name),
            clock_offset=point.clock_offset,
        )
        for point in found
    )


def mappings(scene: Scene) -> tuple[dict[str, object], ...]:
    """What NAT made of the flows, gap by gap; flows that crossed unchanged are left out."""
    found: list[dict[str, object]] = []
    for gap in scene.gaps:
        changed = np.flatnonzero(
            gap.matches.agreed & (SRC | SPORT | DST | DPORT) != SRC | SPORT | DST | DPORT
        )
        changed = changed[: MOST_MAPPINGS - len(found)]
        flows = gap.matches.a[changed]
        if len(flows):
            times, counts = gap.inner.packets.time[gap.inner.rows_of(flows)], gap.inner.sizes()[flows]
            begins = np.cumsum(counts) - counts
            spans = (f.reduceat(times, begins).tolist() for f in (np.minimum, np.maximum))
            found += map(_mapping, repeat(gap), changed.tolist(), *spans, counts.tolist())
    return tuple(found)


def _mapping(gap: Gap, k: int, first: int, last: int, packets: int) -> dict[str, object]:
    m = gap.matches
    inner, outer = int(m.a[k]), int(m.b[k])
    a, b = ends(gap.inner.flows, inner), ends(gap.outer.flows, outer)
    if m.flip[k]:
        b = b[::-1]
    kind = "both" if a[0] != b[0] and a[1] != b[1] else "snat" if a[0] != b[0] else "dnat"
    return {
        "proto": "tcp"
        if gap.inner.flows.proto[inner] == TCP
        else str(_proto(int(gap.inner.flows.proto[inner]))),
        "gap": list(gap.names),
        "kind": kind,
        "inner": f"{a[0]} > {a[1]}",
        "outer": f"{b[0]} > {b[1]}",
        "first": first,
        "last": last,
        "packets": packets,
        "confidence": confidence(int(m.agreed[k]), int(m.votes[k])),
        "agreed": agreed(int(m.agreed[k]), int(m.votes[k])),
    }


def _proto(number: int) -> str | int:
    return {1: "icmp", 17: "udp", 58: "icmp6"}.get(number, number)


def confidence(bits: int, votes: int) -> Confidence:
    """How sure a crossing is: by its SYN, or by how many packets agree."""
    if not bits & PACKETS or votes >= 3:
        return "proven"
    return "likely" if votes == 2 or bits & (SPORT | DPORT) else "possible"


def agreed(bits: int, votes: int) -> list[str]:
    """The fields that prove a crossing, in words."""
    fields = [name for bit, name in AGREED.items() if bits & bit]
    return fields + ([count(votes, "packet")] if bits & PACKETS else [])


def caveats(bundle: Bundle, scene: Scene, placed: Sequence[str]) -> tuple[str, ...]:
    """Everything that limits what was concluded."""
    found = [*bundle.caveats, *scene.evidence.caveats]
    for point in scene.points:
        found += point.recording.caveats
        found += [
            f"{point.name}: {count(frames, 'frame')} are in no table: {reason}"
            for reason, frames in point.recording.skipped.items()
            if reason != "not IP or ARP"
        ]
    found += placed
    nothing = blind(scene)
    if nothing:
        found.append(nothing)
    for gap in captured(scene):
        found += _gap_caveats(gap)
    for point in scene.points:
        if point.clock_offset:
            found.append(
                f"{point.name}: its clock differs; its times were moved by {point.clock_offset / 1e9:+.9f} s to match."
            )
        if point.pauses:
            begin, end = (str(np.datetime64(time, "ns"))[:19].replace("T", " ") for time in point.pauses[0])
            more = len(point.pauses) - 1
            found.append(
                f"{point.name}: between two of its files it was not recorded from {begin} to {end} UTC"
                f"{f', and {more} more times' if more else ''}; what was sent then is not called lost."
            )
        if scene.drops.get(point.name):
            found.append(
                f"{point.name}: the capturing program lost {scene.drops[point.name]} packets; what it missed may look lost."
            )
    for requests in scene.requests.values():
        lost, left_out = unexamined(requests)
        if left_out:
            found.append(
                f"{lost:,} connections lost requests; {lost - left_out:,} of them, evenly chosen, were examined one by one, "
                "and the incidents tell of these alone. The counts are of all."
            )
    found += tunnels.refused(scene)
    missed = sum(int((at.fate == CAPTURE_LOSS).sum()) for found in scene.requests.values() for at in found)
    if missed:
        found.append(
            f"{missed} requests were missed by a capture that they demonstrably passed; they are not called lost."
        )
    if scene.unwalked:
        found.append(
            f"{scene.unwalked:,} different packets were not evaluated against {scene.evidence.rules[-1].file}: too many "
            "for so many rules; their findings name no rule."
        )
    found += challenge_ack.says(scene)
    return tuple(dict.fromkeys(found))


def health(scene: Scene) -> tuple[Signal, ...]:
    """Signs of the node's health, as of the last packet."""
    last = [point.span[1] for point in scene.points if len(point.packets)]
    return signals(scene.evidence, now=max(last, default=None))


def occupancy(scene: Scene) -> Occupancy | None:
    """The conntrack table's estimated occupancy, for the report."""
    estimated = scene.occupancy
    if estimated is None:
        return None
    shares = {
        "protocol": estimated.by_protocol,
        "TCP state": estimated.by_state,
        "source": estimated.by_source,
        "destination": estimated.by_destination,
    }
    return Occupancy(
        times=tuple(int(time) for time in estimated.time),
        entries=tuple(int(entries) for entries in estimated.entries),
        limit=scene.table_limit,
        shares={by: tuple(counts.items()) for by, counts in shares.items()},
    )


def blind(scene: Scene) -> str | None:
    """Why nothing can be said to be lost, or not: no two neighbouring points recorded at the same time."""
    points = [point for point in scene.points if not point.absent]
    if not (between := captured(scene)):
        names = ", ".join(p.name for p in points[:NAMED]) or "nothing"
        if len(points) > NAMED:
            names += f" and {len(points) - NAMED} more"
        were = "were" if len(points) > 1 else "was"
        return f"only {names} {were} captured, so no packet can be followed across a gap"
    if any(map(overlap, between)):
        return _UNMET if unmet(scene) else None
    return "no two neighbouring capture points recorded packets at the same time, so nothing can be concluded"


def captured(scene: Scene) -> list[Gap]:
    """The gaps both of whose points were captured."""
    return [gap for gap in scene.gaps if not (gap.inner.absent or gap.outer.absent)]


def unmet(scene: Scene) -> bool:
    """Whether nothing was lost, yet no flow was seen at both points of any gap, though some were on their way."""
    if any(scene.vanished.values()) or any(len(gap.matches.a) for gap in scene.gaps):
        return False
    inner = {gap.inner.name: gap.inner for gap in captured(scene)}.values()
    return any(
        bool((np.isin(point.flows.proto, (TCP, UDP)) & (scene.node.heading[point.name] != LOCAL)).any())
        for point in inner
    )


def overlap(gap: Gap) -> bool:
    """Whether both points of a gap recorded at some time."""
    (first, last), (begin, end) = gap.inner.span, gap.outer.span
    return len(gap.inner.packets) > 0 < len(gap.outer.packets) and first <= end and begin <= last


def _gap_caveats(gap: Gap) -> list[str]:
    found = []
    inner, outer = gap.inner, gap.outer
    name = f"{inner.name} and {outer.name}"
    if not len(inner.packets) or not len(outer.packets):
        empty = inner.name if not len(inner.packets) else outer.name
        return [f"{empty} holds no packet: nothing is concluded about the gap between {name}."]
    if not overlap(gap):
        found.append(
            f"{name} were not recorded at the same time: nothing is concluded about the gap between them."
        )
    elif not len(gap.matches.a) + len(gap.matches.ambiguous_a) and all(
        len(p.routable) for p in (inner, outer)
    ):
        found.append(
            f"no flow was seen at both {name}: they may be of different nodes, or of different traffic."
        )
    if len(gap.matches.ambiguous_a):
        found.append(
            f"{len(gap.matches.ambiguous_a)} flows at {inner.name} fit several flows at {outer.name} equally well: "
            "left undecided."
        )
    return found
