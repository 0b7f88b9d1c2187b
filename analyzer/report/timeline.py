"""Geometry of the retry timeline: a row for each connection, its attempts from the first on, one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.connection.model import Fate
from analyzer.incident.model import Finding
from analyzer.report.scale import Tick, ticks
from analyzer.report.words import duration, iso, offset, short

ROWS = 12
"""Connections drawn."""
ATTEMPTS = 40
"""Attempts drawn in one row."""

_LEFT = 190.0  # at least
_RIGHT = 50.0
_ROOM = 680.0  # from the first attempt to the last
_MONO = 6.7  # width of a character of a name
_TOP = 34.0
_ROW = 46.0
_LABEL = 74.0  # a label such as `+1.024012 s` needs this much


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One attempt."""

    x: float
    fate: str
    label: str
    """After the first attempt; empty where it would touch the label before."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One connection's attempts."""

    y: float
    name: str
    full: str
    marks: tuple[Mark, ...]
    wait: tuple[float, float] | None
    """x from the first attempt to the one that passed, or to the last if none did."""
    verdict: str
    """What the client waited, or that nothing got through."""
    failed: bool
    """True if no attempt is known to have passed."""
    hidden: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What the template draws."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    hidden: int
    """Connections with attempts that are not drawn."""


def build(findings: Sequence[Finding], rows: int = ROWS) -> Timeline | None:
    """Lay out the attempts of *findings*; None where no finding has any.

    The scale is linear and the same for every row; the first *rows* connections are drawn.
    """
    tried = [finding for finding in findings if finding.attempts]
    if not tried:
        return None
    shown = tried[:rows]
    span = max(max(_times(finding)) - min(_times(finding)) for finding in shown)
    per_ns = _ROOM / span if span else 0.0
    mixed = len({finding.inner.rpartition("/")[2] for finding in shown}) > 1
    names = [_name(finding, mixed) for finding in shown]
    left = max(_LEFT, max(map(len, names)) * _MONO + 36)
    bottom = _TOP + _ROW * len(shown)
    return Timeline(
        width=round(left + _ROOM + _RIGHT, 1),
        height=bottom + 34,
        left=left,
        right=left + _ROOM,
        top=_TOP,
        bottom=bottom,
        rows=tuple(
            _row(finding, name, _TOP + _ROW * (at + 0.62), left, per_ns)
            for at, (finding, name) in enumerate(zip(shown, names, strict=True))
        ),
        ticks=tuple(
            Tick(at=round(left + value * per_ns, 1), label=duration(round(value)) if value else "0")
            for value in ticks(0, span, 6)
        ),
        hidden=len(tried) - len(shown),
    )


def _times(finding: Finding) -> list[int]:
    return [attempt.time for attempt in finding.attempts[:ATTEMPTS]]


def _name(finding: Finding, mixed: bool) -> str:
    """Return the client's end, with the protocol if there are several."""
    client, _, rest = finding.inner.partition(" > ")
    return short(client, 60) + f"/{short(rest.rpartition('/')[2], 8)}" * mixed


def _row(finding: Finding, name: str, y: float, left: float, per_ns: float) -> Row:
    attempts = sorted(finding.attempts[:ATTEMPTS], key=lambda attempt: attempt.time)
    first = attempts[0].time
    marks: list[Mark] = []
    free = 0.0
    for attempt in attempts:
        x = round(left + (attempt.time - first) * per_ns, 1)
        label = offset(attempt.time - first) if x >= free else ""
        free = x + _LABEL if label else free
        title = f"{iso(attempt.time)} {attempt.fate.value}"
        marks.append(Mark(x=x, fate=attempt.fate.value, label=label, title=title))
    passed = [mark.x for mark in marks if mark.fate == Fate.PASSED]
    end = passed[0] if passed else marks[-1].x
    if finding.delay_s is not None:
        verdict = f"waited {duration(round(finding.delay_s * 10**9))}"
    else:
        verdict = "" if passed else "none passed"
    return Row(
        y=round(y, 1),
        name=name,
        full=short(finding.inner, 200),
        marks=tuple(marks),
        wait=(marks[0].x, end) if end > marks[0].x else None,
        verdict=verdict,
        failed=not passed,
        hidden=len(finding.attempts) - len(attempts),
    )
