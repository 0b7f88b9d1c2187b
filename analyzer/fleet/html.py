"""The fleet report as one self-contained HTML page, in the look and under the policy of the report on one bundle."""

from __future__ import annotations

from analyzer.fleet.summary import FleetReport
from analyzer.report.html import self_contained, source


def render(report: FleetReport) -> str:
    """Return the page."""
    style = source("palette.css", "page.css", "drawing.css", "fleet.css")
    return self_contained("fleet.html", style, report=report)
