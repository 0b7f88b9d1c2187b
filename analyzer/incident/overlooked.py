"""Packets called lost that a capture may have overlooked: it lost as many itself, or a filter hid them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.reasons import CODES
from analyzer.flow.point import TCP, UDP
from analyzer.node.recording import lacking

if TYPE_CHECKING:
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

MOST = 5_000
"""Packets that are led through the rules for this."""


def missed(scene: Scene) -> None:
    """Leave open single packets of flows that else got through, where the next point's capture lost as many.

    Only where conntrack counted no drop and no rule drops them: then nothing but that capture speaks for a loss. Of what was
    recorded a file may lack whole flows: somebody took them out.
    """
    if scene.counters.get("drop") or scene.counters.get("insert_failed"):
        return
    for there in scene.points:
        lacks = lacking(there, scene.evidence)
        dropped = scene.drops.get(there.name, 0) + lacks
        if not dropped or not (lacks or scene.counters):
            continue
        found = []
        for at in (at for kind in (scene.requests, scene.replies) for one in kind.values() for at in one):
            for place in np.flatnonzero(at.reason == CODES["lost"])[:MOST].tolist():
                gap, row = scene.gaps[int(at.gap[place])], int(at.rows[place])
                here, next_ = (gap.inner, gap.outer) if at.outward[place] else (gap.outer, gap.inner)
                if next_ is not there or at.point is not here:
                    continue
                flow = int(at.point.packets.flow[row])
                match = (gap.match_a if here is gap.inner else gap.match_b)[np.array([flow])][0]
                walked = scene.walk(at.point, row, gap, outward=bool(at.outward[place]))
                if (match >= 0 or lacks) and (walked is None or walked[0].verdict not in ("drop", "reject")):
                    found.append((at, place))
        if len(found) <= dropped:
            for at, place in found:
                at.reason[place] = CODES["capture-dropped"]


def filtered(scene: Scene) -> None:
    """Leave open what the node's rules let pass, conntrack counted no drop of, and a filter on a port would hide.

    So looks a point all of whose packets are of one port, without a single question for a neighbour, and none of that service.
    """
    if not scene.counters or scene.counters.get("drop") or scene.counters.get("insert_failed"):
        return
    for protocol in (TCP, UDP):
        for at in scene.requests[protocol]:
            for place in np.flatnonzero(at.reason == CODES["lost"])[:MOST].tolist():
                gap, row = scene.gaps[int(at.gap[place])], int(at.rows[place])
                there = gap.outer if at.outward[place] else gap.inner
                ports = int(at.point.flows.ports[at.point.packets.flow[row]])
                only = scene.once(("only port", there.name), partial(_only_port, there))
                if only is None or only in (ports >> 16, ports & 0xFFFF):
                    continue
                walked = scene.walk(at.point, row, gap, outward=bool(at.outward[place]))
                if walked is not None and walked[0].verdict == "accept":
                    at.reason[place] = CODES["filtered"]


def _only_port(point: Point) -> int | None:
    """The port that every packet of a point has on one side; None where there is none, or several."""
    flows = point.flows
    if not len(flows) or not np.isin(flows.proto, (TCP, UDP)).all():
        return None
    first = int(flows.ports[0])
    for port in (first & 0xFFFF, first >> 16):
        if ((flows.ports >> 16 == port) | (flows.ports & 0xFFFF == port)).all():
            return port
    return None
