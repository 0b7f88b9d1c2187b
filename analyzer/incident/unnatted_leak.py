"""Packets left the uplink with a pod's own address though the pod's connections are translated.

What happens
    A packet that conntrack calls INVALID on its way out, or that belongs to an entry which is gone, is forwarded without
    translation. Nobody can answer it, and what lies behind the node sees addresses that do not exist there. The FIN of a
    connection that was idle for longer than its entry lived is the usual one; the pod repeats it in vain. So is what a
    pod still sends when the other side's RST has closed the entry, of published ports as well.

How it is recognised
    Packets on the uplink with a pod's address as their source, the same as inside, while other connections of that pod are
    translated, and no SYN of theirs left like that. Of a published port: the rest of a connection that came in translated.

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

from analyzer.capture.layout import REPLY, SYN_X, SYN_Y, SYNACK_X, SYNACK_Y, TCP_RST
from analyzer.connection.passages import flow_name
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import TCP
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.incident.wording import count, duration
from analyzer.nat.tuples import DST, SRC, tuple_keys
from analyzer.node.ways import IN, OUT

if TYPE_CHECKING:
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

MOST = 1000
"""Connections that are told."""


def findings(scene: Scene) -> list[Finding]:
    """One finding per leaked flow."""
    found = []
    for gap in scene.gaps:
        if gap.exit:
            found += [
                _finding(gap, flow, side, scene)
                for flow, side in (*_leaked(gap, scene), *_published(gap))[:MOST]
            ]
    return found


def _published(gap: Gap) -> list[tuple[int, int]]:
    """Uplink flows that are the rest of a connection to a published port, with the side that is the pod."""
    inner, outer, m = gap.inner, gap.outer, gap.matches
    came = m.a[(gap.heading == IN) & (m.agreed & DST == 0) & (m.flip == 0)]
    if not len(came):
        return []
    rest = (outer.flows.proto == TCP) & (outer.flows.marks & (SYN_X | SYN_Y | SYNACK_X | SYNACK_Y) == 0)
    rest[m.b] = False  # what crossed the gap as a whole is routed so
    known, found = tuple_keys(inner.flows)[came], []
    for turned in (False, True):
        same = np.flatnonzero(rest & among(tuple_keys(outer.flows, turned=turned), known))
        side = 0 if turned else 1
        found += [(flow, side) for flow in same.tolist() if _unanswered(outer, flow, side)]
    return sorted(found)


def _leaked(gap: Gap, scene: Scene) -> list[tuple[int, int]]:
    """Uplink flows from a pod's address that began in the middle, though what they belong to is translated."""
    outer, inner, m = gap.outer, gap.inner, gap.matches
    flows = outer.flows
    out = gap.heading == OUT
    translated, exempt = m.a[out & (m.agreed & SRC == 0)], m.a[out & (m.agreed & SRC != 0)]
    from_pod = among(outer.src, inner.src[translated]) & (flows.proto == TCP) & (flows.marks & SYN_X == 0)
    from_pod &= ~among(outer.dst, scene.node.inside) & ~among(outer.dst, scene.node.own)
    if not from_pod.any():
        return []
    # A flow whose SYN left untranslated is exempt from SNAT by the rules: that is a choice, not a leak. One that began
    # before the capture may be so, too, unless it or others to the same address are translated.
    opened = exempt[inner.flows.marks[exempt] & SYN_X != 0]
    known = distinct(inner.dst[translated])
    known = known[~among(known, inner.dst[opened])]
    same = among(tuple_keys(flows), tuple_keys(inner.flows)[translated])
    leaks = from_pod & (same | among(outer.dst, known))
    return [(flow, 0) for flow in np.flatnonzero(leaks).tolist() if _unanswered(outer, flow, 0)]


def _unanswered(outer: Point, flow: int, side: int) -> bool:
    """Whether the pod sent something and nobody answered but with a RST: who can answer knows the pod's address."""
    answers = outer.packets.flags[outer.rows(flow, 1 - side)]
    return len(outer.rows(flow, side)) > 0 and bool((answers & TCP_RST != 0).all())


def _closed(gap: Gap, first: int) -> tuple[int, int] | None:
    """The RST from outside that had closed the leaked packet's connection, and the connection's flow: rows inside."""
    inner, row = gap.inner, int(gap.in_inner[first])
    if row < 0:
        return None
    flow = int(inner.packets.flow[row])
    rows = inner.rows(flow, int(not inner.packets.bits[row] & REPLY))
    rows = rows[(rows < row) & (inner.packets.flags[rows] & TCP_RST != 0)]
    return (int(rows[-1]), flow) if len(rows) else None


def _finding(gap: Gap, flow: int, side: int, scene: Scene) -> Finding:
    outer = gap.outer
    rows = outer.rows(flow, side)
    first = int(rows[0])
    seen = scene.trails.sighting(outer, first)
    name = flow_name(outer.flows, flow)
    closed = _closed(gap, first)
    before = []
    if closed is not None:
        rst = scene.trails.sighting(gap.inner, closed[0])
        before.append(
            Evidence(
                says=f"{rst.src} had reset the connection {duration(seen.time - rst.time)} before: its entry was closed, "
                "and what the pod had under way was not translated any more",
                source=f"{rst.file} frame {rst.frame}",
            )
        )
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
                says=f"{count(len(rows), 'packet')} left {outer.name} with the pod's own address {seen.src}, "
                f"while other connections of that pod are translated",
                source=f"{seen.file} frame {seen.frame}",
            ),
            *before,
        ),
        excluded=(
            Exclusion(
                cause="traffic exempt from SNAT",
                because="no SYN of this flow left untranslated: it is the rest of a connection that conntrack does not know",
            ),
        ),
    )
