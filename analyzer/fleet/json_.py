"""The fleet report as JSON, `format_version` 1: described in docs/fleet.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from analyzer import __version__
from analyzer.fleet.summary import FleetReport
from analyzer.report.words import iso

FORMAT_VERSION = 1
_TIMES = ("first", "last", "time")
_LISTS = ("nodes", "destinations", "pods", "by_bundle", "between", "lost_between", "bad", "inconclusive")


def to_dict(report: FleetReport) -> dict[str, Any]:
    """Return *report* as plain JSON types; a list that was cut is accompanied by how much is `hidden`."""
    told = asdict(report)
    chart, account = told.pop("over_time"), told.pop("account")
    lists = {name: told.pop(name) for name in _LISTS}
    return {
        "format_version": FORMAT_VERSION,
        "tool": {"name": "lostsyn", "version": __version__},
        "headline": report.headline,
        **told,
        "account": {
            **{name: account[name] for name in ("connections", "worked", "node", "outside", "unknown")},
            "open": report.account.open,
        },
        "period": [iso(time) for time in report.period] if report.period else None,
        "causes": _causes(report.causes),
        **{name: [_row(row) for row in found["shown"]] for name, found in lists.items()},
        "hidden": {name: found["hidden"] for name, found in lists.items()},
        "over_time": chart
        and {
            "step_s": chart["step"] / 1e9,
            "nodes": {
                node: [
                    {"begin": iso(chart["begin"] + bar * chart["step"]), "lost": lost}
                    for bar, lost in sorted(bars.items())
                ]
                for node, bars in chart["counts"].items()
            },
        },
    }


def render(report: FleetReport) -> str:
    """Return *report* as JSON text in ASCII: names of folders cannot act on a terminal."""
    return json.dumps(to_dict(report), indent=2, allow_nan=False) + "\n"


def _row(row: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in row.items():
        if key == "loser":  # of a node: its own columns
            made |= {
                "lost": value["lost"] if value else 0,
                "causes": _causes(value["causes"] if value else ()),
            }
        elif key == "causes":
            made[key] = _causes(value)
        elif key in ("round_trip", "transit", "clock_offset"):
            made[f"{key}_ns"] = value
        else:
            made[key] = iso(value) if key in _TIMES else value
    return made


def _causes(causes: Any) -> list[dict[str, Any]]:
    return [{"cause": cause, "lost": lost} for cause, lost in causes]
