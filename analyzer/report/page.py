"""What the HTML report shows, chosen and folded: long lists are cut, and the page says by how much.

Whatever the bundle holds, the file stays under 10 MB: every list has a limit here, the drawings share one
budget, and `analyzer.report.words.printable` bounds each string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from analyzer.connection.model import Passage, Sighting
from analyzer.incident.model import (
    CapturePoint,
    Evidence,
    Exclusion,
    Finding,
    Incident,
    Outside,
    OutsideDestination,
    Reconciled,
)
from analyzer.report import (
    coverage,
    facts,
    filters,
    ladder,
    occupancy_chart,
    provenance,
    reading,
    timeline,
    window_chart,
)
from analyzer.report.verdict import Cause, causes, headline
from analyzer.report.words import title

if TYPE_CHECKING:
    from analyzer.field.explaining import Explained
    from analyzer.incident.health import Signal
    from analyzer.result.analysis import Result

T = TypeVar("T")

DRAWN = 3
"""Findings of one incident that are drawn."""
DRAWN_IN_ALL = 40
"""Findings of the whole page that are drawn; never less than one for each incident told."""
INCIDENTS = 40
"""Incidents told in full; the table of incidents goes on to ten times as many."""
LISTED = 400
"""Findings of one incident in its table."""
LISTED_IN_ALL = 2000
"""Findings of the whole page in tables."""
PACKETS = 120
"""Rows in one table of packets."""
MAPPINGS = 200
"""NAT mappings in their table."""
CAUSES = 4
"""Causes on the first screen, each with its first incident and the fix; the rest is in the table of incidents."""
CONTENTS = 8
"""Incidents in the contents."""
NOTES = 60
"""Pieces of evidence, exclusions, remedies, caveats, facts in one list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded(Generic[T]):
    """The head of a long list, and how much of it is not shown."""

    shown: tuple[T, ...]
    hidden: int


