"""A DNAT rule left by a removed container still translates, to an address that nobody has.

What happens
    A published port's rule outlived its container: the CNI plugin or the engine was killed before it could remove it. The
    rule precedes the new container's, so new connections also go to the old address, and nobody answers there.

How it is recognised
    Packets to the published port vanish in this node. Walked through the node's rules, they are translated to an address
    that the node asks for without an answer, or lists as failed. Another rule sending that port elsewhere proves it.

What is ruled out
    A stale conntrack entry (here a rule misdirects new connections too); a container that exists and refuses.

Remedies and their risks
    Delete the old rule by its position. Restarting the engine or port-mapping plugin rewrites all of its rules.

References
    https://github.com/containers/netavark/issues/1045; https://github.com/moby/moby/issues/8795;
    https://github.com/containernetworking/plugins/issues/123
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.evidence.rules.view import endpoint
from analyzer.incident import rule_edits
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.unheard import asked_in_vain, failed
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.evidence.rules.model import Rule
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "leftover-dnat"
TITLE = "leftover DNAT rule of a removed container"
RANK = 17
COUNTED = False

REMEDIES = (
    Remedy(
        do="List the rules that publish ports, with their places",
        command="iptables -t nat -nL --line-numbers; nft -a list ruleset",
        effect="Shows two rules for one port; the first that matches wins.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.packets, 'packet')} of {count(loss.connections, 'connection')} were misdelivered by this node: a leftover "
        f"DNAT rule of a removed container still matches them."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the rule that translates the packet, and by the silence of the address that it leads to."""
    if not case.requests or not scene.evidence.rules:
        return None
    walked = scene.walked(case)
    step = walked[0].destination_nat if walked else None
    if walked is None or step is None or step.rule is None or not step.certain:
        return None
    target = _target(step.rule)
    if target is None:
        return None
    inner = case.gap.outer if case.outward else case.gap.inner
    vain = asked_in_vain(inner, target, scene) or failed(target, scene)
    others = _others(step.rule, target, scene)
    if vain is None:
        return None
    return Explanation(
        cause=CODE,
        kind="misdelivered",
        confidence="proven" if others else "likely",  # else the container may just be down
        facts={"rule": step.text, "target": target},
        evidence=(
            Evidence(says=f"the packet matches this rule first: {step.text}", source=walked[1]),
            vain,
            *(
                Evidence(
                    says=f"another rule for the same port leads elsewhere: {other.chain}: {other.text}",
                    source=walked[1],
                )
                for other in others[:1]
            ),
        ),
        excluded=(
            Exclusion(
                cause="stale-entry",
                because="a rule leads there, and rules are consulted for every new connection",
            ),
        ),
        remedies=(
            Remedy(
                do="Delete the old rule",
                command=rule_edits.deletion(step.rule),
                effect="The next rule for this port takes over, for new connections."
                if others
                else "New connections are no longer sent to an address that nobody has.",
                risk="It is gone until its owner writes it again; check its position in a fresh listing first.",
            ),
        ),
    )


def _target(rule: Rule) -> str | None:
    """The one address that a rule translates to."""
    found = [endpoint(action.target)[0] for action in rule.actions if action.kind == "dnat"]
    return found[0] if len(found) == 1 else None


def _others(rule: Rule, target: str, scene: Scene) -> list[Rule]:
    """Rules of the same chain that ask the same and lead to another address."""
    return [
        other
        for other in scene.evidence.rules[-1].rules("dnat")
        if other.chain == rule.chain
        and other.matches == rule.matches
        and _target(other) not in (None, target)
    ]
