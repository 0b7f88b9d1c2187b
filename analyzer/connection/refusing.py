"""Who refused a connection: the peer, a router on the way, a pod of this node, or the node itself; and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from analyzer.capture.transport import flow_ends
from analyzer.connection.passages import address
from analyzer.connection.reasons import CODES
from analyzer.flow.point import TCP
from analyzer.node.ways import EXITS, FIRST_TTLS, INSIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.connection.chain import Chains
    from analyzer.connection.outcome import Outcomes
    from analyzer.connection.refusals import Refusal, Refusals
    from analyzer.flow.point import Point
    from analyzer.node.ways import Node

By = Literal["peer", "router", "pod", "node"]
MOST = 100_000
"""Connections of one point that are looked at; a flood of refusals has no more to tell."""
HERE = tuple(CODES[code] for code in ("refused-here", "rejected"))
OUT, IN, LOCAL = 0, 1, 2
"""Of `analyzer.connection.account.DIRECTIONS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One refusal."""

    by: By
    address: str
    """Who sent it, as the point that saw it first did."""
    says: str
    """`RST`, `challenge ACK`, or the ICMP error in words."""
    harmless: bool = False
    """Whether it is about the packet alone: too many hops, or too large."""

    @property
    def words(self) -> str:
        """`RST by the peer`, `TTL exceeded by the router 192.0.2.1`."""
        who = f"the router {self.address}" if self.by == "router" else _WHO[self.by]
        return f"{self.says} by {who}"


_WHO = {"peer": "the peer", "pod": "the pod", "node": "this node itself"}


def by_errors(
    chains: Chains,
    refusals: Refusals,
    node: Node,
    direction: NDArray[np.int8],
    reason: NDArray[np.int8],
    inside: NDArray[np.bool_],
) -> dict[int, Refused]:
    """Connections of which an ICMP error quotes a request, and who sent it.

    Args:
        chains: All connections.
        refusals: The ICMP errors of each point.
        node: What is known of the node.
        direction: Of each connection.
        reason: Index into `REASONS` of each: the node's own refusals are known already.
        inside: Which of them a pod's interface, or its bridge, saw.
    """
    found: dict[int, Refused] = {}
    # The point nearest to who sent it sees an error first: of what left the node, the outermost.
    for number in sorted(range(len(chains.points)), key=lambda n: chains.points[n].role not in EXITS):
        point = chains.points[number]
        errors = refusals.at(point)
        if not errors:
            continue
        for flow in np.flatnonzero(chains.of[number] >= 0)[:MOST].tolist():
            connection = int(chains.of[number][flow])
            quoting = errors.get(flow_ends(point.flows, flow), ())
            # Too large for one segment only says that smaller ones may pass (RFC 1191 section 3).
            telling = [one for one in quoting if not (one.too_big and point.flows.proto[flow] == TCP)]
            if not telling or connection in found:
                continue
            one = telling[0]
            by: By = (
                "node"
                if int(reason[connection]) in HERE or node.sent(point, one.row)
                else _by(point, flow, one, node, int(direction[connection]), inside=bool(inside[connection]))
            )
            found[connection] = Refused(by=by, address=one.address, says=one.words, harmless=one.harmless)
    return found


def _by(point: Point, flow: int, error: Refusal, node: Node, direction: int, *, inside: bool) -> By:
    if node.owns(error.address):
        # Of what came in to be translated the pod's refusal carries the node's address by then.
        return "pod" if direction == IN and inside and point.role in EXITS else "node"
    fresh = int(point.packets.ttl[error.row]) in FIRST_TTLS
    if error.sender == point.dst[flow]:
        if direction == IN and fresh and not inside and point.role in EXITS:
            return "node"  # a pod's would have lost a hop
        return "pod" if direction in (IN, LOCAL) else "peer"
    # The router next to a pod is the node: what others send has lost a hop when it gets there.
    return "node" if point.role in INSIDE and fresh else "router"


def by_answers(
    chains: Chains,
    outcomes: Outcomes,
    node: Node,
    some: NDArray[np.int64],
    direction: NDArray[np.int8],
    reason: NDArray[np.int8],
    inside: NDArray[np.bool_],
) -> dict[int, Refused]:
    """Whose RST, challenge ACK, or rule, refused each of some connections; as `by_errors`."""
    found: dict[int, Refused] = {}
    ends: Sequence[Point] = chains.points
    left, pods = np.zeros(len(chains), bool), np.zeros(len(chains), np.int8)
    for number, each in enumerate(ends):
        left[chains.met(number)] |= each.role in EXITS
        pods[chains.met(number)] += each.role == "pod" and not each.within
    for connection in some.tolist():
        point, flow = ends[int(chains.point[connection])], int(chains.flow[connection])
        dst = address(int(point.flows.dst_hi[flow]), int(point.flows.dst_lo[flow]))
        way = int(direction[connection])
        by: By = "pod" if way in (IN, LOCAL) or pods[connection] > 1 else "peer"
        own = node.owns(dst) and not (way == IN and inside[connection])
        if (row := int(outcomes.reset[connection])) >= 0:
            # Frames may lack stations; what the peer sends has lost a hop when it gets inside, unless a bridge handed it on.
            fresh = point.role in INSIDE and int(point.packets.ttl[row]) in FIRST_TTLS
            fresh &= not (len(node.routers) and point.flows.mac_dst[flow])
            own |= node.sent(point, row) or (
                fresh and way == OUT and not left[connection] and pods[connection] < 2
            )
        if int(reason[connection]) in HERE or own:
            by = "node"
        reset = (outcomes.history[connection] == ord("r")).any()
        says = "challenge ACK" if outcomes.strange[connection] else "RST" if reset else "refused"
        found[connection] = Refused(by=by, address=dst, says=says)
    return found
