"""Where each flow is heading: out of the node, into it, or neither; learnt from what crossed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP, REPLY
from analyzer.capture.naming import role_of
from analyzer.compute.threads import side_by_side
from analyzer.flow.keys import among, distinct, is_v4, keys_of
from analyzer.nat.tuples import SRC
from analyzer.node.overheard import overheard
from analyzer.node.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows
    from analyzer.capture.link import Link
    from analyzer.evidence.facts import Route
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap

OUT, IN, LOCAL, UNKNOWN = 1, -1, 2, 0
_NONE = np.zeros(0, np.uint64)
EXITS = ("tunnel", "uplink")
"""Roles of the points that routed packets go to."""
INSIDE = ("pod", "bridge")
"""Roles of the devices that lead to pods of this node."""
MOST = 20_000
"""Addresses of one point that are looked up in the routes."""
FIRST_TTLS = (64, 128, 255)
"""TTLs that stacks send with."""


@dataclass(slots=True, kw_only=True)
class Node:
    """What the captures, and the node's interface table, tell of the node."""

    inside: NDArray[np.uint64]
    """Addresses of pods, as `address_key`s."""
    own: NDArray[np.uint64]
    """Addresses of the node itself: those that SNAT gave, and those of its interfaces."""
    routers: NDArray[np.uint64]
    """Link-layer addresses to which pods send what shall be routed: the bridge's own; may be empty."""
    pods: dict[str, NDArray[np.uint64]]
    """Name of a pod's point to the addresses of that pod."""
    routes: Routes
    bridges: dict[str, str] = field(default_factory=dict)
    """Name of a pod's point to the bridge whose port it is, where several were captured and packets tell."""
    heading: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    """Point name to the heading of each of its flows: OUT, IN, LOCAL (pod to pod, or to the node) or UNKNOWN."""
    overheard: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Name of a pod's point to which of its flows are another pod's: see `analyzer.node.overheard`."""
    _owned: dict[str, bool] = field(default_factory=dict, init=False, repr=False)

    def sent(self, point: Point, row: int) -> bool:
        """Whether the node itself made a packet that a pod's interface, or a bridge, saw come from it.

        What the node only forwards has been through one router at least: itself.
        """
        flow = int(point.packets.flow[row])
        macs = point.flows.mac_dst if point.packets.bits[row] & REPLY else point.flows.mac_src
        return (
            point.role in INSIDE
            and int(point.packets.ttl[row]) in FIRST_TTLS
            and bool(np.isin(macs[flow], self.routers))
        )

    def apart(self, one: Point, other: Point) -> bool:
        """Whether of a bridge and a pod's interface the one is no port of the other."""
        names = {point.role: point.name for point in (one, other)}
        return (
            names.keys() == {"bridge", "pod"}
            and self.bridges.get(names["pod"], names["bridge"]) != names["bridge"]
        )

    def owns(self, address: str) -> bool:
        """Whether an address is one of the node's own."""
        if address not in self._owned:
            self._owned[address] = bool(among(keys_of([address]), self.own)[0])
        return self._owned[address]


