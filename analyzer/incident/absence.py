"""What the absence of a packet from a capture proves: nothing, where the capture lacks others, or could not show it.

What was answered got through, so it is the control group: whatever of it the next point lacks, its capture missed. Where no
larger share of the unanswered is missing, nothing shows that they are lost.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analyzer.capture.layout import CUT, FRAGMENT, QUOTES, REPLY, TCP_RST, TCP_SYN
from analyzer.compute.thresholds import CHANCE, WINDOW
from analyzer.connection.asking import acknowledged, answered
from analyzer.connection.reasons import CODES
from analyzer.flow.keys import among, distinct, scramble
from analyzer.flow.point import TCP, slices
from analyzer.node.ways import EXITS, FIRST_TTLS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

MOST = 5_000
"""Replies whose acknowledgement is looked for."""


class _Packets(NamedTuple):
    """The packets of one kind that are on their way through one gap."""

    places: NDArray[np.int64]
    """Indices into the `Followed`."""
    reason: NDArray[np.int8]
    answered: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    """Whether the next point saw them."""

    def flows(self, at: Followed, some: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Of some of these the first one of each flow: what is repeated is no second witness."""
        flow = at.point.packets.flow[at.rows[self.places[some]]]
        return np.flatnonzero(some)[np.unique(flow, return_index=True)[1]]


def answered_elsewhere(scene: Scene) -> None:
    """Take back losses of SYNs, and SYN-ACKs, whose answer another point that saw them has.

    With br_netfilter a bridge has what is translated and its answer in two flows, of which a capture may lack one.
    """
    for at in (at for kind in (scene.requests, scene.replies) for at in kind[TCP]):
        packets, flow = at.point.packets, at.point.packets.flow[at.rows]
        for place in np.flatnonzero(at.reason == CODES["lost"])[:MOST].tolist():
            row = int(at.rows[place])
            others = [one for one in scene.trails.sightings(at.point, row) if one[0] is not at.point]
            if at.replies:
                known = any(acknowledged(point, np.array([seen]))[0] for point, seen in others)
            else:
                came = [answer for one in others if (answer := _answer(scene, *one)) is not None]
                # The other point may lack a repetition that this one has.
                later = at.rows[(flow == flow[place]) & (at.rows > row)]
                known = bool(came) and not (packets.time[later] < min(came)).any()
            if known:
                at.reason[place], at.answered[place] = CODES["answered"], True


def _answer(scene: Scene, point: Point, row: int) -> int | None:
    """When a SYN was answered at a point, ns, before its flow's next one there; None where it was not."""
    rows, first, soon = scene.once(("answers", point.name), lambda: answered(point, TCP))
    at = int(rows.searchsorted(row))
    if at == len(rows) or rows[at] != row or not soon[at] or point.packets.flags[first[at]] & TCP_RST:
        return None
    return int(point.packets.time[first[at]])


def by_chance(scene: Scene) -> None:
    """Leave open losses that are no more frequent than what the next point lacks of what was answered."""
    for at in scene.followed:
        for number in np.unique(at.gap[at.reason == CODES["lost"]]).tolist():
            gap = scene.gaps[number]
            one = _through(at, number, gap)
            lost = one.reason == CODES["lost"]
            few = len(one.flows(at, lost)), len(one.flows(at, one.seen & ~one.answered))
            if not _more(few[0], sum(few), misses(scene, gap, outward=at.point is gap.inner)):
                at.reason[one.places[lost]] = CODES["capture-dropped"]


def equals(scene: Scene) -> None:
    """Leave open what may be a packet without a partner at the next point, or was seen behind it; and RSTs that a filter hid."""
    for at in scene.followed:
        for number in np.unique(at.gap[at.reason == CODES["lost"]]).tolist():
            gap = scene.gaps[number]
            outward = at.point is gap.inner
            there, partner = (gap.outer, gap.in_inner) if outward else (gap.inner, gap.in_outer)
            mine = np.flatnonzero((at.gap == number) & (at.reason == CODES["lost"]))
            behind = [one for one in scene.gaps if there is (one.inner if outward else one.outer)]
            beyond = [(one.outer, one.in_inner) if outward else (one.inner, one.in_outer) for one in behind]
            for point, known in [(there, partner), *beyond]:
                same = np.isin(_content(at.point, at.rows[mine]), _content(point, known.lacking()))
                at.reason[mine[same]] = CODES["ambiguous" if point is there else "capture-dropped"]
            reset = at.point.packets.flags[at.rows[mine]] & (TCP_SYN | TCP_RST) == TCP_RST
            if reset.any() and openings(there):
                at.reason[mine[reset]] = CODES["filtered"]


