"""Packets called lost that a capture may have overlooked: it lost as many itself, a filter hid them, or they left elsewhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import TCP_RST
from analyzer.capture.naming import role_of
from analyzer.connection.asking import answered
from analyzer.connection.fates import VANISHED
from analyzer.connection.onward import services
from analyzer.connection.passages import addresses
from analyzer.connection.reasons import CODES
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import FOLLOWED, TCP, UDP
from analyzer.incident.absence import complete
from analyzer.incident.cases import REFUSED
from analyzer.incident.records import joined
from analyzer.incident.routing import way
from analyzer.node.recording import lacking
from analyzer.node.ways import EXITS, FIRST_TTLS, OUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.flow.point import Point
    from analyzer.incident.routing import Way
    from analyzer.incident.scene import Scene

MOST = 5_000
"""Packets that are led through the rules for this."""
BEHIND = frozenset(
    {"FORWARD", "POSTROUTING", "no-route", "no-neighbour", "reverse-path", "conntrack-insertion"}
)
"""Hooks, and kinds of records, of what leaves the node that lie behind the bridge."""


def missed(scene: Scene) -> None:
    """Leave open single packets of flows that else got through, where the next point's capture lost as many.

    Only where conntrack counted no drop and no rule drops them: then nothing but that capture speaks for a loss. Of what was
    recorded a file may lack whole flows: somebody took them out.
    """
    if scene.counters.get("drop") or scene.counters.get("insert_failed"):
        return
    for there in scene.points:
        lacks = lacking(there, scene.evidence)
        dropped = scene.drops.get(there.name, 0) + lacks
        if not dropped or not (lacks or scene.counters):
            continue
        found = []
        for at in scene.followed:
            for place in np.flatnonzero(at.reason == CODES["lost"])[:MOST].tolist():
                gap, row = scene.gaps[int(at.gap[place])], int(at.rows[place])
                here, next_ = (gap.inner, gap.outer) if at.outward[place] else (gap.outer, gap.inner)
                if next_ is not there or at.point is not here:
                    continue
                flow = int(at.point.packets.flow[row])
                match = (gap.match_a if here is gap.inner else gap.match_b)[np.array([flow])][0]
                walked = scene.walk(at.point, row, gap, outward=bool(at.outward[place]))
                if (match >= 0 or lacks) and (walked is None or walked[0].verdict not in ("drop", "reject")):
                    found.append((at, place))
        if len(found) <= dropped:
            for at, place in found:
                at.reason[place] = CODES["capture-dropped"]


def filtered(scene: Scene) -> None:
    """Leave open what the node's rules let pass, conntrack counted no drop of, and a filter would hide.

    So looks a point all of whose packets are of one port, or of one protocol, without a single question for a neighbour,
    and none of what is missing.
    """
    if not scene.undropped or scene.counters.get("insert_failed"):
        return
    for protocol in FOLLOWED:
        for at in scene.requests[protocol]:
            for place in np.flatnonzero(at.reason == CODES["lost"])[:MOST].tolist():
                gap, row = scene.gaps[int(at.gap[place])], int(at.rows[place])
                there = gap.outer if at.outward[place] else gap.inner
                ports = int(at.point.flows.ports[at.point.packets.flow[row]])
                shown = scene.once(("shown", there.name), partial(_shown, there))
                if shown <= {-protocol, ports >> 16, ports & 0xFFFF}:
                    continue
                walked = scene.walk(at.point, row, gap, outward=bool(at.outward[place]))
                if walked is not None and walked[0].verdict == "accept":
                    at.reason[place] = CODES["filtered"]


def told_by_others(scene: Scene) -> None:
    """Leave open what the answers of another pod show to be hidden at an uplink, or to leave by another way.

    Where a bridge sees the packets of all pods that is told there (`analyzer.connection.onward`).
    """
    pods = [at for protocol in FOLLOWED for at in scene.requests[protocol] if at.point.role == "pod"]
    for at in pods if len({one.point.name for one in pods}) > 1 else ():
        lost = np.flatnonzero((at.reason == CODES["lost"]) & at.outward)
        for number in distinct(at.gap[lost]).tolist():
            gap, mine = scene.gaps[number], lost[at.gap[lost] == number]
            if gap.stacked or gap.outer.role not in EXITS:
                continue
            crossed, served, apart = scene.once(
                ("others", gap.outer.name), partial(_others, scene, gap.outer, pods)
            )
            flow = at.point.packets.flow[at.rows[mine]]
            to, service = at.point.dst[flow], services(at.point, at.point.dst)[flow]
            # What the routes send by another device is known by now: here they lead to this one.
            hidden = among(apart, crossed).any() & ~among(service, served)
            away = ~among(to, crossed) & (len(apart) > 0) & ~hidden
            at.reason[mine[away]] = CODES["filtered" if scene.node.routes else "way-unknown"]
            at.reason[mine[hidden]] = CODES["filtered"]


def _others(
    scene: Scene, there: Point, pods: Sequence[Followed]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Where pods' requests went by an uplink: addresses and services; and of which address answers passed that by."""
    numbers = [n for n, gap in enumerate(scene.gaps) if gap.outer is there and gap.inner.role == "pod"]
    legs = [scene.gaps[number] for number in numbers]
    crossed = [gap.inner.dst[gap.matches.a] for gap in legs]
    served = [services(gap.inner, gap.inner.dst)[gap.matches.a] for gap in legs]
    apart = [np.zeros(0, np.uint64)]
    for at in pods:
        flow = at.point.packets.flow[at.rows]
        past = (at.reason == CODES["answered-here"]) & np.isin(at.gap, numbers)
        if past.any():
            packets, proto = at.point.packets, int(at.point.flows.proto[flow[past][0]])
            rows, first, _ = answered(at.point, proto)
            answer = first[np.searchsorted(rows, at.rows[past])]
            beyond = ~np.isin(packets.ttl[answer], FIRST_TTLS)
            beyond &= np.all([gap.in_outer[answer] < 0 for gap in legs if gap.inner is at.point], axis=0)
            beyond &= (proto != TCP) | (packets.flags[answer] & TCP_RST == 0)
            apart.append(at.point.dst[flow[past]][beyond])
    return (
        distinct(np.concatenate(crossed)),
        distinct(np.concatenate(served)),
        distinct(np.concatenate(apart)),
    )