def fold(items: Sequence[T], limit: int) -> Folded[T]:
    """Keep the first *limit* of *items*."""
    return Folded(shown=tuple(items[:limit]), hidden=max(len(items) - limit, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketRow:
    """One sighting in the table of packets."""

    sighting: Sighting
    passage: Passage
    packet: int
    """Index of the passage: what the ladder calls the same packet."""
    first: bool
    """True on the first of a passage's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFilter:
    """The frames of one file."""

    file: str
    points: tuple[str, ...]
    filter: filters.Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """A finding that is drawn."""

    finding: Finding
    anchor: str
    ladder: ladder.Ladder | None
    """None where the finding has no packet to draw."""
    window: window_chart.WindowChart | None
    packets: Folded[PacketRow]
    facts: Folded[tuple[str, str]]
    frames: Folded[FrameFilter]
    connection: filters.Filter
    """Valid in the files of all points; may be empty."""
    evidence: Folded[Evidence]
    """Of this finding alone: what the incident says already is left out."""
    excluded: Folded[Exclusion]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """An incident told in full."""

    incident: Incident
    anchor: str
    timeline: timeline.Timeline | None
    drawn: tuple[FindingView, ...]
    listed: Folded[Finding]
    """All findings as a table; empty where the drawn ones are all."""
    connection: filters.Filter
    evidence: Folded[Evidence]
    excluded: Folded[Exclusion]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRow:
    """A capture point with its coverage."""

    point: CapturePoint
    bar: coverage.Bar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What failed outside the node."""

    outside: Outside
    destinations: Folded[OutsideDestination]
    ladder: ladder.Ladder | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One HTML file."""

    analysis: Result
    headline: str
    others: int
    """Incidents of the bundle that this page leaves to other pages."""
    causes: Folded[tuple[Cause, str]]
    """Those with the most connections first, each with its incident's anchor as in `table`."""
    contents: tuple[tuple[str, str], ...]
    """Anchors of the sections, with their titles."""
    slow: Folded[tuple[Explained, str]]
    """Slow requests, each with the anchor of its incident; empty where none is told in full."""
    outside: Beyond | None
    table: Folded[tuple[Incident, str]]
    """Incidents with their anchors; an anchor is empty where the incident is not told in full."""
    incidents: tuple[IncidentView, ...]
    points: Folded[PointRow]
    mappings: Folded[dict[str, object]]
    reconciliation: Folded[Reconciled]
    health: Folded[Signal]
    occupancy: occupancy_chart.OccupancyChart | None
    caveats: Folded[str]
    read: Folded[reading.Row]
    inputs: Folded[tuple[str, str]]
    """Each file that was looked into, with its SHA-256."""


def build(analysis: Result, incidents: Sequence[Incident]) -> Page:
    """Choose what the page of *incidents* shows of *analysis*."""
    told = min(len(incidents), INCIDENTS)
    drawings = max(min(DRAWN, DRAWN_IN_ALL // max(told, 1)), 1)
    rows = LISTED_IN_ALL
    anchors = _anchors(incidents)
    linked = {
        id(one): anchor * (row < told)
        for row, (one, anchor) in enumerate(zip(incidents, anchors, strict=True))
    }
    views: list[IncidentView] = []
    for incident, anchor in zip(incidents[:told], anchors, strict=False):
        view = _incident(incident, anchor, analysis.capture_points, drawings, min(LISTED, rows))
        rows -= len(view.listed.shown)
        views.append(view)
    place = {incident.id: anchor for incident, anchor in zip(incidents[:told], anchors, strict=False)}
    waited = analysis.slow.requests if analysis.slow else ()
    points = zip(analysis.capture_points, coverage.bars(analysis.capture_points), strict=True)
    made = Page(
        analysis=analysis,
        headline=headline(incidents, analysis),
        others=len(analysis.incidents) - len(incidents),
        causes=fold([(cause, linked[id(cause.incident)]) for cause in causes(incidents)], CAUSES),
        contents=(),
        slow=fold(
            [(one, place.get(one.connection.incident, "") if one.connection else "") for one in waited],
            LISTED,
        ),
        outside=_beyond(analysis),
        table=fold(
            [
                (one, anchor * (row < told))
                for row, (one, anchor) in enumerate(zip(incidents, anchors, strict=True))
            ],
            INCIDENTS * 10,
        ),
        incidents=tuple(views),
        points=fold([PointRow(point=point, bar=bar) for point, bar in points], MAPPINGS),
        mappings=fold(analysis.mappings, MAPPINGS),
        reconciliation=fold(analysis.reconciliation, NOTES),
        health=fold([one for one in analysis.health if one.level != "ok" or one.value != "+0"], NOTES),
        occupancy=occupancy_chart.build(analysis.occupancy) if analysis.occupancy else None,
        caveats=fold(analysis.caveats, NOTES),
        read=fold(reading.rows(analysis.read), MAPPINGS),
        inputs=fold(provenance.inputs(analysis), MAPPINGS),
    )
    return replace(made, contents=tuple(_contents(made)))


def _beyond(analysis: Result) -> Beyond | None:
    if analysis.outside is None:
        return None
    example = analysis.outside.example
    drawn = example is not None and any(passage.sightings for passage in example.passages)
    return Beyond(
        outside=analysis.outside,
        destinations=fold(analysis.outside.destinations, NOTES),
        ladder=ladder.build(example, analysis.capture_points) if example is not None and drawn else None,
    )


def _contents(made: Page) -> Iterator[tuple[str, str]]:
    """The sections that the page has, in its order."""
    if len(made.table.shown) > 1:
        yield "incidents", "Incidents"
    # One line a cause: the incidents of one cause stand in the table.
    causes = {title(view.incident): view.anchor for view in reversed(made.incidents[:CONTENTS])}
    yield from ((anchor, name) for name, anchor in reversed(causes.items()))
    account = made.analysis.account
    sections = (
        ("slow", "Slow requests", made.analysis.slow),
        ("untold", "Cannot tell", account.open),
        ("outside", "Outside this node", made.outside),
        ("advice", "What to capture next", made.analysis.advice),
        ("points", "Capture points", True),
        ("reconciliation", "Kernel counters", made.reconciliation.shown),
        ("health", "Node health", made.health.shown),
        ("occupancy", "Conntrack table", made.occupancy),
        ("caveats", "Caveats", made.caveats.shown),
        ("read", "What was read", made.read.shown),
        ("nat", "NAT mappings", made.mappings.shown),
        ("made-from", "Inputs", made.inputs.shown),
    )
    yield from ((anchor, name) for anchor, name, there in sections if there)


def _anchors(incidents: Iterable[Incident]) -> list[str]:
    """Return a unique HTML id for each incident, its own where that can be one."""
    taken: dict[str, None] = {}
    for incident in incidents:
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", incident.id[:60]).strip("-") or "incident"
        anchor, number = base, 2
        while anchor in taken:
            anchor, number = f"{base}.{number}", number + 1
        taken[anchor] = None
    return list(taken)


def _incident(
    incident: Incident, anchor: str, points: Sequence[CapturePoint], drawings: int, rows: int
) -> IncidentView:
    drawn = tuple(
        _finding(finding, f"{anchor}.finding-{number}", incident, points)
        for number, finding in enumerate(incident.findings[:drawings], 1)
    )
    all_drawn = len(drawn) == len(incident.findings)
    return IncidentView(
        incident=incident,
        anchor=anchor,
        timeline=timeline.build(incident.findings),
        drawn=drawn,
        listed=fold(() if all_drawn else incident.findings, rows),
        connection=filters.connections(incident.findings),
        evidence=fold(incident.evidence, NOTES),
        excluded=fold(incident.excluded, NOTES),
    )


def _finding(
    finding: Finding, anchor: str, incident: Incident, points: Sequence[CapturePoint]
) -> FindingView:
    rows = [
        PacketRow(sighting=sighting, passage=passage, packet=number, first=place == 0)
        for number, passage in enumerate(finding.passages)
        for place, sighting in enumerate(passage.sightings)
    ]
    sightings = [row.sighting for row in rows]
    at: dict[str, dict[str, None]] = {}
    for sighting in sightings:
        at.setdefault(sighting.file, {})[sighting.point] = None
    frames = [
        FrameFilter(file=file, points=tuple(at[file]), filter=made)
        for file, made in filters.frames(sightings).items()
    ]
    return FindingView(
        finding=finding,
        anchor=anchor,
        ladder=ladder.build(finding, points) if sightings else None,
        window=window_chart.build(finding),
        packets=fold(rows, PACKETS),
        facts=fold(facts.readable(finding.facts), NOTES),
        frames=fold(frames, 24),
        connection=filters.connections([finding]),
        evidence=fold([item for item in finding.evidence if item not in incident.evidence], NOTES),
        excluded=fold([item for item in finding.excluded if item not in incident.excluded], NOTES),
    )
