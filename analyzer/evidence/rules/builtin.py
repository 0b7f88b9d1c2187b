"""iptables' own tables: which hooks each has a chain at, and what a listing of some of them leaves open."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from analyzer.evidence.rules.model import Chain, Place, Rule

HOOKS = {
    "PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward", "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}  # fmt: skip
PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
"""include/uapi/linux/netfilter_ipv4.h; SNAT's, at INPUT and POSTROUTING, is 100."""
TABLES = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
"""The built-in chains of each table; `security` is for labels (SELinux) and is left out."""
_COMMAND = re.compile(r"\b(ip6?tables)(?:-(legacy|nft))?(?:-save)?\b(?P<options>[^\n|;]{0,200})(?P<pipe>\|)?")
_TABLE = re.compile(r"(?:-t|--table)[ =](filter|nat|mangle|raw|security)\b")
_NAT = re.compile(r"\b(?:MASQUERADE|[SD]NAT|REDIRECT|NETMAP)\b")
_RAW = re.compile(r"\bNOTRACK\b|\bCT\b.*notrack")


@dataclass(frozen=True, slots=True)
class Command:
    """What the command above an output tells of it; what it does not tell is empty."""

    family: str = ""
    table: str = ""
    legacy: bool | None = None
    piped: bool = False
    """Whether something stood between the tool and the file, which may have left lines out."""


def command(line: str) -> Command | None:
    """Read a line with a command of iptables'; None where there is none, as in comments of rules."""
    said = _COMMAND.search(line[:400])
    if not said or line.lstrip().startswith(("-", ":", "*", "[")):
        return None
    table = _TABLE.search(said["options"])
    return Command(
        family="ip6" if said[1] == "ip6tables" else "ip",
        table=table[1] if table else "",
        legacy=None if said[2] is None else said[2] == "legacy",
        piped=said["pipe"] is not None,
    )


def table_of(built_in: Collection[str], rules: str) -> str:
    """Tell a table by the built-in chains that are listed together, else by what its rules do.

    Without either it is taken for `filter`, which the tools list when they are not told which.
    """
    if {"PREROUTING", "FORWARD"} <= set(built_in):
        return "mangle"
    if "FORWARD" in built_in:
        return "filter"
    if "POSTROUTING" in built_in:
        return "nat"
    if "PREROUTING" in built_in:
        return "nat" if "INPUT" in built_in or _NAT.search(rules) else "raw"
    if "INPUT" not in built_in and _NAT.search(rules):
        return "nat"
    return "raw" if _RAW.search(rules) and not built_in else "filter"


def priority(table: str, hook: str) -> int:
    """Give the priority at which a table's chain is asked."""
    return 100 if table == "nat" and hook in ("input", "postrouting") else PRIORITIES[table]


def chain(
    family: str,
    table: str,
    name: str,
    policy: str | None,
    rules: Iterable[Rule],
    *,
    legacy: bool | None,
    counted: int | None = None,
    partial: bool = False,
) -> Chain:
    """Make a chain of a listing; without a *policy* (`ACCEPT`, `DROP`, `UNKNOWN`) it is one that is jumped to."""
    hook = HOOKS.get(name, "") if policy and policy != "-" else ""
    return Chain(
        family=family,
        table=table,
        name=name,
        legacy=legacy,
        kind=("nat" if table == "nat" else "filter") if hook else "",
        hook=hook,
        priority=priority(table, hook) if hook else 0,
        policy="drop" if policy == "DROP" else "unknown" if policy == "UNKNOWN" else "accept",
        counted=counted,
        rules=tuple(rules),
        partial=partial,
    )


def unlisted(family: str, listed: Collection[tuple[str, str]]) -> frozenset[Place]:
    """Give the places of iptables' chains that are not among those listed, each a table and a built-in chain."""
    return frozenset(
        Place(family, table, HOOKS[chain])
        for table, chains in TABLES.items()
        for chain in chains
        if (table, chain) not in listed and (table, chain) != ("nat", "INPUT")
    )
