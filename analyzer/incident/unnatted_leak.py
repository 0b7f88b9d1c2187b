"""Packets left the uplink with a pod's own address though the pod's connections are translated.

What happens
    A packet that conntrack calls INVALID on its way out, or that belongs to an entry which is gone, is forwarded without
    translation. Nobody can answer it, and what lies behind the node sees addresses that do not exist there. The FIN of a
    connection that was idle for longer than its entry lived is the usual one; the pod repeats it in vain.

How it is recognised
    Packets on the uplink with a pod's address as their source, the same as inside, while other connections of that pod are
    translated, and no SYN of theirs left like that.

What is ruled out
    Destinations that are exempt from SNAT, pods whose addresses are routed, IPv6 without translation: there the SYNs, too,
    leave untranslated, or somebody outside answers.

Remedies and their risks
    A longer nf_conntrack_tcp_timeout_established, or keepalives in the application that are shorter than it: entries then
    stay longer, and the table needs room for them. A rule that drops INVALID packets in FORWARD keeps them from leaving,
    and cuts connections whose packets take different ways.

References
    https://github.com/containernetworking/plugins/issues/816; https://github.com/moby/moby/issues/18630
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import SYN_X, TCP_RST
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import TCP
from analyzer.model import Evidence, Exclusion, Finding
from analyzer.nat.matching import SRC, tuple_keys
from analyzer.nat.passages import flow_name
from analyzer.nat.ways import OUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene
    from analyzer.nat.crossing import Gap

MOST = 1000
"""Connections that are told."""


def findings(scene: Scene) -> list[Finding]:
    """One finding per leaked flow."""
    found = []
    for gap in scene.gaps:
        if gap.outer.role == "uplink":
            found += [_finding(gap, int(flow), scene) for flow in _leaked(gap, scene)[:MOST]]
    return found


def _leaked(gap: Gap, scene: Scene) -> NDArray[np.int64]:
    """Uplink flows from a pod's address that began in the middle, though what they belong to is translated."""
    outer, inner, m = gap.outer, gap.inner, gap.matches
    flows = outer.flows
    out = gap.heading == OUT
    translated, exempt = m.a[out & (m.agreed & SRC == 0)], m.a[out & (m.agreed & SRC != 0)]
    from_pod = among(outer.src, inner.src[translated]) & (flows.proto == TCP) & (flows.marks & SYN_X == 0)
    from_pod &= ~among(outer.dst, scene.node.inside) & ~among(outer.dst, scene.node.own)
    if not from_pod.any():
        return np.zeros(0, np.int64)
    # A flow whose SYN left untranslated is exempt from SNAT by the rules: that is a choice, not a leak. One that began
    # before the capture may be so, too, unless it or others to the same address are translated.
    opened = exempt[inner.flows.marks[exempt] & SYN_X != 0]
    known = distinct(inner.dst[translated])
    known = known[~among(known, inner.dst[opened])]
    same = among(tuple_keys(flows), tuple_keys(inner.flows)[translated])
    leaks = from_pod & (same | among(outer.dst, known))
    return np.array([flow for flow in np.flatnonzero(leaks) if _unanswered(outer, int(flow))], np.int64)


def _unanswered(outer: Point, flow: int) -> bool:
    """Whether the pod sent something and nobody answered but with a RST: who can answer knows the pod's address."""
    answers = outer.packets.flags[outer.rows(flow, 1)]
    return len(outer.rows(flow, 0)) > 0 and bool((answers & TCP_RST != 0).all())


def _finding(gap: Gap, flow: int, scene: Scene) -> Finding:
    outer = gap.outer
    rows = outer.rows(flow, 0)
    first = int(rows[0])
    seen = scene.trails.sighting(outer, first)
    name = flow_name(outer.flows, flow)
    return Finding(
        kind="unnatted-leak",
        cause="unknown",
        confidence="proven",
        gap=gap.names,
        point=outer.name,
        flow=flow,
        time=seen.time,
        inner=name,
        outer=name,
        delay_s=None,
        passages=tuple(
            scene.trails.passage(outer, int(row), outward=True, role="offender", note="not translated")
            for row in rows[:12]
        ),
        omitted=max(0, len(rows) - 12),
        facts={"packets": len(rows)},
        evidence=(
            Evidence(
                says=f"{len(rows)} packets left {outer.name} with the pod's own address {seen.src}, while other "
                f"connections of that pod are translated",
                source=f"{seen.file} frame {seen.frame}",
            ),
        ),
        excluded=(
            Exclusion(
                cause="traffic exempt from SNAT",
                because="no SYN of this flow left untranslated: it is the rest of a connection that conntrack does not know",
            ),
        ),
    )
