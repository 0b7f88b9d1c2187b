"""Points that lie one behind the other on one way: a pod's own eth0 and its veth, a bond and its ports, a VLAN and its parent.

Nothing routes, translates or filters between them, so what both saw is one packet, and what one saw and the next did not is
a loss at a device. They are recognised by what crossed: the same addresses, ports and TTL, in frames of one station; that is
not so at two veths (another pod's address) or at the uplinks of two nodes (another station).
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from analyzer.compute.thresholds import MOSTLY_OWN
from analyzer.flow.keys import among, distinct
from analyzer.nat.comparison import Comparison
from analyzer.nat.fingerprints import comparable, hops
from analyzer.nat.matching import match
from analyzer.nat.tuples import DPORT, DST, SPORT, SRC
from analyzer.node.ways import pod_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from analyzer.capture.link import Link
    from analyzer.flow.point import Point
    from analyzer.nat.comparison import Compared

MOST_UPLINKS = 32
"""Uplinks that are compared with each other."""
SAME = SRC | SPORT | DST | DPORT


def stack(points: Sequence[Point], links: Iterable[Link]) -> None:
    """Note in `Point.within` which points each one lies directly behind; in place.

    Args:
        points: All points.
        links: The node's interface table, as far as the bundle has it.
    """
    pairs = [(a, b) for a, b in _candidates(points) if comparable(a, b) and a.host == b.host]
    comparison = Comparison(pairs)
    inner: dict[str, set[str]] = {point.name: set() for point in points}
    uplinks = {point.name for point in points if point.role == "uplink"}
    for link in links:
        # A bond is a port's master, a VLAN's parent stands behind its `@`.
        for upper, lower in ((link.master, link.name), (link.name, link.parent)):
            if upper in uplinks and lower in uplinks:
                inner[lower].add(upper)
    for a, b in pairs:
        order = _order(comparison.of(a, b), _stations(a) & _stations(b))
        if order:
            first, second = (a, b) if order > 0 else (b, a)
            inner[second.name].add(first.name)
    for point in points:
        mine = inner[point.name]
        # Of a VLAN on a bond on a port, the port lies directly behind the bond.
        point.within = tuple(sorted(name for name in mine if not any(name in inner[other] for other in mine)))


def carries_more(lower: Point, upper: str) -> bool:
    """Whether a point sends other packets as well than those of the point that it lies behind: a VLAN's parent does."""
    return bool(re.fullmatch(re.escape(lower.name) + r"[.:@]\w+|vlan\d+", upper))


def _candidates(points: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    uplinks = [point for point in points if point.role == "uplink" and len(point.packets)]
    if len(uplinks) <= MOST_UPLINKS:
        yield from ((a, b) for a, b in combinations(uplinks, 2) if _stations(a) & _stations(b))
    of_pod: dict[bytes, list[Point]] = {}
    pods = [point for point in points if point.role == "pod"]
    for point in pods if len(pods) > 1 else ():
        if len(own := pod_address(point)):
            of_pod.setdefault(own.tobytes(), []).append(point)
    for several in of_pod.values():
        # Both have all of the pod's frames; at another pod's veth, which only this one asked, that one's station is in all.
        yield from (
            (a, b) for a, b in combinations(several, 2) if _stations(a) == _stations(b) != frozenset()
        )


def _stations(point: Point) -> frozenset[int]:
    """The link-layer addresses that nearly all of a point's packets came from or went to; 0, where it has none."""
    flows, chosen = point.flows, point.routable
    sizes = point.sizes()[chosen]
    src, dst = flows.mac_src[chosen], flows.mac_dst[chosen]
    ends = np.concatenate([src, dst[dst != src]])
    weight = np.concatenate([sizes, sizes[dst != src]])
    values = distinct(ends)
    sums = np.bincount(np.searchsorted(values, ends), weight, len(values))
    shared = values[sums >= MOSTLY_OWN * max(int(sizes.sum()), 1)]
    return frozenset(shared.tolist())


def sent(point: Point) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which flows of an uplink the node itself opened by all appearances, and which came in; neither where nothing tells.

    On the node's side is the station that all packets have in common. Where only one router was talked to that is no less, and
    of the two the node is the one that sends from one address alone, if the other sends from several.
    """
    flows, stations = point.flows, sorted(_stations(point) - {0})
    if len(stations) == 2:
        senders = [len(distinct(_senders(point, mac))) for mac in stations]
        stations = [mac for mac, count in zip(stations, senders, strict=True) if count == 1 < max(senders)]
    mine = stations if len(stations) == 1 else []
    return np.isin(flows.mac_src, mine), np.isin(flows.mac_dst, mine)


def _senders(point: Point, mac: int) -> NDArray[np.uint64]:
    """The addresses of the packets that a station sent, by their flows' first packets each way."""
    some = point.routable
    flows = point.flows
    answered = point.starts[2 * some + 2] > point.starts[2 * some + 1]
    return np.concatenate(
        [
            point.src[some[flows.mac_src[some] == mac]],
            point.dst[some[answered & (flows.mac_dst[some] == mac)]],
        ]
    )


def _order(compared: Compared, stations: frozenset[int]) -> int:
    """1 if *a* is nearer to the node's inside, -1 if *b* is; 0 if they are no stack.

    What the station sends the inner one has first, what it receives the outer one. The difference of both is free of the clocks.
    """
    a, b = compared.a, compared.b
    m, _ = match(a, b)
    if not len(m.a) or (m.agreed & SAME != SAME).any() or m.flip.any():
        return 0
    if 2 * len(m.a) < min(len(a.routable), len(b.routable)):
        return 0
    later: list[NDArray[np.int64]] = []
    for side in (0, 1):
        begin_a, begin_b = a.starts[2 * m.a + side], b.starts[2 * m.b + side]
        both = (a.starts[2 * m.a + side + 1] > begin_a) & (b.starts[2 * m.b + side + 1] > begin_b)
        first_a, first_b = a.order[begin_a[both]], b.order[begin_b[both]]
        if hops(a, b, first_a, first_b).any():
            return 0
        sent = among(a.flows.mac_src[m.a[both]], np.array(sorted(stations), np.uint64)) ^ (side == 1)
        delta = b.packets.time[first_b] - a.packets.time[first_a]
        same = a.packets.print[first_a] == b.packets.print[first_b]
        later += [delta[same & sent], -delta[same & ~sent]]
    outward, inward = np.concatenate(later[::2]), np.concatenate(later[1::2])
    difference = sum(float(np.median(some)) for some in (outward, inward) if len(some))
    if difference:
        return 1 if difference > 0 else -1
    # Files of microseconds may show both at one time.
    return 1 if carries_more(b, a.name) or a.name.startswith(("bond", "team")) else -1
