"""Geometry of the coverage bars: when each capture point recorded, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.incident.model import CapturePoint

WIDTH = 200.0
"""Length of the whole bundle's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The time that one point covers."""

    x: float
    width: float


def bars(points: Sequence[CapturePoint]) -> tuple[Bar | None, ...]:
    """Return a bar for each of *points*, in `WIDTH` units over the bundle's time; None for an empty point."""
    covered = [(p.first, p.last) for p in points if p.first is not None and p.last is not None]
    if not covered:
        return (None,) * len(points)
    low = min(first for first, _ in covered)
    span = max(max(last for _, last in covered) - low, 1)
    return tuple(
        None
        if point.first is None or point.last is None
        else Bar(
            x=round(min((point.first - low) / span * WIDTH, WIDTH - 2), 1),
            width=round(max((point.last - point.first) / span * WIDTH, 2.0), 1),
        )
        for point in points
    )
