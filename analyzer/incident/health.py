"""Signals of a node's health, read from the side evidence alone.

Each signal is one function here; it gives nothing where the evidence does not speak of it.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from analyzer.evidence.events import evicted, occupancy
from analyzer.evidence.stale import contradicting
from analyzer.incident.model import Level as Level
from analyzer.incident.model import Signal as Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence import SideEvidence
    from analyzer.evidence.facts import CounterSnapshot

FULL: tuple[tuple[float, Level], ...] = ((0.95, "dropping"), (0.85, "danger"), (0.70, "warn"))
"""Share of nf_conntrack_max that is taken, to its level."""
TIME_WAIT = 0.5
"""Share of the TCP entries above which TIME_WAIT warns."""
FEW = 1_000
"""Below so many entries a share says nothing: after a handful of short connections all are in TIME_WAIT."""
GROWTH = 0.2
"""By this share, and `FEW` entries, UDP must grow between two listings to warn."""
STALE = 120
"""Seconds for which kube-proxy may not have written its rules."""
_LOOKS = 200_000
"""Rules that are looked at for stale entries, which no packet asks for: about a second."""
_STALE_MOST = 5_000
"""Stale entries that are counted; a table of another node has nothing else."""
_SHOWN = 3
"""Stale entries that are named, with the command that deletes each."""
_STALE = {
    "gone": "to where no rule leads any more",
    "elsewhere": "to where the rules lead other destinations only",
    "untranslated": "from before a rule that would translate them",
}
_TROUBLES = {
    "rules": "it could not write its rules",
    "entries": "it could not delete entries of conntrack",
    "port": "it could not open a port",
    "api": "the API server was out of reach",
}
_DEAD = frozenset({"FAILED", "INCOMPLETE"})


def signals(evidence: SideEvidence, *, now: int | None = None) -> tuple[Signal, ...]:
    """Read the signals that the evidence allows, in a fixed order.

    Args:
        evidence: Of one node.
        now: Nanoseconds since the epoch: a time at which the bundle was still being collected, such as that of
            its last packet. Times that the evidence itself tells count too; the newest is taken.
    """
    return (
        *_occupancy(evidence),
        *_counters(evidence),
        *_evicted(evidence),
        *_table_full(evidence),
        *_neighbours(evidence),
        *_allowances(evidence),
        *_stale(evidence),
        *_time_wait(evidence),
        *_udp_growth(evidence),
        *_gone_addresses(evidence),
        *_kube_proxy(evidence, now),
        *_coredns(evidence),
        *_daemons(evidence),
    )


def _occupancy(evidence: SideEvidence) -> Iterator[Signal]:
    most = _number(evidence, "net.netfilter.nf_conntrack_max")
    count = _number(evidence, "net.netfilter.nf_conntrack_count")
    source = "nf_conntrack_count, nf_conntrack_max"
    if count is None and evidence.tables:
        fullest = max(evidence.tables, key=lambda table: len(table) + table.omitted)
        count, source = len(fullest) + fullest.omitted, f"{fullest.file}, nf_conntrack_max"
    held = "held"
    if count is None and evidence.events:
        _, entries = occupancy(evidence.events)
        count, source, held = int(entries.max(initial=0)), "conntrack -E, nf_conntrack_max", "held at least"
    if count is None or not most:  # 0 means no limit
        return
    share = count / most
    levels: list[Level] = [level for bound, level in FULL if share > bound]
    yield Signal(
        name="table-occupancy",
        value=f"{share:.0%}",
        level=levels[0] if levels else "ok",
        says=f"The conntrack table {held} {count:,} of {most:,} entries.",
        source=source,
    )


def _counters(evidence: SideEvidence) -> Iterator[Signal]:
    by_source: dict[str, list[CounterSnapshot]] = {}
    for snapshot in evidence.counters:
        by_source.setdefault(snapshot.source, []).append(snapshot)
    if not by_source:
        return
    # The two sources read the same counters.
    snapshots = max(by_source.values(), key=len)
    first, last = snapshots[0], snapshots[-1]
    rates: tuple[tuple[str, str, str, Level], ...] = (
        ("drop", "drop", "Conntrack dropped {} packets", "dropping"),
        ("early-drop", "early_drop", "Conntrack evicted {} entries early to make room", "danger"),
    )
    for name, counter, sentence, level in rates:
        if len(snapshots) > 1:
            rose = last.since(first).get(counter)
            if rose is not None:
                yield Signal(
                    name=name,
                    value=f"+{rose}",
                    level=level if rose else "ok",
                    says=sentence.format(f"{rose:,}") + " between the first and the last reading.",
                    source=f"{first.file}, {last.file}",
                )
        elif total := last.totals.get(counter):
            yield Signal(
                name=name,
                value=str(total),
                level="warn",
                says=sentence.format(f"{total:,}") + " since boot; one reading does not tell when.",
                source=last.file,
            )


def _evicted(evidence: SideEvidence) -> Iterator[Signal]:
    """Tell of evictions by conntrack's own log, where no counter does."""
    logs = [] if evidence.counters else [log for log in evidence.events if evicted(log).any()]
    if logs:
        number = sum(int(evicted(log).sum()) for log in logs)
        yield Signal(
            name="early-drop",
            value=str(number),
            level="danger",
            says=f"{number:,} unanswered entries were ended before their time, by no program: evicted to make room, or because "
            "an interface of theirs went down.",
            source=", ".join(log.file for log in logs),
        )


