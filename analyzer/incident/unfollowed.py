"""Flows of transport protocols that are not followed, and that nobody answers: no connection shows that they failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.passages import addresses

if TYPE_CHECKING:
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

PROTOCOLS = {33: "DCCP", 132: "SCTP"}
"""Both begin with a handshake (RFC 4340 section 8.1, RFC 9260 section 5.1), so packets of one side alone are a failure."""
LEAST = 2
"""Packets of one side without an answer that are no accident: both protocols repeat what begins them."""
UNFOLLOWED = "is not followed"
"""How the sentence of `told` ends."""


def told(scene: Scene) -> str:
    """What is to be said of the first such flow, in one sentence; empty without any.

    Only points that recorded both directions count, and no point may show an answer of the same peer.
    """
    found: list[tuple[Point, int]] = []
    answered: set[str] = set()
    for point in scene.points:
        for flow in np.flatnonzero(np.isin(point.flows.proto, [*PROTOCOLS])).tolist():
            asked, replied = (len(point.rows(flow, side)) for side in (0, 1))
            if asked and replied:
                answered.add(addresses(point.flows, flow)[1])
            elif max(asked, replied) >= LEAST and point.both_ways:
                found.append((point, flow))
    left = [(point, flow) for point, flow in found if not answered & {*addresses(point.flows, flow)}]
    if not left:
        return ""
    point, flow = left[0]
    frame = point.recording.locate(int(point.rows(flow)[0]))[1]
    return (
        f"{' > '.join(addresses(point.flows, flow))} got no reply (from frame {frame} of {point.name} on): "
        f"{PROTOCOLS[int(point.flows.proto[flow])]} {UNFOLLOWED}"
    )
