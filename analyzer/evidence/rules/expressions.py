"""One rule of nft's text: from words to conditions and actions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from analyzer.evidence.rules import nft
from analyzer.evidence.rules.model import NAT, SHOWN, Action, Kind, Match, Rule, shown
from analyzer.evidence.rules.nft import Elements as Elements
from analyzer.evidence.rules.options import GO_ON

_WORD = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}(),;]|[^\s{}(),;"]+')
_COUNTED = re.compile(r"\bcounter packets \d+ bytes \d+")
_OPERATORS = {"==": "==", "!=": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "eq": "==", "ne": "!="}
_OPTIONS = frozenset({"random", "fully-random", "persistent"})
_TARGETS: dict[str, Kind] = {
    "REJECT": "reject", "MASQUERADE": "masquerade", "SNAT": "snat", "DNAT": "dnat", "REDIRECT": "redirect",
    "NFQUEUE": "queue", "LOG": "log", "NFLOG": "log", "MARK": "mark", "CONNMARK": "mark",
}  # fmt: skip
"""iptables' targets, as far as their names alone tell what becomes of the packet."""
_LOG = frozenset({"prefix", "level", "group", "snaplen", "queue-threshold", "flags"})
_SET_ONE = frozenset({"mark"})
_SET_TWO = frozenset({"meta", "ct", "ip", "ip6", "tcp", "udp", "th", "ether", "vlan", "icmp", "icmpv6"})
_SET_FOUR = frozenset({"tcp"})
_STARTS = nft.VERDICTS | NAT | {"jump", "goto", "counter", "log", "reject", "queue", "comment", "xt"}
"""Words that begin an action, and so end whatever was not understood before."""


def words(text: str) -> list[str]:
    """Split into words, strings (with their quotes) and punctuation."""
    return _WORD.findall(text)


def parse_rule(text: str, chain: str, number: int, sets: Mapping[str, Elements]) -> Rule:
    """Read a rule.

    Args:
        text: The rule in one line.
        chain: Label of its chain.
        number: Its place in the chain, from 1.
        sets: The table's named sets and maps.
    """
    reading = _Reading(words(text), sets)
    while not reading.ended:
        reading.step()
    return Rule(
        chain=chain,
        number=number,
        text=shown(_COUNTED.sub("counter", text[: 4 * SHOWN])),
        matches=nft.distinct(reading.matches),
        actions=tuple(reading.actions),
        packets=reading.packets,
        bytes=reading.bytes,
    )


def parse_elements(said: Sequence[str]) -> Elements:
    """Read what stands between the braces of a set or a map: `192.0.2.4 . 80 : jump a, ...`."""
    elements = Elements()
    for part in _split(said, ","):
        key, colon, verdict = _partition(part, ":")
        # After the key come its timeout, counter and comment.
        parts = [pieces[0] for pieces in _split(key, ".") if pieces]
        if parts:
            elements.append(([_bare(one) for one in parts], _verdict(verdict) if colon else None))
    return elements


def simple(word: str, target: str = "") -> Action:
    """Make the action of a verdict without options."""
    if word in ("jump", "goto", "accept", "drop", "return", "notrack"):
        return Action(kind=word, target=target)  # type: ignore[arg-type] # one of Kind
    return Action(kind="other" if word == "continue" else "unknown", target=target or word)


def extension(target: str) -> Action:
    """Make the action of an iptables target that nft names without its options."""
    if target in _TARGETS:
        return Action(kind=_TARGETS[target])
    going_on = target in GO_ON and target != "CT"  # which may take the packet from conntrack
    return Action(kind="other" if going_on else "unknown", target=f"xt target {target}")