def _stale(evidence: SideEvidence) -> Iterator[Signal]:
    """Tell of entries that the rules would not make any more, without a packet of theirs."""
    found = contradicting(evidence, _LOOKS, _STALE_MOST)
    if not found.entries:
        return
    kinds = Counter(one.kind for one in found.entries)
    shown = "; ".join(
        f"{one.entry.orig_src} to {one.entry.orig_dst}:{one.entry.orig_dport}/{one.entry.proto} leads to {one.target}"
        + (f" instead of {one.now[0]}" if one.now else "")
        + f": {one.command}"
        for one in found.entries[:_SHOWN]
    )
    unchecked = f" {found.unchecked:,} further entries were not compared." if found.unchecked else ""
    yield Signal(
        name="stale-entries",
        value=str(len(found.entries)),
        level="warn",
        says="Entries contradict the rules: "
        + ", ".join(f"{number:,} {_STALE[kind]}" for kind, number in kinds.items())
        + f".{unchecked} {shown}",
        source=found.entries[0].file,
    )


def _table_full(evidence: SideEvidence) -> Iterator[Signal]:
    lines = [line for line in evidence.log if line.about == "table-full"]
    if lines:
        yield Signal(
            name="table-full",
            value=str(len(lines)),
            level="dropping",
            says=f"The kernel logged {len(lines):,} times that the conntrack table was full; it logs fewer lines "
            "than it loses packets.",
            source=", ".join(dict.fromkeys(line.file for line in lines)),
        )


def _neighbours(evidence: SideEvidence) -> Iterator[Signal]:
    """The table of ARP, by its own counters; of IPv6 only where a file says that it is of neighbour discovery."""
    for names, of in ((("arp_cache", ""), 4), (("ndisc_cache",), 6)):
        listed = [one for one in evidence.statistics if one.group == "neighbours" and one.of in names]
        if not listed:
            continue
        most = _number(evidence, f"net.ipv{of}.neigh.default.gc_thresh3") or 0
        full, count = (listed[-1].values.get(name, 0) for name in ("table_fulls", "entries"))
        rose = full - listed[0].values.get("table_fulls", 0)
        share = count / most if most else 0
        levels: list[Level] = [
            level for bound, level in FULL if share > bound or (rose and level == "dropping")
        ]
        yield Signal(
            name="neighbours",
            value=f"{share:.0%}" if most else str(count),
            level=levels[0] if levels else "warn" if full else "ok",
            says=f"The table of IPv{of} neighbours held {count:,} {f'of {most:,} ' if most else ''}entries; it was full "
            f"{full:,} times since boot, {rose:,} of them meanwhile.",
            source=", ".join(dict.fromkeys(one.file for one in listed)),
        )


