"""All that happened in one bundle, and the bundle in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import SYN_X, SYN_Y
from analyzer.connection.fates import VANISHED
from analyzer.flow.keys import among
from analyzer.flow.point import TCP, UDP
from analyzer.incident import (
    astray,
    challenge_ack,
    invalid_dropped,
    invalid_reset,
    logged,
    lost_data,
    lost_entry,
    lost_errors,
    misdelivered,
    second_connection,
    unnatted_leak,
    vanished,
)
from analyzer.incident.cases import cases, lost, refused
from analyzer.incident.causes import hairpin, reply_source, snat_address, stale_neighbour, uplink_changed
from analyzer.incident.host_resets import resets
from analyzer.incident.model import Counts
from analyzer.nat.tuples import tuple_keys
from analyzer.node.topology import depth
from analyzer.node.ways import IN

if TYPE_CHECKING:
    from analyzer.flow.point import Point
    from analyzer.incident.model import Finding
    from analyzer.incident.scene import Scene


def find(scene: Scene) -> tuple[list[Finding], Counts]:
    """Tell every connection that lost a request or was reset by the host, and count."""
    asked = [
        case
        for kind, decisive in ((scene.requests, lost), (scene.requests, refused), (scene.replies, lost))
        for protocol in kind
        for case in cases(kind[protocol], scene.gaps, scene.trails, protocol, decisive)
    ]
    found = vanished.findings(asked, scene)
    reset = resets(scene.gaps)
    found += invalid_reset.findings(reset, scene)
    dropped = invalid_dropped.findings(scene, {(r.gap.outer.name, r.offender) for r in reset})
    found += dropped
    leaked = unnatted_leak.findings(scene)
    found += leaked
    found += misdelivered.findings(scene)
    found += reply_source.findings(scene)
    found += hairpin.findings(scene)
    found += lost_entry.findings(scene)
    found += uplink_changed.findings(scene)
    found += snat_address.findings(scene)
    found += stale_neighbour.findings(scene)
    found += astray.findings(scene)
    found += lost_errors.findings(scene)
    points = scene.trails.points
    told = {
        at
        for f in found
        if f.point in points
        for at in scene.trails.flows_of(points[f.point], f.flow).items()
    }
    found += [f for f in lost_data.findings(scene) if (f.point, f.flow) not in told]
    found += second_connection.findings(scene)
    tcp, udp = scene.requests[TCP], scene.requests[UDP]
    return logged.findings(found, scene.evidence.events), Counts(
        connections=_connections(scene),
        syn_attempts=sum(int(at.first.sum()) for at in tcp),
        syn_vanished=sum(int((at.fate == VANISHED).sum()) for at in tcp),
        syn_unanswered=sum(
            int((at.outward & ~at.answered & at.last).sum()) for at in tcp if at.point.role == "uplink"
        )
        - sum(one.in_vain for one in challenge_ack.challenges(scene)),
        udp_requests=sum(int(at.first.sum()) for at in udp),
        udp_vanished=sum(int((at.fate == VANISHED).sum()) for at in udp),
        reply_vanished=sum(
            int((at.fate == VANISHED).sum()) for followed in scene.replies.values() for at in followed
        ),
        refused=sum(finding.kind == "refused" for finding in found),
        invalid_packets=len({(r.gap.outer.name, r.offender) for r in reset})
        + sum(len(f.facts["offenders"]) for f in dropped)
        + sum(int(f.facts["packets"]) for f in leaked),
        host_resets=len({(r.gap.outer.name, r.reset) for r in reset if not r.by_pod}),
    )


def _connections(scene: Scene) -> int:
    """TCP connections, each counted at the point that meets its SYN first, or, without a SYN, its flow."""
    opened, running = 0, 0
    inside: list[Point] = []
    for at in scene.requests[TCP]:
        begun = np.zeros(len(at.point.flows), bool)
        begun[at.point.packets.flow[at.rows[at.first]]] = True
        opened += int(begun.sum())
    for point in sorted(scene.points, key=depth):
        first = (point.flows.proto == TCP) & (point.flows.marks & (SYN_X | SYN_Y) == 0)
        for gap in scene.gaps:
            if gap.outer is point:
                leg = gap.inward()
                first[leg.flows_here[leg.heading != IN]] = False
            elif gap.inner is point:
                first[gap.matches.a[gap.heading == IN]] = False
        if first.any():
            # The same addresses and ports further inside: the rest of a connection that left untranslated.
            known = np.concatenate([np.zeros(0, np.uint64), *(tuple_keys(other.flows) for other in inside)])
            running += int(np.count_nonzero(first & ~among(tuple_keys(point.flows), known)))
        inside.append(point)
    return opened + running
