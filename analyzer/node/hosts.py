"""Captures of several nodes in one bundle: whose each point is, and which flows left one node and entered another.

Files tell it: `a/eth0.pcap` and `b/eth0.pcap`, `a.eth0.pcap` or `nodeA-eth0.pcap`. Two groups of files are two nodes where each
has an interface that only a node has, a bridge, a pod's outer end or a tunnel device, and they have a name in common.
What went from one node's uplink to another's belongs to one connection; what was lost on the way was lost outside both.
"""

from __future__ import annotations

import re
from collections import Counter
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
from analyzer.node.ways import IN, OUT, Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point

INNER = ("bridge", "tunnel", "pod")
_ARCHIVE = re.compile(r"\.(?:tar(?:\.\w+)?|tgz|zip)(?=/|$)", re.IGNORECASE)


def assign(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Tell whose each point is; where they are of several nodes, note it in `Point.host`.

    Each has the name then that its own node gives it, and the role that this name tells, until `name_all`.

    Returns: Each node's points; of one node, all under an empty name, as are those that are no node's.
    """
    found: dict[str, dict[str, list[Point]]] = {}
    of_file = Counter(point.recording.files[0].label for point in points if point.recording.files)
    for point in points:
        group, interface = "", point.name
        if files := point.recording.files:
            group, interface = naming.owner(files[0].label)
            if of_file[files[0].label] > 1:  # interfaces of one pcapng file
                interface = point.name.rpartition("/")[2]
        found.setdefault(group, {}).setdefault(interface, []).append(point)
    inner = {name: any(naming.role_of(one) in INNER for one in of) for name, of in found.items()}
    hosts = {
        name
        for pair in combinations(found, 2)
        if inner[pair[0]] and inner[pair[1]] and found[pair[0]].keys() & found[pair[1]].keys()
        for name in pair
    }
    if len(hosts) < 2:
        return {"": list(points)}
    for name in hosts:
        for interface, several in found[name].items():
            for number, point in enumerate(several, 1):
                point.host, point.name = name, interface if number == 1 else f"{interface} ({number})"
                role = naming.role_of(interface)
                point.role = point.role or (role if role in naming.ROLES else None)
    return {host: [p for p in points if p.host == host] for host in dict.fromkeys(p.host for p in points)}


def short_names(hosts: Iterable[str]) -> dict[str, str]:
    """What nodes are called in a report: what tells their folders apart, without the ending of an archive."""
    parts = {host: _ARCHIVE.sub("", host).split("/") for host in hosts if host}
    most = max(map(len, parts.values()))
    same = next((n for n in range(most) if len({tuple(of[: n + 1]) for of in parts.values()}) > 1), 0)
    shorter = ({host: "/".join(of[same : same + n]) for host, of in parts.items()} for n in range(1, most))
    unlike = (names for names in shorter if len({*names.values()} - {""}) == len(names))
    return {"": ""} | next(unlike, {host: host for host in parts})


def name_all(
    nodes: Mapping[str, Node], points: Mapping[str, Sequence[Point]]
) -> tuple[Node, dict[str, dict[str, str]]]:
    """Give the points of several nodes names that are theirs alone, `node/interface`; in place.

    Returns: One `Node` that tells of all, each point's headings by its own; and of each node, old names to new ones.
    """
    names = {
        host: {p.name: f"{host}/{p.name}" if host else p.name for p in of} for host, of in points.items()
    }
    for host, of in points.items():
        for point in of:
            point.name = names[host][point.name]
            point.within = tuple(names[host][name] for name in point.within)
    whole = Node(
        inside=distinct(np.concatenate([node.inside for node in nodes.values()])),
        own=distinct(np.concatenate([node.own for node in nodes.values()])),
        routers=distinct(np.concatenate([node.routers for node in nodes.values()])),
        pods={names[host][name]: own for host, node in nodes.items() for name, own in node.pods.items()},
        # All ways were chosen before; only whether they were known to all is asked yet.
        routes=next(
            (node.routes for node in nodes.values() if not node.routes), next(iter(nodes.values())).routes
        ),
        bridges={
            names[host][pod]: names[host][bridge]
            for host, node in nodes.items()
            for pod, bridge in node.bridges.items()
        },
        heading={names[host][name]: of for host, node in nodes.items() for name, of in node.heading.items()},
    )
    return whole, names


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
