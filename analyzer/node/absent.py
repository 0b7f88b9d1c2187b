"""The next point on the way, where nobody captured it: without packets, but with the name that the node itself gives it.

Where only the bridge, only a pod or only the uplink was captured, no packet can be seen to vanish. What a rule, a record or a
counter of the kernel makes certain still is, and it is told of the gap to the point that is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.columns import FLOW_DTYPES, PACKET_DTYPES, Flows, Packets
from analyzer.capture.naming import role_of
from analyzer.capture.points import Recording
from analyzer.capture.storage import Memory
from analyzer.flow.point import Point, assemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.evidence import SideEvidence

UPLINK, INSIDE = "uplink", "inside"
"""What the missing point is called where the bundle does not name it; no interface is called so, and no rule names them."""


def absent(points: Sequence[Point], evidence: SideEvidence) -> list[Point]:
    """Make the uplink that nobody captured, or the bridge where only the uplink was; none where neither is missing.

    A pod's own interface may be called as the node's is: then the one that is missing has no name.
    """
    taken = {point.name for point in points}
    roles = {point.role for point in points} - {None}
    if not roles:
        return []
    if "uplink" not in roles:
        name = _uplink(evidence)
        return [_empty(UPLINK if name is None or name in taken else name, "uplink", points[0].host)]
    if roles == {"uplink"}:
        bridges = [link.name for link in evidence.links if "bridge" in (link.kind, role_of(link.name))]
        name = bridges[0] if len(bridges) == 1 and bridges[0] not in taken else INSIDE
        return [_empty(name, "bridge", points[0].host)]
    return []


def _uplink(evidence: SideEvidence) -> str | None:
    """The one device that default routes name, else the one interface that is called like an uplink."""
    routes = (route for route in evidence.routes if route.dst in ("0.0.0.0/0", "::/0"))
    found = {hop.dev for route in routes if route.table == "main" for hop in route.hops if hop.dev}
    found = found or {link.name for link in evidence.links if role_of(link.name) == "uplink"}
    return found.pop() if len(found) == 1 else None


def _empty(name: str, role: str, host: str) -> Point:
    packets = Packets(**{column: np.zeros(0, dtype) for column, dtype in PACKET_DTYPES.items()})
    flows = Flows(**{column: np.zeros(0, dtype) for column, dtype in FLOW_DTYPES.items()})
    point = assemble(
        Recording(
            name=name, role=role, files=(), stretches=(), packets=packets, flows=flows, storage=Memory(),
            skipped={}, dropped=None,
        )
    )  # fmt: skip
    point.host = host
    return point
