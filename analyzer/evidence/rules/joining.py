"""Several listings of one namespace's rules to what was in force, once or at several times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from analyzer.evidence.rules.model import Chain, Place, Ruleset

Key = tuple[str, str, bool]
"""Family and name of a table, and whether it is of iptables' own kernel part."""
_RANKS = {
    "iptables-save": 0,
    "iptables -S": 1,
    "nft list ruleset": 2,
    "nft -j list ruleset": 3,
    "iptables -L": 4,
}
"""Where several tools list a table, the first one's wording is kept: it tells most."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """One table in one listing."""

    source: Ruleset
    chains: tuple[Chain, ...]

    @property
    def counted(self) -> int:
        """All packets that its rules counted."""
        return sum(rule.packets or 0 for chain in self.chains for rule in chain.rules)


def join(rulesets: Iterable[Ruleset]) -> tuple[Ruleset, ...]:
    """Join listings: those of different tables to one, those of one table to a row in the order of growth.

    iptables on top of nftables is listed twice, by `iptables-save` and by `nft`; iptables' wording is kept, since nft cannot
    print all of it, with nft's counters where iptables-save was told to print none, and the chains that only nft prints.
    """
    tables: dict[Key, dict[str, list[_Listed]]] = {}
    # A listing that does not say whose part of the kernel it is of belongs to what another one tells.
    for (family, table, legacy), listed in sorted(_tables(rulesets), key=lambda one: one[0][2] is None):
        theirs = (
            legacy
            if legacy is not None
            else (family, table, False) not in tables and (family, table, True) in tables
        )
        tables.setdefault((family, table, theirs), {}).setdefault(listed.source.source, []).append(listed)
    rows: list[list[_Listed]] = []
    for by_tool in tables.values():
        for row in by_tool.values():
            row.sort(key=lambda listed: listed.counted)
        best, *others = sorted(by_tool, key=lambda source: _RANKS.get(source, 9))
        twins = by_tool[others[0]] if others else []
        row = [_with_counters(listed, twins[-1:]) for listed in _pieced(by_tool[best])]
        rows += [row, *_further(row, twins)]
    times = max(map(len, rows), default=0)
    return tuple(_at(rows, time - times) for time in range(times))


def _tables(rulesets: Iterable[Ruleset]) -> Iterator[tuple[tuple[str, str, bool | None], _Listed]]:
    for ruleset in rulesets:
        tables: dict[tuple[str, str, bool | None], list[Chain]] = {}
        for chain in ruleset.chains:
            tables.setdefault((chain.family, chain.table, chain.legacy), []).append(chain)
        yield from ((key, _Listed(ruleset, tuple(chains))) for key, chains in tables.items())


def _pieced(row: list[_Listed]) -> list[_Listed]:
    """Put together what lists different chains of the table: `iptables -L FORWARD`, then `iptables -L INPUT`."""
    pieced: list[_Listed] = []
    for listed in row:
        last = pieced[-1] if pieced else None
        if last and not {chain.name for chain in last.chains} & {chain.name for chain in listed.chains}:
            source = replace(
                last.source,
                file=", ".join(dict.fromkeys((last.source.file, listed.source.file))),
                complete=last.source.complete and listed.source.complete,
                unlisted=last.source.unlisted & listed.source.unlisted,
            )
            pieced[-1] = _Listed(source, last.chains + listed.chains)
        else:
            pieced.append(listed)
    return pieced


def _unlisted(parts: list[_Listed], chains: tuple[Chain, ...]) -> frozenset[Place]:
    """Give the places that none of the listings shows."""
    # What iptables-save and `nft list ruleset` do not print, there is not.
    whole = {chain.family for part in parts for chain in part.chains if not part.source.unlisted}
    if any(part.source.source.startswith("nft") and not part.source.unlisted for part in parts):
        whole |= {"ip", "ip6"}
    listed = {Place(chain.family, chain.table, chain.hook) for chain in chains}
    return frozenset(
        place for part in parts for place in part.source.unlisted - listed if place.family not in whole
    )


def _at(rows: list[list[_Listed]], back: int) -> Ruleset:
    """Join what was in force so many listings before the end; a table that was listed less often stays."""
    parts = [row[max(0, len(row) + back)] for row in rows]
    chains = tuple(chain for part in parts for chain in part.chains)
    return Ruleset(
        file=", ".join(dict.fromkeys(part.source.file for part in parts)),
        source=", ".join(dict.fromkeys(part.source.source for part in parts)),
        chains=chains,
        complete=all(part.source.complete for part in parts),
        unlisted=_unlisted(parts, chains),
    )


def _further(row: list[_Listed], twins: list[_Listed]) -> Iterator[list[_Listed]]:
    """Give the chains that only the other tool lists.

    iptables prints no chains that only nft can make ("incompatible base-chains"); they are in force all the same.
    """
    known = {chain.name for listed in row for chain in listed.chains}
    further = [
        replace(twin, chains=tuple(chain for chain in twin.chains if chain.name not in known))
        for twin in twins
    ]
    if any(one.chains for one in further):
        yield further


def _with_counters(listed: _Listed, twins: list[_Listed]) -> _Listed:
    """Give the counters of another tool's listing to rules that come without."""
    if not twins:
        return listed
    others = {chain.name: chain.rules for twin in twins for chain in twin.chains}
    chains = []
    for chain in listed.chains:
        rules = others.get(chain.name, ())
        if len(rules) == len(chain.rules):
            chain = replace(
                chain,
                rules=tuple(
                    rule
                    if rule.packets is not None
                    else replace(rule, packets=other.packets, bytes=other.bytes)
                    for rule, other in zip(chain.rules, rules, strict=True)
                ),
            )
        chains.append(chain)
    return _Listed(listed.source, tuple(chains))