class _Reading:
    """A place in a rule, and what was found before it."""

    def __init__(self, said: list[str], sets: Mapping[str, Elements]) -> None:
        self.matches: list[Match] = []
        self.actions: list[Action] = []
        self.packets: int | None = None
        self.bytes: int | None = None
        self._said = said
        self._at = 0
        self._sets = sets

    @property
    def ended(self) -> bool:
        """Say whether nothing is left."""
        return self._at >= len(self._said)

    def step(self) -> None:
        """Read a condition or an action."""
        word = self._peek()
        if word in _STARTS:
            self._at += 1
            self._action(word)
        elif length := self._setter():
            self._set(length)
        elif nft.phrase(self._said[self._at : self._at + nft.LONGEST]):
            self._condition()
        else:
            self._other()

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._said[at] if at < len(self._said) else ""

    def _take(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _upto(self, stops: frozenset[str]) -> list[str]:
        """Take words up to one of *stops* or something that is set, whatever stands in braces included."""
        begin, depth = self._at, 0
        while not self.ended and (depth or not (self._peek() in stops or self._setter())):
            depth += {"{": 1, "}": -1}.get(self._take(), 0)
        return self._said[begin : self._at]

    def _setter(self) -> int:
        """Give the length of what is set here (`meta mark`, `tcp option maxseg size`), 0 where nothing is."""
        for length, heads in ((1, _SET_ONE), (2, _SET_TWO), (4, _SET_FOUR)):
            if self._peek(length) == "set" and self._peek() in heads:
                return length
        return 0

    def _set(self, length: int) -> None:
        name = self._said[self._at : self._at + length]
        self._at += length + 1
        value = self._upto(_STARTS)
        if name in (["meta", "mark"], ["mark"]):
            self.actions.append(nft.marked(value))
        else:
            self.actions.append(Action(kind="other", target=shown(" ".join([*name, "set", *value[:50]]))))

    def _action(self, word: str) -> None:
        if word in ("jump", "goto"):
            self.actions.append(simple(word, _bare(self._take())))
        elif word in nft.VERDICTS:
            self.actions.append(simple(word))
        elif word == "counter":
            self._counter()
        elif word == "log":
            self._log()
        elif word == "comment":
            self._take()
        elif word in NAT:
            self._translation(word)
        else:  # reject, queue, xt: the rest tells how
            rest = [_bare(one) for one in self._upto(frozenset({"comment"}))]
            if word == "xt":
                self._extension(rest)
            else:
                target = " ".join(rest).removeprefix("with ")
                self.actions.append(Action(kind=word, target=target))  # type: ignore[arg-type]

    def _extension(self, rest: list[str]) -> None:
        """Read what nft cannot print: `xt match physdev counter packets 0 bytes 0 accept`."""
        text = " ".join(["xt", *rest[:2]])
        if rest[:1] == ["target"]:
            self.actions.append(extension(rest[1]) if len(rest) > 1 else Action(kind="unknown", target=text))
        elif rest[1:2] != ["comment"]:
            self.matches.append(Match(text=text))
        self._at -= len(rest[2:])

    def _counter(self) -> None:
        packets, size = self._peek(1), self._peek(3)
        if (
            self._peek() == "packets"
            and packets.isdecimal()
            and self._peek(2) == "bytes"
            and size.isdecimal()
        ):
            self.packets, self.bytes = int(packets[:20]), int(size[:20])
            self._at += 4
        elif self._peek() == "name":
            self._at += 2

    def _log(self) -> None:
        prefix = ""
        while self._peek() in _LOG:
            option, value = self._take(), self._take()
            prefix = _bare(value) if option == "prefix" else prefix
            while self._peek() == ",":
                self._at += 2
        self.actions.append(Action(kind="log", target=prefix))

    def _translation(self, kind: str) -> None:
        rest = self._upto(frozenset({"comment"}))
        flags = [word for word in rest if word in _OPTIONS]
        target = [word for word in rest if word not in _OPTIONS and word != ","]
        while target and target[0] in ("ip", "ip6", "to"):
            target.pop(0)
        self.actions.append(nft.translation(kind, " ".join(target), "", flags))

    def _condition(self) -> None:
        begin = self._at
        left = [self._phrase()]
        while self._peek() == ".":
            self._at += 1
            left.append(self._phrase())
        if not all(left):
            self._at = begin
            self._other()
        elif self._peek() == "vmap":
            self._at += 1
            self.matches += nft.implied(self._text(begin), left)
            self.actions.append(nft.choose(left, self._values().choices))
        else:
            self._comparison(begin, left)

    def _phrase(self) -> str:
        known = nft.phrase(self._said[self._at : self._at + nft.LONGEST]) or ""
        self._at += len(known.split())
        return known

    def _comparison(self, begin: int, left: list[str]) -> None:
        if self._peek() in ("&", "and"):
            self._at += 1
            mask = self._operand()
            op, value = _OPERATORS.get(self._take(), ""), self._operand()
            self.matches += nft.masked(self._text(begin), left[0], mask, op, value)
            return
        said = self._peek()
        op = _OPERATORS.get(said, "")
        self._at += bool(op)
        right: Sequence[list[str]] = self._values().words
        if self._peek() == "/" and left == ["tcp flags"]:  # `tcp flags syn / fin,syn,rst,ack`
            self._at += 1
            of = ",".join(key[0] for key in self._values().words)
            value = ",".join(key[0] for key in right)
            self.matches += nft.masked(self._text(begin), left[0], of, op or "==", value)
            return
        if not op and left == ["tcp flags"]:
            op = "in"
        self.matches += nft.condition(self._text(begin), left, op or "==", right)

    def _operand(self) -> str:
        if self._peek() != "(":
            word = self._take()
            while self._peek() == "|":  # parentheses may be missing
                self._at += 1
                word += f" | {self._take()}"
            return word
        self._at += 1
        inside = self._upto(frozenset({")"}))
        self._at += 1
        return " ".join(inside)

    def _values(self) -> Elements:
        """Take a set, a set's name, or values with commas between them."""
        if self._peek() == "{":
            self._at += 1
            inside = self._upto(frozenset({"}"}))
            self._at += 1
            return parse_elements(inside)
        first = self._take()
        if first.startswith("@"):
            return self._sets.get(first[1:], Elements())
        found = Elements([([_bare(first)], None)])
        while self._peek() == ",":
            self._at += 1
            found.append(([_bare(self._take())], None))
        return found

    def _other(self) -> None:
        """Take what is not understood, up to the next action."""
        begin = self._at
        self._upto(_STARTS | {"vmap"})
        said = self._said[begin : self._at]
        if self._peek() == "vmap":
            self._at += 1
            self.actions.append(nft.choose((), self._values().choices))
        elif said:
            self.matches.append(Match(text=shown(" ".join(said[:50]))))
            if "set" in said:
                self.actions.append(Action(kind="mark"))

    def _text(self, begin: int) -> str:
        return shown(" ".join(self._said[begin : min(self._at, begin + 50)]))


def _verdict(said: Sequence[str]) -> Action:
    if len(said) == 2 and said[0] in ("jump", "goto"):
        return simple(said[0], _bare(said[1]))
    return simple(" ".join(said))


def _split(said: Sequence[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in said:
        if word == at:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _partition(said: list[str], at: str) -> tuple[list[str], bool, list[str]]:
    if at not in said:
        return said, False, []
    place = said.index(at)
    return said[:place], True, said[place + 1 :]


def _bare(word: str) -> str:
    return word.strip('"') if word.startswith('"') else word
