"""What nft's text and its JSON have in common: the left sides of conditions, verdict maps, marks.

Both are brought to phrases as the text has them (`ip saddr`, `meta l4proto`) and to lists of the words that
each value consists of: `10.1.1.0/24 . 80-90` is `["10.1.1.0/24", "80-90"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from operator import or_

from analyzer.evidence.rules import values
from analyzer.evidence.rules.model import Action, Bits, Element, Match, Span

PRIORITIES = {
    "raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "out": 100, "security": 50, "srcnat": 100,
}  # fmt: skip
BRIDGE_PRIORITIES = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
"""nft(8), standard priority names; those of the bridge family differ."""
VERDICTS = frozenset({"accept", "drop", "return", "continue", "notrack"})

_SMALL = 16
# Phrase to the field and to what else must hold for it: kernel nft inserts such conditions itself.
_PHRASES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "iif": ("iif", ()), "iifname": ("iif", ()), "meta iif": ("iif", ()), "meta iifname": ("iif", ()),
    "oif": ("oif", ()), "oifname": ("oif", ()), "meta oif": ("oif", ()), "meta oifname": ("oif", ()),
    "ip saddr": ("src", (("family", "ipv4"),)), "ip daddr": ("dst", (("family", "ipv4"),)),
    "ip6 saddr": ("src", (("family", "ipv6"),)), "ip6 daddr": ("dst", (("family", "ipv6"),)),
    "ip protocol": ("proto", (("family", "ipv4"),)), "ip6 nexthdr": ("proto", (("family", "ipv6"),)),
    "meta l4proto": ("proto", ()), "meta nfproto": ("family", ()), "meta protocol": ("family", ()),
    "ether type": ("family", ()), "th sport": ("sport", ()), "th dport": ("dport", ()),
    "meta mark": ("mark", ()), "mark": ("mark", ()), "ct state": ("state", ()), "ct status": ("state", ()),
    "tcp flags": ("tcpflags", (("proto", "tcp"),)),
    "icmp type": ("icmp", (("proto", "icmp"),)), "icmpv6 type": ("icmpv6", (("proto", "icmpv6"),)),
    "fib daddr type": ("dsttype", ()), "fib saddr type": ("srctype", ()),
}  # fmt: skip
_PHRASES |= {
    f"{proto} {field}": (field, (("proto", proto),))
    for proto in values.PORTED
    for field in ("sport", "dport")
}
LONGEST = max(len(phrase.split()) for phrase in _PHRASES)


class Words(list[list[str]]):
    """The words of a set's keys, and what they mean as fields, read once however many rules name the set."""

    def __init__(self, said: Iterable[list[str]]) -> None:
        super().__init__(said)
        self.among: dict[tuple[str, ...], tuple[tuple[Element, ...], ...] | None] = {}


class Choices(list[tuple[list[str], Action]]):
    """What a verdict map has for which key, and the actions made of it, once however many rules name the map."""

    def __init__(self, said: Iterable[tuple[list[str], Action]]) -> None:
        super().__init__(said)
        self.made: dict[tuple[str, ...], Action] = {}


class Elements(list[tuple[list[str], "Action | None"]]):
    """Of a set or a map: the words of each key, and what a verdict map does for it."""

    @cached_property
    def words(self) -> Words:
        """The keys alone."""
        return Words(key for key, _ in self)

    @cached_property
    def choices(self) -> Choices:
        """The keys that have a verdict."""
        return Choices((key, action) for key, action in self if action)


