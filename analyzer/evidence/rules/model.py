"""The form that iptables' and nftables' rules are brought into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from analyzer.capture.naming import printable

Kind = Literal[
    "accept", "drop", "reject", "queue", "return", "jump", "goto", "choose",
    "masquerade", "snat", "dnat", "redirect", "notrack", "mark", "log", "other", "unknown",
]  # fmt: skip
"""What an action does: `choose` is nft's verdict map, `other` lets the packet go on, `unknown` may not."""

NAT = frozenset({"masquerade", "snat", "dnat", "redirect"})


class Span(NamedTuple):
    """Numbers from low to high, both included: ports, or addresses (IPv4 as ::ffff:a.b.c.d)."""

    low: int
    high: int


class Bits(NamedTuple):
    """Of a comparison: `packet & mask == value`. Of a mark that is set: `(mark & ~mask) ^ value`."""

    value: int
    mask: int


class Place(NamedTuple):
    """Where a table has, or may have, a chain."""

    family: str
    table: str
    hook: str


SHOWN = 400
"""Characters of a rule's text that are kept."""

Element = Span | Bits | str
"""A string is a word (`tcp`, `established`, `local`) or an interface; `*` at its end stands for anything."""


def shown(text: str) -> str:
    """Make a text from a file fit for messages: one line, cut, without what plays tricks on a terminal."""
    if len(text) <= SHOWN and text.isprintable() and "  " not in text:
        return text.strip(" ")
    line = printable(" ".join(text[: 4 * SHOWN].split()))
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One condition of a rule. Without fields it is not understood, and nobody can tell whether it holds."""

    text: str = field(compare=False)
    """As the source writes it."""
    fields: tuple[str, ...] = ()
    """What of the packet is compared; several are compared together (nft's concatenation)."""
    among: tuple[tuple[Element, ...], ...] = ()
    """It holds where the fields equal one of these, each an element per field."""
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a rule does with the packets that it matches."""

    kind: Kind
    target: str = ""
    """A chain; the new address and ports of a translation (`192.0.2.1-192.0.2.5:1000-2000`, `:1024-2000`);
    what a rejected sender is told; the prefix of a log; else, of `other` and `unknown`, the text."""
    flags: frozenset[str] = frozenset()
    """Of a translation: `random`, `fully-random`, `persistent`."""
    mark: Bits | None = None
    """Of `mark`; None where the new mark cannot be told."""
    fields: tuple[str, ...] = ()
    """Of `choose`: what is looked up; empty where that is not understood."""
    choices: tuple[tuple[tuple[Element, ...], Action], ...] = ()
    """Of `choose`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    chain: str
    """`inet filter forward`, `ip nat POSTROUTING`."""
    number: int
    """Its place in the chain, from 1."""
    text: str = field(compare=False)
    """As the source writes it, without counters."""
    matches: tuple[Match, ...]
    actions: tuple[Action, ...]
    packets: int | None = field(default=None, compare=False)
    """As the rule counted; None where it does not, or the source does not say."""
    bytes: int | None = field(default=None, compare=False)
    handle: int | None = field(default=None, compare=False)
    """nft's number for it, by which it is deleted or replaced; None where the listing was made without `-a`."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its actions."""
        return frozenset(action.kind for action in self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chain; a base chain has a hook, the others are jumped to."""

    family: str
    """`ip`, `ip6`, `inet`, `bridge`, `netdev`, `arp`."""
    table: str
    name: str
    legacy: bool | None
    """True where it is of iptables' own kernel part and not of nftables'; None where the text does not say."""
    kind: str = ""
    """`filter`, `nat` or `route`; empty without a hook."""
    hook: str = ""
    """`prerouting`, `forward`, ...; empty for a chain that is jumped to."""
    priority: int = 0
    policy: Literal["accept", "drop", "unknown"] = "accept"
    """`unknown` where the listing lacks it."""
    counted: int | None = field(default=None, compare=False)
    """Packets that the policy decided on; None where the listing does not count."""
    devices: tuple[str, ...] = ()
    """Of the hooks `ingress` and `egress`; empty where the source does not say."""
    rules: tuple[Rule, ...] = ()
    partial: bool = False
    """Whether rules may be missing: the text is what `grep` left of a listing."""

    @property
    def label(self) -> str:
        """`inet filter forward`."""
        return f"{self.family} {self.table} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """The rules of one network namespace, as a text lists them."""

    file: str
    source: str
    """`iptables-save`, `nft list ruleset`, `nft -j list ruleset`; several joined by `, `."""
    chains: tuple[Chain, ...]
    """Base chains of one hook and priority in the order of the source."""
    complete: bool = True
    """False where the text is cut short or a part was not understood: there may be further rules."""
    unlisted: frozenset[Place] = frozenset()
    """Where iptables may have chains that were not asked for: `iptables -L` lists one table of four."""

    def rules(self, *kinds: Kind) -> Iterator[Rule]:
        """Give the rules that have an action of one of these kinds; all without any."""
        for chain in self.chains:
            for rule in chain.rules:
                if not kinds or rule.kinds & set(kinds):
                    yield rule

    def without(self, chain: Chain, rule: Rule | None) -> Ruleset:
        """Return it without a rule, or with a base chain's policy changed to accept where *rule* is None."""
        return replace(
            self,
            chains=tuple(
                one
                if one.legacy != chain.legacy
                else replace(one, rules=tuple(other for other in one.rules if other != rule))
                if rule is not None
                else replace(one, policy="accept")
                if one.label == chain.label
                else one
                for one in self.chains
            ),
        )

    def unclear(self) -> list[str]:
        """What of it says something that is not understood, and that may end a packet's way."""
        return [
            action.target or rule.text
            for chain in self.chains
            for rule in chain.rules
            for action in rule.actions
            if action.kind == "unknown"
        ]

    def since(self, before: Ruleset) -> list[tuple[Rule, int]]:
        """Give the rules whose counters rose since *before*, with the packets counted in between."""
        then = {(rule.chain, rule.number, rule.text): rule.packets for rule in before.rules()}
        rose = []
        for rule in self.rules():
            count = then.get((rule.chain, rule.number, rule.text))
            if count is not None and rule.packets is not None and rule.packets > count:
                rose.append((rule, rule.packets - count))
        return rose
