"""Where the rules of NAT lead: every target that the first packet of a connection to some destination can get.

Not what one packet gets (`analyzer.evidence.rules.walk` tells that), but all that is possible, since load is spread at random,
and since of an entry of conntrack nobody knows by which interface its first packet came.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from heapq import merge
from typing import Generic, Literal, NamedTuple, TypeVar

from analyzer.evidence.rules import values
from analyzer.evidence.rules.model import Action, Chain, Element, Rule, Ruleset, Span
from analyzer.evidence.rules.packet import Packet
from analyzer.evidence.rules.view import View, endpoint
from analyzer.evidence.table import Entry

LOOKS = 1_000_000
"""Rules that are looked at for one destination, at most."""
HOOKS = ("prerouting", "output")
"""Where the destination is translated: of packets that come in, and of the node's own."""
_DEPTH = 32
"""Chains within chains."""
_DESTINATION = frozenset({"dnat", "redirect"})
_MAPPED = re.compile(r" : \[?([0-9a-fA-F.:]{2,45})\]?(?: \. (\d{1,5}))?(?![\w.:])")


class Target(NamedTuple):
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


class Known:
    """What all rules together name, and their chains in a form that finds the few rules of one destination."""

    def __init__(self, rules: Ruleset) -> None:
        self.rules = rules
        self._chains = {(c.legacy, c.family, c.table, c.name): c for c in rules.chains}
        nat = [c for c in rules.chains if c.kind == "nat" and c.hook in HOOKS]
        self._bases = {
            (hook, family): sorted(
                (c for c in nat if c.hook == hook and c.family in ("inet", family)),
                key=lambda chain: chain.priority,
            )
            for hook in HOOKS
            for family in ("ip", "ip6")
        }
        self._numbers: dict[str, int | None] = {}
        self._rules: dict[int, _Index[Rule]] = {}
        self._choices: dict[int, _Index[tuple[tuple[Element, ...], Action]]] = {}
        self.targets: set[tuple[int, int | None]] = set()
        self.ranges: list[Target] = []
        self.destinations: set[int] = set()
        self.ports: set[int] = set()
        for rule in rules.rules("dnat", "redirect"):
            for action in rule.actions:
                if action.kind in _DESTINATION:
                    for target in targets(action):
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

    def address(self, text: str) -> int | None:
        """Read an address; the same few come thousands of times."""
        if text not in self._numbers:
            self._numbers[text] = values.address(text)
        return self._numbers[text]

    def bases(self, hook: str, family: str) -> list[Chain]:
        """Give the chains of NAT that a packet meets at a hook, in order."""
        return self._bases[hook, family]

    def chain(self, base: Chain, name: str) -> Chain | None:
        """Find a chain that is jumped to."""
        return self._chains.get((base.legacy, base.family, base.table, name))

    def concerning(self, chain: Chain, destination: int | None) -> Iterator[Rule]:
        """Give a chain's rules but those that ask for another destination: a node has ten thousand services."""
        if (index := self._rules.get(id(chain))) is None:
            index = self._rules[id(chain)] = _Index((rule, _asked(rule)) for rule in chain.rules)
        return index.of(destination)

    def choices(
        self, action: Action, destination: int | None
    ) -> Iterator[tuple[tuple[Element, ...], Action]]:
        """Give a verdict map's choices but those of another destination."""
        if (index := self._choices.get(id(action))) is None:
            at = action.fields.index("dst") if "dst" in action.fields else None
            index = self._choices[id(action)] = _Index(
                (choice, None if at is None or len(choice[0]) <= at else _single((choice[0][at],)))
                for choice in action.choices
            )
        return index.of(destination)

    def leads(self, text: str, port: int, before: int) -> bool:
        """Say whether some rule leads to an address and port.

        Args:
            text: The address.
            port: To which it leads.
            before: The port before translation.
        """
        address = self.address(text)
        if address is None:
            return True
        return (
            (address, port) in self.targets
            or ((address, None) in self.targets and port == before)
            or any(target.holds(address, port, before) for target in self.ranges)
        )


T = TypeVar("T")


class _Index(Generic[T]):
    """Things in order, of which most are of one destination."""

    def __init__(self, things: Iterable[tuple[T, frozenset[int] | None]]) -> None:
        self._things: list[T] = []
        self._others: list[int] = []
        self._named: dict[int, list[int]] = {}
        for number, (thing, destinations) in enumerate(things):
            self._things.append(thing)
            if destinations is None:
                self._others.append(number)
            for destination in destinations or ():
                self._named.setdefault(destination, []).append(number)

    def of(self, destination: int | None) -> Iterator[T]:
        """Give those of a destination and those of any, in order; all where it is not known."""
        if destination is None:
            return iter(self._things)
        return (self._things[number] for number in merge(self._others, self._named.get(destination, ())))


