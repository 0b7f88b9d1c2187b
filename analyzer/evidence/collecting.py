"""From the bundle's text files to what they tell together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cmp_to_key
from itertools import pairwise
from typing import TypeVar

from analyzer.capture.files import EVIDENCE, EvidenceFile
from analyzer.capture.formats import is_netlink
from analyzer.capture.link import Link
from analyzer.capture.naming import role_of
from analyzer.evidence import counting, dwdump, unwrapping
from analyzer.evidence.counting import Counters, Reading
from analyzer.evidence.drops import DropRecord
from analyzer.evidence.events import EventLog
from analyzer.evidence.facts import (
    CaptureDrops,
    Caveat,
    CoreDns,
    CounterSnapshot,
    DaemonLine,
    Fact,
    FdbEntry,
    Features,
    IpvsConnection,
    IpvsService,
    Kernel,
    KubeProxy,
    LogLine,
    Module,
    Neighbour,
    RecordingInterval,
    Route,
    RoutingRule,
    Socket,
    Sysctl,
    unread,
)
from analyzer.evidence.links import by_index, merge
from analyzer.evidence.moments import moment, removed
from analyzer.evidence.naming import Name, by_address, resolved
from analyzer.evidence.rules.joining import join
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.sources import Source, sources
from analyzer.evidence.table import Table

T = TypeVar("T")
S = TypeVar("S", Route, Neighbour, RoutingRule, FdbEntry)

HEAD = 1 << 16
"""Bytes by which a file is recognised; the rest of an unknown file is never read."""
WHOLE = 256 << 20
"""Characters of all files after which no further one is read: six listings of a full table of 262,144 entries."""
FEW = 5
"""Caveats of one kind that are told; further ones are counted."""
QUIET = frozenset({"case.toml", "truth.json"})
"""Files that belong to a recorded case, not to the node."""
_ELSEWHERE = re.compile(r"(?:^|/)ip_netns_exec_|/namespaces/[^/]+/")
"""Paths of what sosreport asks in every other network namespace of the node; its content would not say so."""
_UNKNOWN, _USELESS, _OTHERS, _BEYOND = _LEFT_OUT = (
    "in no known format", "since it decides nothing", "of other network namespaces", "after {} MiB of side evidence",
)  # fmt: skip
"""Why a file is not used."""
_VARIES = frozenset({"net.netfilter.nf_conntrack_count"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFile:
    """A file in which a source recognised its format, or none did."""

    file: str
    source: str = ""
    """Name of the source, a module of `analyzer.evidence.sources`: `ip_route`; empty where none knows the file."""
    facts: int = 0
    """How many facts it told; none where the format was there, and nothing in it."""
    wrapped: tuple[str, ...] = ()
    """What was around the output and was taken off: `colours`, `HTML`, ..."""
    unclear: int = 0
    """Parts that were not understood, or left out; a caveat tells of each."""
    resembles: str = ""
    """Of a file that is not used: what it looks like."""
    cited: tuple[str, ...] = ()
    """Incidents that it is evidence for, and other sections of a report that name it: `syn-vanished-1`, `node health`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEvidence:
    """What the side evidence of a bundle tells."""

    kernel: str | None = None
    """As `uname -r` prints it; None where the files do not say, or contradict each other."""
    counters: tuple[CounterSnapshot, ...] = ()
    """Conntrack's counters in order of time, which is the order in which they grow; per source."""
    interfaces: dict[int, Link]
    """By ifindex; those that no file gives an index are among `links` only."""
    contradicting: tuple[Link, ...] = ()
    """All that the files list, where two give one index to different interfaces: they are of different nodes."""
    capture_drops: dict[str, int]
    """Interface, else file, to packets that tcpdump or dumpcap said they lost."""
    captured: dict[str, int] = field(default_factory=dict)
    """The same to the packets that tcpdump said it captured; of several that are called alike, the fewest."""
    recordings: tuple[RecordingInterval, ...] = ()
    """When each point was recorded, where a manifest says so."""
    tables: tuple[Table, ...] = ()
    """Listings of conntrack's table, in order of time as far as they tell it."""
    rules: tuple[Ruleset, ...] = ()
    """Everything in force, once or at several times in the order in which the rules' counters grow."""
    log: tuple[LogLine, ...] = ()
    """The kernel's lines about lost packets, in the order of the files."""
    sysctls: dict[str, str] = field(default_factory=dict)
    """`net.netfilter.nf_conntrack_max` to `262144`; of the number of entries the highest that was seen."""
    routes: tuple[Route, ...] = ()
    removed_routes: frozenset[Route] = frozenset()
    """Those of `routes` that the listing from before has, and the same one from after has not."""
    neighbours: tuple[Neighbour, ...] = ()
    kube_proxy: tuple[KubeProxy, ...] = ()
    """Scrapes, the one with the latest sync last."""
    coredns: tuple[CoreDns, ...] = ()
    """Scrapes in the order in which the responses grow."""
    ipvs: tuple[IpvsConnection, ...] = ()
    """Connections of the virtual server, as listed."""
    drops: tuple[DropRecord, ...] = ()
    """What the kernel says of packets that it dropped, in the order of the files."""
    events: tuple[EventLog, ...] = ()
    """Conntrack's own log of entries made, changed and destroyed."""
    ipvs_services: tuple[IpvsService, ...] = ()
    links: tuple[Link, ...] = ()
    """Every interface, whether its index is known or not."""
    routing_rules: tuple[RoutingRule, ...] = ()
    """In the order in which they are asked, as far as the files list them."""
    statistics: tuple[Counters, ...] = ()
    """Counters of protocols, interfaces, drivers, queues; those of one group and interface in the order of growth."""
    features: dict[str, Features] = field(default_factory=dict)
    """Interface to its offloads, by the last listing; empty where the listing does not name it."""
    fdb: tuple[FdbEntry, ...] = ()
    sockets: tuple[Socket, ...] = ()
    modules: frozenset[str] | None = None
    """Names of the loaded modules; None where no file lists them. Those built into the kernel are not among them."""
    daemons: tuple[DaemonLine, ...] = ()
    """What kube-proxy and CoreDNS could not do, in the order of the files."""
    names: dict[str, Name] = field(default_factory=dict)
    """Address to the pod, service, node or container that has it."""
    read: tuple[ReadFile, ...] = ()
    """What was recognised in which file."""
    caveats: tuple[str, ...] = ()

    def readings(self, name: str, of: str | None = None) -> tuple[Reading, ...]:
        """Read one counter over all its snapshots, once for each tool's group and interface that has it.

        Args:
            name: As the kernel calls it: `Udp.InCsumErrors`, `IpExt.InNoRoutes`, `rx_dropped`, `dropped`.
            of: The interface; None for all.
        """
        return counting.read(self.statistics, name, of)

    def rise(self, name: str) -> int:
        """Say by how much one counter rose between its first and its last snapshot; 0 where nothing tells."""
        return max((reading.rose or 0 for reading in self.readings(name)), default=0)

    def device(self, name: str) -> str:
        """What rules call the interface of a point of that name; empty where it is not the name of one."""
        known = any(link.name == name for link in self.links)
        return name if known or role_of(name) else ""