def _shown(point: Point) -> set[int]:
    """What a filter may have asked of all of a point's packets; nothing where it has other ones than TCP's and UDP's.

    The protocol, as a negative number, and the port on one side.
    """
    flows = point.flows
    protocols = distinct(flows.proto)
    if not len(flows) or not np.isin(protocols, (TCP, UDP)).all():
        return set()
    ports = (int(flows.ports[0]) & 0xFFFF, int(flows.ports[0]) >> 16)
    common = (port for port in ports if ((flows.ports >> 16 == port) | (flows.ports & 0xFFFF == port)).all())
    return {*(-int(protocol) for protocol in protocols if len(protocols) == 1), *[*common][:1]}


def led_away(scene: Scene) -> None:
    """What a rule of the routing sends by another device is missed there, or nowhere if that one was not captured.

    The main table's routes are asked before (`analyzer.node.routes`). Where it depends on a mark nobody can tell.
    """
    rules = scene.evidence.routing_rules
    captured = {point.name for point in scene.points}
    numbers = {gap.names: number for number, gap in enumerate(scene.gaps) if not gap.stacked}

    def past(led: Way) -> bool:
        bases = {device.partition(".")[0] for device in led.devices}  # a VLAN's parent shows its packets
        known = led.kind == "unicast" and captured.isdisjoint(bases | {*led.devices})
        return known and all(role_of(one) in (None, "uplink") and one != "lo" for one in led.devices)

    for at in (at for protocol in FOLLOWED for at in scene.requests[protocol]) if rules else ():
        told = np.isin(at.reason, (CODES["lost"], CODES["refused-here"])) & at.outward
        told |= (at.reason == CODES["other-way"]) & ~at.answered & at.outward
        for place in np.flatnonzero(told)[:MOST].tolist():
            gap, row = scene.gaps[int(at.gap[place])], int(at.rows[place])
            refused, away = (at.reason[place] == CODES[code] for code in ("refused-here", "other-way"))
            walked = scene.walk(at.point, row, gap, outward=True)
            if (
                gap.names not in numbers
                or gap.outer.role not in EXITS
                or (walked and walked[0].destination_nat)
            ):
                continue
            src, dst = addresses(at.point.flows, int(at.point.packets.flow[row]))
            led = way(scene, dst, src=src, iif=gap.inner.name)
            if led.sure and past(led) and not (refused or away):
                at.reason[place] = CODES["not-captured"]
            elif led.sure and (away or led.devices != (gap.outer.name,)):
                found = [numbers.get((gap.inner.name, device)) for device in led.devices]
                mine = [number for number in found if number is not None]
                if away and not 0 < len(mine) == len(found):
                    continue
                at.gap[place] = _exit(scene, at, place, mine)
                outer = scene.gaps[int(at.gap[place])].outer
                if not refused:
                    recorded = outer.recorded(at.point.packets.time[[row]])[0]
                    at.reason[place] = CODES["lost" if recorded else "not-recording"]
            elif not (refused or away) and any(
                rule.fwmark and past(way(scene, dst, table=rule.table or "main")) for rule in rules
            ):
                at.reason[place] = CODES["way-unknown"]


