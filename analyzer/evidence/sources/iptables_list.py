"""`iptables -L`, with `-v`, `-n`, `-x`, `--line-numbers` or without: a table for people to read, often of one chain.

The command above it or its built-in chains show which table it is; the other tables stay unknown. Other listings
of the same rules are more exact, so this one is used only if there is none. Without `-v` it hides a rule's
interfaces, so whether the rule applies to a packet is unknown. Without `-n` it has names instead of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from analyzer.capture.listing.listed import SERVICES
from analyzer.evidence.facts import Caveat, Fact
from analyzer.evidence.rules import builtin, values
from analyzer.evidence.rules.builtin import HOOKS, TABLES, Command, command, table_of, unlisted
from analyzer.evidence.rules.model import Action, Match, Rule, Ruleset, shown
from analyzer.evidence.rules.options import parse_options
from analyzer.evidence.sources import RULES
from analyzer.evidence.unwrapping import prompted

PURPOSE = RULES

_CHAIN = re.compile(r"Chain (\S{1,256}) \((?:policy (\w+)(?: (\d{1,20})([KMGT]?) packets)?|\d+ references)")
_HEAD = re.compile(
    r"^ *(?P<num>num +)?(?P<counts>pkts +bytes +)?target +prot +opt +(?P<interfaces>in +out +)?source +destination",
    re.MULTILINE,
)
_LEGACY = re.compile(r"^# Warning: ip6?tables-legacy tables present", re.MULTILINE)
_COUNT = re.compile(r"(\d{1,20})([KMGT]?)")
_SCALE = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_OPTIONS = ("--", "-f", "!f")
_EVERYTHING = ("0", "all", "*", "any", "anywhere", "0.0.0.0/0", "::/0")
_COMMENT = re.compile(r"/\* .*? \*/")
# What stands behind the addresses, to the options that iptables-save has for it; `!` goes before them.
_TOLD: tuple[tuple[str, str], ...] = (
    (r"\b(?:tcp|udp|sctp|dccp|icmp|icmpv6|ipv6-icmp)(?= |$)(?! match)", ""),
    (r"\b(?P<side>[sd])pts?:(?P<no>!?)(?P<value>[\w:-]+)", "-m tcp {no} --{side}port {value}"),
    (r"\bmultiport (?P<side>[sd])ports (?P<no>! ?)?(?P<value>[\w:,-]+)", "-m multiport {no} --{side}ports {value}"),
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
_SERVICES = SERVICES | {
    "sunrpc": 111, "imap": 143, "isakmp": 500, "syslog": 514, "submission": 587, "openvpn": 1194, "ipsec-nat-t": 4500,
    "x11": 6000, "webcache": 8080, "memcached": 11211,
}  # fmt: skip
"""/etc/services, as far as rules of a node ask for them; a name that is not here is not understood."""
_NAME = re.compile(r"[a-z][\w-]*")
_FLAGS = r"\b(?P<value>random-fully|random|persistent)\b"
_MARK = re.compile(r"\bMARK (set|or|and|xor|xset) (0x[\da-f]+)(?:/(0x[\da-f]+))?")


def recognises(head: str) -> bool:
    return _CHAIN.search(head) is not None and _HEAD.search(head) is not None


@dataclass
class _Section:
    """What is listed of one table."""

    said: Command = field(default_factory=Command)
    policies: dict[str, str | None] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    columns: _Columns = field(default_factory=lambda: _Columns(num=False, counts=True, interfaces=True))


@dataclass(frozen=True)
class _Columns:
    """Which columns there are beside those that always are."""

    num: bool
    counts: bool
    interfaces: bool


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield a ruleset for every table that is listed."""
    section = _Section()
    name = last = ""
    legacy = _LEGACY.search(text) is not None
    for raw in text.splitlines():
        line = raw.strip()
        if chain := _CHAIN.match(line):
            again = chain[1] in section.rows
            if chain[1] == "PREROUTING" or (chain[1] == "INPUT" and last != "PREROUTING") or again:
                yield from _ruleset(section, file, legacy=legacy)
                section = _Section(section.said)
            name = last = chain[1]
            section.policies[name], section.rows[name] = chain[2], []
            if chain[3]:
                section.counted[name] = int(chain[3]) * _SCALE[chain[4]]
        elif head := _HEAD.match(raw):
            section.columns = _Columns(**{key: value is not None for key, value in head.groupdict().items()})
        elif asked := command(line) if line and not line[0].isdecimal() else None:
            yield from _ruleset(section, file, legacy=legacy)
            section, name, last = _Section(asked), "", ""
        elif not line or prompted(line):
            # Other output may follow the last chain.
            name = ""
        elif name:
            section.rows[name].append(line)
    yield from _ruleset(section, file, legacy=legacy)


