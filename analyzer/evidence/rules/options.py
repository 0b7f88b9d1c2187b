"""One rule as iptables writes it: from options to conditions and actions (iptables(8), iptables-extensions(8))."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from analyzer.evidence.rules import nft, values
from analyzer.evidence.rules.model import Action, Bits, Match, shown

_ESCAPED = re.compile(r"\\(.)")
_WORD = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|\S+')
_COMMENT = re.compile(r'(?:^| )(-m comment) --comment "[^"\\]*"(?= |$)')
_OPTION = re.compile(r"-{1,2}[a-zA-Z]")
_ALIASES = {
    "--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--protocol": "-p", "--proto": "-p",
    "--in-interface": "-i", "--out-interface": "-o", "--jump": "-j", "--goto": "-g", "--match": "-m",
    "--source-port": "--sport", "--destination-port": "--dport", "--source-ports": "--sports",
    "--destination-ports": "--dports", "--state": "--ctstate",
}  # fmt: skip
_FIELDS = {
    "-s": "src", "-d": "dst", "-p": "proto", "-i": "iif", "-o": "oif", "--sport": "sport", "--dport": "dport",
    "--sports": "sport", "--dports": "dport", "--ctstate": "state", "--icmp-type": "icmp",
    "--icmpv6-type": "icmpv6", "--src-range": "src", "--dst-range": "dst", "--physdev-in": "physin",
    "--physdev-out": "physout", "--src-type": "srctype", "--dst-type": "dsttype",
}  # fmt: skip
_PLAIN = frozenset({
    "tcp", "udp", "sctp", "dccp", "icmp", "icmp6", "icmpv6", "conntrack", "state", "mark", "multiport", "iprange",
    "physdev", "addrtype", "comment",
})  # fmt: skip
"""Matches that set no condition beside those of their options."""
GO_ON = frozenset({
    "TCPMSS", "TOS", "DSCP", "TTL", "HL", "ECN", "CLASSIFY", "CHECKSUM", "SET", "TRACE", "AUDIT", "CT", "SECMARK",
    "CONNSECMARK", "TCPOPTSTRIP", "RATEEST", "NFACCT", "IDLETIMER", "LED", "HMARK", "TEE", "ACCOUNT",
})  # fmt: skip
"""Targets after which the packet goes on to the next rule."""
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "RETURN": "return", "NOTRACK": "notrack"}
_NAT = {
    "MASQUERADE": ("masquerade", "--to-ports"), "SNAT": ("snat", "--to-source"),
    "DNAT": ("dnat", "--to-destination"), "REDIRECT": ("redirect", "--to-ports"),
}  # fmt: skip
_NAT_FLAGS = {"--random": "random", "--random-fully": "fully-random", "--persistent": "persistent"}


def words(text: str) -> list[str]:
    """Split into options and values; strings lose their quotes and backslashes."""
    return [
        _ESCAPED.sub(r"\1", word[1:].removesuffix('"')) if word[0] == '"' else word
        for word in _WORD.findall(text)
    ]


def parse_rule(text: str, chains: Collection[str]) -> tuple[list[Match], list[Action]]:
    """Read what follows `-A CHAIN`; many rules of a cluster differ in their comment and their target alone.

    Args:
        text: As iptables-save writes it.
        chains: Names of the table's own chains, which a rule may jump to.
    """
    found = _COMMENT.search(text)
    rest = text[: found.end(1)] + text[found.end() :] if found else text
    conditions, jump, target = f" {rest}".partition(" -j ")
    matches = None if '"' in rest else _conditions(conditions)
    if matches is None:
        return parse_options(words(text), chains)
    return list(matches), [_action("-j", target.split(), chains)] if jump else []


@lru_cache(maxsize=1 << 12)
def _conditions(text: str) -> tuple[Match, ...] | None:
    matches, targets = parse_options(text.split(), ())
    return None if targets else tuple(matches)


def parse_options(said: Sequence[str], chains: Collection[str]) -> tuple[list[Match], list[Action]]:
    """Read what follows `-A CHAIN`.

    Args:
        said: The words of the rule.
        chains: Names of the table's own chains, which a rule may jump to.
    """
    matches: list[Match] = []
    module, unknown = "", list[str]()
    for option, negated, arguments in _options(said):
        if option in ("-j", "-g"):
            matches += _rest(module, unknown)
            return matches, [_action(option, arguments, chains)]
        if option == "-m":
            matches += _rest(module, unknown)
            module, unknown = arguments[0] if arguments else "", []
        elif option != "--comment":
            ours = not module or module in _PLAIN or not option.startswith("--")
            match = _match(module, option, negated, tuple(arguments)) if ours else None
            if match is None:
                unknown += [*["!"] * negated, option, *arguments]
            else:
                matches.append(match)
    matches += _rest(module, unknown)
    return matches, []


def _options(said: Sequence[str]) -> Iterator[tuple[str, bool, list[str]]]:
    """Give each option with its negation and values; what follows a target is the target's."""
    option, before, values = "", False, list[str]()
    negated = False
    for place, word in enumerate(said):
        if word == "!":
            negated = True
        elif word[:1] == "-" and (name := _named(word)) and not (option == "--comment" and not values):
            if option:
                yield option, before, values
            option, before, values = name, negated, []
            negated = False
            if option in ("-j", "-g"):
                values += said[place + 1 :]
                break
        elif option:
            values.append(word)
            # Before 1.4.3 the sign of negation stood behind the option.
            before |= negated
            negated = False
    if option:
        yield option, before, values


