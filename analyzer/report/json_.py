"""The machine-readable report: `format_version` 1, described by `schema.json` in this package."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from analyzer import __version__
from analyzer.report.verdict import headline
from analyzer.report.words import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.connection.model import Account
    from analyzer.incident.model import (
        Advice,
        CapturePoint,
        Evidence,
        Exclusion,
        Finding,
        Incident,
        Occupancy,
        Outside,
    )
    from analyzer.report.checked import Checked
    from analyzer.result.analysis import Result

FORMAT_VERSION = 1
"""Rises when a key is renamed, removed or changes its meaning; new keys leave it as it is."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that `to_dict` follows."""
    text = resources.files("analyzer.report").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def to_dict(analysis: Result) -> dict[str, Any]:
    """Return *analysis* as plain JSON types; times are ISO 8601 in UTC with nanoseconds."""
    counts = analysis.counts
    return {
        "format_version": FORMAT_VERSION,
        "tool": {"name": "lostsyn", "version": __version__, "command": analysis.command or None},
        "bundle": analysis.bundle,
        "inputs": [{"file": one.file, "bytes": one.size, "sha256": one.sha256} for one in analysis.inputs],
        "kernel": analysis.kernel,
        "points": [_point(point) for point in analysis.capture_points],
        "counts": {
            "connections": counts.connections,
            "syn_attempts": counts.syn_attempts,
            "syn_vanished": counts.syn_vanished,
            "syn_unanswered": counts.syn_unanswered,
            "udp_requests": counts.udp_requests,
            "udp_vanished": counts.udp_vanished,
            "reply_vanished": counts.reply_vanished,
            "refused": counts.refused,
            "invalid_packets": counts.invalid_packets,
            "host_resets": counts.host_resets,
        },
        "account": _account(analysis.account),
        "headline": headline(analysis.incidents, analysis),
        "outside": _outside(analysis.outside),
        "coverage": [
            {
                "gap": list(one.gap),
                "point": one.point,
                "recorded_s": one.recorded / 1e9,
                "whole_s": one.whole / 1e9,
                "packets": one.packets,
                "open": one.open,
                "why": dict(one.why),
            }
            for one in analysis.coverage
        ],
        "untold": [
            {"connection": one.connection, "time": iso(one.time), "outcome": one.outcome, "why": one.why}
            for one in analysis.untold
        ],
        "incidents": [_incident(incident) for incident in analysis.incidents],
        "reconciliation": [
            {"counter": row.counter, "delta": row.delta, "explained": row.explained, "note": row.note}
            for row in analysis.reconciliation
        ],
        "health": [
            {"name": s.name, "value": s.value, "level": s.level, "says": s.says, "source": s.source}
            for s in analysis.health
        ],
        "occupancy": _occupancy(analysis.occupancy),
        "caveats": list(analysis.caveats),
        "inconclusive": analysis.inconclusive,
        "advice": [_advice(advice) for advice in analysis.advice],
    }


def _account(account: Account) -> dict[str, Any]:
    return {
        "connections": account.connections,
        "worked": account.worked,
        "node": account.node,
        "outside": account.outside,
        "unknown": account.unknown,
        "why_unknown": dict(account.why_unknown),
        "outcomes": dict(account.outcomes),
        "outcomes_outside": dict(account.outcomes_outside),
    }


def _advice(advice: Advice) -> dict[str, str]:
    return {
        "situation": advice.situation,
        "tells": advice.tells,
        "hides": advice.hides,
        "next": advice.next,
        "command": advice.command,
    }


