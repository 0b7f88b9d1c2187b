"""What a notebook shows of an analysis, an incident, a finding, a ladder: fragments of the report.

Every fragment carries its style, nested in a class of its own, so that nothing else in the notebook is restyled. It
follows the theme that the notebook says it has, else the reader's system.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from analyzer.connection.model import Connection
from analyzer.incident.model import CapturePoint, Finding, Incident
from analyzer.report import ladder as ladder_
from analyzer.report import page, timeline, window_chart
from analyzer.report.html import environment, ladder_svg, source
from analyzer.report.verdict import headline
from analyzer.report.words import short
from analyzer.result.analysis import Result

INCIDENTS = 3
"""Incidents told in an analysis; the rest is counted."""
NOTES = 8
"""Caveats, pieces of evidence, exclusions in one list."""
# How JupyterLab, VS Code and Sphinx themes say which theme is on.
_LIGHT = '[data-jp-theme-light="true"], .vscode-light, [data-theme="light"]'
_DARK = '[data-jp-theme-light="false"], .vscode-dark, [data-theme="dark"]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A drawing that a notebook shows in place."""

    of: str
    """What it shows, in words."""
    svg: str = field(repr=False)
    """As a file that carries its own style."""
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def analysis(told: Result) -> str:
    """Return the verdict, the first incidents with a ladder each, the capture points, the caveats."""
    return _render(
        "analysis",
        analysis=told,
        headline=headline(told),
        incidents=[(i, _ladder(i.findings[0], told.capture_points)) for i in told.incidents[:INCIDENTS]],
        hidden=max(len(told.incidents) - INCIDENTS, 0),
        points=page.fold(told.capture_points, page.NOTES),
        caveats=page.fold(told.caveats, NOTES),
    )


def incident(told: Incident, points: Sequence[CapturePoint] = ()) -> str:
    """Return the summary, the attempts, the first finding's ladder and window, evidence and exclusions."""
    first = told.findings[0]
    return _render(
        "incident",
        incident=told,
        timeline=timeline.build(told.findings),
        ladder=_ladder(first, points),
        window=window_chart.build(first),
        finding=first,
        evidence=page.fold(told.evidence, NOTES),
        excluded=page.fold(told.excluded, NOTES),
    )


def finding(told: Finding, points: Sequence[CapturePoint] = ()) -> str:
    """Return one connection's ladder and window, evidence and exclusions."""
    return _render(
        "finding",
        finding=told,
        ladder=_ladder(told, points),
        window=window_chart.build(told),
        evidence=page.fold(told.evidence, NOTES),
        excluded=page.fold(told.excluded, NOTES),
    )


def ladder(told: Finding | Connection, points: Sequence[CapturePoint] = ()) -> Drawing:
    """Draw one connection's way through the capture points."""
    points = points or _points(told)
    return Drawing(
        of=f"ladder of {short(told.inner, 160)}",
        svg=ladder_svg(told, points),
        html=_render("drawing", connection=told, ladder=_ladder(told, points)),
    )


def _ladder(told: Finding | Connection, points: Sequence[CapturePoint]) -> ladder_.Ladder | None:
    seen = any(passage.sightings for passage in told.passages)
    return ladder_.build(told, points or _points(told)) if seen else None


def _points(told: Finding | Connection) -> list[CapturePoint]:
    """The points that the packets passed, from the inside out, where no analysis is at hand to say."""
    names = list(told.gap or ())
    for passage in told.passages:
        way = [sighting.point for sighting in passage.sightings]
        place = len(names)
        for name in way[::-1] if passage.outward else way:
            if name in names:
                place = names.index(name)
            else:
                names.insert(place, name)
    none: dict[str, Any] = {"files": (), "packets": 0, "skipped": {}, "first": None, "last": None}
    return [CapturePoint(name=name, role="", dropped=None, clock_offset=0, **none) for name in names]


def _render(macro: str, **values: Any) -> str:
    module = environment().get_template("notebook.html").module
    body = getattr(module, macro)(**values)
    return str(Markup('<div class="lostsyn lostsyn-cell"><style>{}</style>{}</div>').format(_style(), body))


@functools.cache
def _style() -> Markup:
    """The report's style, and no selector of it reaching further than the fragment."""
    palette = source("palette.css")
    light, dark = re.findall(r"\.lostsyn \{(.*?)\}", palette, re.DOTALL)[:2]
    themes = f"@media screen {{ :is({_LIGHT}) .lostsyn {{{light}}} :is({_DARK}) .lostsyn {{{dark}}} }}"
    # Three times its own class: it outweighs what the notebook says of tables and lists within any output.
    nested = f"{'.lostsyn-cell' * 3} {{\n{source('page.css', 'drawing.css', 'notebook.css')}\n}}"
    return Markup("\n".join((palette, themes, nested)))  # noqa: S704 - our own files, not input
