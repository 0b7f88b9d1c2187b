"""What an analysis tells: findings, incidents, and what belongs to them.

Times are int64 nanoseconds since the epoch on the bundle's common clock (see `analyzer.nat.clocks`).
Nothing here computes; renderers and exporters read these types and nothing else.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from analyzer.connection.model import Connection, Fate, GapNames, Passage, Sighting
    from analyzer.evidence.naming import Name

Kind = Literal[
    "syn-vanished", "udp-vanished", "icmp-vanished", "reply-vanished", "data-vanished", "error-vanished", "refused",
    "misdelivered", "invalid-reset", "invalid-dropped", "unnatted-leak",
]  # fmt: skip
Confidence = Literal["proven", "likely", "possible"]
Level = Literal["ok", "warn", "danger", "dropping"]
"""Of a sign of health; `dropping`: packets are lost already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One SYN, or one UDP request, of a connection."""

    time: int
    """When the innermost point saw it, ns."""
    fate: Fate
    """What became of it in the gap that decided."""
    packets: tuple[Sighting, ...]
    """The same packet at each point that saw it, inner to outer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPoint:
    """One packet of a connection as conntrack judged it: a row of the window chart."""

    time: int
    """When the point saw it, ns."""
    point: str
    """The capture point that it was judged at."""
    frame: int
    """Its frame number in the point's file."""
    reply: bool
    """True for packets of the side that answered the connection."""
    flags: str
    """As Zeek and tcpdump abbreviate: `S`, `SA`, `A`, `PA`, `R`."""
    seq: int
    """Its first byte."""
    end: int
    """seq + payload + SYN + FIN."""
    ack: int
    """The highest acknowledged byte (the right edge of a SACK block above the ack counts); 0 without ACK."""
    window: int
    """Bytes, scaled where the scale is known."""
    verdict: Literal["accept", "ignore", "invalid"]
    """What conntrack made of it; `ignore` leaves the entry as it was."""
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
    """One sentence."""
    source: str
    """Where it was read: `eth0.pcap frame 1842`, `conntrack -S`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Which look-alike is ruled out, and by what."""

    cause: str
    """The look-alike: a cause, or a few words."""
    because: str
    """The observation that contradicts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What to do about a cause."""

    do: str
    """What to do, in one sentence."""
    command: str
    """How, in lines of a shell; empty where there is no command."""
    effect: str
    """What becomes better."""
    risk: str
    """What it may cost."""

    def on(self, example: str, name: str) -> Remedy:
        """Return it for this node: *name* for the example's, as one word of a shell, since anybody may have written the file."""
        return replace(self, command=self.command.replace(example, shlex.quote(name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One connection's event."""

    kind: Kind
    """What happened: see `Kind`."""
    cause: str
    """As `lostsyn explain` lists them."""
    confidence: Confidence
    """`proven`, `likely` or `possible`."""
    gap: GapNames | None
    """The points on its two sides, the inner first; None where it happened inside one point, or the place is not known."""
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
    """All requests of the connection, the lost ones and those that passed."""
    passages: tuple[Passage, ...] = field(default=(), repr=False)
    """What the ladder draws, in time order; bounded."""
    omitted: int = 0
    """Packets of the connection that `passages` leaves out."""
    window: tuple[WindowPoint, ...] = field(default=(), repr=False)
    """What the window chart draws; empty for other kinds than `invalid-*`."""
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    """JSON-ready details, by cause: partner, outer port, bound, bytes, ..."""
    evidence: tuple[Evidence, ...] = field(default=(), repr=False)
    """What speaks for the cause, the strongest first."""
    excluded: tuple[Exclusion, ...] = field(default=(), repr=False)
    """Which look-alikes are ruled out, and by what."""
    remedies: tuple[Remedy, ...] = field(default=(), repr=False)
    """For this node; those of the cause where there are none."""
    names: tuple[Name, ...] = ()
    """Whose its addresses are, as far as the bundle says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Findings of one kind, cause and gap that belong together in time."""

    id: str
    """Stable for one input: `syn-vanished-1`."""
    kind: Kind
    """What happened: see `Kind`."""
    cause: str
    """As `lostsyn explain` lists them."""
    confidence: Confidence
    """That of its findings."""
    gap: GapNames | None
    """The points on its two sides, the inner first; None where it happened inside one point, or the place is not known."""
    first: int
    """When the first of it happened, ns."""
    last: int
    """When the last of it happened, ns."""
    summary: str
    """One sentence that a manager understands."""
    findings: tuple[Finding, ...] = field(repr=False)
    """One for each connection, in time order."""
    evidence: tuple[Evidence, ...] = field(repr=False)
    """What speaks for the cause, the strongest first."""
    excluded: tuple[Exclusion, ...] = field(repr=False)
    """Which look-alikes are ruled out, and by what."""
    remedies: tuple[Remedy, ...] = field(repr=False)
    """What to do, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePoint:
    """One capture point, as the report lists it."""

    name: str
    """As its file, its interface or the user called it."""
    role: str
    """`pod`, `bridge`, `uplink`, or `unknown`."""
    files: tuple[str, ...]
    """Its capture files, in the order of time."""
    packets: int
    """Frames in the tables."""
    skipped: dict[str, int]
    """Frames that are not in the tables, by reason."""
    first: int | None
    """When its first packet was seen, ns; None without one."""
    last: int | None
    """When its last packet was seen, ns; None without one."""
    dropped: int | None
    """As the capturing program counted; None where the files do not say."""
    clock_offset: int
    """Nanoseconds added to this point's times to reach the common clock; 0 where the clocks agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The bundle in numbers; the words are those of `docs/design.md`."""

    connections: int = 0
    """Connections that were followed."""
    syn_attempts: int = 0
    """SYNs, repeated ones included, each counted once."""
    syn_vanished: int = 0
    """Of them, those that vanished inside the node."""
    syn_unanswered: int = 0
    """SYNs that left by the uplink and were never answered."""
    udp_requests: int = 0
    """UDP requests, each counted once."""
    udp_vanished: int = 0
    """Of them, those that vanished inside the node."""
    reply_vanished: int = 0
    """Replies that vanished inside the node."""
    refused: int = 0
    """Connections that this node refused itself."""
    invalid_packets: int = 0
    """Packets that conntrack called INVALID."""
    host_resets: int = 0
    """RSTs that the node itself sent into connections of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """One kernel counter against what the captures show."""

    counter: str
    """Its name: `insert_failed`, `drop`, ..."""
    delta: int
    """By how much it rose between the two snapshots."""
    explained: int
    """How much of that the captures show."""
    note: str
    """What the difference means, in one sentence."""


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
    """Connections to it that failed."""
    worked: int
    """Connections to it that worked."""
    outcomes: dict[str, int]
    """Outcome to connections, of those that failed."""
    refusals: tuple[tuple[str, int], ...] = ()
    """`RST by the peer`, `TTL exceeded by the router 192.0.2.1` to connections, of those that were refused; a few."""
    sources: tuple[tuple[str, int], ...]
    """Address of a pod, or of another opener, to connections; the busiest first, a few."""
    first: int
    """When the first of it happened, ns."""
    last: int
    """When the last of it happened, ns."""
    names: tuple[Name, ...] = ()
    """Whose its addresses are, as far as the bundle says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """What nearly all unanswered connections have, and most that worked have not."""

    code: Literal[
        "challenge-ack", "low-source-port", "unroutable-source", "older-timestamp", "large-only", "one-destination",
        "reached-pod", "answers-other-way", "answered-elsewhere", "another-station",
    ]  # fmt: skip
    """What they have in common."""
    connections: int
    """How many have it."""
    says: str
    """One sentence."""
    next: str
    """What to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What failed, or was delayed, outside the node or because of the peer."""

    connections: int
    """How many."""
    unanswered: int
    """Of them, those with a packet that nobody answered: SYNs, requests, data."""
    first: int
    """When the first of it happened, ns."""
    last: int
    """When the last of it happened, ns."""
    destinations: tuple[OutsideDestination, ...]
    """Those with the most failed connections first."""
    hidden: int
    """Destinations that are left out."""
    sources: tuple[tuple[str, int], ...]
    """As of a destination, of all."""
    traits: tuple[Trait, ...]
    """What the unanswered have in common."""
    example: Connection | None = field(default=None, repr=False)
    """One of them, for a ladder; an unanswered one where there is one."""
    advice: Advice | None
    """Which capture tells more; None where everything was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of a gap's traffic one of its points could have seen."""

    gap: GapNames
    """The points on its two sides, the inner first."""
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
    """What became of it for its opener."""
    why: str
    """Reason's code, as in `Account.why_unknown`."""
    logged: str = ""
    """What conntrack's own log says of it; empty where the bundle has none."""
    names: tuple[Name, ...] = ()
    """Whose its addresses are, as far as the bundle says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One sign of the node's health."""

    name: str
    """`table-occupancy`, `drop`, `early-drop`, `table-full`, `neighbours`, `allowance`, `stale-entries`,
    `time-wait`, `udp-growth`, `gone-addresses`, `kube-proxy-sync`, `kube-proxy-errors`, `coredns-servfail`, ..."""
    value: str
    """What was measured, short: `96 %`, `140`, `300 s`."""
    level: Level
    says: str
    """One sentence with the numbers."""
    source: str
    """Files it was read from."""
