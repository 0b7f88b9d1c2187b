"""Every number that may sway a verdict, in one table: its unit, where it is from, and what it may decide.

Captures decide by numbers and order, not by a clock. Where a number is needed all the same, it is here: it may order hypotheses,
bound a search or word a confidence; a new one needs a row. What the kernel itself counts with (its timeouts, its windows) is in
`analyzer.conntrack`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

T = TypeVar("T", int, float)


class Threshold(NamedTuple):
    """One number."""

    value: float
    unit: str
    source: str
    decides: str


TABLE: list[Threshold] = []
"""All of them."""


def _known(value: T, unit: str, source: str, decides: str) -> T:
    TABLE.append(Threshold(value, unit, source, decides))
    return value


WINDOW = _known(
    500_000_000, "ns", "below the first repetition of a SYN, 1 s (RFC 6298 section 2.1)",
    "how near in time equal packets are paired first; what is left is paired by numbers, however late (nat.late)",
)  # fmt: skip
JITTER = _known(
    10_000_000, "ns", "laboratory: transits of one gap differ by less on an idle machine",
    "how many votes agree on the difference of two clocks",
)  # fmt: skip
UNMATCHED = _known(
    1_000_000, "ns", "laboratory: ten times the slowest transit without a queue",
    "how far apart packets without a flow are compared at least; the transits of the bundle widen it",
)  # fmt: skip
NEARLY = _known(
    200_000, "ns", "laboratory: transits of neighbours in one flow",
    "which of several equal packets is looked at first",
)  # fmt: skip
OFFLOAD = _known(
    20_000_000, "ns", "GRO flushes within a softirq, TSO splits at once",
    "how far apart the pieces of one segment lie at most; the transits of the bundle widen it",
)  # fmt: skip
LIFETIME = _known(
    120_000_000_000, "ns", "the longest life of a packet (RFC 9293 section 3.4.2, RFC 6864 section 4.2)",
    "how far apart two sightings with all numbers equal, IP ID included, are one packet",
)  # fmt: skip
REPEATED = _known(
    200_000_000, "ns", "TCP_RTO_MIN: no sender repeats a segment sooner by its timer",
    "how far apart two sightings of a TCP packet without IP ID are one packet recorded twice",
)  # fmt: skip
FLOODED = _known(
    1_000_000, "ns", "laboratory with br_netfilter: 17 us",
    "how far apart two sightings of a datagram without IP ID are one packet that a bridge copied",
)  # fmt: skip
RESOLUTION = _known(
    1_000, "ns", "libpcap's default of microseconds",
    "which differences of clocks mean nothing",
)  # fmt: skip
FIRST_TIMEOUT = _known(
    1_000_000_000, "ns", "RFC 6298 section 2.1",
    "that a capture which ends before the first repetition cannot show that nobody answered",
)  # fmt: skip
UNREAD = _known(
    0.5, "share", "a point of which most frames were not decoded tells no absence",
    "that losses beyond such a point are left open",
)  # fmt: skip
MOSTLY_OWN = _known(
    0.9, "share", "a switch floods what it has not learnt yet",
    "whether a point's packets carry its own link-layer address, so that it is a device of its own",
)  # fmt: skip
PAUSE = _known(
    1_000_000_000, "ns", "a node with pods is never silent for long, unless nobody records",
    "how long a silence is no pause in a recording",
)  # fmt: skip
UNUSUAL = _known(
    10, "times", "the mean time between two packets of the point",
    "how much longer than usual a silence is a pause in a recording",
)  # fmt: skip
RACE = _known(
    1_000_000, "ns", "laboratory, 2 virtual CPUs: median 25 us, all below 1 ms",
    "which first packets may have raced, in `what-if`, which estimates",
)  # fmt: skip
RACE_PARTNER = _known(
    5_000_000, "ns", "as RACE, with room for a slower machine",
    "where a partner that searched for its port is looked for; evidence only with counters that leave nothing else",
)  # fmt: skip
TWINS = _known(
    1_000_000, "ns", "resolvers send A and AAAA microseconds apart, and an entry is confirmed in as many",
    "which two queries of one socket are a pair",
)  # fmt: skip
RESOLVER = _known(
    2_000_000_000, "ns", "musl asks again after 2.5 s, glibc after 5 s",
    "from when on a query is a repetition",
)  # fmt: skip
UDP_STREAM = _known(
    180_000_000_000, "ns", "nf_conntrack_udp_timeout_stream up to Linux 4.20",
    "whether a socket's earlier query still had an entry",
)  # fmt: skip
NEIGHBOUR_WAIT = _known(
    5_000_000_000, "ns", "three requests, a second apart (net.ipv4.neigh.*.mcast_solicit, retrans_time_ms)",
    "where vain requests for a neighbour are looked for around a loss",
)  # fmt: skip
NEIGHBOUR_ANSWER = _known(
    1_000_000_000, "ns", "net.ipv4.neigh.*.retrans_time_ms",
    "until when an answer belongs to a request for a neighbour",
)  # fmt: skip
BURST = _known(
    1_000_000_000, "ns", "a full table refuses everybody at once",
    "which losses are told of together, and what a full table's suggestion counts",
)  # fmt: skip
LOGGED = _known(
    60_000_000_000, "ns", "net.core.message_cost: a line every 5 s, delayed by syslog",
    "which line of the kernel's log may be about a loss",
)  # fmt: skip
DAY = _known(
    86_400_000_000_000, "ns", "a line that does not name its time zone",
    "the same for logs without a zone",
)  # fmt: skip
IPVS_REUSE = _known(
    120_000_000_000, "ns", "IPVS' timeout of TIME_WAIT (ip_vs_proto_tcp.c)",
    "whether IPVS' rising drop counter proves a reused port or makes it likely",
)  # fmt: skip
AGAIN = _known(
    500_000_000, "ns", "ports come free within a moment, or not at all",
    "whether attempts that failed far apart speak for exhausted ports",
)  # fmt: skip
DATED = _known(
    1_000_000_000, "ns", "logs are dated to the second",
    "that a line of the loss's own second may be from before it or after",
)  # fmt: skip
NEAR = _known(
    1_000_000_000, "ns", "a round number",
    "which other requests are counted beside a loss of unknown cause, as evidence",
)  # fmt: skip
APART = _known(
    60_000_000_000, "ns", "a round number",
    "which findings are grouped into one incident; never what they are",
)  # fmt: skip
FLEET_ANSWER = _known(
    1_000_000_000, "ns", "RFC 6298 section 2.1",
    "until when, between two nodes, an answer belongs to a SYN",
)  # fmt: skip
NEARLY_ALL = _known(
    0.9, "share", "a round number",
    "what the unanswered are said to have in common",
)  # fmt: skip
FEW = _known(
    0.5, "share", "a round number",
    "how few of those that worked may have it, too",
)  # fmt: skip
CHANCE = _known(
    0.05, "share", "the usual level of significance",
    "with what chance the unanswered have something in common by accident, or are missing as often as what was answered is",
)  # fmt: skip
