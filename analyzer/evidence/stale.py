"""Entries of conntrack that the rules would not make any more.

Rules of NAT are asked for a connection's first packet only. An entry that was made under other rules goes on translating as
long as packets renew it: to an endpoint that is gone, or not at all where a rule now would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from analyzer.evidence.rules import values
from analyzer.evidence.rules.packet import Packet
from analyzer.evidence.rules.view import View, endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from analyzer.evidence.rules.model import Action, Chain, Rule, Ruleset
    from analyzer.evidence.table import Entry, Table

_LOOKS = 1_000_000
"""Rules that are looked at for one table: about five seconds. What is left is counted, see `Staleness.unchecked`."""
_DEPTH = 32
"""Chains within chains."""
_SHOWN = 4
"""Targets that a `StaleEntry` names."""
_HOOKS = ("prerouting", "output")
_DESTINATION = frozenset({"dnat", "redirect"})
_MAPPED = re.compile(r" : \[?([0-9a-fA-F.:]{2,45})\]?(?: \. (\d{1,5}))?(?![\w.:])")


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
    table: Table, rules: Ruleset, *, local: Collection[str] | None = None, virtual: Collection[str] = ()
) -> Staleness:
    """Compare a listing of conntrack's table with the rules of the same time.

    Args:
        table: The listing.
        rules: All that are in force; of an incomplete text nothing is said.
        local: The node's own addresses; None where they are not known.
        virtual: Addresses that something else than rules translates: IPVS.
    """
    chains = [chain for chain in rules.chains if chain.kind == "nat" and chain.hook in _HOOKS]
    if not rules.complete or not chains or not any(rules.rules("dnat", "redirect")):
        return Staleness((), 0)
    known = _Known(rules)
    budget = _LOOKS
    found: list[StaleEntry] = []
    unchecked = 0
    for rows in _by_destination(table, known):
        entry = table[rows[0]]
        if entry.orig_dst in virtual:
            continue
        if budget <= 0:
            unchecked += len(rows)
            continue
        answer = _Translation(rules, entry, local)
        budget -= answer.looks
        for row in rows:
            entry = table[row]
            hooks = _HOOKS if local is None else ("output",) if entry.orig_src in local else ("prerouting",)
            sure = all(answer.sure[hook] for hook in hooks)
            if verdict := _verdict(entry, answer, known, table.file, sure=sure):
                found.append(verdict)
    return Staleness(tuple(found), unchecked)


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


class _Target(NamedTuple):
    """Where a rule leads: numbers from low to high; an address of None is any of the node's, a port of None stays."""

    text: str
    low: int | None
    high: int | None
    first: int | None
    last: int | None

    def holds(self, address: int | None, port: int, before: int) -> bool:
        """Say whether an entry leads here.

        Args:
            address: To which it leads.
            port: To which it leads.
            before: The port before translation.
        """
        if self.low is not None and (address is None or not self.low <= address <= (self.high or 0)):
            return False
        return port == before if self.first is None else self.first <= port <= (self.last or 0)


class _Known:
    """What all rules together name."""

    def __init__(self, rules: Ruleset) -> None:
        self.targets: set[tuple[int, int | None]] = set()
        self.ranges: list[_Target] = []
        self.destinations: set[int] = set()
        self.ports: set[int] = set()
        for rule in rules.rules("dnat", "redirect"):
            for action in rule.actions:
                if action.kind in _DESTINATION:
                    for target in _targets(action):
                        if (
                            target.low is not None
                            and target.low == target.high
                            and target.first == target.last
                        ):
                            self.targets.add((target.low, target.first))
                        else:
                            self.ranges.append(target)
        for chain in rules.chains:
            for rule in chain.rules:
                self._note(rule)

    def _note(self, rule: Rule) -> None:
        keys = [(match.fields, key) for match in rule.matches for key in match.among]
        keys += [(action.fields, key) for action in rule.actions for key, _ in action.choices]
        for fields, key in keys:
            for name, element in zip(fields, key, strict=False):
                low, high = getattr(element, "low", None), getattr(element, "high", None)
                if low is not None and low == high and name in ("dst", "dport"):
                    (self.destinations if name == "dst" else self.ports).add(low)

    def leads(self, entry: Entry) -> bool:
        """Say whether some rule leads where an entry leads."""
        address = values.address(entry.reply_src)
        if address is None:
            return True
        return (
            (address, entry.reply_sport) in self.targets
            or ((address, None) in self.targets and entry.reply_sport == entry.orig_dport)
            or any(target.holds(address, entry.reply_sport, entry.orig_dport) for target in self.ranges)
        )


def _targets(action: Action) -> Iterator[_Target]:
    """Read a translation's targets; a map has several."""
    if " map " in action.target:
        for host, port in _MAPPED.findall(action.target):
            if (number := values.address(host)) is not None:
                service = int(port) if port else None
                yield _Target(f"{host}:{port}" if port else host, number, number, service, service)
        return
    address, port = endpoint(action.target)
    if action.kind == "redirect":
        ports = re.search(r"(\d{1,5})(?:-(\d{1,5}))?", action.target)
        first = int(ports[1]) if ports else None
        yield _Target(
            f"redirect {action.target}".strip(),
            None,
            None,
            first,
            int(ports[2] or ports[1]) if ports else None,
        )
    elif address is not None and (number := values.address(address)) is not None:
        span = re.search(r"[^:]:(\d{1,5})-(\d{1,5})$", action.target)
        first, last = (int(span[1]), int(span[2])) if span else (port, port)
        yield _Target(action.target, number, number, first, last)
    elif span := re.fullmatch(
        r"\[?([^-\[\]]{2,45})\]?-\[?([^-\[\]]{2,45}?)\]?(?::(\d{1,5})(?:-(\d{1,5}))?)?", action.target
    ):
        low, high = values.address(span[1]), values.address(span[2])
        if low is not None and high is not None:
            first = int(span[3]) if span[3] else None
            yield _Target(action.target, low, high, first, int(span[4] or span[3]) if span[3] else None)
    elif ports := re.fullmatch(r":(\d{1,5})(?:-(\d{1,5}))?", action.target):
        yield _Target(action.target, None, None, int(ports[1]), int(ports[2] or ports[1]))


