"""What a source of side evidence can tell."""

from __future__ import annotations

import functools
import re
from calendar import isleap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Concatenate, Literal

from analyzer.capture.link import Link
from analyzer.evidence.counting import Counters
from analyzer.evidence.drops import DropRecord
from analyzer.evidence.events import EventLog
from analyzer.evidence.naming import Name as Name
from analyzer.evidence.network import DaemonLine as DaemonLine
from analyzer.evidence.network import FdbEntry as FdbEntry
from analyzer.evidence.network import Features as Features
from analyzer.evidence.network import IpvsConnection as IpvsConnection
from analyzer.evidence.network import IpvsService as IpvsService
from analyzer.evidence.network import Module as Module
from analyzer.evidence.network import Neighbour as Neighbour
from analyzer.evidence.network import NextHop as NextHop
from analyzer.evidence.network import Route as Route
from analyzer.evidence.network import RoutingRule as RoutingRule
from analyzer.evidence.network import Socket as Socket
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.table import Table

_WRAP = 1 << 32
_DAY = 86_400 * 10**9

About = Literal[
    "table-full", "packet", "suppressed", "expectations-full", "helper", "martian", "neighbour-overflow",
    "route-overflow", "bad-checksum", "short-packet", "link-down", "link-up", "tx-timeout", "duplicate-address",
    "rule-log", "trace", "syn-flood", "tcp-memory", "time-wait-overflow", "ipvs", "out-of-memory",
]  # fmt: skip
"""What a line of the kernel's log tells of; `packet`, `table-full`, `expectations-full` and `helper` are conntrack's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The release of the node's kernel."""

    release: str
    """As `uname -r` prints it: `6.1.0-18-amd64`."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterSnapshot:
    """Conntrack's counters at one moment, as `conntrack -S` or `/proc/net/stat/nf_conntrack` shows them."""

    file: str
    source: str
    """`conntrack -S` or `/proc/net/stat/nf_conntrack`."""
    cpus: dict[int, dict[str, int]]
    """CPU to counter to value; the names are `conntrack -S`'s, and those it does not know are kept."""
    time: int | None = None
    """Nanoseconds since the epoch, where a line before it is a date; without a time zone that is taken for UTC."""

    @property
    def totals(self) -> dict[str, int]:
        """Each counter's sum over the CPUs."""
        sums: dict[str, int] = {}
        for counters in self.cpus.values():
            for name, value in counters.items():
                sums[name] = sums.get(name, 0) + value
        return sums

    def since(self, before: CounterSnapshot) -> dict[str, int]:
        """Give what was counted between *before* and this snapshot.

        The kernel keeps each counter as 32 bits per CPU (struct ip_conntrack_stat), so differences are taken
        per CPU, modulo 2**32. CPUs and counters that only one snapshot has are left out.
        """
        deltas: dict[str, int] = {}
        for cpu in self.cpus.keys() & before.cpus.keys():
            then = before.cpus[cpu]
            for name, value in self.cpus[cpu].items():
                if name in then:
                    deltas[name] = deltas.get(name, 0) + (value - then[name]) % _WRAP
        return deltas

    def drift(self, before: CounterSnapshot) -> tuple[int, int]:
        """Give by how much counters rose and fell since *before*.

        A change of half a counter's range or more is taken as a fall.
        """
        rose = fell = 0
        for cpu in self.cpus.keys() & before.cpus.keys():
            then = before.cpus[cpu]
            for name in self.cpus[cpu].keys() & then.keys():
                change = (self.cpus[cpu][name] - then[name]) % _WRAP
                if change < _WRAP // 2:
                    rose += change
                else:
                    fell += _WRAP - change
        return rose, fell


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureDrops:
    """Packets that a capturing program lost, as it said when it ended."""

    point: str
    """The interface it listened on, else the file that says so."""
    dropped: int
    captured: int = 0
    """Packets that it captured; 0 where it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingInterval:
    """From when to when a point was recorded, as the program that recorded says."""

    point: str
    """The interface."""
    files: str
    """Its captures: a pattern (`fnmatch`) of their paths within the bundle."""
    start: int | None
    """Nanoseconds since the epoch; None where the oldest packet tells it, since a ring overwrote what was before."""
    stop: int | None
    """Nanoseconds since the epoch: what passed until then is in the files; None where the newest packet tells it."""
    filter: str
    """What tcpdump's filter let through; empty for all."""
    snaplen: int
    """Bytes recorded of each packet at most; 0 for no limit."""
    direction: str
    """`in`, `out` or `inout`."""
    dropped: int | None
    """Packets that the recording program missed; None where it could not say."""
    file: str

    def holds(self, label: str) -> bool:
        """Say whether a capture, by its path within the bundle, is of this recording."""
        return fnmatchcase(label, self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sysctl:
    """A kernel setting, or a number that the kernel shows beside them."""

    name: str
    """With dots, as `sysctl -a` prints it: `net.netfilter.nf_conntrack_max`."""
    value: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of the kernel's log about lost packets."""

    about: About
    """`table-full`: conntrack's table was full; `packet`: it judged one packet; `suppressed`: so many lines were left
    out by the rate limit; `rule-log` and `trace`: a rule logged a packet; `martian`: a source or destination that
    cannot be right on that interface; the others tell themselves."""
    says: str
    """The message, without time, prefix and packet."""
    file: str
    time: int | None = None
    """Nanoseconds since the epoch; None where the line gives no date."""
    zoned: bool = False
    """False where the line names no time zone, and `time` takes it for UTC."""
    verdict: Literal["invalid", "ignore"] | None = None
    """Of a `packet` line; None where the wording does not tell."""
    test: str = ""
    """The failed test of a `packet` line: `ack-under-lower-bound`, ...; empty for other reasons."""
    bound: int | None = None
    """The exclusive bound that the line prints, as an absolute number; or the bytes more than expected."""
    count: int = 1
    """Of a `suppressed` line: how many lines were left out."""
    since_new_year: int | None = None
    """Nanoseconds since the year began, were it a leap year: of a line with a day but no year (syslog); see `near`."""
    iif: str = ""
    """Where the packet came in; of a line about an interface, its name."""
    oif: str = ""
    proto: str = ""
    """`tcp`, `udp`, ...; empty where the line tells no packet."""
    src: str = ""
    """Addresses are those before NAT; empty where the line was cut."""
    dst: str = ""
    sport: int | None = None
    dport: int | None = None
    seq: int | None = None
    ack: int | None = None

    def near(self, moment: int) -> int | None:
        """Give the line's time, of the year in which it is nearest to *moment*; None where it tells no day."""
        if self.time is not None or self.since_new_year is None:
            return self.time
        year = datetime.fromtimestamp(moment / 1e9, UTC).year
        times = (_of_year(y, self.since_new_year) for y in (year - 1, year, year + 1))
        return min(times, key=lambda time: abs(time - moment))


def _of_year(year: int, since: int) -> int:
    """Give a time of a year whose 29th of February there may not be."""
    begins = int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    return begins + since - (_DAY if not isleap(year) and since >= 60 * _DAY else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeProxy:
    """One scrape of kube-proxy's metrics."""

    last_sync: float | None
    """Seconds since the epoch: when the rules were last written."""
    last_queued: float | None
    """Seconds since the epoch: when writing them was last asked for."""
    scraped: float | None
    """Seconds since the epoch, where the scrape says so."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreDns:
    """One scrape of CoreDNS's metrics."""

    responses: dict[str, int]
    """Response code (`NOERROR`, `SERVFAIL`, ...) to responses since the start, summed over servers and zones."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """Something in a source that was not understood, or is missing."""

    says: str


Fact = (
    Kernel
    | CounterSnapshot
    | Link
    | CaptureDrops
    | RecordingInterval
    | Sysctl
    | LogLine
    | Route
    | Neighbour
    | KubeProxy
    | CoreDns
    | IpvsConnection
    | IpvsService
    | RoutingRule
    | Features
    | FdbEntry
    | Socket
    | DaemonLine
    | Module
    | Counters
    | Name
    | Caveat
    | DropRecord
    | EventLog
    | Table
    | Ruleset
)


def unread(lines: Sequence[str], file: str, what: str) -> Iterator[Caveat]:
    """Tell how many lines look like a source's, and are not understood: what was read then is not all."""
    if lines:
        yield Caveat(says=f"{file}: {len(lines)} {what} not understood, the first: {lines[0].strip()[:80]!r}")


def begins(text: str, *lines: str) -> bool:
    """Say whether any line begins like one of these patterns."""
    return any(re.search(rf"^(?:{line})", text, re.MULTILINE) for line in lines)


def sections(
    text: str, head: re.Pattern[str], most: int | None = None
) -> Iterator[tuple[re.Match[str], str]]:
    """Give each section of a text: its head, and what follows until the next; behind the last of *most* all the rest."""
    heads = list(islice(head.finditer(text), most))
    ends = [*(later.start() for later in heads[1:]), len(text)]
    for begin, end in zip(heads, ends, strict=False):
        yield begin, text[begin.end() : end]


def alike(text: str, looks: re.Pattern[str], *understood: re.Pattern[str]) -> list[str]:
    """Give the lines that begin like a source's own and are none of those that it understands, for `unread`."""
    return [
        line
        for raw in text.splitlines()
        if looks.match(line := raw.strip()) and not any(pattern.fullmatch(line) for pattern in understood)
    ]


Parse = Callable[Concatenate[Any, str, ...], "Iterator[Fact]"]


def limited(what: str, most: Callable[[], int]) -> Callable[[Parse], Parse]:
    """Let a source's `parse` yield so many facts and every caveat, and tell how many facts it left out.

    Args:
        what: The facts, in words.
        most: How many, asked when a file is read.
    """

    def decorate(parse: Parse) -> Parse:
        @functools.wraps(parse)
        def first(text: Any, file: str) -> Iterator[Fact]:
            limit, count = most(), 0
            for fact in parse(text, file):
                count += not isinstance(fact, Caveat)
                if count <= limit or isinstance(fact, Caveat):
                    yield fact
            if count > limit:
                yield Caveat(says=f"{file}: {count - limit} {what} beyond the first {limit} were left out")

        return first

    return decorate