@lru_cache(maxsize=1 << 10)
def _named(word: str) -> str:
    """Give the short name of an option; empty where the word is none."""
    return _ALIASES.get(word, word) if _OPTION.match(word) else ""


def _rest(module: str, unknown: list[str]) -> list[Match]:
    if module in _PLAIN and not unknown:
        return []
    text = shown(" ".join([*(["-m", module] if module else []), *unknown]))
    return [Match(text=text)] if text else []


@lru_cache(maxsize=1 << 14)  # thousands of rules have the same few conditions
def _match(module: str, option: str, negated: bool, arguments: tuple[str, ...]) -> Match | None:
    text = shown(" ".join([*["!"] * negated, option, *arguments]))
    first = arguments[0] if arguments else ""
    if option in _FIELDS:
        field = _FIELDS[option]
        said = [first] if field in ("iif", "oif", "physin", "physout") else first.split(",")
        if field in ("iif", "oif", "physin", "physout"):
            said = [f"{one[:-1]}*" if one.endswith("+") else one for one in said]
        elif field in values.PORTS:
            said = [_ports(one) for one in said]
        if field in ("icmp", "icmpv6") and first == "any":
            return None
        kind, slash, code = first.partition("/")
        if field in ("icmp", "icmpv6") and slash:
            match = values.match(text, field, [kind], negated=negated)
            return (
                replace(
                    match,
                    fields=(field, "icmpcode"),
                    among=tuple((*one, code) for one in match.among),
                )
                if match.fields
                else None
            )
        match = values.match(text, field, said, negated=negated)
        return match if match.fields else None
    if option == "--mark" and module == "mark":
        match = values.match(text, "mark", [first], negated=negated)
        return match if match.fields else None
    if option == "--tcp-flags" and len(arguments) == 2:
        mask, value = values.flags(arguments[0]), values.flags(arguments[1])
        if mask is not None and value is not None:
            return Match(text=text, fields=("tcpflags",), among=((Bits(value, mask),),), negated=negated)
    if option in ("--syn", "--tcp-flags") and not arguments:
        return Match(text=text, fields=("tcpflags",), among=((Bits(2, 23),),), negated=negated)
    return None


def _ports(text: str) -> str:
    low, colon, high = text.partition(":")
    return f"{low or 0}-{high or 65535}" if colon else text


def _action(option: str, arguments: list[str], chains: Collection[str]) -> Action:
    target, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if target in chains:
        return Action(kind="goto" if option == "-g" else "jump", target=target)
    told = dict(pairwise(rest))
    if target in _VERDICTS:
        return Action(kind=_VERDICTS[target])  # type: ignore[arg-type] # one of Kind
    if target in _NAT:
        kind, to = _NAT[target]
        address = f":{told.get(to, '')}".rstrip(":") if to == "--to-ports" else told.get(to, "")
        return nft.translation(kind, address, "", [_NAT_FLAGS[word] for word in rest if word in _NAT_FLAGS])
    if target == "REJECT":
        return Action(kind="reject", target=told.get("--reject-with", ""))
    if target == "CT" and "--notrack" in rest:
        return Action(kind="notrack")
    if target == "MARK":
        return Action(kind="mark", mark=_mark(told))
    if target == "CONNMARK" and "--restore-mark" in rest:
        return Action(kind="mark")
    if target in ("LOG", "NFLOG", "ULOG"):
        prefix = told.get("--log-prefix", told.get("--nflog-prefix", ""))
        return Action(kind="log", target=prefix)
    if target in ("QUEUE", "NFQUEUE"):
        return Action(kind="queue", target=told.get("--queue-num", ""))
    going_on = target in GO_ON or target == "CONNMARK" or not target
    return Action(kind="other" if going_on else "unknown", target=shown(" ".join(arguments)))


def _mark(told: dict[str, str]) -> Bits | None:
    """Read `--set-xmark 0x4000/0x4000`, which is how iptables-save writes all ways to set a mark."""
    value, slash, mask = told.get("--set-xmark", "").partition("/")
    bits, among = values.number(value), values.number(mask) if slash else values.MASK
    return None if bits is None or among is None else Bits(bits, among)
