"""Connections that a server opens because a pod's protocol asked for it, and that nothing led to the pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import SYN_X
from analyzer.connection.passages import ends, flow_name
from analyzer.flow.keys import among
from analyzer.flow.point import TCP, UDP
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.nat.tuples import SRC
from analyzer.node.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

FTP, FTP_DATA, TFTP = 21, 20, 69
MOST = 1000
"""Connections that are told."""


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection that came from a server of FTP or TFTP and ended at the node."""
    found = [one for gap in scene.gaps if gap.exit for one in _of(gap, scene)]
    return found[:MOST]


def _of(gap: Gap, scene: Scene) -> Iterator[Finding]:
    outer, m, flows = gap.outer, gap.matches, gap.outer.flows
    sport, dport = flows.ports >> 16, flows.ports & 0xFFFF
    asked = m.b[(gap.heading == OUT) & (m.agreed & SRC == 0) & (m.flip == 0)]
    controls = {
        TCP: asked[(flows.proto[asked] == TCP) & (dport[asked] == FTP)],
        UDP: asked[(flows.proto[asked] == UDP) & (dport[asked] == TFTP)],
    }
    alone = np.asarray(gap.match_b[np.arange(len(flows))] < 0)
    for protocol, control in controls.items():
        if not len(control):
            continue
        came = (
            alone
            & (flows.proto == protocol)
            & among(outer.src, outer.dst[control])
            & among(outer.dst, outer.src[control])
        )
        if protocol == TCP:
            came &= (flows.marks & SYN_X != 0) & (sport == FTP_DATA)
        for flow in np.flatnonzero(came)[:MOST].tolist():
            same = control[(outer.dst[control] == outer.src[flow]) & (outer.src[control] == outer.dst[flow])]
            if protocol == UDP:  # RFC 1350 section 4: to the port that asked, from a new one
                same = same[(sport[same] == dport[flow]) & (sport[flow] != TFTP)]
            first = int(outer.rows(flow, 0)[0]) if len(outer.rows(flow, 0)) else -1
            before = [one for one in same.tolist() if first >= 0 and outer.rows(one)[0] < first]
            if (
                before
                and gap.in_inner[first] < 0
                and gap.inner.recorded(outer.packets.time[first : first + 1])[0]
            ):
                yield _finding(gap, flow, first, before[-1], scene)


def _finding(gap: Gap, flow: int, first: int, control: int, scene: Scene) -> Finding:
    outer = gap.outer
    seen = scene.trails.sighting(outer, first)
    pod = flow_name(gap.inner.flows, int(gap.matches.a[gap.match_b[control]]))
    evidence = [
        Evidence(
            says=f"{seen.src} opened a connection to {seen.dst}, as {pod} had asked it to; seen on {outer.name}, never on "
            f"{gap.inner.name}",
            source=f"{seen.file} frame {seen.frame}",
        ),
        *_absent(flow, gap, scene),
    ]
    rows = outer.rows(flow)
    return Finding(
        kind="misdelivered",
        cause="helper-missing",
        confidence="likely",
        gap=gap.names,
        time=int(outer.packets.time[first]),
        inner=pod,
        outer=flow_name(outer.flows, flow),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(
                outer,
                int(row),
                outward=bool(outer.packets.bits[row] & 1),
                role="offender" if row == first else "context",
            )
            for row in rows[:12]
        ),
        omitted=max(0, len(rows) - 12),
        facts={"packets": len(outer.rows(flow, 0)), "server": ends(outer.flows, flow)[0]},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(cause="lost outside the node", because=f"it arrived on {outer.name}"),
            Exclusion(
                cause="a connection of somebody else",
                because="its server, and the node's address, are those of the pod's own",
            ),
        ),
    )


def _absent(flow: int, gap: Gap, scene: Scene) -> list[Evidence]:
    """What says that no helper is there."""
    name = "ftp" if gap.outer.flows.proto[flow] == TCP else "tftp"
    modules, told = scene.evidence.modules, []
    if modules is not None and f"nf_nat_{name}" not in modules:
        told.append(Evidence(says=f"the module nf_nat_{name} is not loaded", source="lsmod"))
    if scene.evidence.sysctls.get("net.netfilter.nf_conntrack_helper") == "0":
        told.append(
            Evidence(
                says="no helper is assigned by itself: net.netfilter.nf_conntrack_helper = 0", source="sysctl"
            )
        )
    return told
