"""Where a packet's way leads from a point: to which of the neighbouring points, if to any that was captured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import TCP_RST
from analyzer.capture.naming import role_of
from analyzer.connection.equals import turned
from analyzer.flow.keys import among, distinct, scramble
from analyzer.flow.point import ESP, TCP, UDP
from analyzer.node.ways import EXITS, FIRST_TTLS, IN, INSIDE, LOCAL, OUT, to_pods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.gap import Leg
    from analyzer.node.ways import Node


def onward(
    point: Point,
    legs: Sequence[Leg],
    node: Node,
    flow: NDArray[np.int32],
    heading: NDArray[np.int8],
    dst: NDArray[np.uint64],
) -> NDArray[np.bool_]:
    """Say which legs each packet may take.

    Args:
        point: Where the packets are.
        legs: The ways on from there.
        node: What is known of the node.
        flow: Of each packet.
        heading: Of each packet.
        dst: Per flow of the point, where the packets are sent to.

    Returns: Per packet and leg; no leg where the way ends here, or leads to a point that was not captured.
    """
    to, ways = dst[flow], np.zeros((len(flow), len(legs)), bool)
    into_pod = np.zeros(len(flow), bool)
    # It comes out of the tunnel first.
    wrapped = point.encapsulated[flow] & any(leg.there.role == "tunnel" and not leg.outward for leg in legs)
    for n, leg in enumerate(legs):
        if node.apart(point, leg.there):
            continue
        if leg.there.role == "pod" and (pod := node.pods.get(leg.there.name)) is not None:
            # Not every pod was captured: only what is addressed to this one must show there; of one with several addresses, or
            # with others behind it, what belongs to flows that showed there.
            own = among(to, pod) if len(pod) else leg.match[flow] >= 0
            ways[:, n] = own & ((heading == IN) | (heading == LOCAL) | leg.gap.abreast) & ~wrapped
            into_pod |= ways[:, n]
    inward_to_pods = [
        n for n, leg in enumerate(legs) if leg.there.role == "pod" and not (leg.outward or leg.gap.stacked)
    ]
    if inward_to_pods and point.role in EXITS:
        _translated(point, legs, inward_to_pods, flow, (heading == IN) & ~into_pod & ~wrapped, ways)
    over = [n for n, leg in enumerate(legs) if leg.gap.abreast and leg.there.role == "bridge"]
    for n in over:
        ways[:, n] = _routed_to(point, legs[n], node, flow, dst)
    to_bridge = ways[:, over].any(1)
    others = np.array([n for n in range(len(legs)) if n not in over], np.int64)
    ways[np.ix_(np.flatnonzero(to_bridge), others)] = False
    into_pod |= to_bridge
    straight = np.array([leg.gap.stacked for leg in legs])
    for n, leg in enumerate(legs):
        if leg.gap.stacked:
            ways[:, n] = heading == (OUT if leg.outward else IN)
            continue
        if leg.there.role == "pod" or n in over:
            continue
        if leg.there.role in EXITS:
            if leg.outward:
                ways[:, n] = (heading == OUT) & ~into_pod
            else:
                ways[:, n] = (heading == IN) & point.encapsulated[flow]
        elif leg.outward:
            ways[:, n] = heading == OUT
        else:
            ways[:, n] = (heading == IN) & ~wrapped
    if straight.any():
        # A VLAN's parent has neighbours of its own: for what the VLAN is not known to carry.
        direct = np.flatnonzero(~straight)
        through = np.concatenate(
            [dst[leg.flows_here] for leg in legs if leg.gap.stacked and not leg.outward] or [dst[:0]]
        )
        ways[np.ix_(np.flatnonzero(among(to, distinct(through))), direct)] = False
    if node.routes and point.role in EXITS:
        # A pod whose own interface was not captured.
        asked = np.flatnonzero((heading == IN) & ~into_pod & ways.any(1))
        names = {leg.there.name for leg in legs}
        ways[asked[to_pods(point.flows, flow[asked].astype(np.int64), node.routes, names)]] = False
    _choose_exit(point, legs, node, flow, dst, ways)
    return ways


def _routed_to(
    point: Point, leg: Leg, node: Node, flow: NDArray[np.int32], dst: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Whether packets are for another bridge's network: so say the routes, others to the same address, or packets of its pods."""
    to, heading, there = dst[flow], node.heading[leg.there.name], leg.there
    inside = [point.dst[leg.flows_here[leg.heading == (OUT if leg.outward else IN)]]]
    inside += [there.src[heading == OUT], there.dst[heading == IN]]
    found: NDArray[np.bool_] = among(to, distinct(np.concatenate(inside)))
    if node.routes:
        addresses, where = np.unique(to, return_index=True)
        flows, listed = point.flows, []
        for f in flow[where].tolist():
            hi, lo = (flows.dst_hi, flows.dst_lo) if dst[f] == point.dst[f] else (flows.src_hi, flows.src_lo)
            listed.append(leg.there.name in node.routes.devices(int(hi[f]), int(lo[f])))
        found |= among(to, addresses[np.array(listed, bool)])
    return found


