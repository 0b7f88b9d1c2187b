"""Entries of conntrack that the rules would not make any more.

Rules of NAT are asked for a connection's first packet only. An entry that was made under other rules goes on translating as
long as packets renew it: to an endpoint that is gone, or not at all where a rule now would.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from analyzer.evidence.collecting import SideEvidence
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.table import Entry, Table
from analyzer.evidence.translation import HOOKS, Known, Translation

LOOKS = 1_000_000
"""Rules that are looked at for one table: about five seconds. What is left is counted, see `Staleness.unchecked`."""
_SHOWN = 4
"""Targets that a `StaleEntry` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleEntry:
    """An entry that contradicts the rules."""

    kind: Literal["gone", "elsewhere", "untranslated"]
    """Its target is no rule's any more; it is one of other destinations only; or it has none, though a rule gives one."""
    entry: Entry
    file: str
    """Of the listing."""
    target: str
    """Where the entry leads: `10.88.0.5:5141`."""
    now: tuple[str, ...]
    """Where the rules lead to, the first few; empty where they do not translate this destination any more."""
    command: str
    """Deletes this entry and no other."""


class Staleness(NamedTuple):
    """What a listing holds that the rules contradict."""

    entries: tuple[StaleEntry, ...]
    unchecked: int
    """Entries that were not compared, because too many rules would have to be looked at."""


def stale(
    table: Table,
    rules: Ruleset,
    *,
    local: Collection[str] | None = None,
    virtual: Collection[str] = (),
    looks: int | None = None,
    most: int | None = None,
) -> Staleness:
    """Compare a listing of conntrack's table with the rules of the same time.

    Args:
        table: The listing.
        rules: All that are in force; of an incomplete text nothing is said.
        local: The node's own addresses; None where they are not known.
        virtual: Addresses that something else than rules translates: IPVS.
        looks: Rules that are looked at, `LOOKS` where it is not given.
        most: Entries that are told, all where it is not given; of those beyond it nobody knows what they are.
    """
    chains = [chain for chain in rules.chains if chain.kind == "nat" and chain.hook in HOOKS]
    if not rules.complete or not chains or not any(rules.rules("dnat", "redirect")):
        return Staleness((), 0)
    known = Known(rules)
    budget = LOOKS if looks is None else looks
    found: list[StaleEntry] = []
    unchecked = 0
    for rows in _by_destination(table, known):
        entry = table[rows[0]]
        if entry.orig_dst in virtual:
            continue
        if budget <= 0:
            unchecked += len(rows)
            continue
        answer = Translation(known, entry, local)
        budget -= answer.looks
        right: set[tuple[int, int]] = set()
        for number, row in enumerate(rows):
            if most is not None and len(found) >= most:
                budget, unchecked = 0, unchecked + len(rows) - number
                break
            target = int(table.reply_src[row]), int(table.reply_sport[row])
            if target in right:
                continue
            entry = table[row]
            hooks = HOOKS if local is None else ("output",) if entry.orig_src in local else ("prerouting",)
            sure = all(answer.sure[hook] for hook in hooks)
            if verdict := _verdict(entry, answer, known, table.file, sure=sure):
                found.append(verdict)
            elif not answer.doubtful and answer.leads(entry):
                right.add(target)
    return Staleness(tuple(found), unchecked)


def contradicting(evidence: SideEvidence, looks: int | None = None, most: int | None = None) -> Staleness:
    """Compare a bundle's last listing with its last rules; nothing is said where it lacks either."""
    if not evidence.tables or not evidence.rules:
        return Staleness((), 0)
    local = frozenset(text for link in evidence.links for text in link.addresses)
    virtual = [one.address.rsplit(":", 1)[0] for one in evidence.ipvs_services]
    table, rules = evidence.tables[-1], evidence.rules[-1]
    return stale(table, rules, local=local or None, virtual=virtual, looks=looks, most=most)


def delete(entry: Entry) -> str:
    """Give the command that deletes exactly this entry (in its zone): the original tuple is the key."""
    words = ["conntrack", "-D"]
    if ":" in entry.orig_src:
        words += ["-f", "ipv6"]
    if entry.proto != "unknown":
        words += ["-p", entry.proto]
    words += ["-s", entry.orig_src, "-d", entry.orig_dst]
    if entry.proto in ("icmp", "icmpv6"):
        words += [f"--{entry.proto}-id", str(entry.orig_sport)]
    elif entry.orig_sport or entry.orig_dport:
        words += ["--sport", str(entry.orig_sport), "--dport", str(entry.orig_dport)]
    return " ".join(words)


def _by_destination(table: Table, known: Known) -> Iterable[list[int]]:
    """Group the entries that may be wrong by their destination, those first that most likely are."""
    translated = (table.orig_dst != table.reply_src) | (table.orig_dport != table.reply_sport)
    # ICMP has an id in the port of one side and none in the other.
    translated &= (table.orig_dport != 0) | (table.orig_dst != table.reply_src)
    numbers = np.array([known.address(text) in known.destinations for text in table.addresses], bool)
    named = numbers[table.orig_dst] if len(numbers) else np.zeros(len(table), bool)
    named |= np.isin(table.orig_dport, np.array(sorted(known.ports) or [0], np.int64)) & (
        table.orig_dport != 0
    )
    rows = np.flatnonzero(translated | named)
    if not len(rows):
        return []
    columns = np.column_stack([table.proto, table.orig_dst, table.orig_dport, translated])[rows]
    _, group = np.unique(columns, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    groups = [
        part.tolist() for part in np.split(rows[order], np.flatnonzero(np.diff(group.ravel()[order])) + 1)
    ]

    def leads(row: int) -> bool:
        address = table.addresses[table.reply_src[row]]
        return known.leads(address, int(table.reply_sport[row]), int(table.orig_dport[row]))

    def rank(part: list[int]) -> int:
        if not translated[part[0]]:
            return 1
        return 2 if all(map(leads, part[:16])) else 0

    return sorted(groups, key=rank)


def _verdict(entry: Entry, now: Translation, known: Known, file: str, *, sure: bool) -> StaleEntry | None:
    if now.doubtful or now.leads(entry):
        return None
    kind: Literal["gone", "elsewhere", "untranslated"]
    if (entry.orig_dst, entry.orig_dport) == (entry.reply_src, entry.reply_sport):
        if not sure or not now.targets:
            return None
        kind = "untranslated"
    else:
        leads = known.leads(entry.reply_src, entry.reply_sport, entry.orig_dport)
        kind = "elsewhere" if leads else "gone"
    host = f"[{entry.reply_src}]" if ":" in entry.reply_src else entry.reply_src
    return StaleEntry(
        kind=kind,
        entry=entry,
        file=file,
        target=f"{host}:{entry.reply_sport}",
        now=tuple(target.text for target in now.targets)[:_SHOWN],
        command=delete(entry),
    )
