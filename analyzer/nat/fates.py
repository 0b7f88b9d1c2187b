"""What became of each request (a SYN, or a UDP datagram of the originator) in the gap behind each point.

"Vanished" needs: seen before the gap; its way leads through the gap; the next point was recording then; not seen there;
no proof of delivery. Everything else has another word. All columns, no loop over packets.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.transport import flow_ends, quoted_ends, transports
from analyzer.flow.keys import among, distinct, scramble
from analyzer.flow.point import ICMP, UDP, slices
from analyzer.flow.selecting import ANSWER, ERROR, answers
from analyzer.model import Fate
from analyzer.nat.matching import WINDOW
from analyzer.nat.topology import LAYERS
from analyzer.nat.ways import IN, OUT, UNKNOWN
from analyzer.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.crossing import Gap, Leg
    from analyzer.nat.ways import Node

FATES = tuple(Fate)
# ICMP type << 8 | code of refusals: port, protocol, host prohibited ... (RFC 1812 section 5.2.7.1; RFC 4443 section 3.1).
REFUSALS = tuple(3 << 8 | code for code in (2, 3, 9, 10, 13))
REFUSALS6 = tuple(1 << 8 | code for code in (1, 4, 5, 6))
FLOODED = 1_000_000
"""ns between the copies of a packet that a bridge both floods and routes (lab, br_netfilter: 17 us)."""
AT_ONCE = 500_000_000
"""ns from a request to the ICMP error that refuses it."""
PASSED, VANISHED, NOT_HERE, CAPTURE_LOSS, UNDECIDABLE = range(5)


@dataclass(slots=True, kw_only=True)
class Requests:
    """The requests that one point saw; the arrays have one length."""

    point: Point
    rows: NDArray[np.int64]
    """Rows of `point.packets`, ascending."""
    first: NDArray[np.bool_]
    """Whether no point before this one saw the packet: each packet is first at one point."""
    last: NDArray[np.bool_]
    """Whether no point behind this one saw it."""
    answered: NDArray[np.bool_]
    """Whether an answer came, here, before the flow's next request."""
    fate: NDArray[np.int8]
    """In the gap behind this point: index into `FATES`; `PASSED` also where there is no further gap."""
    outward: NDArray[np.bool_]
    """Whether the request is on its way out of the node."""

    def index(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Where these rows of the point are in `rows`; those that are no requests are left out."""
        found = np.searchsorted(self.rows, rows)
        found, rows = found[found < len(self.rows)], rows[found < len(self.rows)]
        index: NDArray[np.int64] = found[self.rows[found] == rows]
        return index


def requests(points: Sequence[Point], gaps: Sequence[Gap], node: Node, protocol: int) -> list[Requests]:
    """Follow the requests of a protocol (`TCP`: its SYNs; `UDP`) through all gaps: one result per point."""
    return side_by_side(lambda point: _at(point, points, gaps, node, protocol), points)


def _at(point: Point, points: Sequence[Point], gaps: Sequence[Gap], node: Node, protocol: int) -> Requests:
    rows, first, soon = answered(point, protocol)
    flow = point.packets.flow[rows]
    heading = node.heading[point.name][flow]
    outward = [gap.outward() for gap in gaps if gap.inner is point]
    inward = [gap.inward() for gap in gaps if gap.outer is point]
    out_of, on_into = _crossed(rows, flow, inward, node)
    on_out, back_from = _crossed(rows, flow, outward, node)
    came_from, went_on = out_of | back_from, on_out | on_into
    came_from[~came_from] = _came_back(point, rows[~came_from])
    if protocol == UDP:
        other = _anothers(point, rows, first, went_on)
        soon, first = soon & ~other, np.where(other, -1, first)
    answer = np.where(first >= 0, point.packets.time[first], -1) if len(point.packets) else first
    fate = np.full(len(rows), PASSED, np.int8)
    for legs, side in ((outward, OUT), (inward, IN)):
        judged = np.flatnonzero((heading == side) & ~went_on & _on_way(point, legs, node, flow, side))
        if not len(judged):
            continue
        mine = flow[judged]
        met = np.logical_or.reduce([leg.match[mine] >= 0 for leg in legs])
        unclear = _members(point, [leg.unclear for leg in legs])[mine]
        if side == OUT and not len(node.routers) and legs[0].there.role == "uplink":
            # Nothing tells a frame that is to be routed from one for a neighbour on the same bridge.
            unclear |= point.flows.mac_dst[mine] != 0
        here = _stays(point, points, node, rows[judged], side)
        beyond = [leg.there for leg in legs]
        recording = _recording(beyond, point.packets.time[rows[judged]])
        # An answer that nobody saw beyond the gap came another way; unless it came when nobody recorded there.
        elsewhere = _recording(beyond, answer[judged]) & ~met
        away, unknown_way = _other_way(point, legs, node, mine, elsewhere)
        elsewhere |= away
        fate[judged] = np.select(
            [here, ~recording, soon[judged] & met, elsewhere, unclear | (unknown_way & (side == OUT))],
            [NOT_HERE, UNDECIDABLE, CAPTURE_LOSS, NOT_HERE, UNDECIDABLE],
            VANISHED,
        )
    return Requests(
        point=point,
        rows=rows,
        first=~came_from,
        last=~went_on,
        answered=soon,
        fate=fate,
        outward=heading == OUT,
    )


def answered(point: Point, protocol: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Tell the requests of a protocol (SYNs without ACK of TCP, datagrams of the originator of UDP) and their answers.

    Returns: Their rows, ascending; the row of the first answer after each, -1 if none came; whether it came before the
    flow's next request.
    """
    events, n = point.events, len(point.events.rows)
    asked, first, soon = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.uint8)
    flows = [np.full(len(point.flows), -1, np.int32) for _ in range(2)]
    seen = views(events.rows, events.kinds, point.packets.flow, point.flows.proto)
    begin = answers(*seen, protocol, *views(*flows, asked, first, soon))
    return asked[begin:].astype(np.int64), first[begin:].astype(np.int64), soon[begin:].view(bool)


