"""What speaks for a rule where the rules alone decide nothing: a line of its log, or a listing that lacks chains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.incident.model import Evidence
from analyzer.incident.records import hinted

if TYPE_CHECKING:
    from analyzer.evidence.rules.packet import Step
    from analyzer.incident.cases import Case
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

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
    """The rule, or policy, that drops or rejects the packet unless a chain that is not listed let it pass before.

    Returns: In words, with the chain that is missing; its file; and whether it counted packets. None where something else is
    open than chains that nobody listed: `iptables -vnL FORWARD` lists one.
    """
    walked = scene.walked(case)
    if walked is None or walked[0].verdict != "cannot-tell" or (end := walked[0].end) is None:
        return None
    doubts = walked[0].doubts
    missing = [
        one.target
        for doubt in doubts
        if doubt.action == "unknown" and doubt.rule
        for one in doubt.rule.actions
        if one.kind in ("jump", "goto", "unknown") and _CHAIN.fullmatch(one.target)
    ]
    if end.action != action or not doubts or len(missing) != len(doubts):
        return None
    said = counted(end)
    chains = " or ".join(dict.fromkeys(missing[:3]))
    return f"{said}, unless {chains} lets it pass, which is not listed", walked[1], "it counted" in said


def counted(end: Step) -> str:
    """A rule, or a chain's policy, with what it counted."""
    packets = end.rule.packets if end.rule is not None else end.chain.counted
    return end.text + (f" (it counted {packets} packets)" if packets else "")
