"""One clock for all points.

What both points saw bounds how far their clocks are apart: no packet arrives before it was sent. In one direction a
packet's time at the outer point minus that at the inner one is the offset and its transit, in the other the offset less its
transit. So the offset lies between the smallest of the one and the largest of the other, and half-way is the best guess
(as in NTP, RFC 5905 section 8). Zero is kept wherever it lies between: then it contradicts nothing,
and the clocks of one host are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.compute.thresholds import RESOLUTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point

FAR = 1 << 61
"""ns, 73 years: no clock is so far off, and times beyond would not fit; such a point is left alone."""


def align(points: Sequence[Point], offsets: Mapping[tuple[str, str], int]) -> None:
    """Move the times of points whose clock differs, in place, and note it in `Point.clock_offset`.

    Args:
        points: All points; each one that is tied to the first by crossings ends on the clock of the first.
        offsets: (inner, outer) to how far outer's clock is ahead of inner's, ns.
    """
    known: dict[str, int] = {}
    for start in points:  # several starts: points that share no packet with the others keep their clock
        if start.name in known:
            continue
        known[start.name] = 0
        reached = [start.name]
        for name in reached:
            for (one, other), offset in offsets.items():
                for here, there, change in ((one, other, -offset), (other, one, offset)):
                    if here == name and there not in known:
                        known[there] = known[name] + change
                        reached.append(there)
    for point in points:
        point.clock_offset = known[point.name] if abs(known[point.name]) < FAR else 0
        if point.clock_offset:
            point.packets.time += point.clock_offset


def ahead(
    of: NDArray[np.int64], side: NDArray[np.int64], delta: NDArray[np.int64], hops: NDArray[np.int64]
) -> int:
    """Estimate how far the outer point's clock is ahead, ns; 0 where nothing contradicts that the clocks agree.

    Args:
        of: Number of the matched flow of each packet that both points saw.
        side: Who sent it, 0 or 1.
        delta: Outer point's time minus inner's, ns.
        hops: TTL at the inner point minus that at the outer: which way it was going, where it was routed.
    """
    known = np.abs(delta) < FAR
    flows, of = np.unique(of[known], return_inverse=True)
    place, delta = 2 * of + side[known], delta[known]
    least, most = np.full((len(flows), 2), FAR), np.full((len(flows), 2), -FAR)
    np.minimum.at(least.reshape(-1), place, delta)
    np.maximum.at(most.reshape(-1), place, delta)
    routed = np.bincount(place, np.sign(hops[known]), 2 * len(flows)).reshape(-1, 2)
    both = (least < FAR).all(1)
    # Outward the differences are the greater ones.
    out_first = np.sign(routed[:, 0] - routed[:, 1])
    out_first = np.where((out_first == 0) & both, np.sign(least[:, 0] - least[:, 1]), out_first)
    some = np.flatnonzero((out_first != 0) | both)
    out = (out_first[some] < 0).astype(np.int64)
    low, high = most[some, 1 - out], least[some, out]
    low, high = np.minimum(low, high), np.maximum(low, high)
    # Repetitions that equal each other are paired every way: one direction with pairs before and after zero contradicts nothing.
    spans = ((low <= -FAR) | (high >= FAR)) & (least[some].min(1) <= 0) & (most[some].max(1) >= 0)
    low[spans], high[spans] = np.minimum(low[spans], 0), np.maximum(high[spans], 0)
    return _most_agreed(low, high)


def _most_agreed(low: NDArray[np.int64], high: NDArray[np.int64]) -> int:
    """Where most of these intervals overlap, half-way; 0 if it is no worse: a few equal packets are not the same one."""
    begins, ends = np.sort(low - RESOLUTION), np.sort(high + RESOLUTION)
    places = np.append(begins, 0)
    votes = np.searchsorted(begins, places, "right") - np.searchsorted(ends, places)
    if votes[-1] == votes.max():
        return 0
    best = begins[votes[:-1] == votes.max()]
    until = ends[np.searchsorted(ends, best)]
    nearest = np.argmin(np.where(best > 0, best, np.abs(until)))
    begin, end = int(best[nearest]) + RESOLUTION, int(until[nearest]) - RESOLUTION
    if begin <= -FAR or end >= FAR:  # one direction only
        return end if begin <= -FAR else begin
    return (begin + end) // 2
