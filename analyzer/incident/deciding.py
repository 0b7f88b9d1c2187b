"""Packets that the captures leave open, decided by what the kernel counted and by the rules.

A point that is silent, was recorded with a filter or in one direction cannot show that a packet was lost. Conntrack's own
counters can: where `drop` rose by just as many as packets are missing, decided or not, each of them was dropped. And a packet
that a rule drops for certain, and that nobody answered, did not get further, whoever recorded there. Where the kernel
recorded the drop itself, nothing needs to be counted.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import TCP_RST
from analyzer.compute.thresholds import CHANCE, WINDOW
from analyzer.connection.asking import acknowledged, answered
from analyzer.connection.fates import VANISHED
from analyzer.connection.passages import addresses
from analyzer.connection.reasons import CODES
from analyzer.connection.refusals import NOT_ADMITTED, PROHIBITED, UNHEARD
from analyzer.flow.keys import among
from analyzer.flow.point import FOLLOWED, TCP, UDP
from analyzer.incident.absence import answered_elsewhere, by_chance, came_in, equals, misses, unread
from analyzer.incident.covering import leads_on, unplaced
from analyzer.incident.misaddressed import for_another
from analyzer.incident.misdelivered import crossings
from analyzer.incident.overlooked import behind_bridges, filtered, led_away, missed, told_by_others
from analyzer.incident.records import ARRIVED, OPEN, joined
from analyzer.incident.routing import NOWHERE, way
from analyzer.incident.ruled import martians, on_arrival
from analyzer.nat.gap import by_point
from analyzer.node.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

REPLIES_OPEN = (CODES["way-unknown"],)
"""Of replies: that a rule drops one does not say that it came so far before the capture ended; what the rule counted does."""
SILENT = tuple(CODES[code] for code in ("not-recording", "not-captured"))
LOST = tuple(CODES[code] for code in ("lost", "ruled"))
CONNTRACK = ("conntrack-insertion", "conntrack-entry", "netfilter", "unknown")
"""Kinds of records of what conntrack may have counted."""
MOST = 5_000
"""Packets that are led through the rules for this."""


def decide(scene: Scene) -> None:
    """Turn what the kernel's counters, or its rules, decide into losses; in place."""
    for at, place, _ in for_another(scene):
        at.reason[place], at.gap[place] = CODES["seen-beyond"], -1
    answered_elsewhere(scene)
    equals(scene)
    by_chance(scene)
    unread(scene)
    _refusals(scene)
    _turned(scene)
    _by_rules(scene)
    _by_records(scene)
    _to_the_node(scene)
    _by_routes(scene)
    _by_counters(scene)
    _by_log(scene)
    led_away(scene)
    told_by_others(scene)
    filtered(scene)
    missed(scene)
    behind_bridges(scene)


def _refusals(scene: Scene) -> None:
    """Tell which refusals are this node's own, whichever way routes lead: no point further on, then recording, saw them.

    An error about the packet itself, that it is too big or went through too many routers, is no refusal by anybody's will.
    """
    for protocol in FOLLOWED:
        for at in scene.requests[protocol]:
            packets = at.point.packets
            for place in np.flatnonzero(np.isin(at.reason, (CODES["refused"], CODES["other-way"]))).tolist():
                one = scene.refusals.of(at.point, int(at.rows[place]))
                gap = scene.gaps[int(at.gap[place])]
                if one is None or one.harmless or unplaced(scene, at, place):
                    continue
                asked = at.point.dst[packets.flow[at.rows[place]]]
                record = joined(scene).get((at.point.name, int(at.rows[place])))
                recorded = record is not None and record.means.kind in ("rule", "policy")
                if recorded or _ruled(scene, at, place, one.row):
                    at.reason[place] = CODES["refused-here"]
                elif _own(scene, at, gap, one.row):
                    # From the very address that was asked: that is the node's own, and nobody listens on the port.
                    closed = protocol == UDP and one.kind in UNHEARD and one.sender == asked
                    at.reason[place] = CODES["own-address" if closed else "refused-here"]
            places = np.flatnonzero(at.reason == CODES["answered-here"])
            if protocol == TCP and len(places):
                _, answer, _ = answered(at.point, protocol)
                for place in places[answer[places] >= 0].tolist():
                    row = int(answer[place])
                    own = _own(scene, at, scene.gaps[int(at.gap[place])], row)
                    if packets.flags[row] & TCP_RST and (own or _ruled(scene, at, place, row)):
                        at.reason[place] = CODES["refused-here"]


