"""Many durations in a few numbers."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from analyzer.field.probe import Answer

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_APART = 1.25
"""Two durations lie in different clusters where the longer is so many times the shorter, and none lies between."""


class Timing:
    """Collects answers, eight bytes each."""

    def __init__(self, slow_ns: int) -> None:
        """Begin.

        Args:
            slow_ns: From which duration on a request counts as slow.
        """
        self._slow_ns = slow_ns
        self._durations = array("q")
        self.slow = array("q")
        """Durations of the slow ones that were answered."""
        self.errors: Counter[str] = Counter()
        """What went wrong, how often."""

    def add(self, answer: Answer) -> bool:
        """Count an answer; whether it is to be logged: slow, or none."""
        if answer.error:
            self.errors[answer.error] += 1
            return True
        self._durations.append(answer.duration_ns)
        if answer.duration_ns < self._slow_ns:
            return False
        self.slow.append(answer.duration_ns)
        return True

    @property
    def answered(self) -> int:
        """Requests that were answered."""
        return len(self._durations)

    def text(self) -> str:
        """Tell percentiles, clusters of the slow ones, and errors, a line each."""
        asked = self.answered + self.errors.total()
        lines = [f"{asked} requests, {self.answered} answered"]
        if self._durations:
            ordered = sorted(self._durations)
            told = [f"p{percent:g} {_ms(percentile(ordered, percent))}" for percent in PERCENTILES]
            lines.append(f"duration: {', '.join(told)}, longest {_ms(ordered[-1])}")
        if self.slow:
            share = 100 * len(self.slow) / asked
            of = ", ".join(f"{count} of about {_s(middle)}" for middle, count in clusters(sorted(self.slow)))
            lines.append(f"slow, {_ms(self._slow_ns)} or more: {len(self.slow)} ({share:.2g} %): {of}")
        lines += [f"not answered: {count}, {error}" for error, count in self.errors.most_common()]
        return "\n".join(lines) + "\n"


def percentile(ordered: Sequence[int], percent: float) -> int:
    """Give the smallest value that so many percent of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def clusters(ordered: Sequence[int]) -> list[tuple[int, int]]:
    """Group durations that lie close together, as the clock of retransmissions makes them.

    Returns: The middle one of each group and the number of its members, the shortest first.
    """
    if not ordered:
        return []
    starts = [
        0,
        *(at for at, (one, other) in enumerate(pairwise(ordered), 1) if other > one * _APART),
        len(ordered),
    ]
    return [(ordered[(begin + end) // 2], end - begin) for begin, end in pairwise(starts)]


def _ms(ns: int) -> str:
    return f"{ns / 1e6:.3g} ms" if ns < 1_000_000_000 else _s(ns)


def _s(ns: int) -> str:
    return f"{ns / 1e9:.2f} s"
