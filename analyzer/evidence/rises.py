"""Between which two snapshots a counter rose."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analyzer.evidence.facts import CounterSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """A counter was higher in the second of two neighbouring snapshots."""

    before: CounterSnapshot
    after: CounterSnapshot
    amount: int

    @property
    def between(self) -> tuple[int | None, int | None]:
        """When the snapshots were taken, in nanoseconds since the epoch; None where one does not say."""
        return self.before.time, self.after.time


def rises(snapshots: Sequence[CounterSnapshot], counter: str) -> Iterator[Rise]:
    """Give each pair of neighbouring snapshots between which a counter rose.

    Args:
        snapshots: In order of time, as `SideEvidence.counters` has them; each source by itself.
        counter: As `conntrack -S` calls it: `insert_failed`.
    """
    for source in dict.fromkeys(snapshot.source for snapshot in snapshots):
        for before, after in pairwise(s for s in snapshots if s.source == source):
            if amount := after.since(before).get(counter, 0):
                yield Rise(before=before, after=after, amount=amount)
