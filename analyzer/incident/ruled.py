"""What speaks for a rule where the rules alone decide nothing: a line of its log, or a listing that lacks chains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.passages import addresses
from analyzer.incident.model import Evidence
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
ANSWERING = ("output", "postrouting", "egress")
"""Hooks of what the node itself sends."""
_CHAIN = re.compile(r"\S{1,256}")


def perhaps(case: Case, scene: Scene, packet: str) -> tuple[Evidence, str, Confidence] | None:
    """The rule that may have dropped a packet: as evidence, in words, and how sure it is."""
    logged = hinted(case, scene)
    if logged is not None and logged.source == "LOG":
        says = f"a rule logged this very packet, the last that is known of it: {logged.rule}"
        return Evidence(says=says, source=f"{logged.file} line {logged.line}"), logged.rule, "likely"
    if near := behind_unlisted(case, scene, "drop"):
        rule, file, proved = near
        return (
            Evidence(says=f"the {packet} matches {rule}", source=file),
            rule,
            "likely" if proved else "possible",
        )
    return None


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

    Of one that is, it may also be the node's answer that a rule drops.
    """
    hooks = ("input", *ANSWERING) if own else ()
    return steps.end is not None and steps.end.hook in ("ingress", "prerouting", *hooks)


def whose(walked: tuple[Steps, str] | None) -> str:
    """Words for what a rule drops of a request to the node: the answer, where it is in a hook of what the node sends."""
    end = walked[0].end if walked is not None else None
    return "the node's answer to " if end is not None and end.hook in ANSWERING else ""


def counted(end: Step) -> str:
    """A rule, or a chain's policy, with what it counted."""
    packets = end.rule.packets if end.rule is not None else end.chain.counted
    return end.text + (f" (it counted {packets} packets)" if packets else "")
