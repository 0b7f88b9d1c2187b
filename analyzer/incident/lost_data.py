"""Data of running connections that vanished in the node: segments that were sent again and again, and never got through.

The repetition says that it mattered. A segment of which any copy crossed the gap, or that the other side acknowledged, arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import FRAGMENT, REPLY, TCP_ACK
from analyzer.connection.model import Fate
from analyzer.connection.passages import flow_name
from analyzer.flow.point import TCP
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.node.ways import IN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap, Leg

MOST = 1000
"""Connections that are told."""
M32, HALF = 0xFFFFFFFF, 1 << 31


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection and direction."""
    found: list[Finding] = []
    for gap in scene.gaps:
        for leg in (gap.outward(), gap.inward()):
            for flow, rows in _stuck(leg):
                if len(found) < MOST:
                    found.append(_finding(gap, leg, flow, rows, scene))
    return found


def _stuck(leg: Leg) -> list[tuple[int, NDArray[np.int64]]]:
    """Flows with a segment that was seen here twice or more, and never beyond, where somebody was recording: its rows."""
    here = leg.here
    packets, flows = here.packets, here.flows
    rows = leg.partner.lacking()
    rows = rows[(packets.length[rows] > 1) & (packets.bits[rows] & FRAGMENT == 0)]
    flow = packets.flow[rows]
    match = leg.match[flow]
    keep = (flows.proto[flow] == TCP) & (match >= 0)
    rows, flow, match = rows[keep], flow[keep], match[keep]
    if not len(rows):
        return []
    heading = leg.heading[match] * np.where(packets.bits[rows] & REPLY, -1, 1)
    keep = (heading == (-IN if leg.outward else IN)) & leg.there.recorded(packets.time[rows])
    rows, flow = rows[keep], flow[keep]
    key = flow.astype(np.int64) << 32 | packets.seq[rows]
    _, of, times = np.unique(key, return_inverse=True, return_counts=True)
    rows, flow = rows[times[of] > 1], flow[times[of] > 1]
    found = []
    for f in np.unique(flow).tolist():
        mine = rows[flow == f]
        side = int(packets.bits[mine[0]] & REPLY)
        first = int(packets.seq[mine].min())
        mine = mine[packets.seq[mine] == first]
        if not _arrived(leg, f, side, int(mine[0])):
            found.append((f, mine))
    return found


def _arrived(leg: Leg, flow: int, side: int, row: int) -> bool:
    """Whether a copy of this segment, or the data in it, crossed, or was acknowledged."""
    packets = leg.here.packets
    end = int(packets.seq[row]) + int(packets.length[row])
    sent = leg.here.rows(flow, side)
    crossed = sent[leg.partner[sent] >= 0]
    ends = (packets.seq[crossed].astype(np.int64) + packets.length[crossed] - end) & M32
    begins = (packets.seq[crossed].astype(np.int64) - int(packets.seq[row])) & M32
    if ((ends < HALF) & ((begins == 0) | (begins >= HALF)) & (packets.length[crossed] > 0)).any():
        return True
    back = leg.here.rows(flow, 1 - side)
    acks = back[packets.flags[back] & TCP_ACK != 0]
    return bool((((packets.ack[acks].astype(np.int64) - end) & M32) < HALF).any())


def _finding(gap: Gap, leg: Leg, flow: int, rows: NDArray[np.int64], scene: Scene) -> Finding:
    here, there = leg.here, leg.there
    packets = here.packets
    seen = scene.trails.sighting(here, int(rows[0]))
    walked = scene.walk(here, int(rows[0]), gap, outward=leg.outward)
    rule = walked[0].end if walked is not None and walked[0].verdict in ("drop", "reject") else None
    evidence = [
        Evidence(
            says=f"a segment of {int(packets.length[rows[0]]):,} bytes was sent {len(rows)} times, seen on {here.name}, never on "
            f"{there.name}, and not acknowledged",
            source=f"{seen.file} frame {seen.frame}",
        )
    ]
    if walked is not None and rule is not None:
        evidence.insert(0, Evidence(says=f"it meets this rule: {rule.text}", source=walked[1]))
    inner = flow if here is gap.inner else int(leg.flows_there[leg.match[flow]])
    return Finding(
        kind="data-vanished",
        cause="policy-drop" if rule is not None else "unknown",
        confidence="likely",
        gap=gap.names,
        point=here.name,
        flow=flow,
        time=seen.time,
        inner=flow_name(gap.inner.flows, inner),
        outer=flow_name(
            gap.outer.flows, int(leg.flows_there[leg.match[flow]]) if here is gap.inner else flow
        ),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(
                here,
                int(row),
                outward=leg.outward,
                fate=Fate.VANISHED,
                gap=gap.names,
                role="attempt",
                note=f"sent {n} times",
            )
            for n, row in enumerate(rows[:12].tolist(), 1)
        ),
        omitted=max(0, len(rows) - 12),
        facts={"packets": len(rows), "bytes": int(packets.length[rows[0]])},
        evidence=tuple(evidence),
        excluded=(Exclusion(cause="lost outside the node", because=f"no copy of it got to {there.name}"),),
    )
