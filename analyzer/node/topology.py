"""The order of the capture points along the way, and the gaps between neighbours."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.naming import role_of
from analyzer.flow.keys import among
from analyzer.nat.comparison import Comparison
from analyzer.nat.fingerprints import comparable, hops
from analyzer.nat.matching import match
from analyzer.nat.tuples import DST, SRC
from analyzer.node.stacks import carries_more
from analyzer.node.ways import FIRST_TTLS, IN, OUT, pod_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.flow.point import Point
    from analyzer.nat.comparison import Compared
    from analyzer.nat.gap import Gap

LAYERS = {"pod": 0, "bridge": 1, "tunnel": 2, "uplink": 3}
"""Roles in the order of the way out. A tunnel device (flannel.1, wg0) has what goes to other nodes, before the uplink has it
again, encapsulated; the rest goes to the uplink at once."""
MOST_NEIGHBOURS = 32
"""Pods without a bridge, or bridges, between which packets may pass: each is compared with each."""
MOST_GUESSED = 128
"""Points whose roles are guessed; each is compared with all others. A node has 110 pods (kubelet's `maxPods`), or few more."""


def depth(point: Point) -> int:
    """How far out a point lies, for putting points in order; those without a role last."""
    return 2 * LAYERS.get(point.role or "", 4) + bool(point.within)


def place(points: Sequence[Point]) -> list[str]:
    """Give a role to the points whose names tell none, by what the traffic shows; order-free.

    A forwarded packet loses one of its TTL and SNAT changes its source on the way out: the side that sees the packet
    before is the inner one. Of two inner points between which nothing changes, the one whose packets all share one
    address is the pod's.

    Returns: A caveat per point that had to be guessed, or could not be placed and is left out of all gaps; one for all
    where they are more than `MOST_GUESSED`.
    """
    unknown = [point for point in points if point.role is None and len(point.packets)]
    if not unknown:
        return []
    if len(unknown) > MOST_GUESSED:
        return [
            f"the names of {len(unknown):,} points do not tell where on the way they were captured, and more than "
            f"{MOST_GUESSED} are not compared; they are in the tables, but nothing is concluded from them. Put the node's "
            "interfaces (ip -j link > ip-link.json) beside the captures, or name their places with --role."
        ]
    inner, outer, beyond = set(), set(), set()
    # Of points between which nothing is routed: with how many others each shares flows, and how often it came later.
    rank = {point.name: [0, 0, len(point.flows)] for point in points}
    by_size = sorted(points, key=lambda point: len(point.packets))
    pairs = [(a, b) for a, b in combinations(by_size, 2) if not (a.role and b.role)]
    comparison = Comparison(pairs)
    for a, b in pairs:
        hops, later, translated = _compare(comparison.of(a, b))
        if hops:
            inner.add((a if hops > 0 else b).name)
            outer.add((b if hops > 0 else a).name)
            beyond |= {(b if hops > 0 else a).name} if translated else set()
        elif hops == 0:
            for point, sign in ((a, -later), (b, later)):
                rank[point.name][0] += 1
                rank[point.name][1] += sign
    caveats = []
    # What another pod sends comes to a pod one hop older, as it comes to an uplink, but under its own address; and what the
    # pod sends itself nobody had before.
    met = (inner | outer | {name for name, (shared, _, _) in rank.items() if shared}) - beyond
    fresh = {point.name for point in unknown if point.name in met and _sends_fresh(point)}
    inside = [point for point in unknown if point.name in inner - outer | fresh]
    bridge = None
    if not any(point.role == "bridge" for point in points):
        shared = [point for point in inside if rank[point.name][0]]
        several = [point for point in shared if point.name not in fresh]
        bridge = max(several or shared, key=lambda point: rank[point.name], default=None)
    for point in unknown:
        if point in inside:
            # A bridge carries many pods' packets; alone, a point whose packets share one address is a pod's.
            alone = bridge is None and len(pod_address(point)) == 0
            point.role = "bridge" if point is bridge or alone else "pod"
        elif point.name in outer:
            point.role = "tunnel" if any(_carries(other, point) for other in points) else "uplink"
        else:
            caveats.append(
                f"{point.name}: neither its name nor its traffic tells where on the way it was captured; it is in the "
                f"tables, but nothing is concluded from it. Name its place with --role {point.name}=pod, bridge or uplink."
            )
            continue
        point.guessed = True
        caveats.append(
            f"{point.name}: taken for the {point.role} by its traffic; --role {point.name}=ROLE corrects it."
        )
    return caveats


def _sends_fresh(point: Point) -> bool:
    """Whether nearly all packets have one address, and what that one sends no router has had before: so it is at a pod."""
    flows, own = point.flows, pod_address(point)
    if not len(own):
        return False
    chosen = np.zeros(len(flows), bool)
    chosen[point.routable] = True
    for side, addresses in enumerate((point.src, point.dst)):
        begin, end = point.starts[side:-1:2], point.starts[side + 1 :: 2]
        sent = np.flatnonzero(chosen & (end > begin) & among(addresses, own))
        if not np.isin(point.packets.ttl[point.order[begin[sent]]], FIRST_TTLS).all():
            return False
    return True


def _carries(outer: Point, inner: Point) -> bool:
    """Whether one point has the flows of another inside a tunnel's packets, and that one has them plain."""
    if outer is inner or not outer.encapsulated.any() or inner.encapsulated.any():
        return False
    compared = Comparison([(inner, outer)]).of(inner, outer)
    matches, _ = match(compared.a, compared.b)
    hidden = compared.b.encapsulated[matches.b]
    return bool(len(hidden)) and 2 * int(hidden.sum()) > len(hidden)


def rename(points: Sequence[Point]) -> None:
    """Let the uplink have the name that a pod's own interface, captured inside the pod, has as well; in place."""
    taken = {point.name: point for point in points}
    for point in points:
        pod = taken.get(re.sub(r"-\d+$", "", point.name))
        if point.role == "uplink" and pod is not None and pod is not point and pod.role == "pod":
            point.name, pod.name = pod.name, f"{pod.name} of the pod"
            point.recording.name, pod.recording.name = point.name, pod.name


def contradicted(points: Sequence[Point], gaps: Sequence[Gap]) -> list[str]:
    """Exchange the roles of points whose names say the contrary of what their packets do; in place.

    SNAT gives what leaves the node another source. Where that is seen on the way in alone, or a pod may have the packets that
    the bridge lacks, names are not believed, and the traffic tells the roles.

    Returns: A caveat for each point with another role; the gaps must be made anew then.
    """
    named = {p.name: p for p in points if p.role in ("pod", "bridge", "uplink") and len(p.packets)}
    called = {name: str(point.role) for name, point in named.items()}
    if len(named) > MOST_NEIGHBOURS or not (any(map(_backwards, gaps)) or _exchanged(gaps)):
        return []
    guessed = [point for point in points if point.guessed]
    for point in named.values():
        point.role = None
    place(points)
    for name, point in named.items():
        point.role, point.guessed = point.role or called[name], point in guessed
    moved = {name: point for name, point in named.items() if point.role != called[name]}
    if Counter(str(point.role) for point in moved.values()) != Counter(called[name] for name in moved):
        for name, point in moved.items():
            point.role = called[name]
        return []
    if all(role_of(name) == called[name] for name in moved):  # what the node calls them
        free = {role: [name for name in moved if called[name] == role] for role in LAYERS}
        for point in moved.values():
            point.name = free[str(point.role)].pop()
    return [
        f"{_files(point)}: called like the {called[name]}, but its packets, and what the other captures have of them, "
        f"are those of the {point.role}: it is taken for {point.name}, the {point.role}."
        for name, point in moved.items()
    ]


def _backwards(gap: Gap) -> bool:
    """Whether SNAT is seen on the way in alone."""
    m = gap.matches
    snat = (m.agreed & SRC == 0) & (m.agreed & DST != 0) & (m.flip == 0)
    return bool((snat & (gap.heading == IN)).any()) and not (snat & (gap.heading == OUT)).any()


def _exchanged(gaps: Sequence[Gap]) -> bool:
    """Whether a pod has flows of another pod with others, of which the bridge, all of whose packets are one pod's, has none."""
    of_pods = [gap for gap in gaps if (gap.inner.role, gap.outer.role) == ("pod", "bridge")]
    for apart in (gap for gap in of_pods if len(gap.inner.flows) and not len(gap.matches.a)):
        own, another = pod_address(apart.outer), pod_address(apart.inner)
        for point in (gap.inner for gap in of_pods if gap.outer is apart.outer):
            mine = among(point.src, another) | among(point.dst, another)
            if (
                len(own)
                and (mine & ~among(point.src, own) & ~among(point.dst, own)).any()
                and point is not apart.inner
            ):
                return True
    return False


def _files(point: Point) -> str:
    return ", ".join(file.label for file in point.recording.files[:3])


def _compare(compared: Compared) -> tuple[int | None, int, bool]:
    """How two points, *a* and *b*, lie along the way of the flows that both saw.

    Returns: 1 if *a* is the inner one of a routed gap, -1 if *b* is, 0 if nothing is routed between them, None if they
    share no flow; 1 if *b* mostly saw the originator's packets later, -1 if earlier; whether their source was translated.
    """
    a, b = compared.a, compared.b
    matches, _ = match(a, b)
    if not len(matches.a):
        return None, 0, False
    first_a, first_b = a.order[a.starts[2 * matches.a]], b.order[b.starts[2 * matches.b]]
    # The first packets of a flow may be different ones, where a point saw only its rest.
    same = a.packets.print[first_a] == b.packets.print[first_b]
    agreed = matches.agreed
    if same.any():
        first_a, first_b, agreed = first_a[same], first_b[same], agreed[same]
    lost = hops(a, b, first_a, first_b)
    translated = (agreed & SRC == 0) & (lost != 0)
    if translated.any():
        lost = lost[translated]
    else:
        # What other routers had before comes from outside: it loses its hop on the way in.
        oldest = np.maximum(a.packets.ttl[first_a], b.packets.ttl[first_b])
        lost = np.where(np.isin(oldest, FIRST_TTLS), lost, -lost)
    later = np.sign(np.sign(b.packets.time[first_b] - a.packets.time[first_a]).sum())
    return int(np.sign(np.sign(lost).sum())), int(later), bool(translated.any())


def neighbours(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """The neighbours, inner one first, in the order of the way out.

    Points of one stack (`analyzer.node.stacks`) are neighbours of each other. Where there is no bridge, pods are neighbours of
    each other: the node routes between them, as between two bridges. What a pod sends to another one over a bridge passes two
    gaps that are listed anyhow.
    """
    pods, bridges, tunnels, uplinks = ([p for p in points if p.role == role] for role in LAYERS)
    # Of a pod's stack the outermost point has neighbours, of an uplink's the innermost, and what sends more than that.
    stacked = [(one, p) for p in points if p.within for one in points if one.name in p.within]
    behind = {one.name for one, _ in stacked}
    pods = [p for p in pods if p.name not in behind]
    uplinks = [p for p in uplinks if not p.within or any(carries_more(p, name) for name in p.within)]
    inside = bridges or pods
    pairs = [(a, b) for a, b in stacked if a.role == "pod"]
    pairs += product(pods, bridges)
    if not bridges and len(pods) <= MOST_NEIGHBOURS:
        pairs += [(a, b) for a, b in combinations(pods, 2) if _meet(a, b)]
    if len(bridges) <= MOST_NEIGHBOURS:
        pairs += combinations(bridges, 2)
    pairs += [*product(inside, tunnels), *product(inside, uplinks), *product(tunnels, uplinks)]
    pairs += [(a, b) for a, b in stacked if a.role != "pod"]
    return [(inner, outer) for inner, outer in pairs if comparable(inner, outer) and inner.host == outer.host]


def _meet(a: Point, b: Point) -> bool:
    """Whether one of two pods sent anything to the other, or to an address that may be translated to it."""
    of_a, of_b = pod_address(a), pod_address(b)
    if not len(of_a) or not len(of_b):
        return False
    return bool(
        among(np.concatenate([a.src, a.dst]), of_b).any() or among(np.concatenate([b.src, b.dst]), of_a).any()
    )
