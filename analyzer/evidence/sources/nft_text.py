"""`nft list ruleset`, with `-a` or `-s` or without: tables, chains, sets and maps.

iptables extensions that nft cannot print (`xt match "physdev"`) are not understood; add `iptables-save` for these.
Rules are taken as they are listed, although nft 1.0.6 compiles `udp sport != 1 udp dport != 2` to one comparison of
both ports (`nft --debug=netlink`, measured), which fails only where both are equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, cast

from analyzer.evidence.facts import Caveat, Fact, begins
from analyzer.evidence.rules import nft
from analyzer.evidence.rules.expressions import Elements, parse_elements, parse_rule, words
from analyzer.evidence.rules.model import Chain, Rule, Ruleset, shown
from analyzer.evidence.sources import RULES

PURPOSE = RULES

_TABLE = re.compile(r"table (ip|ip6|inet|arp|bridge|netdev) (\S{1,256}) \{")
_BLOCK = re.compile(r"(chain|set|map) (\S{1,256}) \{")
_BASE = re.compile(
    r"type (\w+) hook (\w+)(?: devices? (?:= )?(\{[^}]*\}|\S+))? priority ([^;]{1,40}); ?(?:policy (accept|drop);)?"
)
_HANDLE = re.compile(r" # handle (\d{1,19})$")
_EXTENSION = re.compile(r"# (?:xt_|match |target )\"?(\w{1,40})\"?")
"""How nft before 1.0 writes what it cannot print of iptables' extensions."""
_PARTIAL = re.compile(r"\bnft (?:-\S+ )*list (?:table|chain|map|set)\b|\bnft [^\n|]{0,80}\|")
_LONGEST = 8 << 20
"""Characters of one rule or set; a set of a hundred thousand addresses has 2 million."""


def recognises(head: str) -> bool:
    return begins(head, _TABLE.pattern)


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the ruleset; several listings in a row are several."""
    listing = _Listing()
    for line in _lines(text):
        table = None if listing.blocks else _TABLE.match(line)
        if table and listing.has(table[1], table[2]):
            yield Ruleset(file=file, source="nft list ruleset", chains=tuple(listing.chains))
            listing = _Listing()
        listing.read(line)
    last = text[-300:].rpartition("\n")[2]
    cut = bool(listing.blocks) or (last.startswith("t") and "table ".startswith(last[:6]))
    if cut:
        where = shown(listing.blocks[-1]) if listing.blocks else last
        yield Caveat(says=f"{file}: the rules are cut short within {where!r}")
        listing.close()
    # The command is above its output: `nft list table` leaves the other tables open.
    part = _PARTIAL.search(text, 0, 4000) is not None
    yield Ruleset(
        file=file, source="nft list ruleset", chains=tuple(listing.chains), complete=not cut and not part
    )


def _extension(said: re.Match[str]) -> str:
    return f'xt {"target" if said[1].isupper() else "match"} "{said[1]}"'


def _lines(text: str) -> Iterator[str]:
    """Give lines with their sets in one piece, without handles (`# handle 5`)."""
    pending: list[str] = []
    depth = length = 0
    for raw in text.splitlines():
        line = _EXTENSION.sub(_extension, raw.strip()) if "#" in raw else raw.strip()
        said = words(line)
        # A rule keeps its handle, which is what it is deleted by; that of a chain or table is of no use.
        if "#" in said and not _HANDLE.search(line):
            said = said[: said.index("#")]
            line = line[: line.rindex("#")].rstrip()
        elif "#" in said and (said[0] in ("table", "chain", "set", "map") or "{" in said[-4:]):
            line = _HANDLE.sub("", line)
            said = words(line)
        if not said:
            continue
        if not pending and (said[-1] == "{" or said == ["}"]):
            yield line
            continue
        pending.append(line)
        depth += said.count("{") - said.count("}")
        length += len(line)
        if depth <= 0 or length > _LONGEST:
            yield " ".join(pending)
            pending, depth, length = [], 0, 0
    if pending:
        yield " ".join(pending)


class _Listing:
    """What was read so far; rules are parsed at the end of their table, when its sets are known."""

    def __init__(self) -> None:
        self.chains: list[Chain] = []
        self.blocks: list[str] = []
        """The lines that opened the blocks around the present line."""
        self._seen: set[tuple[str, str]] = set()
        self._family = self._table = ""
        self._sets: dict[str, Elements] = {}
        self._rules: dict[str, list[str]] = {}

    def has(self, family: str, table: str) -> bool:
        """Say whether the table was read before, so that another listing begins."""
        return (family, table) in self._seen

    def read(self, line: str) -> None:
        """Read a line: a block's begin or end, or what stands in it."""
        if line == "}":
            if self.blocks:
                self.blocks.pop()
                if not self.blocks:
                    self.close()
        elif line.endswith("{") and len(self.blocks) < 3:
            if not self.blocks and (table := _TABLE.match(line)):
                self._family, self._table = table[1], table[2]
                self._seen.add((table[1], table[2]))
            elif self.blocks and (block := _BLOCK.match(line)):
                if block[1] == "chain":
                    self._rules.setdefault(block[2], [])
                else:
                    self._sets.setdefault(block[2], Elements())
            elif not self.blocks:
                return
            self.blocks.append(line)
        elif len(self.blocks) == 2 and (block := _BLOCK.match(self.blocks[1])):
            if block[1] == "chain":
                self._rules[block[2]].append(line)
            elif line.startswith("elements = {"):
                self._sets[block[2]] = parse_elements(words(line)[3:-1])

    def close(self) -> None:
        """End the table."""
        self.chains += [self._chain(name, lines) for name, lines in self._rules.items()]
        self._sets, self._rules = {}, {}

    def _chain(self, name: str, lines: list[str]) -> Chain:
        label = f"{self._family} {self._table} {name}"
        base = _BASE.match(lines[0]) if lines else None
        priority = nft.priority(base[4].strip(), self._family) if base else None
        said = [line for line in lines[1 if base else 0 :] if not line.startswith("comment ")]
        rules = tuple(_rule(line, label, number, self._sets) for number, line in enumerate(said, start=1))
        if not base:
            return Chain(family=self._family, table=self._table, name=name, legacy=False, rules=rules)
        return Chain(
            family=self._family,
            table=self._table,
            name=name,
            legacy=False,
            kind=base[1],
            hook=base[2],
            priority=priority or 0,
            policy=cast("Literal['accept', 'drop']", base[5] or "accept"),
            devices=tuple(word.strip('"') for word in words(base[3] or "") if word not in "{},="),
            rules=rules,
        )


def _rule(line: str, label: str, number: int, sets: dict[str, Elements]) -> Rule:
    handle = _HANDLE.search(line)
    rule = parse_rule(line[: handle.start()] if handle else line, label, number, sets)
    return replace(rule, handle=int(handle[1])) if handle else rule