def _translated(
    point: Point,
    legs: Sequence[Leg],
    to_pods: Sequence[int],
    flow: NDArray[np.int32],
    asked: NDArray[np.bool_],
    ways: NDArray[np.bool_],
) -> None:
    """What is addressed to the node and translated goes where others to the same port went, else to any pod; in place."""
    service = point.dst + (point.flows.ports & 0xFFFF).astype(np.uint64)
    for n in to_pods:
        ways[:, n] |= asked & among(service[flow], distinct(service[legs[n].flows_here]))
    left = asked & ~ways[:, to_pods].any(1)
    ways[np.ix_(np.flatnonzero(left), np.array(to_pods))] = True


def _choose_exit(
    point: Point,
    legs: Sequence[Leg],
    node: Node,
    flow: NDArray[np.int32],
    dst: NDArray[np.uint64],
    ways: NDArray[np.bool_],
) -> None:
    """Of several exits keep the one that others between the same addresses took; in place.

    Policy routing may choose by the source. Else the one that the routes name, or that others to the same address took.
    """
    exits = [n for n, leg in enumerate(legs) if leg.there.role in EXITS and leg.outward]
    several = np.flatnonzero(ways[:, exits].sum(1) > 1)
    if not len(several):
        return
    names = [legs[n].there.name for n in exits]
    crossed = {legs[n].there.name: legs[n].flows_here for n in exits}
    tunnelled = any(legs[n].there.role == "tunnel" for n in exits)
    for n in exits:
        if tunnelled and legs[n].there.role == "uplink":
            # What an uplink has in a tunnel's packets left by the tunnel.
            there = legs[n].flows_there
            crossed[legs[n].there.name] = legs[n].flows_here[~legs[n].there.encapsulated[there]]
        # What a VLAN's parent has of the VLAN left by the VLAN.
        inner = [crossed[name] for name in legs[n].there.within if name in crossed]
        if inner and not legs[n].gap.stacked:
            mine = crossed[legs[n].there.name]
            crossed[legs[n].there.name] = mine[~np.isin(mine, np.concatenate(inner))]
    taken = np.column_stack([among(dst[flow[several]], distinct(dst[crossed[name]])) for name in names])
    ends = point.src + point.dst * np.uint64(0x9E3779B97F4A7C15)  # of a flow: one for both directions
    same = np.column_stack([among(ends[flow[several]], distinct(ends[crossed[name]])) for name in names])
    for i, f in enumerate(flow[several].tolist()):
        if same[i].any():
            ways[several[i], exits] &= same[i]
            continue
        devices = (
            node.routes.devices(int(point.flows.dst_hi[f]), int(point.flows.dst_lo[f])) if node.routes else ()
        )
        routed = np.array([name in devices for name in names])
        keep = routed if routed.any() else taken[i] if taken[i].any() else None
        if keep is None and (tunnels := np.array([legs[n].there.role == "tunnel" for n in exits])).any():
            # Of a cluster's network pods have a /16 in common; it only orders what nothing else tells.
            keep = tunnels if _near(point, f) else ~tunnels
            keep = keep if (keep & ways[several[i], exits]).any() else None
        if keep is not None:
            ways[several[i], exits] = keep


