"""Geometry of the window chart: what the other side had sent, the bounds, each ACK, the one that fell out.

`window_series` has the numbers, unwrapped; for their labels they are wrapped again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from analyzer.incident.model import Finding, WindowPoint
from analyzer.report import window_series
from analyzer.report.scale import Tick, ticks
from analyzer.report.words import clock, count, duration, short

LIMIT = 300
"""Packets drawn: those nearest in time to the judged one."""

_WIDTH, _HEIGHT = 960.0, 384.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 104.0, 176.0, 28.0, 44.0
_LABEL = 32.0  # two lines of text

Step = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One packet of the judged side."""

    x: float
    y: float
    verdict: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """One RST: of the host, or of the peer."""

    x: float
    y: float
    peer: bool
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One of the two bounds as a step line."""

    points: str
    """Of the SVG polyline."""
    label_y: float
    value: str
    """At the judged packet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The packet that fell out, and by how much."""

    x: float
    y: float
    bound_y: float
    label: str
    number: str
    label_x: float
    label_y: float
    """Baseline of the first of two lines, clear of both bounds."""
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChart:
    """What the template draws."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    quantity: str
    """What the vertical axis counts: `acknowledged byte` or `sequence number`."""
    sender: str
    """Whose data the acks are about: `client` or `server`."""
    upper: Bound | None
    lower: Bound | None
    band: str
    """Polygon between the bounds; empty where one is missing."""
    dots: tuple[Dot, ...]
    verdicts: tuple[Verdict, ...]
    resets: tuple[Reset, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    zero: int
    """Nanoseconds since the epoch of the judged packet, the horizontal axis' zero."""
    hidden: int
    """Packets that are not drawn."""


def build(finding: Finding, limit: int = LIMIT) -> WindowChart | None:
    """Lay out the window of *finding*; None where it has no judged packet.

    Args:
        finding: Its `window` rows are drawn. A failed test on acks draws acks against their bounds; one on
            sequence numbers draws sequence numbers against the bound that was failed.
        limit: Most rows drawn.

    Returns:
        The geometry, in SVG user units.
    """
    series = window_series.build(finding, limit)
    if series is None:
        return None
    culprit, rows, judged, mine = series.culprit, series.rows, series.judged, series.mine
    upper, lower, value, number = series.upper, series.lower, series.value, series.number
    low_x, high_x = rows[0].time, max(rows[-1].time, rows[0].time + 1)
    ys = [*(number(row) for row in mine), *(y for _, y in upper), *(y for _, y in lower)]
    pad = max((max(ys) - min(ys)) * 0.06, 1)
    low_y, high_y = min(ys) - pad, max(ys) + pad

    def px(time: float) -> float:
        return round(_LEFT + (time - low_x) / (high_x - low_x) * (_WIDTH - _LEFT - _RIGHT), 1)

    def py(height: float) -> float:
        share = min(max((height - low_y) / (high_y - low_y), 0.0), 1.0)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP), 1)

    high = _corners([(px(x), py(y)) for x, y in upper])
    deep = _corners([(px(x), py(y)) for x, y in lower])
    upper_y, lower_y = _apart(high, deep)
    return WindowChart(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=_HEIGHT - _BOTTOM,
        quantity=series.quantity,
        sender=series.sender,
        upper=Bound(points=_joined(high), label_y=upper_y, value=_at(upper, culprit.time)) if high else None,
        lower=Bound(points=_joined(deep), label_y=lower_y, value=_at(lower, culprit.time)) if deep else None,
        band=_joined([*high, *reversed(deep)]) if high and deep else "",
        dots=tuple(
            Dot(x=px(row.time), y=py(number(row)), verdict=row.verdict, title=_title(row, number(row)))
            for row in mine
            if row not in judged
        ),
        verdicts=tuple(_verdict(row, number(row), value, px, py) for row in judged),
        resets=tuple(
            Reset(
                x=px(row.time),
                y=_HEIGHT - _BOTTOM if row.reply == culprit.reply else py(value(row.seq)),
                peer=row.reply == culprit.reply,
                title=_title(row, row.seq),
            )
            for row in rows
            if "R" in row.flags
        ),
        x_ticks=tuple(
            Tick(at=px(culprit.time + tick), label=duration(round(tick)) if round(tick) else "0")
            for tick in ticks(low_x - culprit.time, high_x - culprit.time, 6)
        ),
        y_ticks=tuple(
            Tick(at=py(tick), label=f"{round(tick) % 2**32:,}") for tick in ticks(low_y, high_y, 6)
        ),
        zero=culprit.time,
        hidden=len(finding.window) - len(rows),
    )


def _corners(points: Sequence[Step]) -> list[Step]:
    """Return the corners of a step line that reaches both edges: it holds until the next point."""
    if not points:
        return []
    corners = [(_LEFT, points[0][1])]
    for x, y in points:
        if y != corners[-1][1]:
            corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (_WIDTH - _RIGHT, corners[-1][1])]


def _joined(points: Iterable[Step]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _apart(high: list[Step], deep: list[Step]) -> tuple[float, float]:
    """Return where the two bounds' labels stand at the right edge without touching."""
    upper = high[-1][1] if high else _TOP
    lower = deep[-1][1] if deep else _HEIGHT - _BOTTOM
    if high and deep and lower - upper < _LABEL + 6:
        lower = upper + _LABEL + 6
        overhang = max(lower + _LABEL / 2 - (_HEIGHT - _BOTTOM), 0)
        upper, lower = upper - overhang, lower - overhang
    return round(upper, 1), round(lower, 1)


def _at(steps: Sequence[tuple[int, int]], time: int) -> str:
    """Return the bound in force at *time*, as on the wire."""
    before = [value for at, value in steps if at <= time]
    return str((before[-1] if before else steps[0][1]) % 2**32) if steps else ""


def _title(row: WindowPoint, number: int) -> str:
    return short(
        f"{row.point} frame {row.frame}, {clock(row.time)}: {row.flags} {number % 2**32}, {row.verdict}", 200
    )


def _verdict(
    row: WindowPoint,
    number: int,
    value: Callable[[int], int],
    px: Callable[[float], float],
    py: Callable[[float], float],
) -> Verdict:
    x, y = px(row.time), py(number)
    bound_y = y if row.bound is None else py(value(row.bound))
    right = x < (_WIDTH - _RIGHT + _LEFT) / 2
    word = "short" if "lower" in row.test else "too far"
    # The label stands on the far side of the packet from the bound: outside the accepted band.
    label_y = min(y + 18, _HEIGHT - _BOTTOM - 20) if bound_y <= y else max(y - 22, _TOP + 12)
    return Verdict(
        x=x,
        y=y,
        bound_y=bound_y,
        label=f"{count(row.short_by, 'byte')} {word}",
        number=str(number % 2**32),
        label_x=x + (14 if right else -14),
        label_y=round(label_y, 1),
        anchor="start" if right else "end",
    )
