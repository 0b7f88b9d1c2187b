"""Findings of one kind, cause and gap that belong together in time, as incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.compute.thresholds import APART
from analyzer.incident import causes
from analyzer.incident.causes import _invalid as invalid
from analyzer.incident.explanation import Loss
from analyzer.incident.model import Incident

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.incident.model import Confidence, Finding, Remedy

MOST_FIXES = 8
"""Fixes of one incident that are told, one for each rule, entry or address."""
_WEAKEST: tuple[Confidence, ...] = ("possible", "likely", "proven")


def incidents(*nodes: Iterable[Finding]) -> tuple[Incident, ...]:
    """Group and number the findings of each node, in order of time."""
    groups: list[list[Finding]] = []
    open_groups: dict[tuple[object, ...], list[Finding]] = {}
    findings = ((node, finding) for node, told in enumerate(nodes) for finding in told)
    for node, finding in sorted(findings, key=lambda one: one[1].time):
        key = (
            node,
            finding.kind,
            finding.cause,
            finding.gap,
            finding.facts.get("reset_by"),
            finding.facts.get("dropped"),
        )
        group = open_groups.get(key)
        if group is None or finding.time - group[-1].time > APART:
            group = open_groups[key] = []
            groups.append(group)
        group.append(finding)
    counted: dict[str, int] = {}
    result = []
    for group in groups:
        kind = group[0].kind
        counted[kind] = counted.get(kind, 0) + 1
        result.append(_incident(f"{kind}-{counted[kind]}", group))
    return tuple(result)


def _incident(name: str, group: list[Finding]) -> Incident:
    first = group[0]
    return Incident(
        id=name,
        kind=first.kind,
        cause=first.cause,
        confidence=min((f.confidence for f in group), key=_WEAKEST.index),
        gap=first.gap,
        first=first.time,
        last=max((a.time for f in group for a in f.attempts), default=group[-1].time),
        summary=_summary(group),
        findings=tuple(group),
        evidence=first.evidence,
        excluded=first.excluded,
        remedies=_remedies(group),
    )


def _remedies(group: list[Finding]) -> tuple[Remedy, ...]:
    """Those for this node where findings have such, else those of the cause, which only say in general what to do.

    Two rules may have dropped what one incident tells of: first come the first remedies of all findings.
    """
    first = group[0]
    if own := [finding.remedies for finding in group if finding.remedies]:
        fixes = list(dict.fromkeys(one[0] for one in own))[:MOST_FIXES]
        return tuple(dict.fromkeys((*fixes, *(remedy for one in own for remedy in one[1:]))))
    general: tuple[Remedy, ...] = causes.module(first.cause).REMEDIES
    return invalid.fitting(
        general,
        forwarded=first.facts.get("reset_by") == "pod",
        dropped=first.kind == "invalid-dropped",
        v6=first.inner.startswith("["),
    )


def _summary(group: list[Finding]) -> str:
    first = group[0]
    cause = causes.module(first.cause)
    what = getattr(cause, "WHAT", "no window test explains it")
    if first.kind == "invalid-reset":
        by_pod = first.facts.get("reset_by") == "pod"
        return invalid.summary(len(group), sum(len(f.facts["offenders"]) for f in group), what, by_pod=by_pod)
    if first.kind == "invalid-dropped":
        return invalid.dropped(len(group), sum(len(f.facts["offenders"]) for f in group), what)
    if first.kind == "unnatted-leak":
        return invalid.leaked(len(group), sum(int(f.facts["packets"]) for f in group))
    assert first.gap is not None
    loss = Loss(
        connections=len(group),
        packets=sum(int(f.facts.get("attempts_vanished", f.facts.get("packets", 1))) for f in group),
        gap=first.gap,
        delay_s=max(f.delay_s or 0.0 for f in group),
        dropped=first.facts.get("dropped", "") if first.cause == "unknown" else "",
        to_node=all(f.facts.get("to_node") for f in group),
        kind=first.kind,
        way=first.facts.get("way", "out"),
    )
    text: str = cause.summary(loss)
    return text
