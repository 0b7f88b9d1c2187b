"""One clock for all points.

On one host the clocks agree and a packet crosses a gap in microseconds. Captures with another time base (relative
times, another host) are moved by the median offset of what both points saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.flow.point import Point

AGREE = 50_000_000
"""ns: a larger median offset is taken for another clock, not for transit."""
FAR = 1 << 61
"""ns, 73 years: no clock is so far off, and times beyond would not fit; such a point is left alone."""


def align(points: Sequence[Point], offsets: Mapping[tuple[str, str], int]) -> None:
    """Move the times of points whose clock differs, in place, and note it in `Point.clock_offset`.

    Args:
        points: All points; each one that is tied to the first by crossings ends on the clock of the first.
        offsets: (inner, outer) to the median of outer's time minus inner's, ns.
    """
    known: dict[str, int] = {}
    for start in points:  # several starts: points that share no packet with the others keep their clock
        if start.name in known:
            continue
        known[start.name] = 0
        reached = [start.name]
        for name in reached:
            for (one, other), offset in offsets.items():
                drift = offset if abs(offset) > AGREE else 0
                for here, there, change in ((one, other, -drift), (other, one, drift)):
                    if here == name and there not in known:
                        known[there] = known[name] + change
                        reached.append(there)
    for point in points:
        point.clock_offset = known[point.name] if abs(known[point.name]) < FAR else 0
        if point.clock_offset:
            point.packets.time += point.clock_offset
