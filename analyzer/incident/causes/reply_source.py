"""A program on the node answered from another of the node's addresses than it was asked at.

What happens
    A program with a UDP socket on all addresses (0.0.0.0) leaves it to the kernel which address its answer is from: that of
    the interface it leaves by. A pod that asks another address of the node, say that of eth0, gets the answer from the
    bridge's. Its socket is for the address that it asked, so it refuses the answer with an ICMP error, or its resolver says
    "reply from unexpected source". A service whose endpoint runs in the host's network fails alike: NAT knows no such reply.
    Engines' port proxies did so as well. TCP is not affected: it answers from the address that was asked.

How it is recognised
    A pod's request got no answer. A datagram to its very port came from another address, which is this node's own, and the pod
    refused it (port unreachable). Without that refusal it is *likely*, if it came from the port that was asked.

What is ruled out
    A loss: request and answer both arrived. A closed port: the pod had just sent from it.

Remedies and their risks
    Let the program listen on the address that is asked, or ask the address of the bridge. Programs can remember which address
    they were asked at (IP_PKTINFO).

References
    ip(7) IP_PKTINFO; https://github.com/moby/moby/issues/15127; https://github.com/moby/moby/pull/48571;
    https://github.com/kubernetes/kubernetes/pull/94812
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.transport import flow_ends
from analyzer.connection.passages import ends, flow_name
from analyzer.connection.refusals import UNHEARD
from analyzer.flow.keys import among
from analyzer.flow.point import UDP
from analyzer.incident.model import Evidence, Exclusion, Finding, Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.connection.refusals import Refusal
    from analyzer.flow.point import Point
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "reply-source"
TITLE = "answered from another address of the node"
MOST = 1000
"""Connections that are told."""

REMEDIES = (
    Remedy(
        do="See which program listens on all addresses, and bind it to the one that is asked",
        command="ss -lunp",
        effect="It answers from the address that it is bound to; the next request works.",
        risk="None: read-only. Bound to one address, the program is no longer reached at the others.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'UDP request')} failed though request and answer both arrived: a "
        "program on this node answered from another of the node's addresses than the one that was asked, and the pod refused it."
    )


def findings(scene: Scene) -> list[Finding]:
    """One finding per flow of requests, by the innermost point that shows it."""
    found: dict[tuple[str, str], Finding] = {}
    for role in ("pod", "bridge"):
        for point in (point for point in scene.points if point.role == role):
            for asked, answer, refusal in _told(point, scene):
                key = ends(point.flows, asked)
                if key not in found and len(found) < MOST:
                    found[key] = _finding(point, asked, answer, refusal, scene)
    return list(found.values())


def answers(scene: Scene) -> Iterator[tuple[Point, int, int]]:
    """Flows of requests at a point, each with the flow of its answer."""
    for point in scene.points:
        if point.role in ("pod", "bridge"):
            yield from ((point, asked, answer) for asked, answer, _ in _told(point, scene))


def _told(point: Point, scene: Scene) -> Sequence[tuple[int, int, Refusal | None]]:
    """Pairs of which the refusal, or the port that was asked, says that the one answers the other."""

    def look() -> list[tuple[int, int, Refusal | None]]:
        told = []
        for asked, answer in _pairs(point, scene):
            errors = scene.refusals.at(point).get(flow_ends(point.flows, answer), ())
            refusal = next((one for one in errors if one.kind in UNHEARD), None)
            ports = point.flows.ports
            if refusal is not None or int(ports[answer]) >> 16 == int(ports[asked]) & 0xFFFF:
                told.append((asked, answer, refusal))
        return told

    return scene.once(("answered from another address", point.name), look)


def _pairs(point: Point, scene: Scene) -> Iterator[tuple[int, int]]:
    """Flows of requests that got no answer, each with the flow that came to the same socket from elsewhere in the node."""
    flows, starts = point.flows, point.starts
    alone = (flows.proto == UDP) & (starts[2::2] == starts[1:-1:2])
    source = point.src + (flows.ports >> 16).astype(np.uint64)
    to = scene.destinations[point.name]
    own = np.flatnonzero(alone & among(point.src, scene.node.own) & among(to, source[alone]))
    if not len(own):
        return
    asking: dict[int, list[int]] = {}
    for flow in np.flatnonzero(alone & among(source, to[own])).tolist():
        asking.setdefault(int(source[flow]), []).append(flow)
    for answer in own.tolist():
        begun = point.rows(answer, 0)[0]
        before = [flow for flow in asking.get(int(to[answer]), ()) if point.rows(flow, 0)[0] < begun]
        if before:
            yield before[-1], answer


def _finding(point: Point, asked: int, answer: int, refusal: Refusal | None, scene: Scene) -> Finding:
    packets, flows = point.packets, point.flows
    request, reply = int(point.rows(asked, 0)[0]), int(point.rows(answer, 0)[0])
    gap = next((gap.names for gap in scene.gaps if point in (gap.inner, gap.outer)), None)
    seen = scene.trails.sighting(point, reply)
    wanted, got = ends(flows, asked)[1], ends(flows, answer)[0]
    told = [
        Evidence(
            says=f"the request to {wanted} got no answer; one to the same socket came from {got}, an address of this node",
            source=f"{seen.file} frame {seen.frame}",
        )
    ]
    shown = [(request, True, "attempt", f"to {wanted}"), (reply, False, "offender", f"from {got} instead")]
    if refusal is not None:
        said = scene.trails.sighting(point, refusal.row)
        told.append(
            Evidence(
                says="the pod refused that: none of its sockets takes it",
                source=f"{said.file} frame {said.frame}",
            )
        )
        shown.append((refusal.row, True, "context", "the pod's socket is for the address that it asked"))
    return Finding(
        kind="misdelivered",
        cause=CODE,
        confidence="likely" if refusal is None else "proven",
        gap=gap,
        point=point.name,
        flow=asked,
        time=int(packets.time[request]),
        inner=flow_name(flows, asked),
        outer=flow_name(flows, answer),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(point, row, outward=outward, role=role, note=note)
            for row, outward, role, note in shown
        ),
        omitted=max(0, len(point.rows(asked)) - 1),
        facts={"packets": len(point.rows(asked, 0)), "asked": wanted, "answered": got},
        evidence=tuple(told),
        excluded=(Exclusion(cause="lost inside the node", because="request and answer both arrived"),),
    )
