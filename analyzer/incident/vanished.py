"""Connections that lost a packet, or were refused by this node, to findings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.capture.layout import REPLY
from analyzer.connection.model import Fate
from analyzer.connection.passages import flow_name
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.incident.cases import first_answer
from analyzer.incident.causes import detectors, unknown
from analyzer.incident.model import Finding
from analyzer.incident.records import agrees, outranked, record_of, told
from analyzer.node.ways import IN, LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from analyzer.connection.model import Passage
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Explanation
    from analyzer.incident.model import Kind
    from analyzer.incident.scene import Scene

_KINDS: dict[int, Kind] = {
    TCP: "syn-vanished",
    UDP: "udp-vanished",
    ICMP: "icmp-vanished",
    ICMP6: "icmp-vanished",
}


_WAYS = {IN: "in", LOCAL: "local"}
"""Where connections were to that did not leave the node."""


def findings(cases: Sequence[Case], scene: Scene) -> list[Finding]:
    """Explain every case.

    First by what needs no counter: a record of the kernel, a rule, a neighbour asked for in vain, a setting. What
    conntrack counted is then compared with what these leave over, so that two causes in one bundle do not hide each other.
    """
    explained = [_explain(case, scene, counted=False) for case in cases]
    scene.explained = sum(
        case.vanished
        for case, found in zip(cases, explained, strict=True)
        if found is not None and case.requests
    )
    return [
        _finding(
            case,
            scene,
            _by_record(case, scene, found or _explain(case, scene, counted=True) or _suggest(case, scene)),
        )
        for case, found in zip(cases, explained, strict=True)
    ]


def _explain(case: Case, scene: Scene, *, counted: bool) -> Explanation | None:
    """The first cause that recognises the case, in the order of how specific its proof is, and agrees with the record."""
    record = record_of(case, scene)
    found = (
        cause.explain(case, scene)
        for cause in _asked(case)
        if counted == cause.COUNTED and agrees(cause, record)
    )
    return next((explanation for explanation in found if explanation is not None), None)


def _asked(case: Case) -> Iterator[ModuleType]:
    """The causes that can act in the case's gap."""
    return (cause for cause in detectors() if not case.gap.stacked or hasattr(cause, "BETWEEN_DEVICES"))


def _suggest(case: Case, scene: Scene) -> Explanation:
    """What the captures alone suggest where nothing proves a cause."""
    record = record_of(case, scene)
    found = (
        cause.suggest(case, scene)
        for cause in _asked(case)
        if hasattr(cause, "suggest") and agrees(cause, record)
    )
    return next((explanation for explanation in found if explanation is not None), None) or unknown.explain(
        case, scene
    )


def _by_record(case: Case, scene: Scene, explanation: Explanation) -> Explanation:
    """An explanation that begins with the kernel's record, and tells what that outranks."""
    record = record_of(case, scene)
    if record is None:
        return explanation
    contradicted = (
        found
        for cause in detectors()
        if not agrees(cause, record) and (found := cause.explain(case, scene)) is not None
    )
    outranks = next((found for found in contradicted if found.confidence != "possible"), None)
    first = told(record)
    excluded = explanation.excluded
    if outranks is not None:
        others = (one for one in excluded if one.cause != outranks.cause)
        excluded = (outranked(outranks.cause, record), *others)
    return replace(
        explanation,
        evidence=(first, *(one for one in explanation.evidence if one != first)),
        excluded=excluded,
    )


def _kind(case: Case) -> Kind:
    if case.refused:
        return "refused"
    return "reply-vanished" if case.replies else _KINDS[case.protocol]


def _finding(case: Case, scene: Scene, explanation: Explanation) -> Finding:
    answer = None if case.replies else first_answer(case)
    here, there = (case.point.flows, case.flow), case.outer and (case.outer[0].flows, case.outer[1])
    inner, outer = (here, there) if case.outward or there is None else (there, here)
    way = _WAYS.get(int(scene.node.heading[case.point.name][case.flow]))
    if not way and case.requests and not case.outward:
        way = "in"
    passed = case.passed
    passages = _passages(case, scene, explanation)
    return Finding(
        kind=explanation.kind or _kind(case),
        cause=explanation.cause,
        confidence=explanation.confidence,
        gap=case.gap.names,
        point=case.point.name,
        flow=case.flow,
        time=case.lost[0].time,
        inner=flow_name(*inner),
        outer=flow_name(*outer) if outer else None,
        delay_s=(passed.time - case.lost[0].time) / 1e9 if passed else None,
        attempts=case.attempts(scene.trails),
        passages=passages,
        omitted=case.omitted,
        facts={
            "attempts_vanished": case.vanished,
            "answered": answer is not None,
            "answered_after_s": (answer - case.lost[0].time) / 1e9 if answer else None,
            **({"way": way} if way else {}),
            **explanation.facts,
        },
        evidence=explanation.evidence,
        excluded=explanation.excluded,
        remedies=explanation.remedies,
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