def _keys(point: Point, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows as flow-major numbers, which keep file order, that is time order, within a flow."""
    return (point.packets.flow[rows].astype(np.int64) << 32) | rows


def _anothers(
    point: Point, rows: NDArray[np.int64], first: NDArray[np.int64], passed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether the answer after each request is owed to another one that passed: A and AAAA queries of one socket.

    A UDP answer names no request. As long as fewer answers came than requests passed, it proves nothing about one that
    was not seen to pass.
    """
    at = np.flatnonzero((first >= 0) & ~passed)
    if not len(at):
        return np.zeros(len(rows), bool)
    came = point.events.of(ANSWER)
    came = came[point.flows.proto[point.packets.flow[came]] == UDP]
    answers, gone = np.sort(_keys(point, came)), np.sort(_keys(point, rows[passed]))
    key = _keys(point, first[at])
    begin = (key >> 32) << 32
    waiting = np.searchsorted(gone, key) - np.searchsorted(gone, begin)
    earlier = np.searchsorted(answers, key) - np.searchsorted(answers, begin)
    result = np.zeros(len(rows), bool)
    result[at] = waiting > earlier
    return result


def _crossed(
    rows: NDArray[np.int64], flow: NDArray[np.int32], legs: Sequence[Leg], node: Node
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether one of these legs' other points saw the packet as well, on its way out; and on its way in."""
    out, into = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for leg in legs:
        paired = leg.partner.having(rows)
        match = leg.match[flow[paired]]
        known = np.append(leg.heading, np.int8(UNKNOWN))[match]  # -1, without a match, is the last one
        stray = rows[paired[match < 0]]
        known[match < 0] = _stray_heading(leg, stray, leg.partner[stray], node)
        out[paired[known == OUT]] = True
        into[paired[known == IN]] = True
    return out, into


def _stray_heading(
    leg: Leg, rows: NDArray[np.int64], partner: NDArray[np.int32], node: Node
) -> NDArray[np.int8]:
    """Where packets of unmatched flows are heading: by the hop that routing takes, by who saw them first, by addresses."""
    here, there = leg.here.packets, leg.there.packets
    onward = here.ttl[rows].astype(np.int16) - there.ttl[partner].astype(np.int16)
    onward = np.where(onward != 0, onward, np.sign(there.time[partner] - here.time[rows]))
    out = 1 if LAYERS[leg.there.role or "pod"] > LAYERS[leg.here.role or "pod"] else -1
    by_address = np.where(node.heading[leg.here.name][here.flow[rows]] == IN, IN, OUT)
    return np.where(onward != 0, np.sign(onward) * out, by_address).astype(np.int8)


def _members(point: Point, flows: Sequence[NDArray[np.int32]]) -> NDArray[np.bool_]:
    """A mask over the point's flows."""
    mask = np.zeros(len(point.flows), bool)
    for some in flows:
        mask[some] = True
    return mask


def _on_way(
    point: Point, legs: Sequence[Leg], node: Node, flow: NDArray[np.int32], side: int
) -> NDArray[np.bool_]:
    """Whether the way of a request leads through one of these legs.

    Outwards they are all there is. Inwards the next point must be the bridge, or the veth of the pod that is
    addressed: not every pod was captured.
    """
    on_way = np.zeros(len(flow), bool)
    if side == OUT:
        return on_way | bool(legs)
    dst = point.dst[flow]
    for leg in legs:
        pod = node.pods.get(leg.there.name)
        on_way |= among(dst, pod) if pod is not None else True
    return on_way


def _stays(
    point: Point, points: Sequence[Point], node: Node, rows: NDArray[np.int64], side: int
) -> NDArray[np.bool_]:
    """Whether a request does not leave through the gap at all.

    It is addressed to the node itself; or bridged: its frame is not addressed to the bridge; or turned round:
    a service's endpoint is on the same node, and the packet goes on in another, translated flow.
    """
    flows, flow = point.flows, point.packets.flow[rows]
    if side == IN:
        return np.zeros(len(rows), bool)
    stays = among(point.dst[flow], node.own)
    if len(node.routers):
        stays |= (flows.mac_dst[flow] != 0) & ~np.isin(flows.mac_dst[flow], node.routers)
    rest = np.flatnonzero(~stays)
    stays[rest] = _turned(point, points, node, rows[rest])
    return stays | _rejected(point, rows)


def _rejected(point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an ICMP error refused the request at once: a rule rejects it, nothing vanished.

    Host unreachable is no refusal: it comes seconds later, when the next hop does not answer.
    """
    packets, flows = point.packets, point.flows
    errors = point.events.of(ERROR)
    of = packets.flow[errors]
    kind = flows.ports[of] >> 16 << 8 | packets.flags[errors]
    errors = errors[np.where(flows.proto[of] == ICMP, np.isin(kind, REFUSALS), np.isin(kind, REFUSALS6))]
    refused = np.zeros(len(rows), bool)
    if not len(errors) or not len(rows):
        return refused
    quoted: dict[bytes, list[int]] = {}
    for row, header in transports(point.recording, (int(row) for row in errors)):
        quoted.setdefault(quoted_ends(header), []).append(int(packets.time[row]))
    for times in quoted.values():
        times.sort()
    for i, row in enumerate(rows):
        sent = int(packets.time[row])
        times = quoted.get(flow_ends(flows, int(packets.flow[row])), [])
        after = bisect_left(times, sent)
        refused[i] = after < len(times) and times[after] - sent <= AT_ONCE
    return refused


def _turned(point: Point, points: Sequence[Point], node: Node, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the same packet, routed once, shows here again, or in a flow that enters another pod, within about `WINDOW`.

    Without the hop that routing takes, it would be another pod's packet that happens to be equal.
    """
    found = [np.zeros(0, np.uint64)]
    for other in points:
        if other is not point and other.role != "pod":
            continue
        alike = _alike(other, point.packets.print[rows])
        if other is not point:
            alike = alike[node.heading[other.name][other.packets.flow[alike]] == IN]
        found.append(_moment(other, alike))
    again = np.concatenate(found)
    here = [_moment(point, rows, hops=1, later=later) for later in (0, 1)]
    return among(here[0], again) | among(here[1], again)


def _alike(point: Point, prints: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Rows of the packets that have one of these prints."""
    if not len(prints):
        return np.zeros(0, np.int64)
    wanted = prints.astype(np.uint64)
    some = np.zeros(1 << 16, bool)  # by the low half, which is all that most packets are asked for
    some[prints & 0xFFFF] = True
    found = []
    for begin, stop in slices(len(point.packets)):
        rows = begin + np.flatnonzero(some[point.packets.print[begin:stop] & 0xFFFF])
        found.append(rows[among(point.packets.print[rows].astype(np.uint64), wanted)])
    return np.concatenate([np.zeros(0, np.int64), *found])


def _came_back(point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a bridge had the same packet before: routed back to an endpoint on this node, or flooded as well.

    Routed, it was one hop younger; flooded, it was there at the same moment.
    """
    if point.role != "bridge" or not len(rows):
        return np.zeros(len(rows), bool)
    packets = point.packets
    alike = _alike(point, packets.print[rows])
    before = _moment(point, alike)
    back = among(_moment(point, rows, hops=-1), before) | among(
        _moment(point, rows, hops=-1, later=-1), before
    )
    same = scramble(packets.print[alike], 1) ^ scramble(packets.ttl[alike], 2)
    order = np.lexsort((packets.time[alike], same))
    copies = (np.diff(same[order]) == 0) & (np.diff(packets.time[alike[order]]) <= FLOODED)
    one, other = alike[order[:-1][copies]], alike[order[1:][copies]]
    # Of copies the later ones, and all of a packet of which one copy is known to have come from a pod.
    return back | np.isin(rows, other) | np.isin(rows, one[~np.isin(other, rows)])


def _other_way(
    point: Point, legs: Sequence[Leg], node: Node, flow: NDArray[np.int32], elsewhere: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the way to a request's destination leaves the node by a point that was not captured; whether it may.

    So say the routes, or the answers of the same address that came in without passing the gap. Where such another way is
    in use and no route is known, a destination that never crossed the gap may lie on it.
    """
    flows = point.flows
    dst = point.dst
    crossing = distinct(np.concatenate([dst[leg.flows_here] for leg in legs]))
    names = {leg.there.name for leg in legs}
    # One flow of each destination: a flood has many flows.
    _, where = np.unique(dst[flow], return_index=True)
    device = {
        int(f): node.routes.device(int(flows.dst_hi[f]), int(flows.dst_lo[f]))
        for f in (flow[where] if node.routes else ())
    }
    routed = [dst[f] for f, name in device.items() if name and name not in names]
    away = distinct(np.concatenate([dst[flow[elsewhere]], np.array(routed, np.uint64)]))
    away = away[~among(away, crossing)]
    here = np.array([dst[f] for f, name in device.items() if name in names], np.uint64)
    known = among(dst[flow], np.concatenate([crossing, here]))
    return among(dst[flow], away), ~known & elsewhere.any()


def _moment(point: Point, rows: NDArray[np.int64], hops: int = 0, later: int = 0) -> NDArray[np.uint64]:
    """A hash of each packet, its TTL after some more hops, and in which `WINDOW` it was seen, or some windows later."""
    p = point.packets
    return (
        scramble(p.print[rows], 1)
        ^ scramble(p.ttl[rows].astype(np.int64) - hops, 2)
        ^ scramble(p.time[rows] // WINDOW + later, 3)
    )


def _recording(points: Sequence[Point], times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether one of these points was recording at each time."""
    result = np.zeros(len(times), bool)
    for point in points:
        result |= point.recorded(times)
    return result
