"""A gap: two neighbouring points, and all that crossed between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.matching import Matches
    from analyzer.nat.partners import Partners


@dataclass(slots=True, kw_only=True, eq=False)
class Gap:
    """Two neighbouring points and all that crossed between them."""

    inner: Point
    outer: Point
    matches: Matches
    """`a` is the inner flow, `b` the outer."""
    match_a: Partners
    """Per inner flow its match, an index into `matches`; -1 without one."""
    match_b: Partners
    """The same per outer flow."""
    heading: NDArray[np.int8]
    """Per match: 1 if the originator is inside (its packets go out), -1 if outside, 0 if nothing tells."""
    in_outer: Partners
    """Per packet of the inner point, its row at the outer one; -1 if it was not seen there."""
    in_inner: Partners
    """Per packet of the outer point, its row at the inner one; -1 if it was not seen there."""
    longest: int = 0
    """ns that the slowest packet took; of very many, the slowest of the last. Behind a slow queue, from wherever it came."""
    through: int = 0
    """Where `longest` is more than `WINDOW`: when the last packet was sent that got through outwards, ns; else 0."""

    def waiting(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether what was sent outwards at these times may still have been in the outer device's queue when the capture ended.

        A queue that fills delays each packet more than the one before: none that was sent later got through, and the
        capture did not go on for much longer than the slowest took.
        """
        end = self.outer.recording_span[1]
        return (self.through > 0) & (times > self.through) & (end - times <= 2 * self.longest)

    @property
    def names(self) -> tuple[str, str]:
        """Inner and outer point's names."""
        return self.inner.name, self.outer.name

    @property
    def abreast(self) -> bool:
        """Whether both points are pods', with no bridge between them, or both bridges: neither is further out."""
        same = self.inner.role == self.outer.role and self.inner.role in ("pod", "bridge")
        return same and not self.stacked

    @property
    def stacked(self) -> bool:
        """Whether both are devices of one place: nothing is routed, translated or filtered between them."""
        return self.inner.name in self.outer.within

    @property
    def exit(self) -> bool:
        """Whether what passes it leaves the node, or enters it: what is translated, is so here."""
        return self.outer.role == "uplink" and not self.stacked

    def outward(self) -> Leg:
        """The gap as the inner point sees it."""
        m = self.matches
        return Leg(
            here=self.inner,
            there=self.outer,
            partner=self.in_outer,
            match=self.match_a,
            flows_here=m.a,
            flows_there=m.b,
            unclear=m.ambiguous_a,
            outward=True,
            gap=self,
        )

    def inward(self) -> Leg:
        """The gap as the outer point sees it."""
        m = self.matches
        return Leg(
            here=self.outer,
            there=self.inner,
            partner=self.in_inner,
            match=self.match_b,
            flows_here=m.b,
            flows_there=m.a,
            unclear=m.ambiguous_b,
            outward=False,
            gap=self,
        )


@dataclass(kw_only=True, eq=False)
class Leg:
    """A gap seen from one of its points."""

    here: Point
    there: Point
    partner: Partners
    """Per packet of `here`, its row at `there`; -1 if it was not seen there."""
    match: Partners
    """Per flow of `here` its index in the following three; -1 for one that was not matched."""
    flows_here: NDArray[np.int32]
    """The matched flows; as long as `flows_there` and `heading`."""
    flows_there: NDArray[np.int32]
    unclear: NDArray[np.int32]
    """Flows of `here` for which several flows of `there` are equally good."""
    outward: bool
    """Whether `there` is the gap's outer point."""
    gap: Gap

    @cached_property
    def heading(self) -> NDArray[np.int8]:
        """Of the matched flows of `here`."""
        heading = self.gap.heading
        return (
            heading
            if self.outward
            else np.where(self.gap.matches.flip == 1, -heading, heading).astype(np.int8)
        )


def by_point(gaps: Sequence[Gap]) -> dict[str, dict[int, Gap]]:
    """Per point's name the gaps that begin or end there, with their numbers: a node has hundreds of points."""
    found: dict[str, dict[int, Gap]] = {}
    for number, gap in enumerate(gaps):
        for name in gap.names:
            found.setdefault(name, {})[number] = gap
    return found
