"""Connections that were delayed in this node though nothing was lost: their packets waited in a queue of it.

No number of milliseconds decides that, but what would have been: without the time that the SYN and its answer took between this
node's points, the answer would have come before the SYN was repeated. If the first one had left by then, only an answer that
came before the second one left is known to be its own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY, TCP_ACK, TCP_SYN
from analyzer.connection.model import Waited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from analyzer.connection.chain import Chains
    from analyzer.connection.model import GapNames
    from analyzer.connection.passages import Trails
    from analyzer.flow.point import Point

MOST = 10_000
"""Delayed connections that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How long the first SYN of a connection and its answer took in one gap, which was the longest."""

    gap: GapNames
    outward: bool
    """Whether it was the way out that took so long."""
    time: int
    """ns."""


def waits(chains: Chains, delayed: NDArray[np.int64], trails: Trails) -> dict[int, Wait]:
    """Tell which of the delayed connections waited in this node, and where.

    Args:
        chains: All connections.
        delayed: Those whose SYN was repeated and answered in the end.
        trails: For the ways of single packets.
    """
    found = {}
    for number in delayed[:MOST].tolist():
        point, flow = chains.points[int(chains.point[number])], int(chains.flow[number])
        wait = _wait(point, flow, trails)
        if wait is not None:
            found[number] = wait
    return found


def _wait(point: Point, flow: int, trails: Trails) -> Wait | None:
    packets = point.packets
    syns = point.rows(flow, 0)
    syns = syns[packets.flags[syns] & (TCP_SYN | TCP_ACK) == TCP_SYN]
    answers = point.rows(flow, REPLY)
    answers = answers[packets.flags[answers] & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK]
    if len(syns) < 2 or not len(answers):
        return None
    asked, again, answered = (int(packets.time[row]) for row in (syns[0], syns[1], answers[0]))
    first, second, answer = (
        {other.name: int(other.packets.time[at]) for other, at in trails.sightings(point, int(row))}
        for row in (syns[0], syns[1], answers[0])
    )
    far = max(first, key=lambda name: first[name])
    if first[far] < again and answer.get(far, answered) > second.get(far, answered):
        return None  # it may be the second one's answer, and the first one was lost outside
    times: defaultdict[tuple[GapNames, bool], int] = defaultdict(int)
    for seen, back in ((first, False), (answer, True)):
        outward = (next(iter(seen)) == point.name) ^ back
        for (inner, here), (outer, there) in pairwise(seen.items()):  # inside first
            # With its sign: what the clocks of two points differ by cancels between the ways out and in.
            times[(inner, outer), outward] += there - here if outward else here - there
    if not times or answered - asked - sum(times.values()) >= again - asked:
        return None
    place, longest = max(times.items(), key=lambda item: item[1])
    if longest <= 2 * trails.disorder(place[0]):
        return None
    return Wait(gap=place[0], outward=place[1], time=longest)


def sums(found: Mapping[int, Wait]) -> tuple[Waited, ...]:
    """Sum them up by place, those with the most connections first."""
    places: defaultdict[tuple[GapNames, bool], list[int]] = defaultdict(list)
    for wait in found.values():
        places[wait.gap, wait.outward].append(wait.time)
    return tuple(
        Waited(gap=gap, outward=outward, connections=len(times), longest=max(times))
        for (gap, outward), times in sorted(places.items(), key=lambda item: -len(item[1]))
    )
