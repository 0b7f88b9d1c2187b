"""What the HTML report shows, chosen and folded: long lists are cut, and the page says by how much.

Whatever the bundle holds, the file stays under 10 MB: every list has a limit here, the drawings share one
budget, and `analyzer.report.words.printable` bounds each string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from analyzer.connection.model import Passage, Sighting
from analyzer.field.explaining import Explained
from analyzer.incident.health import Signal
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
from analyzer.result.analysis import Result

T = TypeVar("T")

DRAWN = 3
"""Findings of one cause that are drawn."""
DRAWN_IN_ALL = 40
"""Findings of the whole page that are drawn; never less than one for each cause told."""
TOLD = 40
"""Causes told in full."""
INCIDENTS = 400
"""Incidents in their table."""
OF_CAUSE = 40
"""Incidents of one cause in its table."""
LISTED = 400
"""Findings of one cause in its table."""
LISTED_IN_ALL = 2000
"""Findings of the whole page in tables."""
PACKETS = 120
"""Rows in one table of packets."""
MAPPINGS = 200
"""NAT mappings in their table."""
CAUSES = 4
"""Causes on the first screen, each with the fix; the rest is in the table of incidents."""
CONTENTS = 8
"""Causes in the contents."""
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
    """Of this finding alone: what its cause says already is left out."""
    excluded: Folded[Exclusion]


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseView:
    """A cause told in full, with the incidents it made."""

    cause: Cause
    anchor: str
    """That of its first incident."""
    incidents: Folded[tuple[Incident, str]]
    """Each with its anchor."""
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
    first: Folded[tuple[Cause, str]]
    """The causes of the first screen, those with the most connections first; an anchor is empty where the cause is not told."""
    contents: tuple[tuple[str, str], ...]
    """Anchors of the sections, with their titles."""
    slow: Folded[tuple[Explained, str]]
    """Slow requests, each with the anchor of its incident; empty where none is told in full."""
    outside: Beyond | None
    table: Folded[tuple[Incident, str]]
    """Incidents with their anchors; an anchor is empty where the incident's cause is not told in full."""
    causes: tuple[CauseView, ...]
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
    anchors = dict(zip(map(id, incidents), _anchors(incidents), strict=True))
    found = causes(incidents)
    told = found[:TOLD]
    drawings = max(min(DRAWN, DRAWN_IN_ALL // max(len(told), 1)), 1)
    rows = LISTED_IN_ALL
    views: list[CauseView] = []
    linked: dict[int, str] = {}
    for cause in told:
        view = _cause(cause, anchors, analysis.capture_points, drawings, min(LISTED, rows))
        rows -= len(view.listed.shown)
        views.append(view)
        linked |= {id(incident): view.anchor for incident in cause.incidents}
        linked |= {id(incident): anchor for incident, anchor in view.incidents.shown}
    place = {incident.id: linked.get(id(incident), "") for incident in incidents}
    waited = analysis.slow.requests if analysis.slow else ()
    points = zip(analysis.capture_points, coverage.bars(analysis.capture_points), strict=True)
    made = Page(
        analysis=analysis,
        headline=headline(analysis, incidents),
        others=len(analysis.incidents) - len(incidents),
        first=fold([(cause, linked.get(id(cause.first), "")) for cause in found], CAUSES),
        contents=(),
        slow=fold(
            [(one, place.get(one.connection.incident, "") if one.connection else "") for one in waited],
            LISTED,
        ),
        outside=_beyond(analysis),
        table=fold([(one, linked.get(id(one), "")) for one in incidents], INCIDENTS),
        causes=tuple(views),
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
    if len(made.causes) > 1:
        yield "incidents", "Incidents"
    yield from ((view.anchor, title(view.cause.first)) for view in made.causes[:CONTENTS])
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


def _cause(
    cause: Cause, anchors: dict[int, str], points: Sequence[CapturePoint], drawings: int, rows: int
) -> CauseView:
    # One of each incident before a second of any.
    heads = [incident.findings[0] for incident in cause.incidents]
    rest = [finding for incident in cause.incidents for finding in incident.findings[1:]]
    findings = [*heads, *rest]
    anchor = anchors[id(cause.first)]
    evidence, excluded = cause.evidence, cause.excluded
    drawn = tuple(
        _finding(finding, f"{anchor}.finding-{number}", evidence, excluded, points)
        for number, finding in enumerate(findings[:drawings], 1)
    )
    return CauseView(
        cause=cause,
        anchor=anchor,
        incidents=fold([(incident, anchors[id(incident)]) for incident in cause.incidents], OF_CAUSE),
        timeline=timeline.build(findings),
        drawn=drawn,
        listed=fold(() if len(drawn) == len(findings) else findings, rows),
        connection=filters.connections(findings),
        evidence=fold(evidence, NOTES),
        excluded=fold(excluded, NOTES),
    )


def _finding(
    finding: Finding,
    anchor: str,
    evidence: Sequence[Evidence],
    excluded: Sequence[Exclusion],
    points: Sequence[CapturePoint],
) -> FindingView:
    """Draw *finding*; its cause's *evidence* and *excluded* are not told again."""
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
        evidence=fold([item for item in finding.evidence if item not in evidence], NOTES),
        excluded=fold([item for item in finding.excluded if item not in excluded], NOTES),
    )