def collect(files: Iterable[EvidenceFile]) -> SideEvidence:
    """Read the side evidence; each file is recognised by what it holds.

    A file may hold several sources' output in a row. Files that no source recognises are told in one caveat.
    """
    reader = _Reader()
    for file in sorted(files, key=lambda file: moment(file.label)):
        if file.name not in QUIET:
            reader.read(file)
    facts = reader.facts
    caveats = [*reader.caveats, *reader.unused(), *(fact.says for fact in _of(facts, Caveat))]
    links, differing = merge(listed := _of(facts, Link))
    caveats += [
        fact.says for fact in _of(_few((Caveat(says=one) for one in differing), "interfaces"), Caveat)
    ]
    modules = _of(facts, Module)
    drops, nameless = resolved(_of(facts, DropRecord), _of(facts, Name))
    if nameless:
        caveats.append(
            f"{nameless} dropped packets are told by names that no listing gives an address: kubectl get pods -A -o wide does"
        )
    return SideEvidence(
        kernel=_kernel(_of(facts, Kernel), caveats),
        counters=_ordered(_of(facts, CounterSnapshot), caveats),
        interfaces=by_index(links),
        contradicting=tuple(listed) if differing else (),
        capture_drops=_drops(ends := _of(facts, CaptureDrops)),
        captured={
            one.point: one.captured
            for one in sorted(ends, key=lambda end: end.captured, reverse=True)
            if one.captured
        },
        recordings=tuple(_of(facts, RecordingInterval)),
        tables=_in_time(_of(facts, Table)),
        rules=join(_of(facts, Ruleset)),
        log=tuple(_of(facts, LogLine)),
        sysctls=_sysctls(_of(facts, Sysctl), caveats),
        routes=_told_once(_of(facts, Route)),
        removed_routes=removed(_of(facts, Route)),
        neighbours=_told_once(_of(facts, Neighbour)),
        kube_proxy=tuple(sorted(_of(facts, KubeProxy), key=lambda scrape: scrape.last_sync or 0)),
        coredns=tuple(sorted(_of(facts, CoreDns), key=lambda scrape: sum(scrape.responses.values()))),
        ipvs=tuple(_of(facts, IpvsConnection)),
        drops=tuple(drops),
        events=tuple(_of(facts, EventLog)),
        ipvs_services=tuple(_of(facts, IpvsService)),
        links=links,
        names=by_address(_of(facts, Name)),
        read=tuple(reader.used),
        routing_rules=tuple(
            sorted(_told_once(_of(facts, RoutingRule)), key=lambda rule: (rule.family, rule.priority))
        ),
        statistics=counting.in_order(_of(facts, Counters)),
        features={features.dev: features for features in _of(facts, Features)},
        fdb=_told_once(_of(facts, FdbEntry)),
        sockets=tuple(_of(facts, Socket)),
        daemons=tuple(_of(facts, DaemonLine)),
        modules=frozenset(module.name for module in modules) if modules else None,
        caveats=tuple(caveats),
    )


