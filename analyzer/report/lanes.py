"""The ladder's lanes: one for each capture point, from the pod to the outside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analyzer.connection.model import GapNames, Passage, Sighting
from analyzer.incident.model import CapturePoint
from analyzer.report.words import short

AXIS = 96.0
"""x of the time axis; the times stand left of it."""
OUTSIDE = "outside"

_FIRST = AXIS + 66.0  # x of the first lane, with room for a frame number on its left
_GAP = 132.0  # between lanes: the 15 characters of an interface name (IFNAMSIZ) fit
_LAST_GAP = 131.0  # from the last lane to the outside
_MONO = 6.7  # width of a character of an address
_NAME = 7.9  # width of a character of a lane's name
_ADDRESS = 47  # characters of an address: `[` IPv6 `]:` port


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One capture point, or the outside."""

    x: float
    name: str
    """As it fits over the lane."""
    full: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """Where each lane stands."""

    drawn: tuple[Lane, ...]
    """From the pod to the uplink, the outside last."""
    names: tuple[str, ...]
    """Of the capture points, as sightings spell them."""
    uplinks: frozenset[str]

    @property
    def outside(self) -> float:
        """Return the x of the outside."""
        return self.drawn[-1].x

    def x(self, point: str) -> float:
        """Return the x of a capture point's lane."""
        return self.drawn[self.names.index(point)].x

    def leads_out(self, point: str) -> bool:
        """Say whether the outside lies right beyond this lane."""
        return point in self.uplinks or point == self.names[-1]

    def beyond(self, passage: Passage) -> float:
        """Return the x of the lane that a packet headed for after its last sighting."""
        last = passage.sightings[-1].point
        for other in passage.gap or ():
            if other != last and last in (passage.gap or ()):
                return self.x(other)
        step = self.names.index(last) + (1 if passage.outward else -1)
        return self.drawn[step].x if step >= 0 else self.drawn[0].x - 60


def changes(before: Sighting, after: Sighting) -> list[tuple[str, str]]:
    """Return the addresses that differ between two sightings of one packet: NAT's work."""
    pairs = ((before.src, after.src), (before.dst, after.dst))
    return [(left, right) for left, right in pairs if left != right]


def place(passages: Sequence[Passage], gap: GapNames | None, points: Sequence[CapturePoint]) -> Lanes:
    """Place a lane for every point but the pods that no drawn packet passes.

    Args:
        passages: The packets that are drawn.
        gap: Of the finding; its points get lanes even if no packet was seen there.
        points: From the pod to the uplink. A name that only a sighting knows comes after them.
    """
    used = {sighting.point for passage in passages for sighting in passage.sightings}
    used |= {name for passage in passages for name in passage.gap or ()} | set(gap or ())
    known = [point.name for point in points if point.role != "pod" or point.name in used or not used]
    names = list(dict.fromkeys([*known, *sorted(used - set(known))])) or ["no capture point"]
    widths = _widths(names, passages)
    xs = [_FIRST + sum(widths[:number]) for number in range(len(names))]
    roles = {point.name: point.role for point in points}
    lanes = []
    around = [xs[0] - _GAP, *xs, xs[-1] + _LAST_GAP]
    for left, x, right, name in zip(around, xs, around[2:], names, strict=False):
        room = int((min(x - left, right - x) - 12) / _NAME)
        role = short(roles.get(name, ""), 16)
        lanes.append(Lane(x=round(x, 1), name=short(name, room), full=short(name, 200), role=role))
    lanes.append(Lane(x=round(around[-1], 1), name=OUTSIDE, full="beyond the uplink", role=""))
    uplinks = frozenset(point.name for point in points if point.role == "uplink")
    return Lanes(drawn=tuple(lanes), names=tuple(names), uplinks=uplinks)


_FRAME = 52
"""Beside an address stand its distance from the boundary and the next lane's frame number, of up to five digits."""


def _widths(names: Sequence[str], passages: Iterable[Passage]) -> list[float]:
    """Return the width of the gap after each lane: wide enough for both addresses where they change."""
    index = {name: number for number, name in enumerate(names)}
    widths = [_GAP] * len(names)
    for passage in passages:
        for before, after in zip(passage.sightings, passage.sightings[1:], strict=False):
            chars = max((len(address) for pair in changes(before, after) for address in pair), default=0)
            gap = min(index[before.point], index[after.point])
            widths[gap] = max(widths[gap], 2 * (min(chars, _ADDRESS) * _MONO + _FRAME) if chars else 0.0)
    return widths