def _allowances(evidence: SideEvidence) -> Iterator[Signal]:
    """What a cloud's network card dropped beyond what its instance may use (`ethtool -S` of AWS' ENA driver)."""
    names = dict.fromkeys(
        name
        for one in evidence.statistics
        if one.group == "driver"
        for name in one.values
        if name.endswith("_allowance_exceeded")
    )
    for name in names:
        for reading in evidence.readings(name):
            told = reading.last if reading.rose is None else reading.rose
            if told:
                yield Signal(
                    name="allowance",
                    value=f"+{told}" if reading.rose else str(told),
                    level="dropping" if reading.rose else "warn",
                    says=f"The cloud dropped or delayed {told:,} packets beyond what the instance may use: {name}"
                    + (f" of {reading.of}" if reading.of else "")
                    + (" rose meanwhile." if reading.rose else ", counted since boot."),
                    source=", ".join(dict.fromkeys(reading.files)),
                )


def _time_wait(evidence: SideEvidence) -> Iterator[Signal]:
    if not evidence.tables:
        return
    table = evidence.tables[-1]
    states = {str(state): count for (state,), count in table.only(proto="tcp").count_by("state").items()}
    entries, waiting = sum(states.values()), states.get("TIME_WAIT", 0)
    if not entries:
        return
    share = waiting / entries
    yield Signal(
        name="time-wait",
        value=f"{share:.0%}",
        level="warn" if share > TIME_WAIT and entries >= FEW else "ok",
        says=f"{waiting:,} of {entries:,} TCP entries were in TIME_WAIT.",
        source=table.file,
    )


def _udp_growth(evidence: SideEvidence) -> Iterator[Signal]:
    for before, after in pairwise(evidence.tables):
        # Only listings whose order is certain; what grows one way shrinks the other.
        if before.aged(after) <= 0:
            continue
        then, now = len(before.only(proto="udp")), len(after.only(proto="udp"))
        grown = now - then
        yield Signal(
            name="udp-growth",
            value=f"{grown:+}",
            level="warn" if grown >= FEW and grown > GROWTH * then else "ok",
            says=f"UDP entries went from {then:,} to {now:,} between two listings.",
            source=f"{before.file}, {after.file}",
        )


def _gone_addresses(evidence: SideEvidence) -> Iterator[Signal]:
    """Tell entries to pods that are gone, only where the node itself says that nobody has their address.

    A pod that is idle may be missing from the neighbour table, so what is not there proves nothing.
    """
    if not evidence.tables or not (evidence.neighbours or evidence.routes):
        return
    table = evidence.tables[-1]
    gone = _unanswered(evidence) | _unrouted(evidence, set(table.addresses))
    counts = {
        str(address): count for (address,), count in table.count_by("reply_src").items() if address in gone
    }
    entries = sum(counts.values())
    if not counts:
        return
    shown = ", ".join(f"{address} ({count:,})" for address, count in list(counts.items())[:3])
    yield Signal(
        name="gone-addresses",
        value=str(entries),
        level="warn",
        says=f"{entries:,} entries lead to {len(counts)} addresses of the pod network that nobody has: {shown}.",
        source=table.file,
    )


def _unanswered(evidence: SideEvidence) -> set[str]:
    """Give the neighbours that did not answer, beside those on the way out."""
    uplinks = {route.dev for route in evidence.routes if route.dst in ("0.0.0.0/0", "::/0")}
    if not uplinks:
        return set()
    alive = {one.address for one in evidence.neighbours if one.state not in _DEAD}
    return {
        one.address for one in evidence.neighbours if one.state in _DEAD and one.dev not in uplinks
    } - alive


