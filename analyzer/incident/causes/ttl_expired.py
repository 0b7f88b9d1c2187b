"""Packets come in with a TTL of 1, so this node may not hand them on.

What happens
    A sender limits how far its packets go: a cloud's metadata service answers with a hop limit of 1, so that nothing behind
    the machine gets an answer. The node lowers the TTL of what it forwards, drops what would have 0 left, and tells the sender
    (`time exceeded`). The node itself, and its host network, gets the answers; its pods do not.

How it is recognised
    Packets with a TTL (hop limit) of 1 came in at the uplink, and never got further. This node's ICMP error that quotes
    them proves it; it is likely where they are for an address of the node that stands for a pod.

What is ruled out
    A pod's own probes with a small TTL (traceroute): they are refused, not lost. A gap that is bridged: no TTL is lowered there.

Remedies and their risks
    Let the sender allow one more hop. The rule gives what comes from it one more hop on this node, which also undoes what the
    limit protects from: pods then get the machine's credentials from a metadata service.

References
    RFC 1812 section 5.3.1; net/ipv4/ip_forward.c `ip_forward`; iptables-extensions(8) TTL, HL;
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-IMDS-existing-instances.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.layout import REPLY
from analyzer.capture.transport import flow_ends, turned
from analyzer.connection.passages import addresses
from analyzer.flow.keys import among
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Remedy
from analyzer.node.ways import EXITS

if TYPE_CHECKING:
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "ttl-expired"
TITLE = "packets with no hop left"
RANK = 15
COUNTED = False
EXCEEDED = ((11, 0), (103, 0))
"""The ICMP errors, as `analyzer.connection.refusals.WORDS` has them."""

REMEDIES = (
    Remedy(
        do="See what comes in with a TTL of 1, and what this node says of it",
        command="tcpdump -nvi eth0 'ip[8] = 1 or icmp[0] = 11 or ip6[7] = 1'",
        effect="Shows whose packets they are.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return f"{loss.fared}: the packets came in with a TTL of 1, and a router may not hand such on."


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the TTL of what came in and was to be routed."""
    gap, (point, row) = case.gap, case.lost[0].seen[-1]
    if case.refused or case.outward or point is not gap.outer or point.role not in EXITS:
        return None
    if any(int(p.packets.ttl[r]) != 1 for p, r in (step.seen[-1] for step in case.lost)):
        return None
    flow, seen = int(point.packets.flow[row]), scene.trails.sighting(point, row)
    ends, back = flow_ends(point.flows, flow), int(point.packets.bits[row]) & REPLY
    source = addresses(point.flows, flow)[1 if back else 0]
    six = ":" in source
    errors = scene.refusals.at(point).get(turned(ends) if back else ends, ())
    told = [error.row for error in errors if error.kind in EXCEEDED]
    to = (point.src if back else point.dst)[flow : flow + 1]
    if not told and not among(to, scene.node.own)[0]:
        return None  # what is not translated may be bridged
    evidence = [Evidence(says="it came in with a TTL of 1", source=f"{seen.file} frame {seen.frame}")]
    if told:
        said = scene.trails.sighting(point, told[0])
        evidence.append(
            Evidence(says="this node answers: time exceeded", source=f"{said.file} frame {said.frame}")
        )
    rule = f"PREROUTING -i {point.name} -s {source} " + (
        "-m hl --hl-eq 1 -j HL --hl-inc 1" if six else "-m ttl --ttl-eq 1 -j TTL --ttl-inc 1"
    )
    return Explanation(
        cause=CODE,
        confidence="proven" if told else "likely",
        facts={"address": source},
        evidence=tuple(evidence),
        excluded=(case.not_beyond,),
        remedies=(
            Remedy(
                do="Let the sender allow one more hop; or give what comes from it one more here",
                command=f"{'ip6tables' if six else 'iptables'} -t mangle -I {rule}",
                effect="Its next packets get to the pods.",
                risk="If the limit is meant to keep pods away (a cloud's metadata, with its credentials), they get there.",
            ),
            *(one.on("eth0", point.name) for one in REMEDIES),
        ),
    )