def _near(point: Point, flow: int) -> bool:
    """Whether both ends of a flow are of one network of pods: a /16, or a /64 of IPv6."""
    flows = point.flows
    (src, dst), (his, other) = (
        (int(getattr(flows, f"src_{half}")[flow]), int(getattr(flows, f"dst_{half}")[flow]))
        for half in ("lo", "hi")
    )
    return his == other and (his != 0 or src >> 16 == dst >> 16)


def exits_known(
    point: Point,
    legs: Sequence[Leg],
    node: Node,
    flow: NDArray[np.int32],
    apart: NDArray[np.int64],
    dst: NDArray[np.uint64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether a packet's way leaves the node by a point that was not captured; whether it may; is hidden; or ends in the node.

    So say the routes, or the answers of the same address that came in without passing the gap. Where such another way is
    in use and no route is known, a destination that never crossed the gap may lie on it.
    Where the routes know of no other way, or others to the same address crossed, a filter hid it (`tcpdump host ...`), and
    hides what else never crossed: addresses, protocols, ports. Where others of the very service crossed, the routes have
    several ways: a hash of the ports, or a rule for the sender, chooses.
    What they send to a pod's interface, or a bridge, that was not captured stays on the node.

    Args:
        point: Where the packets are.
        legs: The ways on from there.
        node: What is known of the node.
        flow: Of each packet.
        apart: Flows that were answered past all of the legs' points.
        dst: Per flow of the point, where the packets are sent to.
    """
    flows = point.flows
    outward = [leg for leg in legs if leg.outward]
    met = np.concatenate([apart[:0], *(leg.flows_here for leg in outward)])
    crossing = distinct(dst[met])
    names = {
        leg.there.name
        for leg in legs
        if (leg.there.role in EXITS and leg.outward and not leg.gap.stacked)
        or (leg.gap.abreast and leg.there.role == "bridge")
    }
    away_of: list[np.uint64] = []
    here_of: list[np.uint64] = []
    inside_of: list[np.uint64] = []
    if node.routes and names:
        # One flow of each destination: a flood has many flows.
        asked = np.concatenate([flow, apart])
        _, where = np.unique(dst[asked], return_index=True)
        for f in asked[where].tolist():
            devices = node.routes.devices(int(flows.dst_hi[f]), int(flows.dst_lo[f]))
            # What leaves by a VLAN is on its parent as well.
            devices = tuple(base if (base := one.partition(".")[0]) in names else one for one in devices)
            if devices and all(role_of(device) == "tunnel" for device in devices):
                here_of.append(dst[f])  # what leaves by a tunnel device leaves by the uplink as well
            elif devices and not set(devices) & names and all(role_of(one) in INSIDE for one in devices):
                inside_of.append(dst[f])
            elif devices and not set(devices) <= names:
                away_of.append(dst[f])
            elif devices:
                here_of.append(dst[f])
    listed, inside = np.array(away_of, np.uint64), among(dst[flow], np.array(inside_of, np.uint64))
    if not len(apart):
        return (
            among(dst[flow], listed) & ~inside,
            np.zeros(len(flow), bool),
            np.zeros(len(flow), bool),
            inside,
        )
    here = np.concatenate([crossing[~among(crossing, listed)], np.array(here_of, np.uint64)])
    hidden = among(dst[apart], here)
    away = distinct(np.concatenate([dst[apart[~hidden]], listed]))
    # Where a route has several next hops, that others to the same address crossed the gap says nothing of this one.
    away = away[~among(away, crossing) | among(away, listed)]
    service = services(point, dst)
    crossed = distinct(service[met])
    unmet = ~among(service[flow], crossed)
    filtered = ~among(dst[flow], away) & unmet & hidden.any()
    # A capture that loses packets seldom loses a whole connection.
    whole = apart[hidden & (point.sizes()[apart] > 2)]
    several = among(service[whole], crossed).any()
    alone = np.all([leg.match[flow] < 0 for leg in outward], axis=0)
    known = among(dst[flow], np.concatenate([crossing, np.array(here_of, np.uint64)]))
    unknown = (~known & (~hidden).any()) | (alone & several)
    # Nothing of this sender crossed, and it was answered: a rule of the routing may send all of it elsewhere.
    unknown |= among(point.src[flow], point.src[apart]) & ~among(point.src[flow], distinct(point.src[met]))
    return among(dst[flow], away) & ~inside, unknown, filtered, inside


def services(point: Point, dst: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Per flow a number for address, protocol and port that it is for: what a filter may ask of it."""
    flows = point.flows
    ports = np.where(np.isin(flows.proto, (TCP, UDP)), flows.ports & 0xFFFF, 0).astype(np.int64)
    found: NDArray[np.uint64] = dst ^ scramble(ports << 8 | flows.proto, 5)
    return found


def answered_apart(
    point: Point, points: Sequence[Point], legs: Sequence[Leg], node: Node, protocol: int
) -> NDArray[np.int64]:
    """Flows out, of other protocols, that somebody beyond the node answered, though the next points, then recording, saw none.

    Another way that is in use, or a filter, shows itself by any of them.
    """
    middle = point.starts[1::2]
    some = (point.flows.proto != protocol) & (node.heading[point.name] == OUT)
    some &= (middle > point.starts[:-1:2]) & (point.starts[2::2] > middle)
    found = np.flatnonzero(some & ~among(point.dst, node.own))
    if len(node.routers):
        found = found[np.isin(point.flows.mac_dst[found], node.routers)]
    outward = [leg for leg in legs if leg.outward]
    for leg in outward:
        found = found[leg.match[found] < 0]
    packets, answer = point.packets, point.order[middle[found]]
    beyond = ~np.isin(packets.ttl[answer], FIRST_TTLS)
    beyond &= (packets.flags[answer] & TCP_RST == 0) | (point.flows.proto[found] != TCP)
    beyond &= np.any([leg.there.recorded(packets.time[answer]) for leg in outward], axis=0)
    beyond &= np.all([leg.partner[answer] < 0 for leg in outward], axis=0)
    found = found[beyond]
    return found[~turned(point, points, node, point.order[point.starts[2 * found]].astype(np.int64))]


def veiled(
    point: Point, legs: Sequence[Leg], node: Node, flow: NDArray[np.int32], dst: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Whether packets may have left in an opaque tunnel of the node, whose own device was not captured.

    Not what goes where others are seen to leave openly; nor what the routes send there, which IPsec does not ask.
    """
    exits = [leg for leg in legs if leg.outward and leg.there.role in EXITS]
    carriers: set[int] = set()
    for leg in exits if point.role in INSIDE else ():
        sealed = leg.there.opaque
        sealed = sealed[~np.isin(sealed, leg.flows_there)]  # but not a tunnel of a pod's own
        carriers.update(leg.there.flows.proto[sealed].tolist())
    if not carriers or any(leg.there.role == "tunnel" for leg in exits):
        return np.zeros(len(flow), bool)
    found = ~among(dst[flow], distinct(np.concatenate([dst[leg.flows_here] for leg in exits])))
    if node.routes and ESP not in carriers:
        to, where = np.unique(dst[flow], return_index=True)
        hi, lo = (getattr(point.flows, f"dst_{half}")[flow[where]].tolist() for half in ("hi", "lo"))
        by = [node.routes.devices(*address) for address in zip(hi, lo, strict=True)]
        openly = [bool(some) and all(role_of(device) != "tunnel" for device in some) for some in by]
        found &= ~among(dst[flow], to[np.array(openly, bool)])
    return found


def one_way(leg: Leg) -> bool:
    """Whether the leg's other point recorded only what comes from there (`tcpdump -Q in`), nothing that goes there."""
    there = leg.there
    # Where all replies of a gap are lost, its flows look so as well; any other flow of two directions tells.
    if there.both_ways:
        return False
    flows = leg.flows_there.astype(np.int64) if len(leg.flows_there) else np.arange(len(there.flows))
    by_originator = there.starts[2 * flows + 1] - there.starts[2 * flows]
    by_responder = there.starts[2 * flows + 2] - there.starts[2 * flows + 1]
    if not len(leg.flows_there):
        return (
            bool(by_responder.any()) and not by_originator.any()
        )  # answers alone, that nothing can be compared with
    # Towards the other point: what the originator sent, where it is on this side. Originators may be taken differently there.
    from_here = (leg.heading == (OUT if leg.outward else IN)) ^ (leg.gap.matches.flip == 1)
    told = leg.heading != 0
    towards = np.where(from_here, by_originator, by_responder)[told]
    back = np.where(from_here, by_responder, by_originator)[told]
    return bool(back.any()) and not towards.any()