def _content(point: Point, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """What NAT leaves alone of packets: fingerprint and sequence number."""
    packets = point.packets
    return packets.print[rows].astype(np.uint64) << np.uint64(32) | packets.seq[rows].astype(np.uint64)


def misses(scene: Scene, gap: Gap, *, outward: bool) -> float:
    """How large a share of what demonstrably got through this way, or came back, the next point's capture lacks; 0 if unknown."""
    missing, seen, lacking, having = _control(scene, gap, outward=outward)
    return max(_rate(missing, seen), _rate(lacking, having))


def complete(scene: Scene, gap: Gap, *, outward: bool) -> bool:
    """Whether the next point's capture demonstrably has all that got through this way, or came back."""
    missing, seen, lacking, having = _control(scene, gap, outward=outward)
    return not missing + lacking and seen + having > 0


def _control(scene: Scene, gap: Gap, *, outward: bool) -> tuple[int, int, int, int]:
    """How much of what got through this way the next point's capture lacks and has; and of what came by there otherwise."""
    there = gap.outer if outward else gap.inner

    def look() -> tuple[int, int, int, int]:
        missing = seen = lacking = having = 0
        for number, other in enumerate(scene.gaps):
            if there is (other.outer if outward else other.inner):
                for at in scene.followed:
                    if at.point is (other.inner if outward else other.outer):
                        one = _through(at, number, other)
                        missing += len(one.flows(at, one.answered & (one.reason == CODES["answered"])))
                        seen += len(one.flows(at, one.answered & one.seen))
                        if at.replies is outward:
                            came = _came(scene, at, there)
                            lacking, having = lacking + came[0], having + came[1]
        return missing, seen, lacking, having

    return scene.once(("control group", there.name, outward), look)


def _through(at: Followed, number: int, gap: Gap) -> _Packets:
    partner = gap.in_outer if at.point is gap.inner else gap.in_inner
    seen = ~at.last & (partner[at.rows] >= 0)
    places = np.flatnonzero((seen | (at.gap == number)) & (at.outward == (at.point is gap.inner)))
    known = at.answered[places]
    if at.replies and len(places) and at.point.flows.proto[at.point.packets.flow[at.rows[0]]] == TCP:
        known = known | seen[places]  # of those that went on nobody asked yet
        known[:MOST] = acknowledged(at.point, at.rows[places[:MOST]])
    return _Packets(places=places, reason=at.reason[places], answered=known, seen=seen[places])


def _came(scene: Scene, at: Followed, there: Point) -> tuple[int, int]:
    """How many packets came by the next point although its capture lacks them, and how many it has: a pod's own requests.

    Or replies from outside. Only those of services of which it has any: a filter may hide a service.
    """
    point, inside = at.point, scene.node.inside
    flow = point.packets.flow[at.rows]
    some = (at.outward != at.replies) & there.recorded(point.packets.time[at.rows])
    some &= point.packets.flags[at.rows] & TCP_RST == 0  # which may be the node's own
    if at.replies:
        some &= ~among(point.dst[flow], np.concatenate([inside, scene.node.own]))
        partners = [gap.in_outer for gap in scene.gaps if gap.inner is point and gap.outer.role in EXITS]
    else:
        some &= among(point.src[flow], scene.node.pods.get(there.name, inside[:0]))
        partners = [gap.in_inner for gap in scene.gaps if gap.outer is point and gap.inner is there]
    rows, flow = at.rows[some], flow[some]
    seen = np.any([np.zeros(len(rows), bool), *(partner[rows] >= 0 for partner in partners)], axis=0)
    service = point.dst[flow] + (point.flows.ports[flow] & 0xFFFF)
    return int(among(service[~seen], service[seen]).sum()), int(seen.sum())


def _rate(missing: int, seen: int) -> float:
    """What is usual, by Laplace's rule of succession, unless it is always so or never."""
    return (missing + 1) / (missing + seen + 2) if missing and seen else float(missing > 0)


def _more(part: int, of: int, usual: float) -> bool:
    """Whether so large a part is hardly missing by chance: Chernoff's bound of the binomial distribution."""
    if not usual or part <= of * usual:
        return part > of * usual
    share = part / of
    apart = share * math.log(share / usual)
    apart += (1 - share) * math.log((1 - share) / (1 - usual)) if share < 1 else 0
    return of * apart > -math.log(CHANCE)


def unread(scene: Scene) -> None:
    """Leave open what may be among packets that were cut off, or what an ICMP error may quote whose quote was.

    They are not lost as long as they are no more than those.
    """
    errors = [scene.refusals.unread(each) for each in scene.points]
    for at in scene.followed:
        for number in np.unique(at.gap[at.reason == CODES["lost"]]).tolist():
            gap = scene.gaps[number]
            mine = np.flatnonzero((at.gap == number) & (at.reason == CODES["lost"]))
            there = gap.outer if at.point is gap.inner else gap.inner
            if len(mine) <= _cut(scene, there, int(at.point.flows.proto[at.point.packets.flow[at.rows[0]]])):
                at.reason[mine] = CODES["undecoded"]
        lost = np.flatnonzero(at.reason == CODES["lost"])
        if at.replies or not any(map(len, errors)):
            continue
        senders, of = np.unique(at.point.src[at.point.packets.flow[at.rows[lost]]], return_inverse=True)
        told = [
            np.searchsorted(np.sort(some), senders, side) for some in errors for side in ("left", "right")
        ]
        most = np.max([right - left for left, right in zip(told[::2], told[1::2], strict=True)], axis=0)
        at.reason[lost[(np.bincount(of) <= most)[of]]] = CODES["error-unread"]


def _cut(scene: Scene, point: Point, protocol: int) -> int:
    """How many packets of a protocol a point has of which the snaplen cut off what tells their connection."""

    def look() -> dict[int, int]:
        flow = point.packets.flow[(point.packets.bits & (CUT | QUOTES | FRAGMENT)) == CUT]
        return dict(Counter(point.flows.proto[flow[point.flows.ports[flow] == 0]].tolist()))

    return scene.once(("cut", point.name), look).get(protocol, 0)


def came_in(scene: Scene, point: Point, row: int, gap: Gap) -> bool:
    """Whether a router had this packet as often as others of its sender that came in by the gap: so it came in as well.

    Or whether the point behind it has it, or a router had it, and the gap's other point has nothing of that protocol. Then a
    filter, or the snaplen, hid it from that point.
    """
    there, partner = (gap.outer, gap.in_outer) if point is gap.inner else (gap.inner, gap.in_inner)
    packets = point.packets

    def senders(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """A number for sender and hops."""
        flow = packets.flow[rows]
        src = np.where(packets.bits[rows] & REPLY, point.dst[flow], point.src[flow])
        return src ^ scramble(packets.ttl[rows], 7)

    def known() -> NDArray[np.uint64]:
        return distinct(senders(partner.having(np.arange(len(packets)))))

    routed = packets.ttl[row] not in (0, *FIRST_TTLS)
    if routed:
        came = senders(np.array([row]))
        if among(came, scene.once(("hops", point.name, gap.names), known))[0]:
            return True
    protocol = int(point.flows.proto[packets.flow[row]])
    if _cut(scene, there, protocol) or (routed and not (there.flows.proto == protocol).any()):
        return True
    return behind(scene, point, row, there)


def behind(scene: Scene, point: Point, row: int, there: Point) -> bool:
    """Whether a neighbour of the next point, on its other side, saw this packet: so the next point's capture missed it."""
    time, content = int(point.packets.time[row]), _content(point, np.array([row]))
    ends = [(one.inner, one.outer) for one in scene.gaps if there in (one.inner, one.outer)]
    for other in {other for both in ends for other in both} - {point, there}:
        near = np.arange(*np.searchsorted(other.packets.time, (time - WINDOW, time + WINDOW)))
        if np.isin(content, _content(other, near)).any():
            return True
    return False


def openings(point: Point) -> bool:
    """Whether a point shows nothing of TCP but SYNs and SYN-ACKs: so it was recorded (`tcp[tcpflags] & tcp-syn != 0`)."""
    for some in itertools.starmap(slice, slices(len(point.packets))):  # in most captures the first ones tell
        tcp = point.flows.proto[point.packets.flow[some]] == TCP
        if (point.packets.flags[some][tcp] & TCP_SYN == 0).any():
            return False
    return True