def _turned(scene: Scene) -> None:
    """What was answered from another address, past NAT, got to an endpoint on this node: that way need not have been captured."""
    flows: dict[tuple[str, bool], list[int]] = {}
    for point, crossed in crossings(scene):
        flows.setdefault((point.name, crossed.sure), []).append(int(point.packets.flow[crossed.request]))
    for at in (at for protocol in (TCP, UDP) for at in scene.requests[protocol]):
        for sure, code in ((True, "turned"), (False, "way-unknown")):
            mine = np.isin(at.point.packets.flow[at.rows], flows.get((at.point.name, sure), []))
            at.reason[mine & (at.reason == CODES["lost"])] = CODES[code]


def _own(scene: Scene, at: Followed, gap: Gap, row: int) -> bool:
    """Whether a packet that this point saw began in the node.

    So its TTL tells, or the gap's other point, which was recording and did not have it.
    """
    if gap.stacked:
        return False  # it came in by another device of the place
    if scene.node.sent(at.point, row):
        return True
    there, partner = (gap.outer, gap.in_outer) if at.point is gap.inner else (gap.inner, gap.in_inner)
    here = at.point.packets
    time = int(here.time[row])
    if partner[row] >= 0 or not there.recorded(here.time[row : row + 1])[0]:
        return False
    if misses(scene, gap, outward=at.point is gap.inner) > CHANCE:
        return False
    if came_in(scene, at.point, row, gap):
        return False
    # Turned round to the pod that sent it, it has other ends, there or here; its number is the same.
    for packets in (there.packets, here):
        near = slice(*np.searchsorted(packets.time, (time - WINDOW, time + WINDOW)))
        same = (packets.ack[near] == here.ack[row]) & (packets.print[near] == here.print[row])
        same &= packets.flags[near] == here.flags[row]
        if packets is here:
            same &= packets.flow[near] != here.flow[row]
        if same.any():
            return False
    return True


def _ruled(scene: Scene, at: Followed, place: int, answer: int) -> bool:
    """Whether a rule refuses a packet for certain, and no further point saw the refusal come in."""
    gap = scene.gaps[int(at.gap[place])]
    partner = gap.in_outer if at.point is gap.inner else gap.in_inner
    if partner[answer] >= 0:
        return False
    walked = scene.walk(at.point, int(at.rows[place]), gap, outward=bool(at.outward[place]))
    return walked is not None and walked[0].verdict == "reject"


def _by_rules(scene: Scene) -> None:
    if not scene.evidence.rules:
        return
    left: dict[int, list[tuple[Followed, int]]] = {}
    lost: Counter[int] = Counter()
    counted: dict[int, int] = {}
    for at, places in _open(scene, CODES["lost"], replies=True):
        for place in places[:MOST].tolist():
            gap = scene.gaps[int(at.gap[place])]
            walked = scene.walk(at.point, int(at.rows[place]), gap, outward=bool(at.outward[place]))
            if walked is None:
                continue
            if walked[0].verdict == "drop" and at.reason[place] in (REPLIES_OPEN if at.replies else OPEN):
                at.reason[place] = CODES["ruled"]
            elif walked[0].verdict == "reject" and not at.replies:
                at.reason[place] = CODES["rejected"]
            elif walked[0].verdict == "drop" and at.replies and (end := walked[0].end) and (rule := end.rule):
                counted[id(rule)] = rule.packets or 0
                if at.reason[place] == CODES["lost"]:
                    lost[id(rule)] += 1
                elif at.reason[place] in SILENT:
                    left.setdefault(id(rule), []).append((at, place))
    for key, found in left.items():
        if lost[key] + len(found) <= counted[key]:
            for at, place in found:
                at.reason[place] = CODES["ruled"]


