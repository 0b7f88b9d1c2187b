"""ICMP errors for a pod's connections that arrived at the node and were not passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.transport import flow_ends, turned
from analyzer.connection.passages import addresses, flow_name
from analyzer.flow.keys import distinct
from analyzer.flow.point import TCP
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.incident.path_mtu import HEADERS, remedies, stopped
from analyzer.node.ways import IN

if TYPE_CHECKING:
    from analyzer.connection.refusals import Refusal
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

MOST = 1000
"""Connections that are told."""


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection of which an error that asks for smaller packets got no further."""
    found: list[Finding] = []
    for gap in scene.gaps:
        if gap.outer.role not in ("tunnel", "uplink") or not scene.refusals.at(gap.outer):
            continue
        for match in range(len(gap.matches.a)):
            errors = _stopped(gap, match, scene)
            if errors and len(found) < MOST:
                found.append(_finding(gap, match, errors, scene))
    return found


def _stopped(gap: Gap, match: int, scene: Scene) -> list[Refusal]:
    """The errors about what the pod sent that the outer point saw come in, if none is inside, where somebody was recording."""
    m = gap.matches
    inner, outer = int(m.a[match]), int(m.b[match])
    # The pod is the sender: of flows that were opened outside it is the responder, whose packets have the ends the other way.
    replies = (gap.heading[match] == IN) ^ bool(m.flip[match])
    there = scene.refusals.at(gap.outer).get(_ends(gap.outer.flows, outer, reverse=bool(replies)), [])
    errors = [one for one in there if one.too_big and gap.in_inner[one.row] < 0]
    if not errors:
        return []
    inside = scene.refusals.at(gap.inner).get(
        _ends(gap.inner.flows, inner, reverse=bool(gap.heading[match] == IN)), []
    )
    times = np.array([one.time for one in errors])
    return [] if inside or not gap.inner.recorded(times).any() else errors


def _ends(flows, flow: int, *, reverse: bool) -> bytes:  # type: ignore[no-untyped-def]
    """Both ends of a flow, sender first."""
    ends = flow_ends(flows, flow)
    return turned(ends) if reverse else ends


def _finding(gap: Gap, match: int, errors: list[Refusal], scene: Scene) -> Finding:
    inner, m = gap.inner, gap.matches
    flow, packets = int(m.a[match]), inner.packets
    side = int(gap.heading[match] == IN)
    rows = inner.rows(flow, side)
    pod = addresses(inner.flows, flow)[side]
    v6 = ":" in pod
    mtu = min((one.mtu for one in errors if one.mtu), default=0)
    large = (
        rows[packets.length[rows] + HEADERS[6 if v6 else 4] > mtu] if mtu else rows[packets.length[rows] > 0]
    )
    repeated = len(large) - len(distinct(packets.seq[large])) if inner.flows.proto[flow] == TCP else 0
    first, last = (scene.trails.sighting(gap.outer, one.row) for one in (errors[0], errors[-1]))
    name = flow_name(inner.flows, flow)
    says = f"{first.src} said {len(errors)} times, {errors[0].words}" + (
        f", at most {mtu:,} bytes" if mtu else ""
    )
    evidence = [
        Evidence(
            says=f"{says}; the error was seen on {gap.outer.name}, never on {gap.inner.name}",
            source=f"{first.file} frames {first.frame} to {last.frame}"
            if len(errors) > 1
            else f"{first.file} frame {first.frame}",
        )
    ]
    if repeated:
        seen = scene.trails.sighting(inner, int(large[0]))
        evidence.append(
            Evidence(
                says=f"segments of up to {int(packets.length[large].max()):,} bytes of payload were sent again {repeated} times",
                source=f"{seen.file} frame {seen.frame}",
            )
        )
    steps, sure, source = stopped(scene, gap, router=first.src, pod=pod, own=False)
    if steps:
        evidence.insert(0, Evidence(says=f"the error matches this rule: {steps[0].text}", source=source))
    return Finding(
        kind="error-vanished",
        cause="mtu-black-hole",
        confidence="proven" if repeated else "likely",
        gap=gap.names,
        point=inner.name,
        flow=flow,
        time=errors[0].time,
        inner=name,
        outer=flow_name(gap.outer.flows, int(m.b[match])),
        delay_s=None,
        passages=tuple(
            sorted(
                [
                    *(
                        scene.trails.passage(
                            gap.outer,
                            one.row,
                            outward=False,
                            role="offender",
                            note=f"{one.words}, not passed on",
                        )
                        for one in errors[:8]
                    ),
                    *(
                        scene.trails.passage(inner, int(row), outward=True, role="context", note="too large")
                        for row in large[:8]
                    ),
                ],
                key=lambda passage: passage.sightings[0].time,
            )
        ),
        omitted=max(0, len(rows) - 8),
        facts={"packets": len(errors), "mtu": mtu or None, "repeated": repeated},
        evidence=tuple(evidence),
        remedies=remedies(steps, mtu, sure=sure, v6=v6, own=False),
        excluded=(
            Exclusion(
                cause="lost outside the node",
                because="the router that dropped the packet said so; the answer is what was lost here",
            ),
        ),
    )
