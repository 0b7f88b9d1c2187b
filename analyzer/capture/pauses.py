"""When nobody was recording, as far as the times of packets tell: between two files of a rotated capture, say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analyzer.compute.thresholds import PAUSE, UNUSUAL


def pauses(spans: Iterable[tuple[int, int]], packets: int) -> Iterator[tuple[int, int]]:
    """Yield when none of the spans lasted, between the first and the last of them, unless it was silence.

    Args:
        spans: First and last time of the packets of each file, ns.
        packets: How many there are in all.
    """
    ordered = sorted(spans)
    covered = sum(last - first for first, last in ordered)
    least = max(PAUSE, UNUSUAL * covered // max(packets, 1))
    reached = ordered[0][0] if ordered else 0
    for first, last in ordered:
        if first - reached > least:
            yield reached, first
        reached = max(reached, last)