class _Reader:
    """What the files tell, one after the other."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.used: list[ReadFile] = []
        self.caveats: list[str] = []
        self._left_out: dict[str, list[str]] = {reason: [] for reason in _LEFT_OUT}
        self._spent = 0

    def read(self, file: EvidenceFile) -> None:
        """Read a file, if it is of this node and not too much was read."""
        if self._spent > WHOLE:
            self._left_out[_BEYOND].append(file.label)
        elif _ELSEWHERE.search(file.label):
            self._left_out[_OTHERS].append(file.label)
        elif is_netlink(file.stored(HEAD)[0]):
            self._netlink(file)
        else:
            self._text(file)

    def _netlink(self, file: EvidenceFile) -> None:
        stored, missing = file.stored()
        self._spent += len(stored)
        limit = min(EVIDENCE, file.most)
        if missing or len(stored) > limit:
            self.caveats.append(f"{file.label}: {missing or f'only its first {limit} bytes were read'}")
        records = list(_few(dwdump.parse(stored[:limit], file.label), file.label))
        self.facts += records
        self.used.append(ReadFile(file=file.label, source="dwdump", facts=len(records)))

    def _text(self, file: EvidenceFile) -> None:
        """Read a text with every source that recognises it."""
        head, missing = file.read(HEAD)
        if unwrapping.is_report(head):
            self.used.append(ReadFile(file=file.label, resembles="a report of Lostsyn, which is no evidence"))
            return
        text = ""
        wrapped = unwrapping.wrappers(head)
        if wrapped:
            whole = file.read(EVIDENCE)[0]
            self._spent += len(whole)
            head = unwrapping.unwrap(whole, wrapped)[:HEAD]
        fitting = [source for source in sources() if source.recognises(head)]
        if fitting:
            text, missing = file.read(max(getattr(source, "LIMIT", EVIDENCE) for source in fitting))
            self._spent += len(text)
            text = unwrapping.unwrap(text, wrapped)
            if len(text) > HEAD:
                more = unwrapping.digest(text)
                fitting = [source for source in sources() if source in fitting or source.recognises(more)]
        if missing and (fitting or not head):
            self.caveats.append(f"{file.label}: {missing}")
        elif not fitting:
            known = unwrapping.undecided(head)
            like = known or unwrapping.resembles(head)
            self._left_out[_USELESS if known else _UNKNOWN].append(f"{file.label} ({like})")
            self.used.append(ReadFile(file=file.label, wrapped=wrapped, resembles=like))
        rows = [self._parse(source, text, file.label, wrapped) for source in fitting]
        # Formats look alike: where one told something, those that told nothing were mistaken.
        self.used += [row for row in rows if row.facts or row.unclear] or rows

    def _parse(self, source: Source, text: str, file: str, wrapped: tuple[str, ...]) -> ReadFile:
        told = list(_few(source.parse(text, file), file))
        told += [one for fact in _of(told, Ruleset) for one in unread(fact.unclear(), file, "rules")]
        self.facts += told
        unclear = sum(isinstance(fact, Caveat) for fact in told)
        name = source.__name__.rpartition(".")[2]
        return ReadFile(file=file, source=name, facts=len(told) - unclear, wrapped=wrapped, unclear=unclear)

    def unused(self) -> Iterator[str]:
        """Say which files were not used, and why."""
        for reason, labels in self._left_out.items():
            if labels:
                shown = ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
                yield f"not used, {reason.format(WHOLE >> 20)}: {shown}"


def _few(facts: Iterable[Fact], where: str) -> Iterator[Fact]:
    """Pass the facts on, but of caveats only the first few; a damaged file may have one for every line."""
    count = 0
    for fact in facts:
        count += isinstance(fact, Caveat)
        if count <= FEW or not isinstance(fact, Caveat):
            yield fact
    if count > FEW:
        yield Caveat(says=f"{where}: {count - FEW} more caveats like these were left out")


def _of(facts: Iterable[Fact], kind: type[T]) -> list[T]:
    return [fact for fact in facts if isinstance(fact, kind)]


def _kernel(said: Sequence[Kernel], caveats: list[str]) -> str | None:
    by_release = {kernel.release: kernel.file for kernel in said}
    if len(by_release) > 1:
        named = ", ".join(f"{release} ({file})" for release, file in by_release.items())
        caveats.append(f"the files name different kernels, so none is assumed: {named}")
        return None
    return next(iter(by_release), None)


def _ordered(snapshots: Sequence[CounterSnapshot], caveats: list[str]) -> tuple[CounterSnapshot, ...]:
    """Order by growth, which also holds across a counter's wrap; equal ones stay as they are."""

    def later(one: CounterSnapshot, other: CounterSnapshot) -> int:
        rose, fell = one.drift(other)
        return rose - fell

    ordered: list[CounterSnapshot] = []
    for source in dict.fromkeys(snapshot.source for snapshot in snapshots):
        group = sorted((s for s in snapshots if s.source == source), key=cmp_to_key(later))
        for before, after in pairwise(group):
            if after.drift(before)[1] or after.cpus.keys() != before.cpus.keys():
                caveats.append(
                    f"{before.file} and {after.file}: some counters of {source} rose and some fell, or the "
                    "CPUs differ; they are of different nodes, namespaces or boots, or are incomplete"
                )
        ordered += group
    return tuple(ordered)