def _by_destination(table: Table, known: _Known) -> Iterable[list[int]]:
    """Group the entries that may be wrong by their destination, those first that most likely are."""
    translated = (table.orig_dst != table.reply_src) | (table.orig_dport != table.reply_sport)
    # ICMP has an id in the port of one side and none in the other.
    translated &= (table.orig_dport != 0) | (table.orig_dst != table.reply_src)
    numbers = np.array([values.address(text) in known.destinations for text in table.addresses], bool)
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

    def rank(part: list[int]) -> int:
        if not translated[part[0]]:
            return 1
        return 0 if any(not known.leads(table[row]) for row in part[:16]) else 2

    return sorted(groups, key=rank)


class _Anywhere(View):
    """A packet of which nobody knows from where it came."""

    def enter(self, hook: str, priority: int) -> None:
        super().enter(hook, priority)
        self._field |= dict.fromkeys(("iif", "oif", "src", "srctype"))


class _Translation:
    """Where the rules lead the first packet of a connection to an entry's destination."""

    def __init__(self, rules: Ruleset, entry: Entry, local: Collection[str] | None) -> None:
        self.looks = 0
        self.targets: dict[_Target, None] = {}
        self.sure: dict[str, bool] = {}
        """Hook to whether every way through its rules ends in one of the targets."""
        self.doubtful = False
        """Whether a rule is not understood that may lead elsewhere."""
        self._chains = {(c.legacy, c.family, c.table, c.name): c for c in rules.chains}
        packet = Packet(
            proto=entry.proto, src=entry.orig_src, dst=entry.orig_dst, sport=None, dport=entry.orig_dport, mark=None
        )  # fmt: skip
        family = "ip6" if ":" in entry.orig_dst else "ip"
        for hook in _HOOKS:
            bases = [
                c for c in rules.chains if c.kind == "nat" and c.hook == hook and c.family in ("inet", family)
            ]
            passes, self._accepted = True, False
            for base in sorted(bases, key=lambda chain: chain.priority):
                view = _Anywhere(packet, local)
                view.enter(hook, base.priority)
                passes = self._follow(view, base, base, 0)
                if not passes:
                    break
            self.sure[hook] = not passes and not self._accepted

    def _follow(self, view: View, base: Chain, chain: Chain, depth: int) -> bool:
        """Note every target that can be reached in a chain; False where the packet certainly does not leave it."""
        for rule in chain.rules:
            self.looks += 1
            if self.looks > _LOOKS:
                self.doubtful = True
                return True
            holds = view.holds(rule)
            if holds is False:
                continue
            for action in rule.actions:
                end = self._act(view, base, action, rule, depth)
                if end == "back" and holds:
                    return True
                if end == "end" and holds:
                    return False
        return True

    def _act(
        self, view: View, base: Chain, action: Action, rule: Rule, depth: int
    ) -> Literal["", "back", "end"]:
        """Do what an action does: nothing that matters, leave the chain, or end the way."""
        if action.kind in _DESTINATION:
            targets = list(_targets(action))
            self.doubtful |= not targets
            self.targets.update(dict.fromkeys(targets))
            return "end"
        if action.kind in ("accept", "drop", "reject", "queue"):
            self._accepted = True
            return "end"
        if action.kind == "return":
            return "back"
        if action.kind in ("jump", "goto"):
            chain = self._chains.get((base.legacy, base.family, base.table, action.target))
            if chain is None or depth == _DEPTH:
                self.doubtful = True
                return ""
            if not self._follow(view, base, chain, depth + 1):
                return "end"
            return "back" if action.kind == "goto" else ""
        if action.kind == "choose":
            return self._choose(view, base, action, rule, depth)
        if action.kind == "unknown":
            self.doubtful = True
        return ""

    def _choose(
        self, view: View, base: Chain, action: Action, rule: Rule, depth: int
    ) -> Literal["", "back", "end"]:
        if view.lacks(action.fields):
            return ""
        ends = set()
        for key, choice in action.choices:
            holds = view.equal(action.fields, key) if key else None
            if holds is False:
                continue
            end = self._act(view, base, choice, rule, depth)
            if holds:
                return end
            ends.add(end)
        # A map that spreads over endpoints has a choice for each number.
        return "end" if ends == {"end"} and re.search(r"\b(?:numgen|jhash|symhash)\b", rule.text) else ""


def _verdict(entry: Entry, now: _Translation, known: _Known, file: str, *, sure: bool) -> StaleEntry | None:
    address = values.address(entry.reply_src)
    if (
        any(target.holds(address, entry.reply_sport, entry.orig_dport) for target in now.targets)
        or now.doubtful
    ):
        return None
    kind: Literal["gone", "elsewhere", "untranslated"]
    if (entry.orig_dst, entry.orig_dport) == (entry.reply_src, entry.reply_sport):
        if not sure or not now.targets:
            return None
        kind = "untranslated"
    else:
        kind = "elsewhere" if known.leads(entry) else "gone"
    host = f"[{entry.reply_src}]" if ":" in entry.reply_src else entry.reply_src
    return StaleEntry(
        kind=kind,
        entry=entry,
        file=file,
        target=f"{host}:{entry.reply_sport}",
        now=tuple(target.text for target in now.targets)[:_SHOWN],
        command=delete(entry),
    )
