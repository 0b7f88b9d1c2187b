"""Whose doing it was: every connection in exactly one class, so that the four numbers add up.

A connection that worked is told no further. Of one that failed, or was delayed, what was followed says where its deciding packet
ended: in a gap of this node, outside it, or nobody can tell, and why not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.model import Account, Fate
from analyzer.connection.outcome import (
    DELAYED,
    OUTCOMES,
    REFUSED,
    RESET,
    STALLED,
    TIMED_OUT,
    UNANSWERED,
    UNFINISHED,
)
from analyzer.connection.reasons import CODES, REASONS
from analyzer.flow.keys import among
from analyzer.flow.point import UDP
from analyzer.node.stacks import sent
from analyzer.node.ways import EXITS, IN, LOCAL, OUT, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.connection.chain import Chains
    from analyzer.connection.fates import Followed
    from analyzer.connection.model import Waited
    from analyzer.connection.outcome import Outcomes
    from analyzer.connection.refusing import Refused
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap
    from analyzer.node.ways import Node

CLASSES = ("worked", "node", "outside", "unknown")
WORKED, NODE, OUTSIDE, UNTOLD = range(4)
DIRECTIONS = ("out", "in", "local", "transit")
_FATE = np.array([list(Fate).index(reason.fate) for reason in REASONS])
_VANISHED, _OPEN = list(Fate).index(Fate.VANISHED), list(Fate).index(Fate.UNDECIDABLE)
_HERE = tuple(CODES[code] for code in ("refused-here", "rejected"))
_OWN = CODES["own-address"]
_NEIGHBOUR = tuple(CODES[code] for code in ("bridged", "turned"))


@dataclass(slots=True, kw_only=True)
class Fates:
    """What was followed of each connection, summed up; one row per connection."""

    reason: NDArray[np.int8]
    """Index into `REASONS`: of the followed packet that tells most of it; `seen-beyond` where none was held up."""
    gap: NDArray[np.int16]
    """The gap of that packet, an index into all gaps; -1 without one."""
    reached: NDArray[np.bool_]
    """Whether a request got to the last point of its way that was captured."""
    alone: NDArray[np.bool_]
    """Whether no gap lies on its way: nothing can be told of it."""
    routed: bool
    """Whether the node's routes are known: without them, a filter hides what another way out would."""
    far: NDArray[np.bool_]
    """Whether it was seen where its way leaves the node, or ends on it; else the node may have held it up there."""
    inside: NDArray[np.bool_]
    """Whether a point within the node saw it: a pod's interface, or its bridge."""
    home: NDArray[np.bool_]
    """Whether a point at the opener's end saw it: the interface of the pod that opened it, or where what came in leaves again."""
    placed: NDArray[np.bool_]
    """Whether a point saw it of which it is known where on the way it lies."""
    exits: bool
    """Whether a way out of the node was captured."""
    ruled: bool
    """Whether the node's rules are known: without them its own refusal may be a rule's, or that of a port without a listener."""


# Of the packets of one connection the one that tells most: lost here, refused here, went another way, left open, the rest.
_RANK = np.zeros(len(REASONS), np.int8)
for _number, _reason in enumerate(REASONS):
    _RANK[_number] = (
        5 if _reason.fate is Fate.VANISHED
        else 4 if _number in _HERE
        else 3 if _reason.code in ("other-way", "own-address", "bridged", "turned", "answered-here")
        else 2 if _reason.fate is Fate.UNDECIDABLE
        else 1 if _reason.code != "seen-beyond"
        else 0
    )  # fmt: skip


def fates(
    chains: Chains,
    followed: Sequence[Followed],
    gaps: Sequence[Gap],
    node: Node,
    direction: NDArray[np.int8],
    *,
    ruled: bool,
) -> Fates:
    """Sum up what was followed, connection by connection.

    Args:
        chains: All connections.
        followed: Requests and replies of all protocols at all points.
        gaps: All gaps.
        node: What is known of the node.
        direction: As `directions` tells it.
        ruled: Whether the node's rules are known.
    """
    n = len(chains)
    reason, gap = np.zeros(n, np.int8), np.full(n, -1, np.int16)
    reached, any_gap = np.zeros(n, bool), np.zeros(n + 1, bool)  # the last stands for -1, no connection
    place = {point.name: number for number, point in enumerate(chains.points)}
    has_gap = {name for each in gaps for name in each.names}
    doubtful = {point.name for point in chains.points if _doubtful(point)}
    for at in followed:
        flow = at.point.packets.flow[at.rows]
        of = chains.of[place[at.point.name]].take(flow)
        why = at.reason
        if at.point.role == "bridge" and not at.replies:
            # What is for a neighbour on the bridge whose own interface nobody captured was not seen to arrive.
            ends = at.last & (why == CODES["seen-beyond"]) & (node.heading[at.point.name][flow] == LOCAL)
            why = np.where(ends, CODES["bridged"], why).astype(np.int8)
        told = np.flatnonzero((why != CODES["seen-beyond"]) & (of >= 0))
        rank = _RANK[why[told]]
        order = np.argsort(rank, kind="stable")  # the last of equal indices stays
        chosen = told[order][rank[order] > _RANK[reason[of[told[order]]]]]
        reason[of[chosen]], gap[of[chosen]] = why[chosen], at.gap[chosen]
        if not at.replies and at.point.name not in doubtful:
            reached[of[(of >= 0) & (why == CODES["seen-beyond"]) & at.last]] = True
        if at.point.name in has_gap:
            any_gap[of] = True
    far, inside, home = _seen(chains, node, direction)
    placed = np.zeros(n, bool)
    for number, point in enumerate(chains.points):
        if point.role is not None:
            placed[chains.met(number)] = True
    exits = any(point.role in EXITS and not point.absent for point in chains.points)
    return Fates(
        reason=reason,
        gap=gap,
        reached=reached,
        alone=~any_gap[:-1],
        routed=bool(node.routes),
        far=far,
        inside=inside,
        home=home,
        placed=placed,
        exits=exits,
        ruled=ruled,
    )


