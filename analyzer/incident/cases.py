"""The connections that lost a request, each with all its attempts: what the causes are asked about."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.connection.fates import FATES, VANISHED, fate_of
from analyzer.connection.model import Fate
from analyzer.connection.reasons import CODES
from analyzer.flow.keys import distinct
from analyzer.flow.point import TCP
from analyzer.incident.model import Attempt, Exclusion
from analyzer.node.ways import IN, OUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.connection.model import GapNames
    from analyzer.connection.passages import Trails
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap, Leg

REFUSED = tuple(CODES[code] for code in ("refused-here", "rejected"))
"""Reasons that tell of a refusal by this node."""
MOST_CASES = 5000
"""Connections per point and protocol that are looked at one by one; of more, so many are chosen."""
MOST_ATTEMPTS = 64
"""Attempts of one finding that are told; a UDP flow may send millions of requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt, located."""

    seen: tuple[tuple[Point, int], ...]
    """(point, row) in the order of the packet's way."""
    fate: Fate
    gap: GapNames | None
    """Where it was lost."""
    answered: bool
    decisive: bool
    """Whether it is one of those that the case is about."""

    @property
    def time(self) -> int:
        """Of the first sighting, ns."""
        return int(self.seen[0][0].packets.time[self.seen[0][1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One connection that lost at least one request in a gap."""

    protocol: int
    replies: bool
    """Whether it lost what answered its requests; the attempts are then the replies."""
    refused: bool
    """Whether this node refused its requests, rather than lost them."""
    point: Point
    """The point that sees these packets first."""
    flow: int
    """Its flow there."""
    outward: bool
    steps: tuple[Step, ...]
    """Its attempts in time order, at most `MOST_ATTEMPTS`: the first vanished ones, and some around them."""
    omitted: int
    """Attempts that `steps` leaves out."""
    vanished: int
    """Attempts that vanished, those that `steps` leaves out included."""
    gap: Gap
    """Where its first lost attempt died."""
    outer: tuple[Point, int] | None
    """The connection's flow behind the gap, if an attempt got there."""

    @property
    def requests(self) -> bool:
        """Whether it is about requests that vanished."""
        return not self.replies and not self.refused

    @property
    def lost(self) -> tuple[Step, ...]:
        """The attempts that vanished, or were refused."""
        return tuple(step for step in self.steps if step.decisive)

    @property
    def passed(self) -> Step | None:
        """The first attempt after the first loss that made the whole way, or was answered though a point missed it."""
        began, through = self.lost[0].time, (Fate.PASSED, Fate.CAPTURE_LOSS)
        return next((s for s in self.steps if s.fate in through and s.time >= began), None)

    @property
    def not_beyond(self) -> Exclusion:
        """That the loss was between the gap's points: seen at the one, never at the other."""
        here, beyond = self.gap.names if self.outward else self.gap.names[::-1]
        if self.outward:
            return Exclusion(cause="lost outside the node", because=f"the packet never got to {beyond}")
        return Exclusion(
            cause="lost before the node",
            because=f"the packet came in at {here}, and never got to {beyond}",
        )

    def attempts(self, trails: Trails) -> tuple[Attempt, ...]:
        """As findings tell them."""
        return tuple(
            Attempt(time=s.time, fate=s.fate, packets=tuple(trails.sighting(p, r) for p, r in s.seen))
            for s in self.steps
        )


def lost(reason: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which packets vanished, by the reasons for their fates."""
    mask: NDArray[np.bool_] = fate_of(reason) == VANISHED
    return mask


def refused(reason: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which packets this node refused, by the reasons for their fates."""
    mask: NDArray[np.bool_] = np.isin(reason, REFUSED)
    return mask


def cases(
    followed: Sequence[Followed],
    gaps: Sequence[Gap],
    trails: Trails,
    protocol: int,
    decisive: Callable[[NDArray[np.int8]], NDArray[np.bool_]] = lost,
) -> list[Case]:
    """The connections with a packet of this kind that vanished, or was refused, in the order of their first one."""
    # Against the way out the outermost gaps come first, against the way in the innermost ones.
    back = {True: [gap.inward() for gap in reversed(gaps)], False: [gap.outward() for gap in gaps]}
    roots: dict[tuple[str, int], bool] = {}
    for at in followed:
        gone = np.flatnonzero(decisive(at.reason))
        flows, where = np.unique(at.point.packets.flow[at.rows[gone]], return_index=True)
        for flow, index in _spread(flows, gone[where]):
            outward = bool(at.outward[index])
            opener = outward ^ at.replies
            point, root = _root(at.point, flow, back[outward], OUT if opener else IN)
            roots[point.name, root] = outward
    by_name = {at.point.name: at for at in followed}
    found = [
        _case(trails.points[name], flow, outward, by_name, gaps, trails, protocol, decisive)
        for (name, flow), outward in roots.items()
    ]
    return sorted(found, key=lambda case: case.lost[0].time)


def unexamined(requests: Sequence[Followed]) -> tuple[int, int]:
    """Tell how many connections of a protocol lost a request, and how many of them `cases` leaves out."""
    lost = [len(distinct(at.point.packets.flow[at.rows[at.fate == VANISHED]])) for at in requests]
    return sum(lost), sum(max(0, count - MOST_CASES) for count in lost)


def _spread(flows: NDArray[np.int32], lost: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs of a flow and its first loss: `MOST_CASES` of them, evenly over all, so that every burst is among them."""
    chosen = np.linspace(0, len(flows) - 1, min(len(flows), MOST_CASES)).astype(np.int64)
    order = np.argsort(lost, kind="stable")[chosen]
    return zip(flows[order].tolist(), lost[order].tolist(), strict=True)


def _root(point: Point, flow: int, legs: Sequence[Leg], heading: int) -> tuple[Point, int]:
    """The same connection at the point that sees it first: follow the crossings against its way."""
    for leg in legs:
        if leg.here is point:
            match = leg.match[flow]
            if match >= 0 and leg.heading[match] == heading:
                return _root(leg.there, int(leg.flows_there[match]), legs, heading)
    return point, flow


def _case(
    point: Point,
    flow: int,
    outward: bool,
    requests: dict[str, Followed],
    gaps: Sequence[Gap],
    trails: Trails,
    protocol: int,
    decisive: Callable[[NDArray[np.int8]], NDArray[np.bool_]],
) -> Case:
    same = trails.flows_of(point, flow)
    begun: list[tuple[int, str, int]] = []
    lost: list[tuple[int, str, int]] = []
    vanished = 0
    for name, there in same.items():
        at = requests[name]
        index = at.index(trails.points[name].rows(there, int(at.replies)))
        times = at.point.packets.time
        begun += [(int(times[row]), name, int(row)) for row in at.rows[index[at.first[index]]]]
        gone = at.rows[index[decisive(at.reason[index])]]
        vanished += len(gone)
        for row in gone[:MOST_ATTEMPTS]:
            seen = trails.sightings(at.point, int(row))
            first, first_row = seen[0 if outward else -1]
            if (at.point.name, int(row)) not in {(p.name, r) for p, r in trails.sightings(first, first_row)}:
                first, first_row = at.point, int(row)  # of segments that overlap each has but one partner
            lost.append((int(first.packets.time[first_row]), first.name, first_row))
    begun = sorted({*begun, *lost})
    steps = tuple(
        _step(requests[name], row, requests, gaps, trails, outward, decisive)
        for _, name, row in _chosen(begun, lost)
    )
    loss = next(step for step in steps if step.decisive)
    assert loss.gap is not None
    gap = next(g for g in gaps if g.names == loss.gap)
    far = gap.outer if outward else gap.inner
    outer = (far, same[far.name]) if far.name in same else None
    return Case(
        protocol=protocol,
        replies=requests[point.name].replies,
        refused=decisive is refused,
        point=point,
        flow=flow,
        outward=outward,
        steps=steps,
        omitted=len(begun) - len(steps),
        vanished=vanished,
        gap=gap,
        outer=outer,
    )


def _chosen(
    begun: list[tuple[int, str, int]], lost: list[tuple[int, str, int]]
) -> list[tuple[int, str, int]]:
    """At most `MOST_ATTEMPTS` of the attempts, in time order: the first lost ones, and what lies around the first of them."""
    lost = sorted(set(lost))[:MOST_ATTEMPTS]
    if len(begun) <= MOST_ATTEMPTS:
        return begun
    begin = max(0, bisect_left(begun, lost[0]) - MOST_ATTEMPTS // 4)
    gone = set(lost)
    near = [attempt for attempt in begun[begin:] + begun[:begin][::-1] if attempt not in gone]
    return sorted(lost + near[: MOST_ATTEMPTS - len(lost)])


def _step(
    at: Followed,
    first: int,
    requests: dict[str, Followed],
    gaps: Sequence[Gap],
    trails: Trails,
    outward: bool,
    decisive: Callable[[NDArray[np.int8]], NDArray[np.bool_]],
) -> Step:
    """Follow one request to where it ends."""
    seen = trails.sightings(at.point, first)
    if not outward:
        seen.reverse()
    fate, gap, decided = Fate.PASSED, None, False
    for last, row in seen:
        there = requests[last.name]
        index = there.index(np.array([row]))
        reason = there.reason[index]
        became = FATES[int(fate_of(reason)[0])] if len(index) else Fate.PASSED
        if became is Fate.PASSED or decided:
            continue
        fate = became
        gap = gaps[int(there.gap[index[0]])].names
        decided = bool(decisive(reason)[0])
    return Step(
        seen=tuple(seen),
        fate=fate,
        gap=gap,
        answered=bool(at.answered[at.index(np.array([first]))[0]]),
        decisive=decided,
    )


def first_answer(case: Case) -> int | None:
    """When the first answer reached the point that sees the connection first; ns, None without one."""
    packets = case.point.packets
    rows = case.point.rows(case.flow, REPLY)
    if case.protocol == TCP:
        rows = rows[packets.flags[rows] & 0x12 == 0x12]
    rows = rows[packets.time[rows] >= case.lost[0].time]
    return int(packets.time[rows[0]]) if len(rows) else None
