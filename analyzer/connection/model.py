"""What a connection's way tells: fates, what each point saw, and the account of all.

Times are int64 nanoseconds since the epoch on the bundle's common clock (see `analyzer.nat.clocks`). Nothing here computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

GapNames = tuple[str, str]


class Fate(StrEnum):
    """What became of a packet in a gap."""

    PASSED = "passed"
    """The next point saw it, or there is none."""
    VANISHED = "vanished"
    """It had to come by the next point, which was recording and did not see it; nobody answered it."""
    NOT_ROUTED_HERE = "not-routed-here"
    """Its way does not lead through the gap."""
    CAPTURE_LOSS = "capture-loss"
    """The next point did not record it, but it was answered."""
    UNDECIDABLE = "undecidable"
    """Nobody can tell; the reason is beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One packet as one capture point recorded it."""

    point: str
    """Name of the capture point."""
    file: str
    """The file's name within the bundle."""
    frame: int
    """1-based, as Wireshark counts in that file."""
    time: int
    """Nanoseconds since the epoch, on the bundle's common clock."""
    src: str
    """`10.244.0.11:20000`, `[2001:db8::1]:443`; without a port where the protocol has none."""
    dst: str
    """As `src`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One packet's way through all points: seen here, there, lost after."""

    sightings: tuple[Sighting, ...]
    """In the order of the packet's way; never empty."""
    outward: bool
    """True from the pod towards the uplink."""
    label: str
    """What the packet is: `SYN`, `SYN-ACK`, `ACK 10110467`, `RST`, `UDP 45 bytes`."""
    fate: Fate
    """Of the last gap that the packet entered, `passed` if it made the whole way."""
    gap: GapNames | None = None
    """Where it was lost; None unless the fate is not `passed`."""
    role: Literal["", "attempt", "reply", "partner", "offender", "host-reset", "context"] = ""
    """Why the packet is shown."""
    note: str = ""
    """Shown beside the packet, e.g. `attempt 1`, `39008 bytes under the lower bound`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection, followed through all points; whether or not anything befell it."""

    inner: str
    """`10.244.0.11:20000 > 192.0.2.100:80/tcp`, as the innermost point saw it."""
    outer: str | None
    """The same flow as the outermost point saw it; None if only one point did."""
    time: int
    """Of its first packet."""
    gap: GapNames | None = None
    """Where it lost its first request."""
    passages: tuple[Passage, ...] = field(default=(), repr=False)
    """Its first packets, in time order."""
    omitted: int = 0
    """Packets that `passages` leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Connections that nothing was lost of, and that this node delayed: their packets waited in one of its gaps."""

    gap: GapNames
    outward: bool
    """Whether on the way out."""
    connections: int
    longest: int
    """ns that the slowest took there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Every connection in exactly one class; the four numbers add up to `connections`."""

    connections: int = 0
    """TCP connections, UDP flows and ICMP echo flows, each counted once."""
    worked: int = 0
    """Connections without trouble."""
    node: int = 0
    """Delayed or failed because of this node."""
    outside: int = 0
    """Failed outside the node, or because of the peer."""
    unknown: int = 0
    """Cannot be told from these captures."""
    why_unknown: dict[str, int] = field(default_factory=dict)
    """Why not: a reason's code (`lostsyn explain reasons`) to connections."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """Outcome to connections, of all."""
    outcomes_outside: dict[str, int] = field(default_factory=dict)
    """The same of those in `outside`."""
    waited: tuple[Waited, ...] = ()
    """Of those in `node`, the ones that only waited; by place."""

    @property
    def open(self) -> int:
        """Connections that this node may have lost; not those that the capture's end cut off."""
        return self.unknown - self.why_unknown.get("unfinished", 0)