def _ruleset(section: _Section, file: str, *, legacy: bool) -> Iterator[Fact]:
    if not section.rows:
        return
    said, rows = section.said, section.rows
    built_in = [name for name, policy in section.policies.items() if policy and name in HOOKS]
    lines = [line for listed in rows.values() for line in listed]
    table = said.table or table_of(built_in, "\n".join(lines))
    family = said.family or "ip"
    if any("::/0" in line for line in lines):
        family = "ip6"
    chains = []
    for name, listed in rows.items():
        rules = (
            _rule(line, f"{family} {table} {name}", number, rows, section.columns)
            for number, line in enumerate(listed, start=1)
        )
        chains.append(
            builtin.chain(
                family,
                table,
                name,
                section.policies[name],
                rules,
                legacy=False if legacy else said.legacy,
                counted=section.counted.get(name),
                partial=said.piped,
            )
        )
    yield Ruleset(
        file=file,
        source="iptables -L",
        chains=tuple(chains),
        complete=not (said.piped or legacy) and table in TABLES,
        unlisted=unlisted(family, {(table, name) for name in built_in}),
    )
    if not section.columns.interfaces:
        yield Caveat(
            says=f"{file}: listed without -v, so the interfaces that rules of the table {table!r} ask for are unknown"
        )


def _rule(line: str, chain: str, number: int, chains: Collection[str], columns: _Columns) -> Rule:
    """Read a row; one that is none may hide a rule, so it stays as one that is not understood."""
    cells = line.split()
    cells = cells[1:] if columns.num else cells
    counted = [_COUNT.fullmatch(cell) for cell in cells[:2]] if columns.counts else []
    first = 2 if columns.counts else 0
    at = _source(cells, first, interfaces=columns.interfaces)
    if not at or (columns.counts and (len(counted) < 2 or not all(counted))):
        unknown = Action(kind="unknown", target=shown(line))
        return Rule(
            chain=chain,
            number=number,
            text=shown(line),
            matches=(Match(text=shown(line)),),
            actions=(unknown,),
        )
    begin = at - 2 if columns.interfaces else at
    before = [cell for cell in cells[first:begin] if cell not in _OPTIONS]
    target, protocol = (before[0], before[1]) if len(before) > 1 else ("", before[0] if before else "0")
    # Behind the last end of a comment none is looked for: a search from each beginning would take the square of the row.
    comments, end, rest = " ".join(cells[at + 2 :]).rpartition(" */")
    rest = (_COMMENT.sub(" ", comments + end) + rest).strip()
    options, rest = _translated(rest, target)
    interfaces = (("-i", cells[at - 2]), ("-o", cells[at - 1])) if columns.interfaces else ()
    said: list[str] = []
    for option, value in (("-p", protocol), *interfaces, ("-s", cells[at]), ("-d", cells[at + 1])):
        if value not in _EVERYTHING:
            said += [*["!"] * value.startswith("!"), option, value.lstrip("!")]
    matches, actions = parse_options([*said, *options], chains)
    if rest:
        matches.append(Match(text=shown(rest)))
    if not columns.interfaces:
        matches.append(Match(text="interfaces that are not listed"))
    packets, size = (
        (int(count[1]) * _SCALE[count[2]] for count in counted if count) if counted else (None, None)
    )
    return Rule(
        chain=chain,
        number=number,
        text=shown(" ".join(cells[first:])),
        matches=tuple(matches),
        actions=tuple(actions),
        packets=packets,
        bytes=size,
    )


def _source(cells: list[str], first: int, *, interfaces: bool) -> int:
    """Find the column of the source: behind the options, else where two networks stand; 0 without one."""
    skipped = 2 if interfaces else 0
    for at in (first + 1, first + 2):
        if cells[at : at + 1] and cells[at] in _OPTIONS and len(cells) > at + skipped + 2:
            return at + skipped + 1
    begin = first + 1 + skipped
    return next((n for n in range(begin, len(cells) - 1) if _is_net(cells[n]) and _is_net(cells[n + 1])), 0)


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
    if "port" in option:
        groups["value"] = _NAME.sub(
            lambda name: str(_SERVICES.get(name[0], name[0])), groups.get("value", "")
        )
    return option.format(**groups).split()


def _xmark(how: str, value: str, mask: str | None) -> str:
    number = int(value, 16) & values.MASK
    return {
        "set": f"{value}/{mask or '0xffffffff'}", "or": f"{value}/{value}", "xor": f"{value}/0x0",
        "and": f"0x0/{~number & values.MASK:#x}", "xset": f"{value}/{mask or '0xffffffff'}",
    }[how]  # fmt: skip


def _is_net(cell: str) -> bool:
    return cell == "anywhere" or (values.element("src", cell.lstrip("!")) is not None and "-" not in cell)
