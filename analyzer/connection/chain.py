"""Flows of all points chained into connections, along the crossings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import CUT, FRAGMENT, SYN_X, SYN_Y, SYNACK_X, SYNACK_Y
from analyzer.flow.keys import distinct, repeated, scramble, unique_join
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.flow.selecting import ERROR
from analyzer.nat.tuples import syn_keys, tuple_keys
from analyzer.node.ways import EXITS, IN, INSIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap
    from analyzer.node.hosts import Wire

CHAINED = 8
"""Times that a connection is turned round by a node, and more."""


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

    def met(self, index: int) -> NDArray[np.int32]:
        """The connections that have a flow at a point; those with several there, several times."""
        of = self.of[index]
        return of[of >= 0]


def chain(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    followed: Sequence[Followed],
    wires: Sequence[Wire] = (),
    answers: Sequence[tuple[Point, int, int]] = (),
) -> Chains:
    """Chain the flows: a flow that crossed belongs to the connection of the flow that its opener's packets were in before.

    Args:
        points: All points.
        gaps: All gaps.
        followed: Requests and replies: some crossed though their flows do not fit as wholes, where DNAT sends two queries of
            one socket to different servers.
        wires: What left one node and entered another.
        answers: Flows of requests at a point, each with the flow of the answer that came from elsewhere.
    """
    begins = np.cumsum([0, *(len(point.flows) for point in points)])
    place = {point.name: n for n, point in enumerate(points)}
    before = np.arange(begins[-1])
    for wire in wires:
        before[begins[place[wire.entered.name]] + wire.there] = begins[place[wire.left.name]] + wire.here
    for gap in gaps:
        m = gap.matches
        inner, outer = begins[place[gap.inner.name]] + m.a, begins[place[gap.outer.name]] + m.b
        # By an uplink that has nothing but its answers, a connection did not come in.
        asked = 2 * m.b.astype(np.int64) + (m.flip == 1)
        # Nor did what a bridge flooded, the answers alone, begin at that pod.
        unasked = gap.inner.starts[2 * m.a.astype(np.int64) + 1] == gap.inner.starts[2 * m.a.astype(np.int64)]
        inward = ((gap.heading == IN) | unasked) & (gap.outer.starts[asked + 1] > gap.outer.starts[asked])
        before[outer[~inward]] = inner[~inward]
        before[inner[inward]] = outer[inward]
    for at in followed:
        _by_packets(at, gaps, begins, place, before)
    for gap in gaps:
        _rest(gap, begins, place, before)
    # No way leads past more points than there are roles, and none leads back.
    before = _roots(before, len(points) + 1)
    root = _turned(points, begins, before, answers)
    root = _roots(_across(points, begins, root), 2)
    counted = np.concatenate([np.zeros(0, bool), *(_counted(point) for point in points)])
    roots = np.flatnonzero(counted & (root == np.arange(len(root))))
    number = np.full(len(root), -1, np.int32)
    number[roots] = np.arange(len(roots))
    of = number[root]
    of[~counted] = -1
    owner = np.searchsorted(begins, roots, side="right") - 1
    return Chains(
        points=points,
        point=owner.astype(np.int16),
        flow=(roots - begins[owner]).astype(np.int32),
        of=tuple(np.split(of, begins[1:-1])),
    )


def _roots(before: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    for _ in range(steps):
        further = before[before]
        if (further == before).all():
            break
        before = further
    return before


def _turned(
    points: Sequence[Point],
    begins: NDArray[np.int64],
    root: NDArray[np.int64],
    answers: Sequence[tuple[Point, int, int]],
) -> NDArray[np.int64]:
    """Roots, where a connection that the node turned round at a point, to a pod there, is one with what came in.

    Its SYN shows twice at that point, with other addresses: one hop younger, or sent to its own sender (a pod that calls
    itself by a service). All that a copy shares is equal, IP ID and TSval included.
    """
    before, place = root.copy(), {point.name: number for number, point in enumerate(points)}
    told = [
        (begins[place[point.name]] + asked, begins[place[point.name]] + answer)
        for point, asked, answer in answers
    ]
    pairs = [root[np.array(told, np.int64).reshape(-1, 2).T]]
    for number, point in enumerate(points):
        pairs.append(root[begins[number] + _answered_elsewhere(point)])
        p, flows = point.packets, point.flows
        opened = np.flatnonzero((flows.marks & SYN_X != 0) & (flows.proto == TCP))
        if len(opened) < 2 or "ttl" in point.recording.lacks:
            continue
        first = point.order[point.starts[2 * opened]].astype(np.int64)
        twice = repeated(p.print[first].astype(np.uint64) << np.uint64(16) | p.ip_id[first].astype(np.uint64))
        opened, first = opened[twice], first[twice]
        if not len(first):
            continue
        order = np.lexsort((first, p.time[first], p.ip_id[first], p.print[first]))
        opened, first = opened[order], first[order]
        one, other = first[:-1], first[1:]
        new = np.append(True, (p.print[one] != p.print[other]) | (p.ip_id[one] != p.ip_id[other]))
        head = np.maximum.accumulate(np.where(new, np.arange(len(first)), 0))
        asked = opened[head]
        hop = p.ttl[first[head]].astype(np.int16) - p.ttl[first]
        turned = ~new & ((hop == 1) | (point.dst[opened] == point.src[asked]))
        here, there = root[begins[number] + opened[turned]], root[begins[number] + asked[turned]]
        pairs.append(np.stack([here, there]))
    both = np.concatenate(pairs, axis=1)
    for _ in range(CHAINED):
        one, other = before[both]
        roots = np.stack(np.divmod(distinct(one * len(before) + other), max(len(before), 1)))
        roots = roots[:, roots[0] != roots[1]]
        if not roots.size:
            break
        # Only ever to what began earlier, so that no two continue each other.
        begun = _begun(points, begins, roots)
        back = (begun[0] < begun[1]) | ((begun[0] == begun[1]) & (roots[0] < roots[1]))
        before[np.where(back, roots[1], roots[0])] = np.where(back, roots[0], roots[1])
        before = _roots(before, CHAINED)
    return before


def _across(points: Sequence[Point], begins: NDArray[np.int64], root: NDArray[np.int64]) -> NDArray[np.int64]:
    """Roots, where a connection crossed the node and the point between did not record it.

    Its SYN tells that, or, of the untranslated rest of a connection, both ends; each must be there once inside and once outside.
    An ISN of 0 is a scanner's, and no number.
    """
    before, alone = root.copy(), root == np.arange(len(root))
    alone &= np.concatenate([np.zeros(0, bool), *(point.flows.proto == TCP for point in points)])
    for keys in (_syns, _rests):
        both = []
        for roles, others in ((EXITS, INSIDE), (INSIDE, EXITS)):
            seen = np.zeros(len(root), bool)  # roots of what the others saw as well
            flows, found = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
            for number, point in enumerate(points):
                if point.role in others and (keys is _syns or roles is EXITS):
                    seen[root[begins[number] : begins[number + 1]]] = True
            for number, point in enumerate(points):
                if point.role in roles:
                    span = slice(begins[number], begins[number + 1])
                    some = np.flatnonzero(alone[span] & ~seen[span])
                    key = keys(point, some, inside=roles is INSIDE)
                    flows.append(begins[number] + some[key != 0])
                    found.append(key[key != 0])
            both.append((np.concatenate(flows), np.concatenate(found)))
            if not len(both[0][0]):
                break  # nothing outside, as in most bundles
        else:
            (outside, of_outside), (inside, of_inside) = both
            i, j = unique_join(of_inside, of_outside)
            pairs = np.stack([inside[i], outside[j]])
            begun = _begun(points, begins, pairs)
            out = begun[0] <= begun[1]
            before[np.where(out, pairs[1], pairs[0])] = np.where(out, pairs[0], pairs[1])
    return before


def _syns(point: Point, some: NDArray[np.int64], *, inside: bool) -> NDArray[np.uint64]:
    """What both sides of NAT show of a SYN; 0 where there is none that tells."""
    del inside
    return np.where(point.flows.isn_x[some] != 0, syn_keys(point.flows, some), 0).astype(np.uint64)


def _rests(point: Point, some: NDArray[np.int64], *, inside: bool) -> NDArray[np.uint64]:
    """Both ends of a TCP flow, outside of one whose beginning is missing; else 0."""
    told = inside | (point.flows.marks[some] & (SYN_X | SYN_Y | SYNACK_X | SYNACK_Y) == 0)
    return np.where(told, tuple_keys(point.flows, some) if told.any() else 0, 0).astype(np.uint64)


def _answered_elsewhere(point: Point) -> NDArray[np.int64]:
    """Flows without a SYN, and those whose SYN their SYN-ACK acknowledges: it came from another address than was asked.

    Bridged past the NAT, a reply is not translated back; sender, port and number of the SYN are the same.
    """
    flows = point.flows
    tcp, marks = flows.proto == TCP, flows.marks & (SYN_X | SYNACK_Y)
    answered, asked = np.flatnonzero(tcp & (marks == SYNACK_Y)), np.flatnonzero(tcp & (marks == SYN_X))
    if not len(answered) or not len(asked):
        return np.zeros((2, 0), np.int64)
    first = point.order[point.starts[2 * answered + 1]]
    number = point.packets.ack[first] - np.uint32(1)
    one, other = (
        point.src[some] ^ scramble(flows.ports[some] >> 16, 5) ^ scramble(isn, 6)
        for some, isn in ((answered, number), (asked, flows.isn_x[asked]))
    )
    i, j = unique_join(one, other)
    return np.stack([answered[i], asked[j]])


def _begun(points: Sequence[Point], begins: NDArray[np.int64], flows: NDArray[np.int64]) -> NDArray[np.int64]:
    """When flows began, ns; they are numbered through all points."""
    owner = np.searchsorted(begins, flows, side="right") - 1
    found = np.zeros(flows.shape, np.int64)
    for number, point in enumerate(points):
        mine = owner == number
        if mine.any():
            found[mine] = point.packets.time[point.order[point.starts[2 * (flows[mine] - begins[number])]]]
    return found


def _by_packets(
    at: Followed,
    gaps: Sequence[Gap],
    begins: NDArray[np.int64],
    place: dict[str, int],
    before: NDArray[np.int64],
) -> None:
    """Chain flows that were not matched by a packet of theirs that another point saw before; in place.

    By a reply only those that have nothing else: where requests are translated already, and replies are translated back,
    the two are different flows of one point.
    """
    rows = at.rows[~at.first]
    here = begins[place[at.point.name]] + at.point.packets.flow[rows]
    rows = rows[before[here] == here]
    if at.replies:
        both = 2 * at.point.packets.flow[rows].astype(np.int64)
        rows = rows[at.point.starts[both] == at.point.starts[both + 1]]
    here = begins[place[at.point.name]] + at.point.packets.flow[rows]
    for gap in gaps:
        if at.point is gap.outer:
            other, partner = gap.inner, gap.in_inner
        elif at.point is gap.inner:
            other, partner = gap.outer, gap.in_outer
        else:
            continue
        met = partner[rows]
        paired = met >= 0
        if paired.any():
            there = begins[place[other.name]] + other.packets.flow[met[paired]]
            chained = before[there] != here[paired]  # else it went on there
            before[here[paired][chained]] = there[chained]


def _rest(gap: Gap, begins: NDArray[np.int64], place: dict[str, int], before: NDArray[np.int64]) -> None:
    """Chain what goes on of a connection under other addresses or ports, its entry being gone: its packets show inside."""
    inner, outer = gap.inner, gap.outer
    rest = (outer.flows.proto == TCP) & (outer.flows.marks & (SYN_X | SYN_Y | SYNACK_X | SYNACK_Y) == 0)
    rest[gap.matches.b] = False
    rows = outer.rows_of(np.flatnonzero(rest).astype(np.int32)).astype(np.int64)
    met = gap.in_inner[rows]
    flow, first = np.unique(outer.packets.flow[rows[met >= 0]], return_index=True)
    here = begins[place[outer.name]] + flow
    there = begins[place[inner.name]] + inner.packets.flow[met[met >= 0][first]]
    alone = (before[here] == here) & (before[there] != here)
    before[here[alone]] = there[alone]


def _counted(point: Point) -> NDArray[np.bool_]:
    """Flows that can be connections: TCP, UDP and ICMP echoes between two hosts."""
    flows = point.flows
    echo = (flows.proto == ICMP) | (flows.proto == ICMP6)
    echo &= flows.ports >> 16 == flows.ports & 0xFFFF
    errors = np.zeros(len(flows), bool)
    errors[point.packets.flow[point.events.of(ERROR)]] = True
    some = np.zeros(len(flows), bool)
    some[point.routable] = True
    # Later fragments have no ports, nor have headers that were cut off.
    bare = np.flatnonzero(flows.ports == 0)
    some[bare[point.packets.bits[point.order[point.starts[2 * bare]]] & (FRAGMENT | CUT) != 0]] = False
    counted: NDArray[np.bool_] = some & ((flows.proto == TCP) | (flows.proto == UDP) | (echo & ~errors))
    return counted