def _to_the_node(scene: Scene) -> None:
    """Say which packets to the node itself a rule of its INPUT hook drops or rejects; of other SYNs nobody can tell.

    They are told of a gap that begins, or ends, where they were last seen: none lies between the node and itself.
    """
    near = by_point(scene.gaps)
    for at in (*scene.replies[TCP], *scene.replies[UDP]) if scene.evidence.rules else ():
        _answers_to_the_node(scene, at, list(near.get(at.point.name, ())))
    for protocol, at in ((number, at) for number in FOLLOWED for at in scene.requests[number]):
        flow = at.point.packets.flow[at.rows]
        own = among(at.point.dst[flow], scene.node.own) & (scene.node.heading[at.point.name][flow] != OUT)
        own |= at.reason == CODES["own-address"]
        mine = list(near.get(at.point.name, ()))
        _refused_by_rule(scene, at, own, mine)
        idle = np.isin(at.reason, (CODES["seen-beyond"], CODES["own-address"]))
        reset = np.zeros(len(at.rows), bool)
        if protocol == TCP and own.any():
            _, answer, _ = answered(at.point, TCP)
            reset = (answer >= 0) & (at.point.packets.flags[answer] & TCP_RST != 0)
        at.reason[own & idle & at.last & (reset | ~at.answered)] = CODES["own-address"]
        # What is dropped as it comes in is lost, wherever it was to go.
        coming = ~own & ~at.answered & (at.reason == CODES["seen-beyond"])
        coming &= scene.node.heading[at.point.name][flow] != OUT
        for place in martians(scene, at, coming) if mine else ():
            at.reason[place] = CODES["recorded-drop"]
            at.gap[place], at.outward[place] = _beside(scene, at.point, mine)
        if at.point.role == "uplink" and mine:
            _led_nowhere(scene, at, coming & at.last, mine)
        places = np.flatnonzero((own | coming) & idle & at.last & (reset | ~at.answered))[:MOST]
        for place in places.tolist() if mine and scene.evidence.rules else ():
            number, outward = _beside(scene, at.point, mine)
            walked = scene.walk(at.point, int(at.rows[place]), scene.gaps[number], outward=outward)
            verdicts = ("reject",) if reset[place] else ("drop", "reject")
            if walked is None:
                continue
            if walked[0].verdict in verdicts and on_arrival(walked[0], own=bool(own[place])):
                at.reason[place] = CODES["ruled" if walked[0].verdict == "drop" else "rejected"]
            elif reset[place] and walked[0].destination_nat is not None:
                at.reason[place] = CODES["refused-here"]
            else:
                continue
            at.gap[place], at.outward[place] = number, outward


def _led_nowhere(scene: Scene, at: Followed, coming: NDArray[np.bool_], gaps: list[int]) -> None:
    """What came in from outside for where the routes have a blackhole, as for a pod's block without the pod's route; in place."""
    if not any(route.kind in NOWHERE for route in scene.evidence.routes):
        return
    flow = at.point.packets.flow[at.rows]
    coming &= ~among(at.point.src[flow], np.concatenate([scene.node.own, scene.node.inside]))
    for place in np.flatnonzero(coming & (at.reason == CODES["seen-beyond"]))[:MOST].tolist():
        src, dst = addresses(at.point.flows, int(flow[place]))
        if way(scene, dst, src=src, iif=at.point.name).kind in NOWHERE:
            at.reason[place] = CODES["ruled"]
            at.gap[place], at.outward[place] = _beside(scene, at.point, gaps)


