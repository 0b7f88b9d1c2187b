"""The reply to a pod's own connection was taken for a packet to a published port.

What happens
    A connection leaves the node from a port that is also a NodePort or a published port. SNAT kept or chose it, since nothing
    keeps the ranges apart. Replies are addressed to that very port. While the conntrack entry exists they normally find their
    way back. But IPVS takes whatever is addressed to its service, and rules match replies that have no entry. Both
    send them to the service instead.

How it is recognised
    The connection's replies are on the uplink but not inside, or at another pod. Its outer port is one that IPVS lists as a
    service of this node, or that the rules translate.

What is ruled out
    Loss beyond the node (the replies arrived); a reply dropped by a rule, which would not depend on the port.

Remedies and their risks
    Keep SNAT out of the NodePort range: `--to-ports` of MASQUERADE, and `net.ipv4.ip_local_reserved_ports` for the node's
    own connections. This leaves fewer ports for many connections to one server.

References
    Documentation/networking/ip-sysctl.rst, ip_local_reserved_ports; net/netfilter/ipvs/ip_vs_core.c `ip_vs_in`;
    https://kubernetes.io/docs/reference/networking/virtual-ips/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.connection.passages import ends
from analyzer.evidence.rules.packet import Packet
from analyzer.evidence.rules.walk import walk
from analyzer.flow.point import TCP, UDP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "nodeport-collision"
TITLE = "SNAT port collides with a NodePort"
RANK = 42
COUNTED = False

REMEDIES = (
    Remedy(
        do="Reserve the NodePorts, so that the node's own connections do not use them",
        command="sysctl -w net.ipv4.ip_local_reserved_ports=30000-32767",
        effect="No socket of the node gets such a port by itself.",
        risk="2,768 ports fewer; other reserved ports must be listed with them. SNAT of pods does not ask for it.",
    ),
    Remedy(
        do="Keep SNAT out of that range as well",
        command="iptables -t nat -I POSTROUTING -p tcp --sport 30000:32767 -j MASQUERADE --to-ports 1024-29999",
        effect="Pods' connections from such ports leave with others.",
        risk="Takes what earlier rules exempted from SNAT: add their conditions. Fewer ports for many connections.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.packets, 'answer')} to {count(loss.connections, 'connection')} never reached the pod: the SNAT port of "
        f"the connection is also a NodePort of this node, whose service got them."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by a service of this node on the connection's outer port."""
    ported = case.protocol in (TCP, UDP)
    if not ported or not case.replies or case.outward or case.gap.outer.role != "uplink":
        return None
    outer = case.gap.outer
    flow = scene.trails.flows_of(case.point, case.flow).get(outer.name)
    if flow is None:
        return None
    client, server = ends(outer.flows, flow)
    said = _offered(client, server, case.protocol == TCP, outer.name, scene)
    if said is None:
        return None
    return Explanation(
        cause=CODE,
        confidence="likely",
        facts={"outer": client},
        evidence=(said,),
        excluded=(Exclusion(cause="lost outside the node", because=f"the answers arrived on {outer.name}"),),
    )


def _offered(client: str, server: str, tcp: bool, uplink: str, scene: Scene) -> Evidence | None:
    """What offers a service on the address and port to which the answers are sent."""
    proto = "tcp" if tcp else "udp"
    service = next((s for s in scene.evidence.ipvs_services if (s.proto, s.address) == (proto, client)), None)
    if service is not None:
        return Evidence(
            says=f"{client}, to which the answers are sent, is a service of IPVS on this node",
            source=service.file,
        )
    if not scene.evidence.rules:
        return None
    (dst, dport), (src, sport) = (end.rsplit(":", 1) for end in (client, server))
    packet = Packet(
        proto=proto, src=src.strip("[]"), dst=dst.strip("[]"), sport=int(sport), dport=int(dport), iif=uplink
    )
    rules = scene.evidence.rules[-1]
    step = scene.once(
        ("offered", packet), lambda: walk(rules, packet, local=scene.local or None)
    ).destination_nat
    if step is None:
        return None
    return Evidence(
        says=f"an answer without an entry matches this rule, like a packet to the service: {step.text}",
        source=rules.file,
    )
