"""What a bridge shows a pod of others' packets: it floods what it has no entry for, or a wrong one leads there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analyzer.flow.keys import among, distinct
from analyzer.flow.point import Point


def overheard(points: Sequence[Point], routers: NDArray[np.uint64]) -> dict[str, NDArray[np.bool_]]:
    """Of each pod's point the flows that are another pod's: in frames to that one's station, from which this one sends none."""
    sides, homes = {}, {}
    for point in points:
        flows = point.flows
        asked, replied = (point.starts[1 + n :: 2] > point.starts[n:-1:2] for n in (0, 1))
        sides[point.name] = (asked != replied, np.where(replied, flows.mac_src, flows.mac_dst))
        mine = asked & np.isin(flows.mac_dst, routers), replied & np.isin(flows.mac_src, routers)
        homes[point.name] = distinct(np.concatenate([flows.mac_src[mine[0]], flows.mac_dst[mine[1]]]))
    known = distinct(np.concatenate([routers[:0], *homes.values()]))
    return {
        name: one_way & (to != 0) & among(to, known) & ~among(to, homes[name])
        for name, (one_way, to) in sides.items()
    }