def _beside(scene: Scene, point: Point, gaps: list[int]) -> tuple[int, bool]:
    """The gap that a loss at a point is told of, and whether that begins there."""
    inner = [number for number in gaps if scene.gaps[number].inner is point]
    return (inner or gaps)[-1], bool(inner)


def _leads_on(scene: Scene, at: Followed, place: int, gaps: list[int]) -> bool:
    """Whether a rule certainly translates a packet, so that nobody meant the node itself to be asked for that port."""
    number, outward = _beside(scene, at.point, gaps)
    walked = scene.walk(at.point, int(at.rows[place]), scene.gaps[number], outward=outward)
    return walked is not None and walked[0].destination_nat is not None


def _refused_by_rule(scene: Scene, at: Followed, own: NDArray[np.bool_], gaps: list[int]) -> None:
    """Packets to the node itself that it answered with an ICMP error: where nobody listens TCP sends a RST; in place."""
    if not gaps or not scene.refusals.at(at.point):
        return
    idle = at.last & np.isin(
        at.reason, [CODES[code] for code in ("seen-beyond", "own-address", "refused", "bridged")]
    )
    packets, flows = at.point.packets, at.point.flows
    for place in np.flatnonzero(idle)[:MOST].tolist():
        one = scene.refusals.of(at.point, int(at.rows[place]))
        if one is None or one.harmless:
            continue
        flow = int(packets.flow[at.rows[place]])
        if not own[place] and one.sender != at.point.dst[flow]:
            # Of what is for a neighbour on the bridge the node says so by a rule alone: br_netfilter shows it to them.
            if one.kind in NOT_ADMITTED and scene.node.sent(at.point, one.row):
                at.reason[place] = CODES["refused-here"]
                at.gap[place], at.outward[place] = _beside(scene, at.point, gaps)
            continue
        if one.sender != at.point.dst[flow] or not (own[place] or scene.node.sent(at.point, one.row)):
            continue
        if flows.proto[flow] == TCP or one.kind in PROHIBITED or _leads_on(scene, at, place, gaps):
            at.reason[place] = CODES["refused-here"]
            at.gap[place], at.outward[place] = _beside(scene, at.point, gaps)


def _answers_to_the_node(scene: Scene, at: Followed, gaps: list[int]) -> None:
    """Replies to the node itself that a rule drops for certain: unacknowledged SYN-ACKs, others if it counted; in place."""
    flow = at.point.packets.flow[at.rows]
    own = among(at.point.src[flow], scene.node.own) & at.last & (at.reason == CODES["seen-beyond"])
    tcp = own.any() and at.point.flows.proto[flow[0]] == TCP
    if tcp:
        own &= ~acknowledged(at.point, at.rows)
    for place in np.flatnonzero(own)[:MOST].tolist() if gaps else ():
        number, outward = _beside(scene, at.point, gaps)
        walked = scene.walk(at.point, int(at.rows[place]), scene.gaps[number], outward=outward)
        if walked is None or walked[0].verdict != "drop" or not on_arrival(walked[0]):
            continue
        if tcp or ((end := walked[0].end) and end.rule and end.rule.packets):
            at.reason[place], at.gap[place], at.outward[place] = CODES["ruled"], number, outward


def _by_routes(scene: Scene) -> None:
    """What leaves for where the routes lead nowhere is lost, though nothing shows that the uplink was recording."""
    if not any(route.kind in NOWHERE for route in scene.evidence.routes):
        return
    for at, places in _open(scene):
        for place in places[at.outward[places]][:MOST].tolist():
            flow, gap = int(at.point.packets.flow[at.rows[place]]), scene.gaps[int(at.gap[place])]
            walked = scene.walk(at.point, int(at.rows[place]), gap, outward=True)
            if walked is not None and (walked[0].destination_nat is not None or walked[0].nat_doubts):
                continue
            src, dst = addresses(at.point.flows, flow)
            if way(scene, dst, src=src, iif=gap.inner.name).kind in NOWHERE:
                at.reason[place] = CODES["ruled"]


