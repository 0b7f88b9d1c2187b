"""All connections of a bundle with what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.account import DIRECTIONS, Fates, account, classes, directions, fates
from analyzer.connection.chain import Chains, chain
from analyzer.connection.model import Fate
from analyzer.connection.outcome import (
    DELAYED,
    REFUSED,
    RESET,
    STALLED,
    TIMED_OUT,
    UNANSWERED,
    Outcomes,
    outcomes,
)
from analyzer.connection.reasons import CODES, REASONS
from analyzer.connection.refusing import Refused, by_answers, by_errors
from analyzer.connection.waiting import Wait, sums, waits
from analyzer.flow.keys import among, distinct
from analyzer.nat.gap import by_point
from analyzer.node.ways import EXITS, INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.connection.model import Account
    from analyzer.connection.passages import Trails
    from analyzer.connection.refusals import Refusals
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap
    from analyzer.node.hosts import Wire
    from analyzer.node.ways import Node

LOOKED_AT = 10_000
"""Broken connections of one point that are looked at one by one; of more nobody says whose doing it was."""
_REFUSED = tuple(CODES[code] for code in ("refused", "refused-here", "rejected"))
_LOST = tuple(CODES[reason.code] for reason in REASONS if reason.fate is Fate.VANISHED)
_OPEN = tuple(CODES[reason.code] for reason in REASONS if reason.fate is Fate.UNDECIDABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """One row per connection; the arrays have one length."""

    chains: Chains
    outcomes: Outcomes
    fates: Fates
    direction: NDArray[np.int8]
    """Index into `analyzer.connection.account.DIRECTIONS`."""
    told: NDArray[np.int8]
    """Index into `analyzer.connection.account.CLASSES`."""
    why: NDArray[np.int8]
    """Index into `analyzer.connection.account.WHY`."""
    refused: Mapping[int, Refused]
    """Connection that was refused to who did."""
    waited: Mapping[int, Wait]
    """Connection that this node delayed, without a loss, to where."""

    def __len__(self) -> int:
        return len(self.chains)

    def of(self, point: str, flow: int) -> int | None:
        """The connection of a flow at a point; None where it belongs to none."""
        return _of(self.chains, point, flow)

    def account(self) -> Account:
        """The four numbers."""
        return account(self.outcomes, self.told, self.why, self.fates.reason, sums(self.waited))


def connections(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    node: Node,
    followed: Sequence[Followed],
    named: Iterable[tuple[str, int]],
    refusals: Refusals,
    trails: Trails,
    wires: Sequence[Wire] = (),
    answers: Sequence[tuple[Point, int, int]] = (),
    doubtful: Iterable[tuple[str, int]] = (),
    misaddressed: Iterable[tuple[str, int]] = (),
    unreached: Iterable[tuple[str, int]] = (),
    *,
    ruled: bool = False,
    undelivered: int = 0,
) -> Connections:
    """Say what became of every connection, and whose doing it was.

    Args:
        points: All points.
        gaps: All gaps.
        node: What is known of the node.
        followed: Requests and replies of all protocols at all points, decided.
        named: What the findings name: a point, and a flow there.
        refusals: The ICMP errors.
        trails: For the ways of single packets.
        wires: What left one node and entered another.
        answers: Flows of requests at a point, each with the flow of the answer that came from elsewhere.
        doubtful: Flows whose entry may be stale: a point, and a flow there.
        misaddressed: Flows in frames to a station that never sent one.
        unreached: Flows of pods that what is sent to their address does not reach.
        ruled: Whether the node's rules are known.
        undelivered: Datagrams that found no socket on the node, or no room at one, as the kernel counted.
    """
    chains = chain(points, gaps, followed, wires, answers)
    direction = directions(chains, node)
    told = fates(chains, followed, gaps, node, direction, ruled=ruled)
    errors = by_errors(chains, refusals, node, direction, told.reason, told.inside)
    refused = np.isin(told.reason, _REFUSED)
    refused[list(errors)] = True
    lost, open_ = np.isin(told.reason, _LOST), np.isin(told.reason, _OPEN)
    own = told.reason == CODES["own-address"]
    found = outcomes(chains, refused, lost, open_, _delivered(chains, followed, gaps), own, undelivered)
    refused = found.code == REFUSED
    silent = refused.copy()
    silent[list(errors)] = False
    who = {
        **{number: one for number, one in errors.items() if refused[number]},
        **by_answers(chains, found, node, np.flatnonzero(silent), direction, told.reason, told.inside),
    }
    accused, led, astray, cut_off = (
        {number for point, flow in some if (number := _of(chains, point, flow)) is not None}
        for some in (named, doubtful, misaddressed, unreached)
    )
    # What was held up elsewhere, or lost, has its reason.
    late = np.flatnonzero((found.code == DELAYED) & (told.reason == CODES["seen-beyond"]))
    waited = waits(chains, late, trails)
    number_of = {gap.names: number for number, gap in enumerate(gaps)}
    for number, wait in waited.items():
        told.reason[number], told.gap[number] = CODES["waited"], number_of.get(wait.gap, -1)
    klass, why = classes(
        found,
        told,
        sorted(accused),
        who,
        sorted(waited),
        sorted(led),
        [*_unwatched(chains, found, gaps, trails), *_answered_aside(chains, found, direction)],
        sorted(astray),
        sorted(cut_off),
    )
    return Connections(
        chains=chains,
        outcomes=found,
        fates=told,
        direction=direction,
        told=klass,
        why=why,
        refused=who,
        waited=waited,
    )


def _delivered(chains: Chains, followed: Sequence[Followed], gaps: Sequence[Gap]) -> NDArray[np.bool_]:
    """Connections a reply of which was seen to get further towards the opener, perhaps as another flow there.

    Not if it is missing further on, at a point that has later packets: it may have been on its way there, held up or dropped.
    """
    found = np.zeros((2, len(chains) + 1), bool)  # the last stands for -1, no connection
    place = {point.name: number for number, point in enumerate(chains.points)}
    ends = np.array([[p.recording_span[1] for p in (gap.inner, gap.outer)] for gap in gaps] or [[0, 0]])
    for at in (at for at in followed if at.replies):
        of = chains.of[place[at.point.name]].take(at.point.packets.flow[at.rows])
        found[0, of[~at.last]] = True
        held = (at.reason == CODES["not-recording"]) & (at.gap >= 0)
        held &= at.point.packets.time[at.rows] < ends[at.gap, at.outward.astype(np.int8)]
        found[1, of[held]] = True
    return found[0, :-1] & ~found[1, :-1]


def _unwatched(chains: Chains, found: Outcomes, gaps: Sequence[Gap], trails: Trails) -> list[int]:
    """Connections that were reset, or stalled, of which no way out has beginning and end, or a point between not the end."""
    exits = [point for point in chains.points if point.role in EXITS and len(point.packets)]
    broke = np.flatnonzero(np.isin(found.code, (RESET, STALLED)) & (found.deciding >= 0))
    if not exits or not len(broke):
        return []
    times = np.zeros(len(broke), np.int64)
    for number, point in enumerate(chains.points):
        mine = chains.point[broke] == number
        times[mine] = point.packets.time[found.deciding[broke[mine]]]
    # Of what began within a transit before the first packet there, that packet may be the beginning.
    transit = max((gap.transit for gap in gaps if gap.outer in exits), default=0)
    began = found.first[broke] + transit
    blind = np.all([~point.recorded(times) | (began < point.recording_span[0]) for point in exits], axis=0)
    near, met = by_point(gaps), [_met(chains, [point]) for point in chains.points]
    for point in chains.points:
        beside = [gap for gap in near.get(point.name, {}).values() if len(gap.matches.a)]
        inner = [gap.inner for gap in beside if gap.outer is point]
        outer = [gap.outer for gap in beside if gap.inner is point]
        if not (inner and outer and len(point.packets)):
            continue
        passed = _met(chains, [point]) | (_met(chains, inner) & _met(chains, outer))
        dark = np.flatnonzero(passed[broke] & ~point.recorded(times) & ~blind)
        blind[dark[LOOKED_AT:]] = True
        for at in dark[:LOOKED_AT].tolist():
            at_first = chains.points[chains.point[broke[at]]]
            seen = trails.sightings(at_first, int(found.deciding[broke[at]]))
            blind[at] = all(other is not point for other, _ in seen)
    # A filter, or `-Q in`, hid from a point of its way one direction, or the RST: so it did what led to it.
    for layer in (
        [point for point in chains.points if point.role in EXITS],
        *([p] for p in chains.points if p.role in INSIDE),
    ):
        blind |= _met(chains, layer)[broke] & ~_met(chains, layer, both_ways=True)[broke]
    hidden = np.flatnonzero((found.code[broke] == RESET) & ~blind)
    for at in hidden[:LOOKED_AT].tolist():
        begin = chains.points[chains.point[broke[at]]]
        shown = {point.name for point, _ in trails.sightings(begin, int(found.deciding[broke[at]]))}
        blind[at] = any(
            of[broke[at]] and point.name not in shown for point, of in zip(chains.points, met, strict=True)
        )
    unwatched: list[int] = broke[blind].tolist()
    return unwatched


def _answered_aside(chains: Chains, found: Outcomes, direction: NDArray[np.int8]) -> list[int]:
    """Unanswered connections that left where answers that others had never came in: theirs may have died on that other way.

    Not of destinations from which answers did come in there.
    """
    n, late = len(chains), np.iinfo(np.int64).max
    answered, silent = np.full(n, late), direction == DIRECTIONS.index("out")
    for number, point in enumerate(chains.points):
        of, first = _first(chains, number, 1)
        if point.role in INSIDE:
            np.minimum.at(answered, of, first)
        elif point.role in EXITS:
            silent[of] = False
    doubtful: list[int] = []
    for number, point in enumerate(chains.points):
        if point.role not in EXITS or not len(point.packets):
            continue
        left = np.zeros(n, bool)
        left[_first(chains, number, 0)[0]] = True
        aside = np.flatnonzero(left & silent & (answered < late))
        if not point.recorded(answered[aside]).any():
            continue
        flows = np.flatnonzero(chains.of[number] >= 0)
        back = point.starts[2 * flows + 2] > point.starts[2 * flows + 1]
        elsewhere = ~among(point.dst[flows], distinct(point.dst[flows[back]]))
        some = chains.of[number][flows[elsewhere]]
        doubtful += some[silent[some] & np.isin(found.code[some], (TIMED_OUT, UNANSWERED))].tolist()
    return doubtful


def _first(chains: Chains, number: int, side: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The connections of which a point has packets of one side, and when it had the first one of each flow."""
    point, of = chains.points[number], chains.of[number]
    begin, end = point.starts[side:-1:2], point.starts[side + 1 :: 2]
    flows = np.flatnonzero((of >= 0) & (end > begin))
    return of[flows], point.packets.time[point.order[begin[flows]]]


def _met(chains: Chains, points: Sequence[Point], *, both_ways: bool = False) -> NDArray[np.bool_]:
    """Which connections have a flow, or packets of both sides, at any of these points."""
    met = np.zeros((2, len(chains)), bool)
    for number, point in enumerate(chains.points):
        if point in points and both_ways:
            for side in range(2):
                met[side, _first(chains, number, side)[0]] = True
        elif point in points:
            met[:, chains.met(number)] = True
    both: NDArray[np.bool_] = met[0] & met[1]
    return both


def _of(chains: Chains, point: str, flow: int) -> int | None:
    at = next((number for number, known in enumerate(chains.points) if known.name == point), None)
    number = -1 if at is None or flow < 0 else int(chains.of[at][flow])
    return None if number < 0 else number
