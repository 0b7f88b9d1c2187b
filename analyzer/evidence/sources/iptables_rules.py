"""`iptables -S`, and what `grep` leaves of `iptables-save`: rules without the frame of their table.

The command above them shows which table it is, otherwise the chains in the listing. A chain without its policy or
declaration (`-P`, `-N`) is incomplete, and the other tables are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from analyzer.evidence.facts import Caveat, Fact, begins
from analyzer.evidence.rules import builtin
from analyzer.evidence.rules.builtin import HOOKS, TABLES, Command, command, table_of, unlisted
from analyzer.evidence.rules.model import Chain, Ruleset
from analyzer.evidence.sources import RULES, ebtables, iptables_save
from analyzer.evidence.sources.iptables_save import IPV6, make_rule

PURPOSE = RULES

_FRAME = re.compile(r"\*(filter|nat|mangle|raw|security)")
_DECLARED = re.compile(r"-([PN]) (\S{1,256})(?: (ACCEPT|DROP))?(?: -c \d{1,20} \d{1,20})?")
_SAVED = re.compile(r":(\S{1,256}) (ACCEPT|DROP|-)(?: \[\d{1,20}:\d{1,20}\])?")
_RULE = re.compile(r"(?:\[(\d{1,20}):(\d{1,20})\] )?-A (\S{1,256})((?: .*)?)")
_COUNTED = re.compile(r" -c (\d{1,20}) (\d{1,20})(?= |$)")
_LEGACY = re.compile(r"# Warning: ip6?tables-legacy tables present")


def recognises(head: str) -> bool:
    rest = ebtables.PRINTED.sub("", head)
    rules = begins(rest, r"\s*(?:\[\d+:\d+\] )?(?:-A \S+ .*-[jg] \S|-P [A-Z]+ (?:ACCEPT|DROP)\b)")
    return rules and not iptables_save.recognises(head)


@dataclass
class _Section:
    """What is of one table."""

    said: Command
    table: str = ""
    policies: dict[str, str] = field(default_factory=dict)
    rules: dict[str, list[tuple[str, tuple[str | None, str | None]]]] = field(default_factory=dict)


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield a ruleset for each table; what is not listed of it stays open."""
    said, legacy = Command(), False
    section = _Section(said)
    for raw in ebtables.PRINTED.sub("", text).splitlines():
        line = raw.strip()
        if not line or ebtables.OWN.search(line):
            continue
        declared, saved = _DECLARED.fullmatch(line), _SAVED.fullmatch(line)
        if _LEGACY.match(line):
            legacy = True
        elif asked := command(line):
            yield from _ruleset(section, file, legacy=legacy)
            said, section = asked, _Section(asked)
        elif frame := _FRAME.fullmatch(line):
            yield from _ruleset(section, file, legacy=legacy)
            section = _Section(said, frame[1])
        elif declared:
            name = declared[2]
            # Policies come first, so one behind rules, or again, is of the next listing.
            if declared[1] == "P" and (name in section.policies or any(section.rules.values())):
                yield from _ruleset(section, file, legacy=legacy)
                section = _Section(said)
            section.policies[name] = declared[3] or "-"
            section.rules.setdefault(name, [])
        elif saved:
            section.policies[saved[1]] = saved[2]
            section.rules.setdefault(saved[1], [])
        elif rule := _RULE.fullmatch(line):
            counted = _COUNTED.search(rule[4])
            counts = (counted[1], counted[2]) if counted else (rule[1], rule[2])
            section.rules.setdefault(rule[3], []).append((_COUNTED.sub("", rule[4], count=1).strip(), counts))
    yield from _ruleset(section, file, legacy=legacy)


def _ruleset(section: _Section, file: str, *, legacy: bool) -> Iterator[Fact]:
    if not section.rules:
        return
    said = section.said
    built_in = [name for name in section.rules if name in HOOKS]
    options = [text for rules in section.rules.values() for text, _ in rules]
    table = section.table or said.table or table_of(built_in, "\n".join(options))
    family = said.family or ("ip6" if any(IPV6.search(text) for text in options) else "ip")
    chains = tuple(
        _chain(section, name, family, table, legacy=False if legacy else said.legacy)
        for name in section.rules
    )
    partial = any(chain.partial for chain in chains)
    if partial:
        yield Caveat(
            says=f"{file}: only a part of the rules of the table {table!r}; the missing ones are treated as unknown"
        )
    yield Ruleset(
        file=file,
        source="iptables -S",
        chains=chains,
        complete=not partial and not legacy and table in TABLES,
        unlisted=unlisted(family, {(table, name) for name in built_in}),
    )


def _chain(section: _Section, name: str, family: str, table: str, *, legacy: bool | None) -> Chain:
    declared = section.policies.get(name)
    rules = (
        make_rule(name, text, counted, f"{family} {table} {name}", number, section.rules)
        for number, (text, counted) in enumerate(section.rules[name], start=1)
    )
    policy = declared or ("UNKNOWN" if name in HOOKS else None)
    partial = declared is None or section.said.piped
    return builtin.chain(family, table, name, policy, rules, legacy=legacy, partial=partial)
