"""The node refused a connection itself: nobody listens on its port, and no rule leads it on to a pod.

What happens
    A port is published by a DNAT rule. When the rule is gone (`firewall-cmd --reload`, a restart of nftables, a flush) or its
    container stopped, the SYN is for the node itself, which refuses it with a RST since no socket has that port. The client
    fails at once with "connection refused", although the container may run. Likewise where a rule leads others' packets to a
    port of the node whose program is gone, such as an agent in front of a cloud's metadata.

How it is recognised
    A RST answered the SYN, and no point further on saw either. The address is the node's own, no rule rejects the packet, and
    the list of sockets has none of that port, or earlier connections to that very port were translated to a pod, or a rule
    made this port of another. A datagram that a rule led to the node itself is answered by an ICMP port unreachable, in the name
    of whom it was for.

What is ruled out
    A refusal by the pod: it was not asked. A rule that rejects: it would be in the listing, if there is one.

Remedies and their risks
    Let the component that publishes the port write its rules anew.

References
    tcp_v4_send_reset (net/ipv4/tcp_ipv4.c); https://github.com/containers/podman/issues/8048;
    https://github.com/containers/netavark/issues/1258
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.passages import address, ends
from analyzer.connection.refusals import UNHEARD
from analyzer.evidence.rules.view import endpoint
from analyzer.flow.keys import among
from analyzer.flow.point import TCP, UDP
from analyzer.incident import rule_edits
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.evidence.rules.packet import Step
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "no-listener"
TITLE = "nobody listens on the port, and no rule leads it on"
RANK = 24
COUNTED = False

REMEDIES = (
    Remedy(
        do="See who listens, and which rules translate",
        command="ss -lntp; iptables -t nat -S; nft list ruleset",
        effect="Shows whether the port is published at all.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Let the component that publishes the port write its rules anew: Podman by this, Docker when it is restarted",
        command="podman network reload --all",
        effect="New connections are translated again.",
        risk="Restarting docker restarts its containers, unless live-restore is on.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'connection was', 'connections were')} refused by this node itself: nobody "
        "listens on that port, and no rule leads it on to a pod."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the sockets, or by what became of other connections to that port."""
    if not case.refused or case.protocol not in (TCP, UDP):
        return None
    point, row = case.lost[0].seen[-1]
    flow = int(point.packets.flow[row])
    told, protocol = scene.refusals.of(point, row), "tcp" if case.protocol == TCP else "udp"
    if case.protocol == TCP and (told is not None or not among(point.dst[[flow]], scene.node.own)[0]):
        return None
    if case.protocol == UDP and (told is None or told.kind not in UNHEARD or told.sender != point.dst[flow]):
        return None
    walked = scene.walked(case)
    if walked is not None and walked[0].verdict in ("reject", "drop"):
        return None
    port = int(point.flows.ports[flow]) & 0xFFFF
    leading = walked[0].destination_nat if walked is not None else None
    if leading is None and case.protocol == UDP:
        return None
    if leading is not None:
        given = _own_port(leading, port, scene)
        if given is None:
            return None
        port = given
    waiting = ("LISTEN", "UNCONN")
    sockets = [
        one for one in scene.evidence.sockets if one.proto.startswith(protocol) and one.state in waiting
    ]
    if any(one.local.endswith(f":{port}") for one in sockets):
        return None
    before = _translated(case, scene)
    evidence = []
    if leading is not None and walked is not None:
        evidence.append(
            Evidence(says=f"this rule leads it to the node itself: {leading.text}", source=walked[1])
        )
    if sockets:
        evidence.append(
            Evidence(says=f"no socket of the node listens on {protocol} port {port}", source=sockets[0].file)
        )
    if before:
        says = f"another connection to {ends(point.flows, flow)[1]} was translated to {before}"
        evidence.append(Evidence(says=says, source="captures"))
    if not evidence:
        return None
    return Explanation(
        cause=CODE,
        confidence="proven" if leading is not None and sockets else "likely",
        facts={"port": port, "translated_before": before},
        evidence=tuple(evidence),
        excluded=(Exclusion(cause="refused by the pod", because="the request never got to a pod"),),
        remedies=REMEDIES if before else (*_unled(leading), REMEDIES[0]),
    )


def _own_port(leading: Step, port: int, scene: Scene) -> int | None:
    """The port of the node that a rule leads to; None where it leads elsewhere, or to no one port."""
    for action in leading.rule.actions if leading.rule is not None else ():
        to, given = endpoint(action.target)
        if action.kind == "redirect" or (action.kind == "dnat" and to is not None and scene.node.owns(to)):
            return port if not action.target or given is None else given
    return None


def _unled(leading: Step | None) -> tuple[Remedy, ...]:
    """How to get rid of a rule that leads to a port without a program."""
    return () if leading is None else rule_edits.remove(leading)


def _translated(case: Case, scene: Scene) -> str | None:
    """Where other connections to the same end were translated to."""
    gap = case.gap
    there, here = (gap.inner, gap.outer) if not case.outward else (gap.outer, gap.inner)
    point, row = case.lost[0].seen[-1]
    if point is not here:
        return None
    ours, theirs = (gap.matches.b, gap.matches.a) if not case.outward else (gap.matches.a, gap.matches.b)
    to = scene.destinations[point.name]
    same = np.flatnonzero(to[ours] == to[int(point.packets.flow[row])])
    for match in same.tolist():
        flows, flow = there.flows, int(theirs[match])
        hi, lo = int(flows.dst_hi[flow]), int(flows.dst_lo[flow])
        if scene.destinations[there.name][flow] != to[ours[match]]:
            return f"{address(hi, lo)}:{int(flows.ports[flow]) & 0xFFFF}"
    return None