def _drops(said: Sequence[CaptureDrops]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for drops in said:
        sums[drops.point] = sums.get(drops.point, 0) + drops.dropped
    return sums


def _told_once(said: Iterable[S]) -> tuple[S, ...]:
    """Leave out what another file says too: text and JSON of one command, IPv6 alone and with IPv4."""
    return tuple({replace(one, file=""): one for one in reversed(list(said))}.values())[::-1]


def _in_time(tables: Sequence[Table]) -> tuple[Table, ...]:
    def later(one: Table, other: Table) -> int:
        return -one.aged(other)

    return tuple(sorted(tables, key=cmp_to_key(later)))


def _sysctls(said: Sequence[Sysctl], caveats: list[str]) -> dict[str, str]:
    known: dict[str, Sysctl] = {}
    for setting in reversed(said):  # the last one counts
        other = known.setdefault(setting.name, setting)
        if other.value == setting.value:
            continue
        if setting.name in _VARIES:
            known[setting.name] = max(
                other, setting, key=lambda one: int(one.value) if one.value.isdecimal() else -1
            )
        elif len(caveats) < 100:
            caveats.append(
                f"{setting.file}: {setting.name} is {setting.value}, but {other.value} in {other.file}; "
                "the latter is used, the files differ in time, node or namespace"
            )
    return {name: setting.value for name, setting in known.items()}