def explore(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    links: Iterable[Link],
    routes: Iterable[Route] = (),
    translates: Callable[[Point, int, bool], bool] = lambda *_: False,
) -> Node:
    """Learn the node's inside from what crossed, then say where every flow is heading.

    Args:
        points: All points.
        gaps: All gaps.
        links: The node's interface table, as far as the bundle has it.
        routes: The node's routes, as far as the bundle has them.
        translates: Whether the node's rules translate the destination of a flow that comes in; told whether it is addressed to
            the node itself.
    """
    links = list(links)
    own = keys_of(text for link in links for text in link.addresses)
    # Frames to be routed are addressed to the bridge, or, where a pod's veth is in none, to the veth's end on the node.
    own_macs = [
        int(link.mac.replace(":", ""), 16)
        for link in links
        if link.mac and role_of(link.name) in ("bridge", "pod")
    ]
    crossed = {point.name: np.zeros(len(point.flows), np.int8) for point in points}
    met_in = {point.name: np.zeros(len(point.flows), bool) for point in points}
    met_out = {point.name: np.zeros(len(point.flows), bool) for point in points}
    routers = np.array(own_macs, np.uint64)
    for gap in gaps:
        if gap.outer.role in EXITS:
            handed = gap.inner.flows.mac_dst.take(gap.matches.a[gap.heading == OUT])
            routers = distinct(np.concatenate([routers, handed]))
    routers = routers[routers != 0]
    # Without a bridge each veth has an address of its own: where no packet of a pod got out, none is known by that.
    cut_off = [
        p for p in points if p.role in ("pod", "bridge") and not np.isin(p.flows.mac_dst, routers).any()
    ]
    routers = distinct(np.concatenate([routers, *(_far(point) for point in cut_off)]))
    of_pods = [point for point in points if point.role == "pod"]
    found = side_by_side(lambda point: pod_address(point, routers), of_pods)
    pods = {point.name: addresses for point, addresses in zip(of_pods, found, strict=True)}
    for point in of_pods:
        others = np.concatenate(list(pods.values()))
        if not len(pods[point.name]) and len(others):
            pods[point.name] = pod_address(point, routers, others)
    for gap in gaps:
        # Innermost gaps come first, so what crossed to the uplink decides last.
        m = gap.matches
        if gap.inner.name in pods and gap.outer.role in ("bridge", "pod"):
            # Whose packet it is, the pod's address tells better than the clock: a bridged frame is handed to the
            # other pod's veth and to the bridge itself with one timestamp, in either order (br_handle_frame_finish).
            guess = _by_address(gap.inner, pods[gap.inner.name])[m.a]
            told = (guess == OUT) | (guess == IN)
            gap.heading[told] = guess[told]
        elif gap.inner.role in EXITS:
            # A tunnel's device, and a stack's, route nothing on: where the flow came by before tells better than the clock.
            before = crossed[gap.inner.name][m.a]
            gap.heading[before != 0] = before[before != 0]
        # Of two pods without a bridge, or two bridges, each is the other's outside.
        reverse = (m.flip == 1) ^ gap.abreast
        outer_heading = np.where(reverse, -gap.heading, gap.heading).astype(np.int8)
        crossed[gap.inner.name][m.a] = np.where(gap.heading != 0, gap.heading, crossed[gap.inner.name][m.a])
        crossed[gap.outer.name][m.b] = outer_heading
        met_out[gap.outer.name][m.b[outer_heading == OUT]] = True
        met_in[gap.outer.name][m.b[outer_heading == IN]] = True

    for gap in gaps:
        # Requests by one uplink, answers by another, where none of them got through: the request tells.
        m, open_ = gap.matches, gap.heading == UNKNOWN
        if gap.outer.role in EXITS and not gap.stacked and open_.any():
            gap.heading[open_] = crossed[gap.inner.name][m.a[open_]]
            turned = np.where(m.flip[open_] == 1, -gap.heading[open_], gap.heading[open_])
            crossed[gap.outer.name][m.b[open_]] = turned

    came = distinct(
        np.concatenate(
            [_NONE, *(g.inner.src[g.matches.a[g.heading == IN]] for g in gaps if g.outer.role in EXITS)]
        )
    )

    def inside(point: Point) -> NDArray[np.uint64]:
        across = crossed[point.name]
        known = [point.src[across == OUT], point.dst[across == IN]]
        # Who is asked for by ARP on the bridge is reached over the bridge, unless it is heard from beyond the node.
        arp = point.flows.proto == ARP
        known += [some[~among(some, came)] for some in (point.src[arp], point.dst[arp])]
        if point.role == "bridge":
            known += _unrouted(
                point, routers
            )  # a pod none of whose packets got anywhere is told by them, too
        return distinct(np.concatenate(known))

    within = side_by_side(inside, [point for point in points if point.role in ("pod", "bridge")])
    own_keys, itself, beyond = [own], [_NONE], [_NONE]
    for gap in gaps:
        m, out = gap.matches, gap.heading == OUT
        if gap.outer.role in EXITS:
            own_keys.append(gap.outer.src[m.b[out & (m.agreed & SRC == 0)]])
            beyond.append(gap.inner.dst[m.a[out]])
    # What sends packets from the node's own station, with a full TTL, is the node; of a service only where it never goes further.
    # In the name of others, of whom routed packets came as well, it only refuses (REJECT --reject-with tcp-reset).
    for point in (point for point in points if point.role in INSIDE):
        itself += _fresh(point, routers, theirs=False)
        beyond += _fresh(point, routers, theirs=False, routed=True)
    sent = distinct(np.concatenate(itself))
    own_keys.append(sent[~among(sent, distinct(np.concatenate(beyond)))])
    node = Node(
        inside=distinct(np.concatenate([_NONE, *pods.values(), *within])),
        own=distinct(np.concatenate(own_keys)),
        routers=routers,
        pods=pods,
        routes=Routes(routes, {gap.outer.name for gap in gaps if gap.outer.role in EXITS}),
        bridges=_ports(gaps),
        overheard=overheard(of_pods, routers),
    )

    def heading(point: Point) -> NDArray[np.int8]:
        mine = node.pods.get(point.name, node.inside)
        guess = _by_address(point, mine if len(mine) else node.inside)
        across = met_in[point.name] & met_out[point.name] | ((guess == LOCAL) & (point.role == "bridge"))
        known = crossed[point.name]
        found = np.where(across, LOCAL, np.where(known != 0, known, guess)).astype(np.int8)
        _inbound(
            point,
            found,
            known,
            lambda flow: translates(point, flow, bool(among(point.dst[[flow]], node.own)[0])),
        )
        stays = np.ones(len(found), bool)
        stays[point.routable] = False
        if point.role in EXITS and node.routes:
            open_ = np.flatnonzero((found == UNKNOWN) & ~stays)
            found[open_[to_pods(point.flows, open_, node.routes)]] = IN
        found[stays] = UNKNOWN
        if point.role == "uplink" and point.name in stacked:
            # What the node sends itself, and what is sent to it, passes the devices of its stack as well.
            unknown = (found == UNKNOWN) & ~stays
            found[unknown & among(point.src, node.own)] = OUT
            found[unknown & among(point.dst, node.own) & bool(point.within)] = IN
        return found

    stacked = {name for point in points for name in (point.name, *point.within) if point.within}
    node.heading.update(zip((point.name for point in points), side_by_side(heading, points), strict=True))
    for gap in gaps:
        # Both sightings may carry one and the same timestamp; then the addresses tell.
        open_ = gap.heading == UNKNOWN
        guess = node.heading[gap.inner.name][gap.matches.a[open_]]
        gap.heading[open_] = np.where(guess == LOCAL, UNKNOWN, guess)
    return node


