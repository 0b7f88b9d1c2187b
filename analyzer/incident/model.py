"""What an analysis tells: findings, incidents, and what belongs to them.

Times are int64 nanoseconds since the epoch on the bundle's common clock (see `analyzer.nat.clocks`).
Nothing here computes; renderers and exporters read these types and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from analyzer.connection.model import Connection, Fate, GapNames, Passage, Sighting

Kind = Literal[
    "syn-vanished", "udp-vanished", "icmp-vanished", "reply-vanished", "data-vanished", "error-vanished", "refused",
    "misdelivered", "invalid-reset", "invalid-dropped", "unnatted-leak",
]  # fmt: skip
Confidence = Literal["proven", "likely", "possible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One SYN, or one UDP request, of a connection."""

    time: int
    fate: Fate
    packets: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPoint:
    """One packet of a connection as conntrack judged it: a row of the window chart."""

    time: int
    point: str
    frame: int
    reply: bool
    """True for packets of the side that answered the connection."""
    flags: str
    """As Zeek and tcpdump abbreviate: `S`, `SA`, `A`, `PA`, `R`."""
    seq: int
    end: int
    """seq + payload + SYN + FIN."""
    ack: int
    """The highest acknowledged byte (the right edge of a SACK block above the ack counts); 0 without ACK."""
    window: int
    """Bytes, scaled where the scale is known."""
    verdict: Literal["accept", "ignore", "invalid"]
    test: str = ""
    """The failed test: `ack-under-lower-bound`, ... ; empty when none failed."""
    bound: int | None = None
    """The inclusive bound of the failed test, or, for an ACK that passed, the lower bound of its ack."""
    upper: int | None = None
    """The upper bound of this packet's ack: what the other side has sent so far."""
    short_by: int = 0
    """By how many bytes the failed test failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Evidence for a cause."""

    says: str
    source: str
    """Where it was read: `eth0.pcap frame 1842`, `conntrack -S`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Which look-alike is ruled out, and by what."""

    cause: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What to do about a cause."""

    do: str
    command: str
    effect: str
    risk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One connection's event."""

    kind: Kind
    cause: str
    confidence: Confidence
    gap: GapNames | None
    time: int
    """Of the first packet that was lost or judged."""
    inner: str
    """`10.244.0.11:20000 > 192.0.2.100:80/tcp`, as the innermost point saw it."""
    outer: str | None
    """The same flow as the outermost point saw it, if it got there."""
    delay_s: float | None
    """What waited beyond a loss-free handshake; None where the captures cannot tell."""
    point: str = ""
    """A point that saw the connection: with `flow` the finding joins every table."""
    flow: int = -1
    """Its flow there."""
    attempts: tuple[Attempt, ...] = field(default=(), repr=False)
    passages: tuple[Passage, ...] = field(default=(), repr=False)
    """What the ladder draws, in time order; bounded."""
    omitted: int = 0
    """Packets of the connection that `passages` leaves out."""
    window: tuple[WindowPoint, ...] = field(default=(), repr=False)
    """What the window chart draws; empty for other kinds than `invalid-*`."""
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    """JSON-ready details, by cause: partner, outer port, bound, bytes, ..."""
    evidence: tuple[Evidence, ...] = field(default=(), repr=False)
    excluded: tuple[Exclusion, ...] = field(default=(), repr=False)
    remedies: tuple[Remedy, ...] = field(default=(), repr=False)
    """For this node; those of the cause where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Findings of one kind, cause and gap that belong together in time."""

    id: str
    """Stable for one input: `syn-vanished-1`."""
    kind: Kind
    cause: str
    confidence: Confidence
    gap: GapNames | None
    first: int
    last: int
    summary: str
    """One sentence that a manager understands."""
    findings: tuple[Finding, ...] = field(repr=False)
    evidence: tuple[Evidence, ...] = field(repr=False)
    excluded: tuple[Exclusion, ...] = field(repr=False)
    remedies: tuple[Remedy, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePoint:
    """One capture point, as the report lists it."""

    name: str
    role: str
    files: tuple[str, ...]
    packets: int
    """Frames in the tables."""
    skipped: dict[str, int]
    """Frames that are not in the tables, by reason."""
    first: int | None
    last: int | None
    dropped: int | None
    """As the capturing program counted; None where the files do not say."""
    clock_offset: int
    """Nanoseconds added to this point's times to reach the common clock; 0 where the clocks agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The bundle in numbers; the words are those of `docs/design.md`."""

    connections: int = 0
    syn_attempts: int = 0
    syn_vanished: int = 0
    syn_unanswered: int = 0
    udp_requests: int = 0
    udp_vanished: int = 0
    reply_vanished: int = 0
    refused: int = 0
    """Connections that this node refused itself."""
    invalid_packets: int = 0
    host_resets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """One kernel counter against what the captures show."""

    counter: str
    delta: int
    explained: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """How many entries the captures alone explain in the conntrack table, over time."""

    times: tuple[int, ...]
    """ns, ascending."""
    entries: tuple[int, ...]
    """Entries at each of `times`; those made before the captures began are not among them."""
    limit: int | None
    """nf_conntrack_max, where the files say."""
    shares: dict[str, tuple[tuple[str, int], ...]]
    """At the peak: by `protocol`, `state`, `pod`, `destination`: the largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the captures lack, and which capture to take next."""

    situation: str
    """What is missing, in one sentence."""
    tells: str
    """What can be concluded all the same."""
    hides: str
    """What cannot."""
    next: str
    """Which capture to take."""
    command: str
    """How to take it: lines for a root shell on the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideDestination:
    """A destination to which connections failed outside the node."""

    name: str
    """`192.0.2.100:80`, `192.0.2.53:53/udp`, as the opener asked for it."""
    connections: int
    worked: int
    """Connections to it that worked."""
    outcomes: dict[str, int]
    """Outcome to connections, of those that failed."""
    sources: tuple[tuple[str, int], ...]
    """Address of a pod, or of another opener, to connections; the busiest first, a few."""
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """What nearly all unanswered connections have, and most that worked have not."""

    code: Literal[
        "challenge-ack",
        "low-source-port",
        "unroutable-source",
        "older-timestamp",
        "large-only",
        "one-destination",
    ]
    connections: int
    says: str
    next: str
    """What to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What failed, or was delayed, outside the node or because of the peer."""

    connections: int
    unanswered: int
    """Of them, those with a packet that nobody answered: SYNs, requests, data."""
    first: int
    last: int
    destinations: tuple[OutsideDestination, ...]
    """Those with the most failed connections first."""
    hidden: int
    """Destinations that are left out."""
    sources: tuple[tuple[str, int], ...]
    """As of a destination, of all."""
    traits: tuple[Trait, ...]
    example: Connection | None = field(default=None, repr=False)
    """One of them, for a ladder; an unanswered one where there is one."""
    advice: Advice | None
    """Which capture tells more; None where everything was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a gap's traffic one of its points could have seen."""

    gap: GapNames
    point: str
    """The point that should have seen the packets next."""
    recorded: int
    """ns that it was recording for, within `whole`."""
    whole: int
    """ns from the first packet of any point to the last."""
    packets: int
    """Requests and replies that went into the gap."""
    open: int
    """Of them, those that may have passed or not."""
    why: dict[str, int]
    """Reason's code to packets, of those that are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A failed connection that cannot be placed."""

    connection: str
    """`10.244.0.11:20000 > 192.0.2.100:80/tcp`."""
    time: int
    """Of its first packet."""
    outcome: str
    why: str
    """Reason's code, as in `Account.why_unknown`."""
