"""A rule on this node rejected the connection and sent the client an error.

What happens
    A rule in the FORWARD path answers the packets of certain flows with an ICMP error or a RST (`REJECT`, nft `reject`): a
    distribution's firewall, a network policy, kube-proxy for a service without endpoints. The client fails at once with
    "no route to host" or "connection refused", although the request never reached the peer.

How it is recognised
    An ICMP error that quotes the request, or a RST that answers it, was seen inside but not on the uplink, which was
    recording: the node sent it. If the bundle has the rules, the packet is walked through them and the rule is named.

What is ruled out
    A refusal by the peer or a router on the way: it would have come in at the uplink. A port of the node itself with no
    listener: that request is addressed to the node.

Remedies and their risks
    If the traffic is wanted, change the rule or accept it before that rule. A service without endpoints needs endpoints.

References
    iptables-extensions(8) REJECT; nft(8) reject statement; net/ipv4/netfilter/nf_reject_ipv4.c
    https://github.com/canonical/microk8s/issues/72
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.layout import TCP_RST
from analyzer.connection.refusals import NOT_ADMITTED
from analyzer.flow.point import TCP
from analyzer.incident.causes.policy_drop import dropped_by, edits
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded
from analyzer.incident.ruled import behind_unlisted
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "policy-reject"
TITLE = "rejected by a rule of this node"
RANK = 25
COUNTED = False
RECORDS: tuple[Kind, ...] = ("rule", "policy", "conntrack-insertion", "conntrack-entry", "netfilter")
OF_ROUTES = frozenset({(3, 13), (101, 1)})
"""Of these what a `prohibit` route, or routing rule, says (ip_error, fib_props)."""

REMEDIES = (
    Remedy(
        do="See which rule refuses these packets",
        command="iptables-save -c | grep REJECT; nft list ruleset | grep reject",
        effect="Names the rule whose counter rises with every attempt.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Allow the traffic in the component that owns the rule, if it is wanted",
        command="kubectl get networkpolicy --all-namespaces; firewall-cmd --list-all-zones",
        effect="The next attempt reaches the peer.",
        risk="Somebody may have blocked this on purpose: ask first. Its owner rewrites a rule that is changed by hand.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'connection was', 'connections were')} rejected by this node itself, "
        f"{count(loss.packets, 'attempt')} in all: a rule on it rejects this traffic; "
        f"{'the peer' if loss.way == 'out' else 'the pod'} was never asked."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the rule, or by a refusal that only a rule gives."""
    if not case.refused:
        return None
    rule = dropped_by(case, scene)
    how = _refusal(case, scene)
    record = recorded(case, scene, "rule", "policy")
    walked = scene.walked(case)
    if walked is not None and walked[0].verdict == "accept" and record is None:
        return None  # all rules are known, and none of them refuses it
    if rule is None and how is None and record is None:
        return None
    evidence = []
    if rule is not None:
        evidence.append(Evidence(says=f"the packet matches this rule: {rule[0]}", source=rule[1]))
    elif near := behind_unlisted(case, scene, "reject"):
        evidence.append(Evidence(says=f"the packet matches {near[0]}", source=near[1]))
    if how is not None:
        evidence.append(Evidence(says=how[0], source=how[1]))
    if rule is None:
        evidence += _listeners(case, scene)
    return Explanation(
        cause=CODE,
        confidence="proven"
        if record or (rule is not None and rule[2] == "reject")
        else "possible"
        if walked is None and how is not None and how[2]
        else "likely",
        facts={"rule": rule[0] if rule else None},
        evidence=tuple(evidence),
        remedies=(*own, REMEDIES[1]) if rule is not None and (own := edits(case, scene)[:1]) else (),
        excluded=(
            Exclusion(
                cause="refused by the peer",
                because=f"the refusal never was on {case.gap.names[1] if case.outward else case.gap.names[0]}: this node made it",
            ),
        ),
    )


def _refusal(case: Case, scene: Scene) -> tuple[str, str, bool] | None:
    """What told the client, where it was seen, and whether a route says so as well; None where others than a rule give it."""
    for step in case.lost:
        point, row = step.seen[-1]
        one = scene.refusals.of(point, row)
        if one is not None:
            seen = scene.trails.sighting(point, one.row)
            if one.kind not in NOT_ADMITTED:
                return None
            says = f"{seen.src} answered with an ICMP error, {one.words}"
            return says, f"{seen.file} frame {seen.frame}", one.kind in OF_ROUTES
        rows = point.rows(int(point.packets.flow[row]), 1)
        resets = rows[point.packets.flags[rows] & TCP_RST != 0]
        if len(resets):
            seen = scene.trails.sighting(point, int(resets[0]))
            return (
                f"a RST in the name of {seen.src} answered, which no point further on saw",
                f"{seen.file} frame {seen.frame}",
                False,
            )
    return None


def _listeners(case: Case, scene: Scene) -> list[Evidence]:
    """Whether a socket of the node is on that port: a request for the node itself is refused where there is none."""
    sockets = [one for one in scene.evidence.sockets if one.state in ("LISTEN", "UNCONN")]
    if not sockets:
        return []
    point, row = case.lost[0].seen[-1]
    flow = int(point.packets.flow[row])
    proto, port = "tcp" if point.flows.proto[flow] == TCP else "udp", int(point.flows.ports[flow]) & 0xFFFF
    bound = sorted(
        {one.local for one in sockets if one.proto.startswith(proto) and one.local.endswith(f":{port}")}
    )
    says = (
        f"a socket of the node is bound to {', '.join(bound[:3])}"
        if bound
        else f"no socket of the node listens on {proto} port {port}"
    )
    return [Evidence(says=says, source=sockets[0].file)]