def _by_records(scene: Scene) -> None:
    """Take the kernel's word for what it dropped on the way, whatever the captures, or a rule, say of it.

    Of a packet that a rule refuses, the record is of the refusal: it stays refused.
    """
    if not scene.evidence.drops:
        return
    rows: dict[str, list[int]] = {}
    for (name, row), record in joined(scene).items():
        if record.means.kind not in ARRIVED:
            rows.setdefault(name, []).append(row)
    for at in scene.followed:
        named = at.index(np.array(sorted(rows.get(at.point.name, ())), np.int64))
        for place in named[~at.answered[named]].tolist():
            # That it was dropped is certain; where is not, if it may have been behind a point that did not record.
            reason = at.reason[place]
            if reason in LOST or (reason in OPEN and not unplaced(scene, at, place)):
                at.reason[place] = CODES["recorded-drop"]


def _by_counters(scene: Scene) -> None:
    """Where conntrack dropped as many packets as are lost or open, beside those that a rule drops, it dropped the open ones.

    In which gap a counter does not say: of what may have got further there is no place to tell.
    """
    left = list(_open(scene))
    more = scene.counters.get("drop", 0) - sum(len(places) for _, places in left)
    if left and more >= 0 and more == _lost(scene):
        for at, places in left:
            last = [not leads_on(scene, at, place) for place in places.tolist()]
            at.reason[places[np.array(last, bool)]] = CODES["counted"]


def _by_log(scene: Scene) -> None:
    """Where the log names, of a wrong checksum, as many lost and open packets as `invalid` rose by, the open ones are lost."""
    wrong = {
        (line.src, line.dst, line.sport, line.dport, line.seq)
        for line in scene.evidence.log
        if line.test == "bad-checksum"
    }
    if not wrong or not scene.counters.get("invalid"):
        return
    named = [
        (at, place)
        for at, places in _open(scene, CODES["lost"])
        for place in places[:MOST].tolist()
        if _numbers(at, place) in wrong
    ]
    for at, place in named if len(named) == scene.counters["invalid"] else ():
        if at.reason[place] in OPEN:
            at.reason[place] = CODES["counted"]


def _numbers(at: Followed, place: int) -> tuple[str, str, int, int, int | None]:
    """A request as the kernel's log prints it: addresses, ports, and TCP's sequence number."""
    row, flows = int(at.rows[place]), at.point.flows
    flow = int(at.point.packets.flow[row])
    ports = int(flows.ports[flow])
    seq = int(at.point.packets.seq[row]) if flows.proto[flow] == TCP else None
    return *addresses(flows, flow), ports >> 16, ports & 0xFFFF, seq


def _open(scene: Scene, *more: int, replies: bool = False) -> Iterator[tuple[Followed, NDArray[np.int64]]]:
    for protocol in FOLLOWED:
        for at in (*scene.requests[protocol], *(scene.replies[protocol] if replies else ())):
            places = np.flatnonzero(np.isin(at.reason, (*OPEN, *more)) & ~at.answered)
            if len(places):
                yield at, places


def _lost(scene: Scene) -> int:
    """Requests that are lost otherwise than by a rule, or by what a record names."""
    lost = 0
    known = joined(scene)
    for protocol in FOLLOWED:
        for at in scene.requests[protocol]:
            gone = np.flatnonzero((at.fate == VANISHED) & (at.reason != CODES["ruled"]))[: MOST * 10]
            for place in gone.tolist():
                gap = scene.gaps[int(at.gap[place])]
                walked = scene.walk(at.point, int(at.rows[place]), gap, outward=bool(at.outward[place]))
                record = known.get((at.point.name, int(at.rows[place])))
                counted = record is None or record.means.kind in CONNTRACK
                lost += counted and (walked is None or walked[0].verdict not in ("drop", "reject"))
    return lost