def _outside(outside: Outside | None) -> dict[str, Any] | None:
    if outside is None:
        return None

    def sources(found: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
        return [{"name": name, "connections": number} for name, number in found]

    return {
        "connections": outside.connections,
        "unanswered": outside.unanswered,
        "first": iso(outside.first),
        "last": iso(outside.last),
        "destinations": [
            {
                "name": one.name,
                "connections": one.connections,
                "worked": one.worked,
                "outcomes": dict(one.outcomes),
                "sources": sources(one.sources),
                "first": iso(one.first),
                "last": iso(one.last),
            }
            for one in outside.destinations
        ],
        "hidden": outside.hidden,
        "sources": sources(outside.sources),
        "traits": [
            {"code": one.code, "connections": one.connections, "says": one.says, "next": one.next}
            for one in outside.traits
        ],
        "advice": _advice(outside.advice) if outside.advice else None,
    }


def render(analysis: Result) -> str:
    """Return *analysis* as JSON text in ASCII: strings from captures cannot act on a terminal."""
    return _text(to_dict(analysis))


def render_checked(checked: Checked) -> str:
    """Return one bundle's analysis, with whether it is as expected."""
    return _text(_checked(checked))


def render_each(checked: Sequence[Checked]) -> str:
    """Return one document of several bundles: `#/$defs/each` of the schema."""
    return _text(
        {
            "format_version": FORMAT_VERSION,
            "bundles": [
                {
                    "paths": list(one.paths),
                    "exit": one.exit,
                    "error": one.error or None,
                    "report": _checked(one) if one.analysis else None,
                }
                for one in checked
            ],
        }
    )


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _checked(checked: Checked) -> dict[str, Any]:
    assert checked.analysis is not None
    document = to_dict(checked.analysis)
    if checked.expectation:
        document["expectations"] = {
            "file": checked.expectation.source,
            "met": not checked.unmet,
            "unmet": [
                {"says": unmet.says, "incident": unmet.incident.id if unmet.incident else None}
                for unmet in checked.unmet
            ],
        }
    return document


def _occupancy(occupancy: Occupancy | None) -> dict[str, Any] | None:
    if occupancy is None:
        return None
    return {
        "times": [iso(time) for time in occupancy.times],
        "entries": list(occupancy.entries),
        "limit": occupancy.limit,
        "shares": {
            by: [{"name": name, "entries": entries} for name, entries in shares]
            for by, shares in occupancy.shares.items()
        },
    }


def _point(point: CapturePoint) -> dict[str, Any]:
    return {
        "name": point.name,
        "role": point.role,
        "files": list(point.files),
        "packets": point.packets,
        "skipped": dict(point.skipped),
        "first": None if point.first is None else iso(point.first),
        "last": None if point.last is None else iso(point.last),
        "dropped": point.dropped,
        "clock_offset_ns": point.clock_offset,
    }


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "kind": incident.kind,
        "cause": incident.cause,
        "confidence": incident.confidence,
        "gap": list(incident.gap) if incident.gap else None,
        "first": iso(incident.first),
        "last": iso(incident.last),
        "summary": incident.summary,
        "findings": [_finding(finding) for finding in incident.findings],
        "evidence": _evidence(incident.evidence),
        "excluded": _excluded(incident.excluded),
        "remedies": [
            {"do": remedy.do, "command": remedy.command, "effect": remedy.effect, "risk": remedy.risk}
            for remedy in incident.remedies
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "time": iso(finding.time),
        "confidence": finding.confidence,
        "inner": finding.inner,
        "outer": finding.outer,
        "delay_s": finding.delay_s,
        "attempts": [
            {
                "time": iso(attempt.time),
                "fate": attempt.fate.value,
                "packets": [
                    {"point": packet.point, "file": packet.file, "frame": packet.frame}
                    for packet in attempt.packets
                ],
            }
            for attempt in finding.attempts
        ],
        "facts": finding.facts,
        "evidence": _evidence(finding.evidence),
        "excluded": _excluded(finding.excluded),
    }


def _evidence(evidence: tuple[Evidence, ...]) -> list[dict[str, str]]:
    return [{"says": item.says, "source": item.source} for item in evidence]


def _excluded(excluded: tuple[Exclusion, ...]) -> list[dict[str, str]]:
    return [{"cause": item.cause, "because": item.because} for item in excluded]
