"""The fleet report on a terminal: the verdict first, plain text, 80 columns wide, no colours."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TypeVar

from analyzer import __version__
from analyzer.fleet.summary import FleetReport, Loser, Problem
from analyzer.incident.wording import count
from analyzer.report import account
from analyzer.report.page import Folded
from analyzer.report.words import cause_title, duration, short

T = TypeVar("T")
WIDTH = 80
LISTED = 10
"""Rows of each list; the rest is counted."""


def render(report: FleetReport) -> str:
    """Return the report as text; names are made printable and kept to their line."""
    done = f"{count(report.analysed, 'bundle')} analysed now, {report.done_before:,} done before"
    bad = len(report.bad.shown) + report.bad.hidden
    blocks = [
        [
            report.headline,
            *([account.line(report.account)] if report.account.connections else []),
            done + (f", {count(bad, 'bad bundle')}" if bad else ""),
        ],
        _nodes(report),
        _losers("Destinations", report.destinations),
        _losers("Pods", report.pods),
        _losers("Bundles", report.by_bundle),
        _between(report),
        _problems("Bad bundles", report.bad),
        _problems("Inconclusive bundles", report.inconclusive),
        [f"Made by lostsyn {__version__}"],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _nodes(report: FleetReport) -> list[str]:
    rows = [
        [
            short(row.node, 30),
            f"{row.loser.lost if row.loser else 0:,}",
            f"{row.requests:,}",
            f"{row.vanished:,}",
            _causes(row.loser),
        ]
        for row in report.nodes.shown[:LISTED]
    ]
    return _table(("Nodes", "lost", "requests", "vanished", ""), rows, report.nodes)


def _losers(title: str, losers: Folded[Loser]) -> list[str]:
    rows = [
        [short(f"{row.name} at {row.node}" if row.node else row.name, 38), f"{row.lost:,}", _causes(row)]
        for row in losers.shown[:LISTED]
    ]
    return _table((title, "lost", ""), rows, losers)


def _between(report: FleetReport) -> list[str]:
    rows = [
        [
            short(f"{row.left} > {row.entered}", 38),
            f"{row.connections:,}",
            f"{row.vanished:,}",
            "not known" if row.round_trip is None else duration(row.round_trip),
        ]
        for row in report.between.shown[:LISTED]
    ]
    return _table(("Between nodes", "connections", "SYNs lost", "round trip"), rows, report.between)


def _problems(title: str, problems: Folded[Problem]) -> list[str]:
    if not problems.shown:
        return []
    lines = [title]
    for problem in problems.shown[:LISTED]:
        says = f"{short(problem.bundle, 60)}: {short(problem.says, 400)}"
        lines += textwrap.wrap(
            says, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    return lines + _more(problems)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], of: Folded[T]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = []
    for row in ([heads[0], *heads[1:]], *([f"  {row[0]}", *row[1:]] for row in rows)):
        cells = [row[0].ljust(widths[0] + 2)]
        for head, cell, width in zip(heads[1:], row[1:], widths[1:], strict=True):
            cells.append(cell.rjust(width) if head else cell)
        lines.append("  ".join(cells).rstrip()[:WIDTH])
    return lines + _more(of)


def _more(of: Folded[T]) -> list[str]:
    more = max(len(of.shown) - LISTED, 0) + of.hidden
    return [f"  ... and {more:,} more"] if more else []


def _causes(loser: Loser | None) -> str:
    if loser is None:
        return ""
    more = len(loser.causes) - 1
    return cause_title(loser.causes[0][0]) + (f" +{more}" if more else "")