def _doubtful(point: Point) -> bool:
    """Whether a point is taken for a way out, though nothing was ever answered there: it may be a device before the last one."""
    return point.guessed and point.role in EXITS and not point.both_ways


def _seen(
    chains: Chains, node: Node, direction: NDArray[np.int8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    outside, inside, of_pod, pods = (
        np.zeros(len(chains), bool),
        np.zeros(len(chains), bool),
        np.zeros(len(chains), bool),
        np.zeros(len(chains), np.int8),
    )
    for number, point in enumerate(chains.points):
        met = np.zeros(len(chains), bool)
        met[chains.met(number)] = True
        outside |= met & (point.role in EXITS) & (not _doubtful(point))
        inside |= met & (point.role not in EXITS)
        if point.role == "pod" and (pod := node.pods.get(point.name)) is not None:
            flows = np.flatnonzero(chains.of[number] >= 0)
            of_pod[chains.of[number][flows[among(point.src[flows], pod)]]] = True
        pods[met] += point.role == "pod" and not point.within
    out, inward = (direction == DIRECTIONS.index(name) for name in ("out", "in"))
    far: NDArray[np.bool_] = np.where(out, outside | (pods > 1), np.where(inward, inside, False))
    return far, inside, of_pod | (inward & outside)


def directions(chains: Chains, node: Node) -> NDArray[np.int8]:
    """Index into `DIRECTIONS` of each connection."""
    found = np.full(len(chains), DIRECTIONS.index("transit"), np.int8)
    for number, point in enumerate(chains.points):
        here = np.flatnonzero(chains.point == number)
        heading = node.heading[point.name][chains.flow[here]]
        own = among(point.src[chains.flow[here]], node.own)
        out = came = np.zeros(len(here), bool)
        if point.role == "uplink" and ((heading == UNKNOWN) & ~own).any():
            # Of what was not seen further in only frames tell which side opened it.
            out, came = (some[chains.flow[here]] for some in sent(point))
        found[here] = np.select(
            [heading == OUT, heading == IN, heading == LOCAL, own, out, came],
            [DIRECTIONS.index(name) for name in ("out", "in", "local", "out", "out", "in")],
            DIRECTIONS.index("transit"),
        )
    return found


def classes(
    outcomes: Outcomes,
    told: Fates,
    accused: Sequence[int],
    refused: Mapping[int, Refused],
    waited: Sequence[int],
    doubtful: Sequence[int] = (),
    unwatched: Sequence[int] = (),
    misaddressed: Sequence[int] = (),
    unreached: Sequence[int] = (),
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Put every connection into one of `CLASSES`.

    Args:
        outcomes: Of all connections.
        told: What was followed of them.
        accused: The connections that an incident names.
        refused: Connection to who refused it.
        waited: Connections that waited in this node.
        doubtful: Connections whose entry may be stale.
        unwatched: Connections that broke when no way out of the node, or not all of their way in it, was recorded.
        misaddressed: Connections whose frames are for a station that never sent one.
        unreached: Connections of pods that what is sent to their address does not reach.

    Returns: The class, and why it cannot be told: an index into `WHY`, 0 where it can.
    """
    code, fate = outcomes.code, _FATE.take(told.reason)
    trouble = np.isin(code, (DELAYED, REFUSED, TIMED_OUT, RESET, STALLED, UNANSWERED))
    named = np.zeros(len(code), bool)
    named[np.asarray([*accused, *waited], np.int64)] = True
    elsewhere = np.zeros(len(code), bool)
    elsewhere[[number for number, one in refused.items() if one.by != "node"]] = True
    elsewhere &= (told.exits & told.placed) | (told.reason == CODES["answered-beyond"])
    here = named | (fate == _VANISHED) | np.isin(told.reason, _HERE)
    # A reset, or data that is not acknowledged, is the peer's will or lies beyond unless an incident says otherwise.
    late = np.isin(code, (RESET, STALLED)) & (fate != _OPEN)
    # What this node itself said to be unreachable is its own doing, and no incident told why.
    by_node = np.zeros(len(code), bool)
    by_node[[number for number, one in refused.items() if one.by == "node" and not one.harmless]] = True
    # Where no way out was captured, nothing shows whose the answer was.
    aside = ((told.reason == CODES["refused"]) & ~by_node) | (
        (told.reason == CODES["answered-beyond"]) & told.exits
    )
    # Where the answer went by another way, so did the request perhaps; that it was refused says that it arrived.
    aside |= (told.reason == CODES["answered-here"]) & (code == REFUSED)
    aside |= (told.reason == CODES["other-way"]) & (told.routed & told.exits)
    local = np.isin(told.reason, (_OWN, *_NEIGHBOUR))
    led, blind = np.zeros(len(code), bool), np.zeros(len(code), bool)
    led[np.asarray(doubtful, np.int64)] = True
    astray = np.zeros(len(code), bool)
    astray[np.asarray(misaddressed, np.int64)] = True
    blind[np.asarray(unwatched, np.int64)] = True
    cut_off = np.zeros(len(code), bool)
    cut_off[np.asarray(unreached, np.int64)] = True
    # That an answer of UDP was seen, at the pod's interface even, does not show that the pod took it.
    trouble |= cut_off & (outcomes.proto == UDP)
    willed = local & (code == REFUSED) & ((told.ruled & (told.reason == _OWN)) | ~by_node)
    # That the repetition got out says nothing of a first attempt that was not seen to.
    hidden = (code == DELAYED) & np.isin(told.reason, [CODES[one] for one in ("answered", "answered-here")])
    reached = told.far & (told.reached | late | (code == REFUSED)) & (told.home | ~outcomes.unheard) & ~hidden
    onward = elsewhere | ((reached | aside) & ~by_node) | willed
    why = np.select(
        [
            (fate == _OPEN) & ~elsewhere,
            told.alone & ~elsewhere,
            (local & ~willed) | (outcomes.unheard & ~told.home),
            ~onward,
            blind,
            led & (code == UNANSWERED),
            (cut_off & (code != REFUSED)) | (astray & np.isin(code, (TIMED_OUT, UNANSWERED))),
        ],
        [WHY.index(code) for code in ("open", "alone", "local", "untold", "unwatched", "entry", "station")],
        0,
    )
    found = np.select(
        [here, code == UNFINISHED, ~trouble, why > 0],
        [NODE, UNTOLD, WORKED, UNTOLD],
        OUTSIDE,
    ).astype(np.int8)
    why = np.where(code == UNFINISHED, WHY.index("unfinished"), why)
    return found, np.where(found == UNTOLD, why, 0).astype(np.int8)


WHY = ("", "open", "alone", "local", "untold", "unwatched", "entry", "station", "unfinished")
"""Why a connection's failure cannot be placed: the point beyond shows nothing, only one point was captured, it ended on this node
where nobody captured, nothing was followed, a point of its way did not record all of it, its entry may be stale, its
frames are for nobody, the capture ended too early."""


def account(
    outcomes: Outcomes,
    found: NDArray[np.int8],
    why: NDArray[np.int8],
    reasons: NDArray[np.int8],
    waited: tuple[Waited, ...] = (),
) -> Account:
    """Count the classes.

    Args:
        outcomes: Of all connections.
        found: Class of each.
        why: Index into `WHY` of each.
        reasons: Index into `REASONS` of each.
        waited: Which of this node's only waited, by place.
    """
    unknown: dict[str, int] = {}
    for number, name in enumerate(WHY):
        if not name:
            continue
        mine = why == number
        if name == "open":
            for reason, count in zip(*np.unique(reasons[mine], return_counts=True), strict=True):
                unknown[REASONS[int(reason)].code] = int(count)
        elif mine.any():
            unknown[name] = int(mine.sum())
    counts = np.bincount(found, minlength=len(CLASSES))
    by_outcome = np.bincount(outcomes.code, minlength=len(OUTCOMES))
    outside = np.bincount(outcomes.code[found == OUTSIDE], minlength=len(OUTCOMES))
    return Account(
        connections=len(found),
        worked=int(counts[WORKED]),
        node=int(counts[NODE]),
        outside=int(counts[OUTSIDE]),
        unknown=int(counts[UNTOLD]),
        why_unknown=unknown,
        outcomes={name: int(n) for name, n in zip(OUTCOMES, by_outcome, strict=True) if n},
        outcomes_outside={name: int(n) for name, n in zip(OUTCOMES, outside, strict=True) if n},
        waited=waited,
    )