def _ports(gaps: Sequence[Gap]) -> dict[str, str]:
    """Pods to the one bridge that has flows in common with them, in frames of theirs: what is routed has others."""
    found: dict[str, set[str]] = {}
    for gap in gaps:
        if (gap.inner.role, gap.outer.role) == ("pod", "bridge"):
            a, b = gap.inner.flows, gap.outer.flows
            same = a.mac_src[gap.matches.a] == b.mac_src[gap.matches.b]
            same &= a.mac_dst[gap.matches.a] == b.mac_dst[gap.matches.b]
            if (same & (gap.matches.flip == 0)).any():
                found.setdefault(gap.inner.name, set()).add(gap.outer.name)
    return {pod: bridges.pop() for pod, bridges in found.items() if len(bridges) == 1}


def to_pods(
    flows: Flows, some: NDArray[np.int64], routes: Routes, but: Collection[str] = ()
) -> NDArray[np.bool_]:
    """Which of these flows the routes send on to a pod's interface or a bridge, and to none of some devices."""
    both = np.column_stack([flows.dst_hi[some], flows.dst_lo[some]])
    asked, which = np.unique(both, axis=0, return_inverse=True)
    near = np.zeros(len(asked), bool)
    for n, (hi, lo) in enumerate(asked[:MOST].tolist()):
        devices = routes.devices(hi, lo)
        near[n] = bool(devices) and all(role_of(one) in INSIDE and one not in but for one in devices)
    found: NDArray[np.bool_] = near[which.ravel()]
    return found


def _far(point: Point) -> NDArray[np.uint64]:
    """To which link-layer addresses packets go that are for another network: no bridge spans more than a /16, or a /64.

    Asked for only where nothing got out, so that no crossing shows who routes.
    """
    flows = point.flows
    begin = point.starts[:-1:2]
    sent = point.starts[1::2] > begin
    fresh = np.zeros(len(flows), bool)
    fresh[sent] = np.isin(point.packets.ttl[point.order[begin[sent]]], FIRST_TTLS)
    v4 = is_v4(flows.src_hi, flows.src_lo)
    near = np.where(
        v4, flows.src_lo >> np.uint64(16) == flows.dst_lo >> np.uint64(16), flows.src_hi == flows.dst_hi
    )
    far = np.zeros(len(flows), bool)
    far[point.routable] = True
    handed: NDArray[np.uint64] = flows.mac_dst[far & fresh & ~near & (flows.mac_dst != 0)]
    return handed


