"""Conntrack called a reply INVALID, and nobody answered it.

What happens
    As with `invalid-reset`, but a rule drops INVALID packets before the host can answer them, or the packet is a RST, which
    gets no answer. The connection loses that packet and nothing else.

How it is recognised
    The reply is on the uplink and not inside, no RST mirrors it, and the replay of the connection by the rules of the
    kernel's generation says INVALID, and by which test. With the counters, `invalid` rises by one for each.

What is ruled out
    A packet missed by the capture inside: the window would have allowed it, or `invalid` did not move. Where the capture
    began in the middle of the connection, nothing is said.

Remedies and their risks
    None is urgent: dropping is what the rule is for. Asymmetric routing, whose replies look INVALID as well, must not meet
    such a rule; nf_conntrack_tcp_be_liberal lets them pass, node-wide.

References
    https://github.com/kubernetes/kubernetes/issues/117924; https://github.com/kubernetes/kubernetes/issues/94861
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import FRAGMENT, REPLY, TCP_RST
from analyzer.compute.thresholds import CHANCE
from analyzer.connection.equals import copied
from analyzer.connection.model import Fate
from analyzer.connection.passages import flow_name
from analyzer.conntrack import Settings, generation_of
from analyzer.conntrack.replay import refuted, script
from analyzer.flow.keys import distinct
from analyzer.flow.point import TCP
from analyzer.incident import logged
from analyzer.incident.absence import misses, openings
from analyzer.incident.invalid_reset import TESTS, window_points
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.node.ways import IN

if TYPE_CHECKING:
    from collections.abc import Collection

    from analyzer.conntrack.replay import Judged
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

MOST = 1000
"""Connections that are replayed for this."""
BEFORE, AFTER = 40, 24
MODULUS, HALF = 0xFFFFFFFF, 1 << 31


def findings(scene: Scene, answered: Collection[tuple[str, int]]) -> list[Finding]:
    """One finding per connection and failed test.

    Args:
        scene: The bundle.
        answered: (uplink, row) of the replies that the host answered with a RST: those are told elsewhere.
    """
    found: list[Finding] = []
    if scene.counters and not scene.counters.get("invalid"):
        return found
    for gap in scene.gaps:
        if gap.exit and not openings(gap.inner) and misses(scene, gap, outward=False) < CHANCE:
            for crossing, missing in _missing(gap, answered):
                found += _finding(gap, crossing, missing, scene)
    return found


def _missing(gap: Gap, answered: Collection[tuple[str, int]]) -> list[tuple[int, set[int]]]:
    """Crossings with TCP packets from outside that were not seen inside, while the inside was recording."""
    packets = gap.outer.packets
    rows, match = gap.in_inner.lacking(), gap.match_b.whole()
    rows = rows[match[packets.flow[rows]] >= 0]
    flow = packets.flow[rows]
    crossing = match[flow]
    from_outside = (packets.bits[rows] & REPLY != 0) == (gap.inward().heading[crossing] != IN)
    keep = (gap.outer.flows.proto[flow] == TCP) & from_outside
    keep &= gap.inner.recorded(packets.time[rows])
    keep &= packets.bits[rows] & FRAGMENT == 0
    rows, crossing = rows[keep], crossing[keep]
    if not len(rows):
        return []
    through = gap.outer.rows_of(distinct(packets.flow[rows])).astype(np.int64)
    twice = copied(gap.outer, rows, through[gap.in_inner[through] >= 0])
    by_crossing: dict[int, set[int]] = {}
    for row, index in zip(rows[~twice], crossing[~twice], strict=True):
        if (gap.outer.name, int(row)) not in answered:
            by_crossing.setdefault(int(index), set()).add(int(row))
    return [
        (index, some)
        for index, some in list(by_crossing.items())[:MOST]
        if not _rewritten(gap, index, len(some))
    ]


def _rewritten(gap: Gap, crossing: int, missing: int) -> bool:
    """Whether as many packets of that direction are new inside: the same ones, changed on the way by a NAT helper or a proxy."""
    side = 0 if gap.heading[crossing] == IN else 1
    rows = gap.inner.rows(int(gap.matches.a[crossing]), side)
    return int((gap.in_outer[rows] < 0).sum()) >= missing


def _finding(gap: Gap, crossing: int, missing: set[int], scene: Scene) -> list[Finding]:
    """Judge the connection again, and tell of the missing packets that come out INVALID."""
    liberal = scene.evidence.sysctls.get("net.netfilter.nf_conntrack_tcp_be_liberal") == "1"
    judged = script(gap, crossing).judge(generation_of(scene.evidence.kernel), Settings(be_liberal=liberal))
    by_test: dict[str, list[tuple[int, Judged]]] = {}
    for place, j in enumerate(judged[: refuted(judged, gap, crossing)]):
        if (
            j.point is gap.outer
            and j.row in missing
            and j.judgement.verdict == "invalid"
            and j.judgement.certain
            and not _sent_unseen(judged, place)
        ):
            test = j.judgement.test if j.judgement.test in TESTS else "unknown"
            by_test.setdefault(test, []).append((place, j))
    if any(scene.drops.get(name) for name in gap.names):
        # The captures lost packets, so the replay may lack some as well: the kernel must have counted these.
        counted = scene.counters.get("invalid", 0)
        by_test = {test: group for test, group in by_test.items() if len(group) <= counted}
    return [_told(test, group, judged, gap, crossing, scene) for test, group in by_test.items()]


def _sent_unseen(judged: list[Judged], place: int) -> bool:
    """Whether captures missed what an ACK beyond the upper bound acknowledges: its receiver goes on behind a hole."""
    told, segment = judged[place].judgement, judged[place].segment
    if told.test != "ack-over-upper-bound" or told.bound is None:
        return False
    sent = told.bound
    for j in judged[place + 1 :]:
        if j.segment.reply == segment.reply or j.segment.flags & TCP_RST:
            continue
        if 0 < (j.segment.seq - sent) & MODULUS < HALF:
            return True
        if 0 < (j.segment.end - sent) & MODULUS < HALF:
            sent = j.segment.end
        if (segment.ack - sent) & MODULUS >= HALF:
            break
    return False


def _told(
    test: str, group: list[tuple[int, Judged]], judged: list[Judged], gap: Gap, crossing: int, scene: Scene
) -> Finding:
    place, first = group[0]
    invalid = scene.counters.get("invalid", 0)
    offenders, evidence, drawn = [], [], []
    for _, j in group:
        seen = scene.trails.sighting(gap.outer, j.row)
        told = j.judgement
        offenders.append(
            {"frame": seen.frame, "ack": j.segment.ack, "bound": told.bound, "short_by": told.short_by}
        )
        evidence.append(
            Evidence(
                says=f"{seen.src} sent it to {seen.dst}; seen on {gap.outer.name}, never on {gap.inner.name}, and no RST "
                f"answers it; replayed: {told.reason}"
                + (
                    f"; bound {told.bound}, short by {told.short_by:,} bytes"
                    if told.bound is not None
                    else ""
                ),
                source=f"{seen.file} frame {seen.frame}",
            )
        )
        evidence += logged.packet(scene, gap.outer, j.row)
        drawn.append(
            scene.trails.passage(
                gap.outer,
                j.row,
                outward=False,
                fate=Fate.VANISHED,
                gap=gap.names,
                role="offender",
                note=f"INVALID, {told.short_by:,} bytes beyond the bound" if told.short_by else "INVALID",
            )
        )
    if invalid:
        evidence.append(Evidence(says=f"invalid rose by {invalid}", source="conntrack -S before and after"))
    opened_outside = gap.heading[crossing] == IN
    drawn += [
        scene.trails.passage(j.point, j.row, outward=j.segment.reply == opened_outside, role="context")
        for j in judged[max(0, place - 6) : place + 6]
        if not any(j is other for _, other in group)
    ]
    return Finding(
        kind="invalid-dropped",
        cause=test,
        confidence="proven" if invalid >= len(group) else "likely",
        gap=gap.names,
        point=gap.inner.name,
        flow=int(gap.matches.a[crossing]),
        time=int(gap.outer.packets.time[first.row]),
        inner=flow_name(gap.inner.flows, int(gap.matches.a[crossing])),
        outer=flow_name(gap.outer.flows, int(gap.matches.b[crossing])),
        delay_s=None,
        passages=tuple(sorted(drawn, key=lambda p: p.sightings[0].time)),
        omitted=max(0, len(judged) - len(drawn)),
        window=window_points(judged[max(0, place - BEFORE) : place + AFTER]),
        facts={"offenders": offenders, "reason": first.judgement.reason},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(cause="invalid-reset", because="the host sent no RST for it"),
            Exclusion(
                cause="packet missed by the capture",
                because=f"{gap.inner.name} was recording, and the kernel's own rules call the packet INVALID",
            ),
        ),
    )
