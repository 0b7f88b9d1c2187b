"""Captures of several nodes in one bundle: whose each point is, and which flows left one node and entered another.

Files tell it: `a/eth0.pcap` and `b/eth0.pcap`, `a.eth0.pcap` or `nodeA-eth0.pcap`. Two groups of files are two nodes where each
has an interface that only a node has, a bridge, a pod's outer end or a tunnel device, and they have a name in common.
What went from one node's uplink to another's belongs to one connection; what was lost on the way was lost outside both.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture import naming
from analyzer.flow.keys import distinct
from analyzer.nat.comparison import Comparison
from analyzer.nat.fingerprints import comparable
from analyzer.nat.matching import match
from analyzer.node.stacks import sent
from analyzer.node.ways import IN, OUT, Node, explore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from analyzer.capture.link import Link
    from analyzer.evidence.facts import Route
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap

INNER = ("bridge", "tunnel", "pod")


def assign(points: Sequence[Point]) -> list[str]:
    """Note in `Point.host` whose point each is, where they are of several nodes, and give it the role that its name tells there.

    Returns: A caveat where they are of several nodes.
    """
    found: dict[str, dict[str, Point]] = {}
    for point in points:
        files = point.recording.files
        group, interface = naming.owner(files[0].label) if files else ("", "")
        found.setdefault(group, {})[interface] = point
    inner = {name: any(naming.role_of(one) in INNER for one in of) for name, of in found.items()}
    hosts = {
        name
        for pair in combinations(found, 2)
        if inner[pair[0]] and inner[pair[1]] and found[pair[0]].keys() & found[pair[1]].keys()
        for name in pair
    }
    if len(hosts) < 2:
        return []
    for name in hosts:
        for interface, point in found[name].items():
            point.host = name
            role = naming.role_of(interface)
            point.role = role if role in naming.ROLES else point.role
    return [
        f"the captures are of several nodes ({', '.join(sorted(hosts))}): packets are followed from one to the other, but what "
        "is beside the captures is not attributed to either; lostsyn check --each compares each node with its own rules"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Flows that left one node and entered another; the arrays have one length."""

    left: Point
    here: NDArray[np.int64]
    """Flows at the uplink that they left by."""
    entered: Point
    there: NDArray[np.int64]
    """The same at the uplink that they came in by."""


def wires(points: Sequence[Point], node: Node) -> list[Wire]:
    """What two nodes' uplinks both had, by which of them the opener is behind."""
    uplinks = [point for point in points if point.host and point.role == "uplink" and len(point.packets)]
    pairs = [(a, b) for a, b in combinations(uplinks, 2) if a.host != b.host and comparable(a, b)]
    comparison = Comparison(pairs)
    found = []
    for a, b in pairs:
        compared = comparison.of(a, b)
        m, _ = match(compared.a, compared.b)
        at_a, at_b = m.a, m.b if compared.flows is None else compared.flows[m.b]
        from_a = (node.heading[a.name][at_a] == OUT) | (node.heading[b.name][at_b] == IN)
        from_b = (node.heading[a.name][at_a] == IN) | (node.heading[b.name][at_b] == OUT)
        from_a |= ~from_b & sent(a)[0][at_a]
        from_b |= ~from_a & sent(b)[0][at_b]
        found.append(Wire(left=a, here=at_a[from_a], entered=b, there=at_b[from_a]))
        found.append(Wire(left=b, here=at_b[from_b & ~from_a], entered=a, there=at_a[from_b & ~from_a]))
    return found


def explored(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    links: Iterable[Link],
    routes: Iterable[Route],
    translates: Callable[[Point, int, bool], bool],
) -> Node:
    """Learn every node's inside; one `Node` tells of all, each point's headings by its own node."""
    hosts = list(dict.fromkeys(point.host for point in points))
    if len(hosts) < 2:
        return explore(points, gaps, links, routes, translates)
    nodes = [
        explore([p for p in points if p.host == host], [gap for gap in gaps if gap.inner.host == host], ())
        for host in hosts
    ]
    whole = Node(
        inside=distinct(np.concatenate([node.inside for node in nodes])),
        own=distinct(np.concatenate([node.own for node in nodes])),
        routers=distinct(np.concatenate([node.routers for node in nodes])),
        pods={name: own for node in nodes for name, own in node.pods.items()},
        routes=nodes[0].routes,
        bridges={pod: bridge for node in nodes for pod, bridge in node.bridges.items()},
    )
    for node in nodes:
        whole.heading.update(node.heading)
    return whole
