"""What speaks for a rule where the rules alone decide nothing: a line of its log, or a listing that lacks chains."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.passages import addresses
from analyzer.flow.point import TCP, UDP
from analyzer.incident import rule_edits
from analyzer.incident.model import Evidence, Remedy
from analyzer.incident.records import hinted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.evidence.rules.packet import Step, Steps
    from analyzer.incident.cases import Case
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

MOST = 5_000
"""Packets that are compared with the log."""
DROPPING = ("drop", "queue")
"""What may lose a packet for good: a queue that no program reads drops it (nf_queue)."""
ANSWERING = ("output", "postrouting", "egress")
"""Hooks of what the node itself sends."""
_CHAIN = re.compile(r"\S{1,256}")


Named = tuple[Evidence, str, "Confidence", tuple[Remedy, ...]]
"""A rule that may have dropped a packet: as evidence, in words, how sure it is, and what to do about it where that is known."""


def perhaps(case: Case, scene: Scene, packet: str) -> Named | None:
    """The rule that logged a packet, or that would drop it if chains that are not listed let it pass."""
    logged = hinted(case, scene)
    if logged is not None and logged.source == "LOG":
        says = f"a rule logged this very packet, the last that is known of it: {logged.rule}"
        source = f"{logged.file} line {logged.line}"
        return Evidence(says=says, source=source), logged.rule, "likely", _by_ufw(case, scene, logged.rule)
    if near := behind_unlisted(case, scene, "drop"):
        rule, file, proved = near
        return (
            Evidence(says=f"the {packet} matches {rule}", source=file),
            rule,
            "likely" if proved else "possible",
            (),
        )
    return None


def doubtful(case: Case, scene: Scene, packet: str) -> Named | None:
    """The one rule that may drop a packet by what no capture shows, such as a limit, and that counted as many as were lost.

    Its count may be from long before. The same number is hardly chance; a greater one only does not speak against it.
    """
    walked = scene.walked(case)
    if walked is None or walked[0].verdict != "cannot-tell":
        return None
    steps = (*walked[0].doubts, *([walked[0].end] if walked[0].end is not None else []))
    drops = [step for step in steps if step.action in DROPPING and step.rule is not None]
    if len(drops) != 1 or drops[0].rule is None:
        return None
    lost, count = sum(scene.vanished.values()), drops[0].rule.packets or 0
    if not 0 < lost <= count or len(scene.evidence.rules) > 1:
        return None  # of several listings it is what they differ by that tells
    same = "as many as vanished" if count == lost else f"and {lost:,} vanished"
    says = f"the {packet} may match this rule, which counted {count:,} packets, {same}: {drops[0].text}"
    confidence: Confidence = "likely" if count == lost > 1 else "possible"
    return Evidence(says=says, source=walked[1]), drops[0].text, confidence, rule_edits.remove(drops[0])


def _by_ufw(case: Case, scene: Scene, rule: str) -> tuple[Remedy, ...]:
    """How ufw, whose prefix a logged packet has, lets it pass."""
    point, row = case.lost[0].seen[-1]
    flow = int(point.packets.flow[row])
    (src, dst), proto = addresses(point.flows, flow), {TCP: "tcp", UDP: "udp"}.get(case.protocol)
    ends = f"proto {proto} from {src} to {dst} port {int(point.flows.ports[flow]) & 0xFFFF}"
    if proto is None or case.replies or not rule.startswith("[UFW "):
        return ()
    return (
        Remedy(
            do="Allow the traffic in ufw, if it is wanted",
            command=f"ufw {'allow' if scene.node.owns(dst) else 'route allow'} {ends}",
            effect="The next attempt gets past ufw; `ufw status numbered` lists the rule.",
            risk="Somebody may have blocked this on purpose: ask first. It holds for this source alone.",
        ),
    )


def _marking(steps: Steps) -> Step | None:
    """Where a rule drops what has a mark, the rule that had it marked: its jump to the rule that marks, or that one."""
    end = steps.end
    if (
        end is None
        or end.rule is None
        or not any(m.fields == ("mark",) and not m.negated for m in end.rule.matches)
    ):
        return None
    marks = [number for number, step in enumerate(steps.steps) if step.action == "mark" and step.certain]
    if not marks:
        return None
    before = steps.steps[marks[-1] - 1] if marks[-1] else None
    return before if before is not None and before.action in ("jump", "goto") else steps.steps[marks[-1]]


def marked(steps: Steps) -> str:
    """Who marked the packet that is dropped for its mark, to be added to the rule; empty for other rules."""
    why = _marking(steps)
    return f"; the packet was marked for it by {why.text}" if why is not None else ""


def unmark(steps: Steps) -> tuple[Remedy, ...]:
    """What to look at instead of the rule that drops all that is marked; nothing for other rules."""
    why = _marking(steps)
    if why is None or why.rule is None:
        return ()
    family, table, chain = why.rule.chain.split(" ", 2)
    listing = (
        f"iptables -t {shlex.quote(table)} -nvL {shlex.quote(chain)}"
        if family == "ip"
        else f"nft list chain {shlex.join((family, table, chain))}"
    )
    return (
        Remedy(
            do=f"Find out why this rule has the packet marked, and correct that: {why.text}",
            command=listing,
            effect="kube-proxy, for one, marks what is for a service without a usable endpoint: it needs one on this node.",
            risk="None: read-only. Deleting the rule that drops what is marked lets through whatever else is marked.",
        ),
    )


def behind_unlisted(case: Case, scene: Scene, action: str) -> tuple[str, str, bool] | None:
    """The rule, or policy, that drops or rejects the packet where the listing is not whole.

    Returns: In words, with what is missing; its file; and whether it counted packets. None where something else is open
    than chains, or parts of them, that nobody listed: `iptables -vnL FORWARD` lists one chain, `grep` a few rules.
    """
    walked = scene.walked(case)
    if walked is None or walked[0].verdict != "cannot-tell":
        return None
    steps, file = walked
    if steps.end is None:
        if steps.fits is None or steps.fits.action != action:
            return None
        said = counted(steps.fits)
        return f"{said}; the chains that lead to it are not all listed", file, "it counted" in said
    missing = []
    for doubt in steps.doubts:
        if doubt.action == "unknown" and doubt.rule is None:
            missing.append(f"the rest of {doubt.chain.label}")
        elif doubt.action == "unknown" and doubt.rule:
            targets = (one.target for one in doubt.rule.actions if one.kind in ("jump", "goto", "unknown"))
            missing += [target for target in targets if _CHAIN.fullmatch(target)]
    if steps.end.action != action or not missing or len(missing) != len(steps.doubts):
        return None
    said = counted(steps.end)
    chains = " or ".join(dict.fromkeys(missing[:3]))
    return f"{said}, unless {chains} lets it pass, which is not listed", file, "it counted" in said


def martians(scene: Scene, at: Followed, coming: NDArray[np.bool_]) -> list[int]:
    """Which of the packets that came in the kernel's log names as martians, from where they cannot come by this interface.

    It logs the addresses alone (ip_handle_martian_source), and drops what it logs before it is routed.
    """
    logged = {
        (line.src, line.dst)
        for line in scene.evidence.log
        if line.about == "martian" and line.iif == at.point.name and line.says.startswith("martian source")
    }
    flows = at.point.flows
    found = []
    for place in np.flatnonzero(coming & at.last)[:MOST].tolist() if logged else ():
        flow = int(at.point.packets.flow[at.rows[place]])
        if addresses(flows, flow) in logged:
            found.append(place)
    return found


def on_arrival(steps: Steps, *, own: bool = True) -> bool:
    """Whether a rule ends the way before the packet is sent on; of one that is not the node's own, before it is routed.

    Of one that is, it may also be the node's answer that a rule drops, or what a rule made of it for somebody else.
    """
    hooks = ["ingress", "prerouting", *(("input", *ANSWERING) if own else ())]
    if own and steps.destination_nat is not None:
        hooks.append("forward")
    return steps.end is not None and steps.end.hook in hooks


def whose(walked: tuple[Steps, str] | None) -> str:
    """Words for what a rule drops of a request to the node: the answer, where it is in a hook of what the node sends."""
    end = walked[0].end if walked is not None else None
    return "the node's answer to " if end is not None and end.hook in ANSWERING else ""


def counted(end: Step) -> str:
    """A rule, or a chain's policy, with what it counted."""
    packets = end.rule.packets if end.rule is not None else end.chain.counted
    return end.text + (f" (it counted {packets} packets)" if packets else "")
