"""What running connections lost in the node: segments and FINs that were sent again and again, and RSTs.

The repetition says that it mattered. A segment of which any copy crossed the gap, or that the other side acknowledged, arrived.
Of RSTs, which nobody repeats, those of connections of which no RST of the same side crossed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from analyzer.capture.layout import FRAGMENT, REPLY, SYN_X, SYNACK_Y, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.compute.thresholds import CHANCE
from analyzer.connection.model import Fate
from analyzer.connection.onward import one_way
from analyzer.connection.passages import flow_name
from analyzer.flow.keys import distinct
from analyzer.flow.point import TCP
from analyzer.incident.absence import behind, misses, openings
from analyzer.incident.causes import policy_drop, uplink_changed
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.incident.path_mtu import too_large
from analyzer.node.ways import IN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.evidence.rules.packet import Steps
    from analyzer.incident.model import Confidence, Remedy
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap, Leg
    from analyzer.nat.partners import Partners

MOST = 1000
"""Connections that are told."""
M32, HALF = 0xFFFFFFFF, 1 << 31


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection and direction."""
    found: list[Finding] = []
    for gap in scene.gaps:
        for leg in (gap.outward(), gap.inward()):
            if one_way(leg) or openings(leg.there):
                continue  # beyond, nothing of this direction (`tcpdump -Q in`), or no such packet, was recorded
            for flow, rows in _stuck(leg, _ways(scene, leg)):
                overlooked = misses(scene, gap, outward=leg.outward) ** len(rows) > CHANCE
                if len(found) < MOST and not (overlooked or behind(scene, leg.here, int(rows[0]), leg.there)):
                    found.append(_finding(gap, leg, flow, rows, scene))
    return found


def _ways(scene: Scene, leg: Leg) -> list[Partners]:
    """The partners at all points that the same packets may go on to: a route may move to another uplink."""
    if leg.outward:
        return [gap.in_outer for gap in scene.gaps if gap.inner is leg.here]
    return [gap.in_inner for gap in scene.gaps if gap.outer is leg.here]


def _stuck(leg: Leg, ways: list[Partners]) -> list[tuple[int, NDArray[np.int64]]]:
    """Flows with a segment that was seen here, and never beyond, where somebody was recording: its rows, two unless a RST."""
    here = leg.here
    packets, flows = here.packets, here.flows
    if 4 * len(leg.flows_here) < len(flows):  # a bridge has hundreds of pods, each with few of its packets
        rows = np.sort(here.rows_of(leg.flows_here)).astype(np.int64)
        rows = rows[leg.partner[rows] < 0]
    else:
        rows = leg.partner.lacking()
    flags = packets.flags[rows]
    told = (packets.length[rows] > 1) | (flags & (TCP_FIN | TCP_RST) != 0)
    rows = rows[told & (flags & TCP_SYN == 0) & (packets.bits[rows] & FRAGMENT == 0)]
    flow = packets.flow[rows]
    match = leg.match[flow]
    keep = (flows.proto[flow] == TCP) & (match >= 0)
    rows, flow, match = rows[keep], flow[keep], match[keep]
    if not len(rows):
        return []
    heading = leg.heading[match] * np.where(packets.bits[rows] & REPLY, -1, 1)
    keep = (heading == (-IN if leg.outward else IN)) & leg.there.recorded(packets.time[rows])
    rows, flow = rows[keep], flow[keep]
    reset = packets.flags[rows] & TCP_RST != 0
    # A RST that refuses a SYN is followed as a reply.
    reset &= ~((flows.marks[flow] & (SYN_X | SYNACK_Y) == SYN_X) & (packets.bits[rows] & REPLY != 0))
    key = flow.astype(np.int64) << 32 | packets.seq[rows]
    _, of, times = np.unique(key, return_inverse=True, return_counts=True)
    keep = (times[of] > 1) & (packets.flags[rows] & TCP_RST == 0) | reset
    rows, flow = rows[keep], flow[keep]
    found = []
    for f in distinct(flow).tolist():
        mine = rows[flow == f]
        repeated = mine[packets.flags[mine] & TCP_RST == 0]
        mine = repeated if len(repeated) else mine
        side = int(packets.bits[mine[0]] & REPLY)
        mine = mine[packets.bits[mine] & REPLY == side]
        first = int(packets.seq[mine].min())
        mine = mine[packets.seq[mine] == first]
        if not _arrived(leg, ways, f, side, int(mine[0])):
            found.append((f, mine))
    return found