def _asked(rule: Rule) -> frozenset[int] | None:
    """Give the destinations of which a rule asks for one; None where it does not, or asks for networks."""
    for match in rule.matches:
        if match.fields == ("dst",) and not match.negated:
            return _single(key[0] for key in match.among)
    return None


def _single(elements: Iterable[Element]) -> frozenset[int] | None:
    found = set()
    for element in elements:
        if not isinstance(element, Span) or element.low != element.high:
            return None
        found.add(element.low)
    return frozenset(found)


def targets(action: Action) -> Iterator[Target]:
    """Read a translation's targets; a map has several."""
    ports = re.fullmatch(r":(\d{1,5})(?:-(\d{1,5}))?", action.target)
    if ports and action.kind == "dnat":
        yield Target(action.target, None, None, int(ports[1]), int(ports[2] or ports[1]))
        return
    if " map " in action.target:
        for host, port in _MAPPED.findall(action.target):
            if (number := values.address(host)) is not None:
                service = int(port) if port else None
                yield Target(f"{host}:{port}" if port else host, number, number, service, service)
        return
    address, port = endpoint(action.target)
    if action.kind == "redirect":
        ports = re.search(r"(\d{1,5})(?:-(\d{1,5}))?", action.target)
        first = int(ports[1]) if ports else None
        yield Target(
            f"redirect {action.target}".strip(),
            None,
            None,
            first,
            int(ports[2] or ports[1]) if ports else None,
        )
    elif address is not None and (number := values.address(address)) is not None:
        span = re.search(r"[^:]:(\d{1,5})-(\d{1,5})$", action.target)
        first, last = (int(span[1]), int(span[2])) if span else (port, port)
        yield Target(action.target, number, number, first, last)
    elif span := re.fullmatch(
        r"\[?([^-\[\]]{2,45})\]?-\[?([^-\[\]]{2,45}?)\]?(?::(\d{1,5})(?:-(\d{1,5}))?)?", action.target
    ):
        low, high = values.address(span[1]), values.address(span[2])
        if low is not None and high is not None:
            first = int(span[3]) if span[3] else None
            yield Target(action.target, low, high, first, int(span[4] or span[3]) if span[3] else None)


class _Anywhere(View):
    """A packet of which nobody knows from where it came."""

    def enter(self, hook: str, priority: int) -> None:
        super().enter(hook, priority)
        self._field |= dict.fromkeys(("iif", "oif", "src", "srctype"))


class Translation:
    """Where the rules lead the first packet of a connection to an entry's destination."""

    def __init__(self, known: Known, entry: Entry, local: Collection[str] | None) -> None:
        self.looks = 0
        self.targets: dict[Target, None] = {}
        self.sure: dict[str, bool] = {}
        """Hook to whether every way through its rules ends in one of the targets."""
        self.doubtful = False
        """Whether a rule is not understood that may lead elsewhere."""
        self._known = known
        self._destination = known.address(entry.orig_dst)
        packet = Packet(
            proto=entry.proto, src=entry.orig_src, dst=entry.orig_dst, sport=None, dport=entry.orig_dport, mark=None
        )  # fmt: skip
        family = "ip6" if ":" in entry.orig_dst else "ip"
        for hook in HOOKS:
            passes, self._accepted = True, False
            for base in known.bases(hook, family):
                view = _Anywhere(packet, local)
                view.enter(hook, base.priority)
                passes = self._follow(view, base, base, 0)
                if not passes:
                    break
            self.sure[hook] = not passes and not self._accepted

    def leads(self, entry: Entry) -> bool:
        """Say whether an entry leads to one of the targets."""
        address = self._known.address(entry.reply_src)
        return any(target.holds(address, entry.reply_sport, entry.orig_dport) for target in self.targets)

    def _follow(self, view: View, base: Chain, chain: Chain, depth: int) -> bool:
        """Note every target that can be reached in a chain; False where the packet certainly does not leave it."""
        for rule in self._known.concerning(chain, self._destination):
            self.looks += 1
            if self.looks > LOOKS:
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
            found = list(targets(action))
            self.doubtful |= not found
            self.targets.update(dict.fromkeys(found))
            return "end"
        if action.kind in ("accept", "drop", "reject", "queue"):
            self._accepted = True
            return "end"
        if action.kind == "return":
            return "back"
        if action.kind in ("jump", "goto"):
            chain = self._known.chain(base, action.target)
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
        for key, choice in self._known.choices(action, self._destination):
            self.looks += 1
            holds = view.equal(action.fields, key) if key else None
            if holds is False:
                continue
            end = self._act(view, base, choice, rule, depth)
            if holds:
                return end
            ends.add(end)
        # A map that spreads over endpoints has a choice for each number.
        return "end" if ends == {"end"} and re.search(r"\b(?:numgen|jhash|symhash)\b", rule.text) else ""