def _exit(scene: Scene, at: Followed, place: int, gaps: list[int]) -> int:
    """Of the gaps that a packet may have left by, the one in which a rule certainly stops it; else the one that was chosen."""
    for number in gaps:
        walked = scene.walk(at.point, int(at.rows[place]), scene.gaps[number], outward=True)
        if walked is not None and walked[0].verdict in ("drop", "reject"):
            return number
    return int(at.gap[place]) if int(at.gap[place]) in gaps or not gaps else gaps[0]


def behind_bridges(scene: Scene) -> None:
    """Place behind the bridge what the bridge's capture overlooked, where something tells that it got further; in place.

    Between a port and its bridge no rule of IP acts but PREROUTING's, and nothing refuses. So the node's refusal tells, the
    kernel's record, a rule that ends it for certain, or another attempt, unless that capture demonstrably lacks nothing.
    """
    for protocol in FOLLOWED:
        for at in (one for one in scene.requests[protocol] if one.point.role == "pod"):
            for number in distinct(at.gap[_ended(scene, at)]).tolist():
                gap = scene.gaps[number]
                beyond = [n for n, one in enumerate(scene.gaps) if one.inner is gap.outer and one.exit]
                if gap.inner is at.point and gap.outer.role == "bridge" and beyond:
                    there = next(one for one in scene.requests[protocol] if one.point is gap.outer)
                    _move(scene, at, number, there, beyond)


def _ended(scene: Scene, at: Followed) -> NDArray[np.bool_]:
    """Which packets on their way out of the node were lost, or refused by it."""
    heading = scene.node.heading[at.point.name][at.point.packets.flow[at.rows]]
    ended: NDArray[np.bool_] = (
        at.outward & (heading == OUT) & ((at.fate == VANISHED) | np.isin(at.reason, REFUSED))
    )
    return ended


def _move(scene: Scene, at: Followed, number: int, there: Followed, beyond: Sequence[int]) -> None:
    """Say of which gap behind the bridge a loss, or refusal, in the gap before it is."""
    gap, flow = scene.gaps[number], there.point.packets.flow[there.rows]
    lost = _ended(scene, there) & np.isin(there.gap, beyond) & (not complete(scene, gap, outward=True))
    repeated = dict(zip(flow[lost].tolist(), there.gap[lost].tolist(), strict=True))
    busiest = max(beyond, key=lambda n: len(scene.gaps[n].matches.a))
    for place in np.flatnonzero(_ended(scene, at) & (at.gap == number))[:MOST].tolist():
        row, refused = int(at.rows[place]), at.reason[place] in REFUSED
        match = int(gap.match_a[at.point.packets.flow[[row]]][0])
        to = repeated.get(int(gap.matches.b[match])) if match >= 0 else None
        ends = ("drop", "reject") if refused else ("drop",)
        walks = {n: scene.walk(at.point, row, scene.gaps[n], outward=True) for n in (number, *beyond)}
        ruled = [n for n, walked in walks.items() if walked is not None and walked[0].verdict in ends]
        record = joined(scene).get((at.point.name, row))
        if record is not None:
            refused = refused or not BEHIND.isdisjoint((record.died_in, record.means.kind))
        if to is None and number not in ruled:
            to = ruled[0] if ruled else busiest if refused else None
        if to is not None:
            at.gap[place] = to