def _arrived(leg: Leg, ways: list[Partners], flow: int, side: int, row: int) -> bool:
    """Whether a copy of this segment, or what is in it, crossed, or was acknowledged; of a RST, whether any other crossed."""
    packets = leg.here.packets
    sent = leg.here.rows(flow, side)
    crossed = sent[np.any([partner[sent] >= 0 for partner in ways], axis=0)]
    if packets.flags[row] & TCP_RST:
        return bool((packets.flags[crossed] & TCP_RST != 0).any())
    size = packets.length[crossed] + (packets.flags[crossed] & TCP_FIN)  # a FIN has a number of its own
    end = int(packets.seq[row]) + int(packets.length[row]) + int(packets.flags[row] & TCP_FIN)
    ends = (packets.seq[crossed].astype(np.int64) + size - end) & M32
    begins = (packets.seq[crossed].astype(np.int64) - int(packets.seq[row])) & M32
    if ((ends < HALF) & ((begins == 0) | (begins >= HALF)) & (size > 0)).any():
        return True
    back = leg.here.rows(flow, 1 - side)
    acks = back[packets.flags[back] & TCP_ACK != 0]
    return bool((((packets.ack[acks].astype(np.int64) - end) & M32) < HALF).any())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Why:
    """As far as the rules, and the size that the next interface takes, tell it."""

    cause: str = "unknown"
    confidence: Confidence = "likely"
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    through: int = 0
    """Copies that left by another uplink."""


def _why(gap: Gap, leg: Leg, row: int, scene: Scene) -> _Why:
    def walk(scene: Scene) -> tuple[Steps, str] | None:
        return scene.walk(leg.here, row, gap, outward=leg.outward)

    walked = walk(scene)
    if walked and walked[0].verdict in policy_drop.LOST and (end := walked[0].end):
        says = f"it matches this rule: {end.text}"
        return _Why(
            cause="policy-drop",
            confidence="proven",
            evidence=(Evidence(says=says, source=walked[1]),),
            remedies=policy_drop.removal(end, scene, leg.here, row, walk),
        )
    if narrow := too_large(gap, leg, row, scene):
        return _Why(
            cause="mtu-black-hole",
            confidence="proven" if narrow.sure else "likely",
            evidence=narrow.evidence,
            remedies=narrow.remedies,
        )
    if walked and (risen := policy_drop.suspected(walked, scene)):
        says = f"it may match this rule, which counted {risen[1]} packets meanwhile: {risen[0].text}"
        return _Why(cause="policy-drop", evidence=(Evidence(says=says, source=walked[1]),))
    flow = int(leg.here.packets.flow[row])
    if leg.outward and (moved := uplink_changed.suspected(gap, flow, row, scene)):
        return _Why(cause=uplink_changed.CODE, evidence=moved[:1], through=moved[1])
    return _unknown(gap, leg, row, walked, scene)


def _unknown(gap: Gap, leg: Leg, row: int, walked: tuple[Steps, str] | None, scene: Scene) -> _Why:
    """Whether a rule drops it if conntrack does not know its connection any more, and counted some.

    What it does not know is INVALID, or NEW in the middle of a connection (`nf_conntrack_tcp_loose`).
    """
    if walked is None or walked[0].verdict != "accept":
        return _Why()
    rose = scene.counters.get("invalid", 0)
    states: tuple[Literal["invalid", "new"], ...] = ("invalid", "new")
    for state in states:
        other = scene.walk(leg.here, row, gap, outward=leg.outward, state=state)
        end = other[0].end if other is not None and other[0].verdict == "drop" else None
        if other is None or end is None:
            continue
        counted = (end.rule.packets if end.rule else end.chain.counted) or 0
        if not counted or (state == "invalid" and scene.counters and not rose):
            continue
        # What counts others as well must have counted meanwhile, which takes two listings.
        if (state == "new" or not end.rule) and policy_drop.grown(end, scene) <= 0:
            continue
        says = (
            f"rules accept it if conntrack knows its connection; this one drops it as {state.upper()}, and counted {counted:,} "
            f"packets: {end.rule.text if end.rule else end.text}"
        )
        told = [Evidence(says=says, source=other[1])]
        if rose and state == "invalid":
            told.append(Evidence(says=f"invalid rose by {rose:,}", source="conntrack -S before and after"))
        sure = state == "invalid" and rose == counted
        return _Why(cause="policy-drop", confidence="likely" if sure else "possible", evidence=tuple(told))
    return _Why()


def _finding(gap: Gap, leg: Leg, flow: int, rows: NDArray[np.int64], scene: Scene) -> Finding:
    here, there = leg.here, leg.there
    packets = here.packets
    seen = scene.trails.sighting(here, int(rows[0]))
    reset, size = packets.flags[rows[0]] & TCP_RST != 0, int(packets.length[rows[0]])
    what = "a RST" if reset else f"a segment of {size:,} bytes" if size else "a FIN"
    often = f"{len(rows)} times" if len(rows) > 1 else "once"
    why = _why(gap, leg, int(rows[0]), scene)
    lost = Evidence(
        says=f"{what} was sent {often}, seen on {here.name} and never on {there.name}"
        + ("" if reset else "; it was not acknowledged"),
        source=f"{seen.file} frame {seen.frame}",
    )
    inner = flow if here is gap.inner else int(leg.flows_there[leg.match[flow]])
    return Finding(
        kind="data-vanished",
        cause=why.cause,
        confidence=why.confidence,
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
        facts={
            "packets": len(rows) - why.through,
            "bytes": size,
            "segment": "RST" if reset else "data" if size else "FIN",
        },
        evidence=(*why.evidence, lost),
        remedies=why.remedies,
        excluded=(
            Exclusion(
                cause="lost outside the node" if leg.outward else "lost before the node",
                because=f"no copy of it got to {there.name}",
            ),
        ),
    )
