"""Packets that the captures leave open, decided by what the kernel counted and by the rules.

A point that is silent, was recorded with a filter or in one direction cannot show that a packet was lost. Conntrack's own
counters can: where `drop` rose by just as many as packets are missing, decided or not, each of them was dropped. And a packet
that a rule drops for certain, and that nobody answered, did not get further, whoever recorded there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.flow.point import TCP, UDP
from analyzer.nat.fates import UNDECIDABLE, VANISHED
from analyzer.nat.reasons import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.incident.scene import Scene
    from analyzer.nat.fates import Followed

OPEN = tuple(CODES[code] for code in ("not-recording", "one-direction", "undecoded", "filtered"))
"""Reasons that say nothing of the packet, only of the point that should have seen it."""
MOST = 5_000
"""Packets that are led through the rules for this."""


def decide(scene: Scene) -> None:
    """Turn what the kernel's counters, or its rules, decide into losses; in place."""
    _by_rules(scene)
    _by_counters(scene)


def _by_rules(scene: Scene) -> None:
    if not scene.evidence.rules:
        return
    for at, places in _open(scene):
        for place in places[:MOST].tolist():
            gap = scene.gaps[int(at.gap[place])]
            walked = scene.walk(at.point, int(at.rows[place]), gap, outward=bool(at.outward[place]))
            if walked is not None and walked[0].verdict in ("drop", "reject") and not at.answered[place]:
                at.reason[place] = CODES["ruled"]


def _by_counters(scene: Scene) -> None:
    """Where conntrack dropped as many packets as are lost or open, beside those that a rule drops, it dropped the open ones."""
    dropped = scene.counters.get("drop", 0)
    if not dropped:
        return
    left = list(_open(scene))
    waiting = sum(len(places) for _, places in left)
    if waiting and dropped == waiting + _lost(scene):
        for at, places in left:
            at.reason[places] = CODES["counted"]


def _open(scene: Scene) -> Iterator[tuple[Followed, NDArray[np.int64]]]:
    for protocol in (TCP, UDP):
        for at in scene.requests[protocol]:
            places = np.flatnonzero(np.isin(at.reason, OPEN) & ~at.answered)
            if len(places):
                yield at, places


def _lost(scene: Scene) -> int:
    """Requests that are lost otherwise than by a rule."""
    lost = 0
    for protocol in (TCP, UDP):
        for at in scene.requests[protocol]:
            for place in np.flatnonzero((at.fate == VANISHED) & (at.reason != CODES["ruled"])).tolist()[: MOST * 10]:
                gap = scene.gaps[int(at.gap[place])]
                walked = scene.walk(at.point, int(at.rows[place]), gap, outward=bool(at.outward[place]))
                lost += walked is None or walked[0].verdict not in ("drop", "reject")
    return lost


def undecided(scene: Scene) -> int:
    """How many requests and replies are left open."""
    return sum(
        int((at.fate == UNDECIDABLE).sum())
        for kind in (scene.requests, scene.replies)
        for followed in kind.values()
        for at in followed
    )