def _unrouted(evidence: SideEvidence, addresses: set[str]) -> set[str]:
    """Give the addresses that only the blackhole of the pods' block leads to; each pod has a route of its own."""
    blocks = [
        ipaddress.ip_network(route.dst)
        for route in evidence.routes
        if route.kind == "blackhole" and route.table == "main" and not route.dst.endswith("/0")
    ][:1000]
    if not blocks:
        return set()
    routed = {
        route.dst.rpartition("/")[0] for route in evidence.routes if route.dst.endswith(("/32", "/128"))
    }
    candidates = ((text, ipaddress.ip_address(text)) for text in addresses - routed)
    return {text for text, address in candidates if any(address in block for block in blocks)}


def _kube_proxy(evidence: SideEvidence, now: int | None) -> Iterator[Signal]:
    """Tell how long the rules lag behind; an idle kube-proxy writes none, so age alone proves nothing.

    `last_queued` came for this reason (kubernetes#90175). Without it age is all there is.
    """
    scrapes = [scrape for scrape in evidence.kube_proxy if scrape.last_sync]
    if not scrapes:
        return
    latest = scrapes[-1]
    synced, queued = latest.last_sync or 0, latest.last_queued
    known = [
        one for scrape in scrapes for one in (scrape.last_sync, scrape.last_queued, scrape.scraped) if one
    ]
    known += [line.time / 1e9 for line in evidence.log if line.time is not None and line.zoned]
    known += [now / 1e9] if now is not None else []
    age = max(known) - synced
    waiting = queued is None or queued > synced
    changes = (
        "whether a change is pending is not known"
        if queued is None
        else f"{'a' if waiting else 'no'} change is pending"
    )
    yield Signal(
        name="kube-proxy-sync",
        value=f"{age:.0f} s",
        level="warn" if waiting and age > STALE else "ok",
        says=f"kube-proxy last wrote its rules {age:,.0f} s before the newest time in the bundle; {changes}.",
        source=latest.file,
    )


def _coredns(evidence: SideEvidence) -> Iterator[Signal]:
    if len(evidence.coredns) < 2:
        return
    first, last = evidence.coredns[0], evidence.coredns[-1]
    failed = last.responses.get("SERVFAIL", 0) - first.responses.get("SERVFAIL", 0)
    answered = sum(last.responses.values()) - sum(first.responses.values())
    yield Signal(
        name="coredns-servfail",
        value=f"{failed:+}",
        level="warn" if failed > 0 else "ok",
        says=f"CoreDNS answered {failed:,} of {answered:,} queries with SERVFAIL between two scrapes.",
        source=f"{first.file}, {last.file}",
    )


def _daemons(evidence: SideEvidence) -> Iterator[Signal]:
    """Tell what kube-proxy and CoreDNS logged that they could not do."""
    failed = [line for line in evidence.daemons if line.daemon == "kube-proxy"]
    if failed:
        counts = Counter(_TROUBLES[line.about] for line in failed)
        yield Signal(
            name="kube-proxy-errors",
            value=str(len(failed)),
            level="danger" if _TROUBLES["rules"] in counts else "warn",
            says=f"kube-proxy logged that {_listed(counts)}; the first: {failed[0].says}",
            source=f"{failed[0].file} line {failed[0].line}",
        )
    unanswered = [line for line in evidence.daemons if line.about == "upstream"]
    if unanswered:
        counts = Counter(line.dst or "an upstream" for line in unanswered)
        yield Signal(
            name="coredns-upstream",
            value=str(len(unanswered)),
            level="warn",
            says=f"CoreDNS got no answer from {_listed(counts)}; the first: {unanswered[0].says}",
            source=f"{unanswered[0].file} line {unanswered[0].line}",
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({number:,})" for name, number in counts.most_common(_SHOWN))


def _number(evidence: SideEvidence, name: str) -> int | None:
    text = evidence.sysctls.get(name, "")
    return int(text) if text.isdecimal() else None
