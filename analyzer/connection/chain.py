"""Flows of all points chained into connections, along the crossings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import QUOTES
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.nat.matching import routable
from analyzer.nat.ways import IN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.crossing import Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """Which flows are one connection; one row per connection, in the order of points and flows."""

    points: Sequence[Point]
    point: NDArray[np.int16]
    """Index of the point that its opener's packets reach first."""
    flow: NDArray[np.int32]
    """Its flow there."""
    of: tuple[NDArray[np.int32], ...]
    """Per point and flow its connection; -1 for flows that are none."""

    def __len__(self) -> int:
        return len(self.flow)

    def slots(self, index: int) -> NDArray[np.int32]:
        """Per flow of a point the connection that begins there, -1 for all other flows."""
        slots = np.full(len(self.points[index].flows), -1, np.int32)
        here = np.flatnonzero(self.point == index)
        slots[self.flow[here]] = here
        return slots


def chain(points: Sequence[Point], gaps: Sequence[Gap]) -> Chains:
    """Chain the flows: a flow that crossed belongs to the connection of the flow that its opener's packets were in before."""
    begins = np.cumsum([0, *(len(point.flows) for point in points)])
    place = {point.name: n for n, point in enumerate(points)}
    before = np.arange(begins[-1])
    for gap in gaps:
        m = gap.matches
        inner, outer = begins[place[gap.inner.name]] + m.a, begins[place[gap.outer.name]] + m.b
        inward = gap.heading == IN
        before[outer[~inward]] = inner[~inward]
        before[inner[inward]] = outer[inward]
    # No way leads past more points than there are roles, and none leads back.
    for _ in range(len(points) + 1):
        further = before[before]
        if (further == before).all():
            break
        before = further
    root = before
    counted = np.concatenate([np.zeros(0, bool), *(_counted(point) for point in points)])
    roots = np.flatnonzero(counted & (root == np.arange(len(root))))
    number = np.full(len(root), -1, np.int32)
    number[roots] = np.arange(len(roots))
    of = number[root]
    of[~counted] = -1
    at = np.searchsorted(begins, roots, side="right") - 1
    return Chains(
        points=points,
        point=at.astype(np.int16),
        flow=(roots - begins[at]).astype(np.int32),
        of=tuple(np.split(of, begins[1:-1])),
    )


def _counted(point: Point) -> NDArray[np.bool_]:
    """Flows that can be connections: TCP, UDP and ICMP echoes between two hosts."""
    flows = point.flows
    echo = np.isin(flows.proto, (ICMP, ICMP6)) & (flows.ports >> 16 == flows.ports & 0xFFFF)
    errors = np.zeros(len(flows), bool)
    quoting = point.packets.flow[point.packets.bits & QUOTES != 0]
    errors[quoting] = True
    some = np.zeros(len(flows), bool)
    some[routable(flows)] = True
    return some & ((flows.proto == TCP) | (flows.proto == UDP) | (echo & ~errors))