def distinct(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Leave out conditions that are there twice; large sets are compared by identity, since rules share them."""
    found: dict[tuple[object, ...], Match] = {}
    for match in matches:
        among: object = match.among if len(match.among) < _SMALL else id(match.among)
        found.setdefault((match.fields, match.negated, among), match)
    return tuple(found.values())


def phrase(words: Sequence[str]) -> str | None:
    """Give the known left side that these words begin with; None if there is none."""
    for length in range(min(LONGEST, len(words)), 0, -1):
        if (known := " ".join(words[:length])) in _PHRASES:
            return known
    return None


def implied(text: str, left: Sequence[str]) -> list[Match]:
    """Make the conditions that phrases imply: `tcp dport` that the protocol is TCP."""
    extra = dict.fromkeys(extra for part in left if part in _PHRASES for extra in _PHRASES[part][1])
    return [values.match(text, field, [word]) for field, word in extra]


def condition(text: str, left: Sequence[str], op: str, right: Sequence[Sequence[str]]) -> list[Match]:
    """Make the conditions that `left op right` sets, what it implies first.

    Args:
        text: As the source writes it.
        left: Phrases; several are a concatenation. One that is not known makes a condition that is not
            understood.
        op: `==`, `!=`, `<`, `>`, `<=`, `>=`, or `in` (JSON's for flags and ct state).
        right: The values, each a word per phrase.
    """
    if any(part not in _PHRASES for part in left) or not left:
        return [Match(text=text)]
    conditions = implied(text, left)
    fields = tuple(_PHRASES[part][0] for part in left)
    if op in ("<", ">", "<=", ">="):
        among = _compared(fields, op, right)
    elif fields == ("tcpflags",):
        return [*conditions, *_flags(text, op, right)]
    else:
        among = keys(fields, right)
    if among is None:
        return [*conditions, Match(text=text)]
    return [*conditions, Match(text=text, fields=fields, among=among, negated=op == "!=")]


def masked(text: str, left: str, mask: str, op: str, value: str) -> list[Match]:
    """Make the conditions that `left & mask op value` sets."""
    if left in ("meta mark", "mark"):
        bits, of = values.number(value), values.number(mask)
    elif left == "tcp flags":
        bits, of = values.flags(value), values.flags(mask)
    else:
        return [Match(text=text)]
    field = _PHRASES[left][0]
    if bits is None or of is None or op not in ("==", "!="):
        return [Match(text=text)]
    return [
        *implied(text, [left]),
        Match(text=text, fields=(field,), among=((Bits(bits, of),),), negated=op == "!="),
    ]


def keys(fields: Sequence[str], right: Sequence[Sequence[str]]) -> tuple[tuple[Element, ...], ...] | None:
    """Read values, each a word per field; None where one is not understood."""
    if not isinstance(right, Words):
        return _keys(fields, right)
    of = tuple(fields)
    if of not in right.among:
        right.among[of] = _keys(fields, right)
    return right.among[of]


def _keys(fields: Sequence[str], right: Sequence[Sequence[str]]) -> tuple[tuple[Element, ...], ...] | None:
    among = []
    for words in right:
        if len(words) != len(fields):
            return None
        key = tuple(values.element(field, word) for field, word in zip(fields, words, strict=True))
        if None in key:
            return None
        among.append(tuple(part for part in key if part is not None))
    return tuple(among) or None


def choose(left: Sequence[str], choices: Sequence[tuple[Sequence[str], Action]]) -> Action:
    """Make a verdict map's action; with a left side that is not understood each choice remains possible."""
    if not isinstance(choices, Choices):
        return _choose(left, choices)
    of = tuple(left)
    if of not in choices.made:
        choices.made[of] = _choose(left, choices)
    return choices.made[of]


def _choose(left: Sequence[str], choices: Sequence[tuple[Sequence[str], Action]]) -> Action:
    fields = tuple(_PHRASES[part][0] for part in left if part in _PHRASES)
    found = keys(fields, [words for words, _ in choices]) if len(fields) == len(left) and fields else None
    if found is None:
        return Action(kind="choose", choices=tuple(((), action) for _, action in choices))
    return Action(
        kind="choose",
        fields=fields,
        choices=tuple((key, action) for key, (_, action) in zip(found, choices, strict=True)),
    )


def marked(words: Sequence[str]) -> Action:
    """Read what the mark is set to: `0x2`, `meta mark | 0x4000`, `mark xor 0x4000`."""
    said = [word for word in words if word not in ("meta", "mark", "(", ")")]
    operation, operand = (
        ("", said[0]) if len(said) == 1 else (said[0], said[1]) if len(said) == 2 else ("", "")
    )
    value, mask = values.number(operand), values.MASK
    if value is None or (not operation and len(words) > 1):
        return Action(kind="mark")
    if operation in ("|", "or"):
        return Action(kind="mark", mark=Bits(value, value))
    if operation in ("^", "xor"):
        return Action(kind="mark", mark=Bits(value, 0))
    if operation in ("&", "and"):
        return Action(kind="mark", mark=Bits(0, mask & ~value))
    return Action(kind="mark", mark=Bits(value, mask)) if not operation else Action(kind="mark")


def translation(kind: str, address: str, ports: str, flags: Sequence[str]) -> Action:
    """Make a translation's action."""
    if ports:
        address = f"[{address}]" if address.count(":") > 1 and not address.startswith("[") else address
        address = f"{address}:{ports}"
    return Action(kind=kind, target=address, flags=frozenset(flags))  # type: ignore[arg-type] # one of NAT


def priority(text: str, family: str) -> int | None:
    """Read a chain's priority: `-100`, `filter`, `srcnat + 5`."""
    said = re.fullmatch(r"(-?\d{1,10})|([a-z]+)(?: ?([+-]) ?(\d{1,10}))?", text)
    if not said:
        return None
    if said[1]:
        return int(said[1])
    base = (BRIDGE_PRIORITIES if family == "bridge" else PRIORITIES).get(said[2])
    return None if base is None else base + int((said[3] or "+") + (said[4] or "0"))


def _compared(
    fields: Sequence[str], op: str, right: Sequence[Sequence[str]]
) -> tuple[tuple[Element, ...], ...] | None:
    if len(fields) != 1 or fields[0] not in values.PORTS or len(right) != 1 or len(right[0]) != 1:
        return None
    bound = values.number(right[0][0])
    if bound is None:
        return None
    low, high = {
        "<": (0, bound - 1), "<=": (0, bound), ">": (bound + 1, 0xFFFF), ">=": (bound, 0xFFFF),
    }[op]  # fmt: skip
    return ((Span(low, high),),)


def _flags(text: str, op: str, right: Sequence[Sequence[str]]) -> list[Match]:
    """Read `tcp flags syn,ack`, which holds where one of them is set, and `tcp flags == syn`."""
    bits = [values.flags(",".join(words)) for words in right]
    known = [one for one in bits if one is not None]
    if not known or len(known) != len(bits) or (op == "!=" and len(known) > 1):
        return [Match(text=text)]
    among = ((Bits(0, reduce(or_, known)),),) if op == "in" else tuple((Bits(one, 0xFF),) for one in known)
    return [Match(text=text, fields=("tcpflags",), among=among, negated=op in ("in", "!="))]
