"""Packets that the captures leave open, decided by what the kernel counted and by the rules.

A point that is silent, was recorded with a filter or in one direction cannot show that a packet was lost. Conntrack's own
counters can: where `drop` rose by just as many as packets are missing, decided or not, each of them was dropped. And a packet
that a rule drops for certain, and that nobody answered, did not get further, whoever recorded there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import TCP_RST
from analyzer.flow.point import TCP, UDP
from analyzer.nat.fates import UNDECIDABLE, VANISHED, answered
from analyzer.nat.reasons import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.incident.scene import Scene
    from analyzer.nat.crossing import Gap
    from analyzer.nat.fates import Followed

OPEN = tuple(CODES[code] for code in ("not-recording", "one-direction", "undecoded", "filtered", "way-unknown"))
"""Reasons that say nothing of the packet, only of the point that should have seen it."""
MOST = 5_000
"""Packets that are led through the rules for this."""


def decide(scene: Scene) -> None:
    """Turn what the kernel's counters, or its rules, decide into losses; in place."""
    _refusals(scene)
    _by_rules(scene)
    _by_counters(scene)


def _refusals(scene: Scene) -> None:
    """Tell which refusals are this node's own: no point further on, which was recording, saw them come in.

    An error about the packet itself, that it is too big or went through too many routers, is no refusal by anybody's will.
    """
    for protocol in (TCP, UDP):
        for at in scene.requests[protocol]:
            packets = at.point.packets
            for place in np.flatnonzero(at.reason == CODES["refused"]).tolist():
                one = scene.refusals.of(at.point, int(at.rows[place]))
                gap = scene.gaps[int(at.gap[place])]
                if one is not None and not one.harmless and _own(at, gap, one.row):
                    at.reason[place] = CODES["refused-here"]
            if protocol == TCP:
                _, answer, _ = answered(at.point, protocol)
                for place in np.flatnonzero((at.reason == CODES["answered-here"]) & (answer >= 0)).tolist():
                    row = int(answer[place])
                    if packets.flags[row] & TCP_RST and _own(at, scene.gaps[int(at.gap[place])], row):
                        at.reason[place] = CODES["refused-here"]


def _own(at: Followed, gap: Gap, row: int) -> bool:
    """Whether a packet that this point saw began in the node: the gap's other point was recording and did not have it."""
    there, partner = (gap.outer, gap.in_outer) if at.point is gap.inner else (gap.inner, gap.in_inner)
    return bool(partner[row] < 0 and there.recorded(at.point.packets.time[row : row + 1])[0])


def _by_rules(scene: Scene) -> None:
    if not scene.evidence.rules:
        return
    for at, places in _open(scene, CODES["lost"], replies=True):
        for place in places[:MOST].tolist():
            gap = scene.gaps[int(at.gap[place])]
            walked = scene.walk(at.point, int(at.rows[place]), gap, outward=bool(at.outward[place]))
            if walked is None or at.answered[place]:
                continue
            if walked[0].verdict == "drop" and at.reason[place] in OPEN:
                at.reason[place] = CODES["ruled"]
            elif walked[0].verdict == "reject" and not at.replies:
                at.reason[place] = CODES["rejected"]


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


def _open(scene: Scene, *more: int, replies: bool = False) -> Iterator[tuple[Followed, NDArray[np.int64]]]:
    for protocol in (TCP, UDP):
        for at in (*scene.requests[protocol], *(scene.replies[protocol] if replies else ())):
            places = np.flatnonzero(np.isin(at.reason, (*OPEN, *more)) & ~at.answered)
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
