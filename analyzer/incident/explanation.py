"""What a cause answers with, and the tables that it may look things up in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from analyzer.incident.wording import count, wait

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.incident.model import Confidence, Evidence, Exclusion, Kind, Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A cause, as one detector sees it."""

    cause: str
    confidence: Confidence
    facts: dict[str, object]
    evidence: tuple[Evidence, ...]
    excluded: tuple[Exclusion, ...] = ()
    kind: Kind | None = None
    """Where it is another one than what became of the packet."""
    remedies: tuple[Remedy, ...] = ()
    """For this node; those of the cause where there are none."""
    partner: tuple[Point, int] | None = None
    """A packet of another connection that belongs to the proof: (point, row)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What an incident's summary is told of."""

    connections: int
    packets: int
    """Followed that vanished."""
    gap: tuple[str, str]
    delay_s: float
    """The longest that one connection waited for an attempt that passed; 0 if none did, or none is known."""
    dropped: str = ""
    """What the kernel recorded of them, where no cause is known: completes "the kernel dropped them ..."."""
    to_node: bool = False
    """Whether they are addressed to the node itself."""
    kind: Kind = "syn-vanished"
    way: Literal["out", "in", "local"] = "out"
    """Where the connections were to: out of the node, into it, or from one of its pods to another."""

    @property
    def fared(self) -> str:
        """How they fared, and how many packets that cost: `2 connections could not leave this node, 4 attempts in all`."""
        return (
            f"{count(self.connections, 'connection')} {_FARED.get(self.kind) or _WENT[self.way]}, "
            f"{count(self.packets, *_PACKETS.get(self.kind, ('attempt',)))} in all"
        )

    def lost(self, packet: str = "packet", connection: str = "connection") -> str:
        """How many packets that cost how many of them: `2 connections lost 4 packets inside this node`."""
        return f"{count(self.connections, connection)} lost {count(self.packets, packet)} inside this node"

    @property
    def waited(self) -> str:
        """How long they waited, as the sentence goes on: ` and waited up to 1.03 s`."""
        return f" and waited up to {wait(self.delay_s)}" if self.delay_s else ""


_WENT = {
    "out": "could not leave this node",
    "in": "could not get into this node",
    "local": "were dropped within this node",
}
_FARED = {
    "reply-vanished": "lost their replies inside this node",
    "data-vanished": "got stuck in this node",
    "refused": "could not get through this node",
}
_PACKETS = {"reply-vanished": ("reply", "replies"), "data-vanished": ("segment",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMappings:
    """Connections as they left an uplink for the first time, in time order; the arrays have one length."""

    point: Point
    rows: NDArray[np.int64]
    """Of their first request at the uplink."""
    time: NDArray[np.int64]
    proto: NDArray[np.uint8]
    sport: NDArray[np.int64]
    dst: NDArray[np.uint64]
    """Destination address and port as one number."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """When requests were sent, and where to; the arrays have one length."""

    time: NDArray[np.int64]
    rows: NDArray[np.int64]
    """Of the point that saw them."""
    dst: NDArray[np.uint64]
    """Destination address and port as one number, as that point saw them."""

    def destinations(self, begin: int, end: int) -> int:
        """How many different ones there are from one index to below another."""
        return int(np.count_nonzero(self._before[begin:end] < begin))

    @cached_property
    def _before(self) -> NDArray[np.int64]:
        """Where each destination was last before; -1 for the first time."""
        order = np.argsort(self.dst, kind="stable")
        again = self.dst[order[1:]] == self.dst[order[:-1]]
        before = np.full(len(order), -1, np.int64)
        before[order[1:][again]] = order[:-1][again]
        return before
