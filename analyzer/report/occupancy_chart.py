"""Geometry of the table's occupancy over time: entries as a step line, the limit, and who holds them at the peak."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.incident.model import Occupancy
from analyzer.report.scale import Tick, ticks
from analyzer.report.words import duration

WIDTH, HEIGHT = 880, 240
LEFT, RIGHT, TOP, BOTTOM = 80, 850, 26, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OccupancyChart:
    """All that the template draws; coordinates are SVG units."""

    line: str
    """`x,y` pairs of the step line."""
    area: str
    """The same, closed along the bottom."""
    limit: Tick | None
    """nf_conntrack_max, where it is in reach of the entries."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    peak: int
    shares: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def build(occupancy: Occupancy) -> OccupancyChart | None:
    """Lay out the chart; None without a time to draw."""
    if not occupancy.times:
        return None
    begin, end = occupancy.times[0], occupancy.times[-1]
    peak = max(occupancy.entries)
    limit = occupancy.limit if occupancy.limit and occupancy.limit <= 4 * max(peak, 1) else None
    top = max(peak, limit or 0, 1) * 1.08

    def x(time: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * ((time - begin) / (end - begin) if end > begin else 0), 1)

    def y(entries: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * entries / top, 1)

    steps = []
    for place, (time, entries) in enumerate(zip(occupancy.times, occupancy.entries, strict=True)):
        if place:
            steps.append((x(time), y(occupancy.entries[place - 1])))
        steps.append((x(time), y(entries)))
    steps.append((float(RIGHT), y(occupancy.entries[-1])))
    line = " ".join(f"{a},{b}" for a, b in steps)
    return OccupancyChart(
        line=line,
        area=f"{LEFT},{BOTTOM} {line} {RIGHT},{BOTTOM}",
        limit=Tick(at=y(limit), label=f"nf_conntrack_max {limit:,}") if limit else None,
        x_ticks=tuple(
            Tick(at=x(begin + int(t)), label=duration(int(t)) if t else "0") for t in ticks(0, end - begin)
        ),
        y_ticks=tuple(Tick(at=y(t), label=f"{t:,.0f}") for t in ticks(0, top, 4) if t == int(t)),
        peak=peak,
        shares=tuple((by, shares[:5]) for by, shares in occupancy.shares.items() if shares),
    )