def _inbound(
    point: Point, heading: NDArray[np.int8], crossed: NDArray[np.int8], translates: Callable[[int], bool]
) -> None:
    """Give flows to an address of the node the heading of others to the same port that DNAT sent on to a pod; in place."""
    if point.role not in EXITS:
        return
    flows = point.flows
    service = (
        point.dst + ((flows.ports & 0xFFFF).astype(np.uint64) << np.uint64(8)) + flows.proto.astype(np.uint64)
    )
    open_ = np.flatnonzero((heading == UNKNOWN) & np.isin(flows.proto, (6, 17)))
    if not len(open_):
        return
    into = among(service[open_], distinct(service[crossed == IN]))
    asked, where = np.unique(service[open_[~into]], return_index=True)
    some = open_[~into][where]
    into |= among(
        service[open_],
        np.array([s for s, f in zip(asked, some, strict=True) if translates(int(f))], np.uint64),
    )
    heading[open_[into]] = IN


def _by_address(point: Point, inside: NDArray[np.uint64]) -> NDArray[np.int8]:
    """Where each flow is heading by its addresses alone."""
    from_pod, to_pod = among(point.src, inside), among(point.dst, inside)
    guess = np.select([from_pod & to_pod, from_pod, to_pod], [LOCAL, OUT, IN], UNKNOWN).astype(np.int8)
    if point.role == "uplink":
        guess[guess == LOCAL] = UNKNOWN
    return guess


def pod_address(
    point: Point, routers: NDArray[np.uint64] = _NONE, others: NDArray[np.uint64] = _NONE
) -> NDArray[np.uint64]:
    """The addresses of one pod: of each IP version, the one end that nearly all packets on its veth have.

    Nearly: a bridge floods what it has not learnt yet. A pod that talks to one peer only shares that one's address as
    well; the pod's own packets are the ones that no router has had yet.

    Args:
        point: The pod's.
        routers: Link-layer addresses of the node, as far as they are known.
        others: Addresses that are other pods'.
    """
    flows, sizes = point.flows, point.sizes()
    src, dst = point.src, point.dst
    fresh = np.concatenate(_unrouted(point, routers))
    fresh = fresh[~among(fresh, others)]
    found = [_NONE]
    unicast = (
        (flows.proto != ARP)
        & (flows.dst_hi >> np.uint64(56) != 0xFF)
        & (flows.src_hi >> np.uint64(54) != 0x3FA)
    )
    v4 = is_v4(flows.src_hi, flows.src_lo)
    for chosen in (unicast & v4, unicast & ~v4):
        if not chosen.any():
            continue
        packets, ends = sizes[chosen], (src[chosen], dst[chosen])
        enough = packets.sum() * 0.9
        # By a part of the key first, so that only what may be shared is put in order.
        parts = [(some & np.uint64(0xFFFF)).astype(np.int64) for some in ends]
        may_be = sum(np.bincount(part, packets, 1 << 16) for part in parts) >= enough
        kept = np.concatenate([some[may_be[part]] for some, part in zip(ends, parts, strict=True)])
        weight = np.concatenate([packets[may_be[part]] for part in parts])
        values = distinct(kept)
        shared = values[np.bincount(np.searchsorted(values, kept), weight, len(values)) >= enough]
        own = shared[among(shared, fresh)]
        found.append(own if len(own) == 1 else _NONE)
    told = np.concatenate(found)
    return told if len(told) or not len(routers) else _asked_for(point, routers)


def _asked_for(point: Point, routers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The address of a pod that did nothing but answer the node's ARP requests; none where several answered."""
    flows = point.flows
    answered = point.starts[2::2] > point.starts[1:-1:2]
    some = (flows.proto == ARP) & answered
    by_node = some & np.isin(flows.mac_src, routers)
    found = distinct(np.concatenate([point.dst[by_node], point.src[some & ~by_node]]))
    return found if len(found) == 1 else _NONE


def _unrouted(point: Point, routers: NDArray[np.uint64]) -> list[NDArray[np.uint64]]:
    """Addresses whose packets no router has had yet: their TTL is one that stacks begin with, and no router sent them."""
    return _fresh(point, routers, theirs=True)


def _fresh(
    point: Point, routers: NDArray[np.uint64], *, theirs: bool, routed: bool = False
) -> list[NDArray[np.uint64]]:
    """Addresses that sent packets with a TTL that stacks begin with, or not: in frames of the routers, or of others."""
    flows, found = point.flows, []
    for side, (addresses, mac) in enumerate(((point.src, flows.mac_src), (point.dst, flows.mac_dst))):
        begin, end = point.starts[side:-1:2], point.starts[side + 1 :: 2]
        spoke = np.flatnonzero((end > begin) & (flows.proto != ARP))
        first = point.order[begin[spoke]]
        fresh = np.isin(point.packets.ttl[first], FIRST_TTLS, invert=routed, kind="table")
        fresh &= among(mac[spoke], routers) != theirs
        found.append(addresses[spoke[fresh]])
    return found
