"""The machine-readable report: `format_version` 1, described by `schema.json` in this package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from analyzer import __version__
from analyzer.evidence.naming import Name
from analyzer.field.explaining import Explained, SlowLog
from analyzer.incident.model import Finding, Incident, Occupancy, Outside
from analyzer.report import reading
from analyzer.report.checked import Checked
from analyzer.report.verdict import headline
from analyzer.report.words import iso
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
    document = {
        "format_version": FORMAT_VERSION,
        "tool": {"name": "lostsyn", "version": __version__, "command": analysis.command or None},
        "bundle": analysis.bundle,
        "inputs": [{"file": one.file, "bytes": one.size, "sha256": one.sha256} for one in analysis.inputs],
        "kernel": analysis.kernel,
        "points": [
            _some(point, "name role files packets skipped first last dropped")
            | {"clock_offset_ns": point.clock_offset}
            for point in analysis.capture_points
        ],
        "counts": _some(
            analysis.counts,
            "connections syn_attempts syn_vanished syn_unanswered udp_requests udp_vanished reply_vanished refused "
            "invalid_packets host_resets",
        ),
        "account": _some(
            analysis.account, "connections worked node outside unknown why_unknown outcomes outcomes_outside"
        )
        | {
            "waited": [
                _some(one, "gap outward connections") | {"longest_s": one.longest / 1e9}
                for one in analysis.account.waited
            ]
        },
        "headline": headline(analysis),
        "outside": _outside(analysis.outside),
        "coverage": [
            _some(one, "gap point")
            | {"recorded_s": one.recorded / 1e9, "whole_s": one.whole / 1e9}
            | _some(one, "packets open why")
            for one in analysis.coverage
        ],
        "untold": [
            _some(one, "connection time outcome why logged") | {"names": _names(one.names)}
            for one in analysis.untold
        ],
        "incidents": [_incident(incident) for incident in analysis.incidents],
        "reconciliation": [_some(row, "counter delta explained note") for row in analysis.reconciliation],
        "health": [_some(signal, "name value level says source") for signal in analysis.health],
        "occupancy": _occupancy(analysis.occupancy),
        "caveats": list(analysis.caveats),
        "read": [
            {
                "file": row.file,
                "format": row.what,
                "facts": row.facts,
                "purpose": row.purpose,
                "wrapped": row.wrapped or None,
                "cited": list(row.cited),
                "outcome": row.outcome,
            }
            for row in reading.rows(analysis.read)
        ],
        "inconclusive": analysis.inconclusive,
        "advice": [_some(advice, _ADVICE) for advice in analysis.advice],
    }
    if analysis.slow is not None:
        document["slow_log"] = _slow_log(analysis.slow)
    return document


def _slow_log(slow: SlowLog) -> dict[str, Any]:
    return {
        "says": slow.says,
        "verdicts": slow.verdicts,
        "requests": [_slow(one) for one in slow.requests],
    }


def _slow(one: Explained) -> dict[str, Any]:
    found = one.connection
    return {
        "file": one.request.file,
        "line": one.request.line,
        "time": iso(one.request.begin),
        "duration_s": one.request.duration,
        "verdict": one.verdict,
        "connection": found.name if found else None,
        "outcome": found.outcome if found else None,
        "delay_s": found.delay_s if found else None,
        "incident": (found.incident or None) if found else None,
        "cause": (found.cause or None) if found else None,
    }


_ADVICE = "situation tells hides next command"
_TIMES = frozenset({"first", "last", "time"})


def _some(of: object, names: str) -> dict[str, Any]:
    """Return some attributes, by their names; tuples are lists, and times texts."""
    found: dict[str, Any] = {}
    for name in names.split():
        value = getattr(of, name)
        if name in _TIMES and value is not None:
            value = iso(value)
        found[name] = (
            list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, dict) else value
        )
    return found


def _outside(outside: Outside | None) -> dict[str, Any] | None:
    if outside is None:
        return None

    def sources(found: tuple[tuple[str, int], ...]) -> list[dict[str, Any]]:
        return [{"name": name, "connections": number} for name, number in found]

    return {
        **_some(outside, "connections unanswered first last"),
        "destinations": [
            _some(one, "name connections worked outcomes")
            | {"refusals": [{"says": says, "connections": number} for says, number in one.refusals]}
            | {"sources": sources(one.sources)}
            | _some(one, "first last")
            | {"names": _names(one.names)}
            for one in outside.destinations
        ],
        "hidden": outside.hidden,
        "sources": sources(outside.sources),
        "traits": [_some(trait, "code connections says next") for trait in outside.traits],
        "advice": _some(outside.advice, _ADVICE) if outside.advice else None,
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


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        **_some(incident, "id kind cause confidence gap first last summary"),
        "findings": [_finding(finding) for finding in incident.findings],
        **_reasons(incident),
        "remedies": [_some(remedy, "do command effect risk") for remedy in incident.remedies],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        **_some(finding, "time confidence inner outer"),
        "names": _names(finding.names),
        "delay_s": finding.delay_s,
        "attempts": [
            {
                "time": iso(attempt.time),
                "fate": attempt.fate.value,
                "packets": [_some(packet, "point file frame") for packet in attempt.packets],
            }
            for attempt in finding.attempts
        ],
        "facts": finding.facts,
        **_reasons(finding),
    }


def _names(names: tuple[Name, ...]) -> list[dict[str, Any]]:
    return [_some(one, "address kind name namespace node") for one in names]


def _reasons(of: Incident | Finding) -> dict[str, Any]:
    return {
        "evidence": [_some(item, "says source") for item in of.evidence],
        "excluded": [_some(item, "cause because") for item in of.excluded],
    }
