"""`iptables -L -v -n`, with `-x` or without, as sosreport and Retina ask for it: a table for people to read.

Which of iptables' tables it is, its built-in chains tell. Other listings of the same rules tell more exactly
what a rule compares, so this one is used only where there is none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.evidence.rules import values
from analyzer.evidence.rules.model import Action, Chain, Match, Rule, Ruleset, shown
from analyzer.evidence.rules.options import parse_options
from analyzer.evidence.sources.iptables_save import HOOKS, PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from analyzer.evidence.facts import Fact

_CHAIN = re.compile(r"Chain (\S{1,256}) \((?:policy (\w+)|\d+ references)")
_HEAD = re.compile(r"^ *pkts +bytes +target +prot +opt +in +out +source +destination", re.MULTILINE)
_COUNT = re.compile(r"(\d{1,20})([KMGT]?)")
_SCALE = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_COMMENT = re.compile(r"/\* .*? \*/")
# What stands behind the addresses, to the options that iptables-save has for it; `!` goes before them.
_TOLD: tuple[tuple[str, str], ...] = (
    (r"\b(?:tcp|udp|sctp|dccp|icmp|icmpv6|ipv6-icmp)(?= |$)(?! match)", ""),
    (r"\b(?P<side>[sd])pts?:(?P<no>!?)(?P<value>[\d:]+)", "-m tcp {no} --{side}port {value}"),
    (r"\bmultiport (?P<side>[sd])ports (?P<no>! ?)?(?P<value>[\d:,]+)", "-m multiport {no} --{side}ports {value}"),
    (r"\bflags:(?P<no>!?)(?P<mask>0x\w+)/(?P<value>0x\w+)", "-m tcp {no} --tcp-flags {mask} {value}"),
    (r"(?P<no>! )?\b(?:ct)?state (?P<value>[A-Z,]+)", "-m conntrack {no} --ctstate {value}"),
    (r"\bmark match (?P<no>! )?(?P<value>[\w/]+)", "-m mark {no} --mark {value}"),
    (r"\bicmp ?type (?P<value>\d+)(?= |$)", "-m icmp --icmp-type {value}"),
    (r"\bipv6-icmp ?type (?P<value>\d+)(?= |$)", "-m icmp6 --icmpv6-type {value}"),
    (r"\bADDRTYPE match (?P<side>src|dst)-type (?P<no>!?)(?P<value>[A-Z]+)(?= |$)", "-m addrtype {no} --{side}-type {value}"),
    (r"\bsource IP range (?P<no>!? ?)(?P<value>\S+-\S+)", "-m iprange {no} --src-range {value}"),
    (r"\bdestination IP range (?P<no>!? ?)(?P<value>\S+-\S+)", "-m iprange {no} --dst-range {value}"),
    (r"\bPHYSDEV match (?P<value>(?:(?:! )?--physdev-\S+(?: (?!-|!)\S+)? ?)+)", "-m physdev {value}"),
)  # fmt: skip
_TARGETS: dict[str, tuple[tuple[str, str], ...]] = {
    "REJECT": ((r"\breject-with (?P<value>\S+)", "--reject-with {value}"),),
    "MASQUERADE": ((r"\bmasq ports: (?P<value>\S+)", "--to-ports {value}"),),
    "REDIRECT": ((r"\bredir ports (?P<value>\S+)", "--to-ports {value}"),),
    "SNAT": ((r"\bto:(?P<value>\S+)", "--to-source {value}"),),
    "DNAT": ((r"\bto:(?P<value>\S+)", "--to-destination {value}"),),
    "CT": ((r"\b(?:CT )?(?P<value>notrack)", "--{value}"),),
    "LOG": ((r"\bLOG flags .*?(?:prefix \"(?P<value>[^\"]*)\".*)?$", "--log-prefix {value}"),),
}
_FLAGS = r"\b(?P<value>random-fully|random|persistent)\b"
_MARK = re.compile(r"\bMARK (set|or|and|xor|xset) (0x[\da-f]+)(?:/(0x[\da-f]+))?")


def recognises(head: str) -> bool:
    """Say whether a chain's head is there, with counters."""
    return _CHAIN.search(head) is not None and _HEAD.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield a ruleset for every table that is listed."""
    listing: dict[str, tuple[str | None, list[str]]] = {}
    name = ""
    for raw in text.splitlines():
        line = raw.strip()
        if chain := _CHAIN.match(line):
            if (
                chain[1] == "PREROUTING"
                or (chain[1] == "INPUT" and name != "PREROUTING")
                or chain[1] in listing
            ):
                yield from _ruleset(listing, file)
                listing = {}
            name = chain[1]
            listing[name] = (chain[2], [])
        elif not line:
            continue
        elif name and not _HEAD.match(line):
            listing[name][1].append(line)
    yield from _ruleset(listing, file)


def _ruleset(listing: dict[str, tuple[str | None, list[str]]], file: str) -> Iterator[Ruleset]:
    built_in = {name for name, (policy, _) in listing.items() if policy and name in HOOKS}
    table = (
        "" if not built_in
        else "mangle" if {"PREROUTING", "FORWARD"} <= built_in
        else "nat" if "POSTROUTING" in built_in
        else "raw" if "PREROUTING" in built_in
        else "filter"
    )  # fmt: skip
    if not table:
        return
    ipv6 = any("::/0" in line for _, lines in listing.values() for line in lines)
    family = "ip6" if ipv6 else "ip"
    chains = []
    for name, (policy, lines) in listing.items():
        hook = HOOKS.get(name, "") if policy else ""
        rules = (
            _rule(line, f"{family} {table} {name}", number, listing)
            for number, line in enumerate(lines, start=1)
        )
        chains.append(
            Chain(
                family=family,
                table=table,
                name=name,
                legacy=None,
                kind=("nat" if table == "nat" else "filter") if hook else "",
                hook=hook,
                priority=100
                if table == "nat" and hook in ("input", "postrouting")
                else PRIORITIES[table]
                if hook
                else 0,
                policy="drop" if policy == "DROP" else "accept",
                rules=tuple(rules),
            )
        )
    yield Ruleset(file=file, source="iptables -L", chains=tuple(chains))


def _rule(line: str, chain: str, number: int, chains: Collection[str]) -> Rule:
    """Read a row; one that is none may hide a rule, so it stays as one that is not understood."""
    cells = line.split()
    at = next((n for n in range(4, len(cells) - 1) if _is_net(cells[n]) and _is_net(cells[n + 1])), 0)
    counted = [_COUNT.fullmatch(cell) for cell in cells[:2]]
    if not at or len(counted) < 2 or not counted[0] or not counted[1]:
        unknown = Action(kind="unknown", target=shown(line))
        return Rule(
            chain=chain,
            number=number,
            text=shown(line),
            matches=(Match(text=shown(line)),),
            actions=(unknown,),
        )
    before = [cell for cell in cells[2 : at - 2] if cell not in ("--", "-f", "!f")]
    target, protocol = (before[0], before[1]) if len(before) > 1 else ("", before[0] if before else "0")
    # Behind the last end of a comment none is looked for: a search from each beginning would take the square of the row.
    comments, end, rest = " ".join(cells[at + 2 :]).rpartition(" */")
    rest = (_COMMENT.sub(" ", comments + end) + rest).strip()
    options, rest = _translated(rest, target)
    said: list[str] = []
    for option, value, everything in (
        ("-p", protocol, ("0", "all")), ("-i", cells[at - 2], ("*",)), ("-o", cells[at - 1], ("*",)),
        ("-s", cells[at], ("0.0.0.0/0", "::/0")), ("-d", cells[at + 1], ("0.0.0.0/0", "::/0")),
    ):  # fmt: skip
        if value not in everything:
            said += [*["!"] * value.startswith("!"), option, value.lstrip("!")]
    matches, actions = parse_options([*said, *options], chains)
    if rest:
        matches.append(Match(text=shown(rest)))
    packets, size = (int(count[1]) * _SCALE[count[2]] for count in counted if count)
    return Rule(
        chain=chain,
        number=number,
        text=shown(" ".join(cells[2:])),
        matches=tuple(matches),
        actions=tuple(actions),
        packets=packets,
        bytes=size,
    )


def _translated(rest: str, target: str) -> tuple[list[str], str]:
    """Bring what stands behind the addresses to options, with the target's last; give what is left over."""
    options: list[str] = []
    for pattern, option in _TOLD:
        for told in re.finditer(pattern, rest):
            options += _filled(option, told)
        rest = re.sub(pattern, " ", rest)
    goto = "[goto]" in rest
    rest = rest.replace("[goto]", " ")
    if target:
        options += ["-g" if goto else "-j", target]
    for pattern, option in _TARGETS.get(target, ()):
        for told in re.finditer(pattern, rest):
            options += _filled(option, told)
        rest = re.sub(pattern, " ", rest)
    if target in ("MASQUERADE", "SNAT", "DNAT", "REDIRECT"):
        options += [f"--{told['value']}" for told in re.finditer(_FLAGS, rest)]
        rest = re.sub(_FLAGS, " ", rest)
    if target == "MARK" and (mark := _MARK.search(rest)):
        options += ["--set-xmark", _xmark(mark[1], mark[2], mark[3])]
        rest = _MARK.sub(" ", rest)
    return options, " ".join(rest.split())


def _filled(option: str, told: re.Match[str]) -> list[str]:
    groups = {name: value or "" for name, value in told.groupdict().items()}
    groups["no"] = "!" if groups.get("no", "").strip() else ""
    return option.format(**groups).split()


def _xmark(how: str, value: str, mask: str | None) -> str:
    number = int(value, 16) & values.MASK
    return {
        "set": f"{value}/{mask or '0xffffffff'}", "or": f"{value}/{value}", "xor": f"{value}/0x0",
        "and": f"0x0/{~number & values.MASK:#x}", "xset": f"{value}/{mask or '0xffffffff'}",
    }[how]  # fmt: skip


def _is_net(cell: str) -> bool:
    return values.element("src", cell.lstrip("!")) is not None and "-" not in cell
