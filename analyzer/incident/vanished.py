"""Connections that lost a request, to findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.layout import REPLY
from analyzer.flow.point import TCP
from analyzer.incident.cases import first_answer
from analyzer.incident.causes import (
    conntrack_table_full,
    dns_insert_race,
    next_hop_unresolved,
    policy_drop,
    snat_port_exhaustion,
    snat_port_race,
    unknown,
)
from analyzer.model import Fate, Finding
from analyzer.nat.passages import flow_name

if TYPE_CHECKING:
    from analyzer.incident.cases import Case
    from analyzer.incident.scene import Explanation, Scene
    from analyzer.model import Passage


# In the order of how specific their proof is: a neighbour asked for in vain, a twin or a partner that passed, ports
# that are all taken, counters, and last what never passes.
DETECTORS = (
    next_hop_unresolved.explain,
    dns_insert_race.explain,
    snat_port_race.explain,
    snat_port_exhaustion.explain,
    conntrack_table_full.explain,
    policy_drop.explain,
)


def finding(case: Case, scene: Scene) -> Finding:
    """Explain one connection's loss: the first cause that recognises it."""
    explained = (explain(case, scene) for explain in DETECTORS)
    explanation = next((e for e in explained if e is not None), None) or unknown.explain(case, scene)
    answer = None if case.replies else first_answer(case)
    passed = case.passed
    passages = _passages(case, scene, explanation)
    return Finding(
        kind="reply-vanished" if case.replies else "syn-vanished" if case.protocol == TCP else "udp-vanished",
        cause=explanation.cause,
        confidence=explanation.confidence,
        gap=case.gap,
        time=case.lost[0].time,
        inner=flow_name(case.point.flows, case.flow),
        outer=flow_name(case.outer[0].flows, case.outer[1]) if case.outer else None,
        delay_s=(passed.time - case.lost[0].time) / 1e9 if passed else None,
        attempts=case.attempts(scene.trails),
        passages=passages,
        omitted=case.omitted,
        facts={
            "attempts_vanished": case.vanished,
            "answered": answer is not None,
            "answered_after_s": (answer - case.lost[0].time) / 1e9 if answer else None,
            **explanation.facts,
        },
        evidence=explanation.evidence,
        excluded=explanation.excluded,
    )


def _passages(case: Case, scene: Scene, explanation: Explanation) -> tuple[Passage, ...]:
    """What the ladder draws: every attempt, the partner, and the first answer."""
    drawn = []
    for number, step in enumerate(case.steps, 1):
        point, row = step.seen[0]
        drawn.append(
            scene.trails.passage(
                point,
                row,
                outward=case.outward,
                fate=step.fate,
                gap=step.gap,
                role="attempt",
                note=f"attempt {number}",
            )
        )
    if explanation.partner is not None:
        point, row = explanation.partner
        drawn.append(
            scene.trails.passage(point, row, outward=case.outward, role="partner", note="got the port")
        )
    answered = next((s for s in case.steps if s.answered and s.fate is Fate.PASSED), None)
    if answered is not None:
        rows = case.point.rows(case.flow, REPLY)
        later = rows[case.point.packets.time[rows] >= answered.time]
        if len(later):
            drawn.append(
                scene.trails.passage(case.point, int(later[0]), outward=not case.outward, role="reply")
            )
    return tuple(sorted(drawn, key=lambda p: p.sightings[0].time))
