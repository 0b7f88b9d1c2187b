"""A packet as rules see it, at each hook and after what earlier rules did to it."""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate

from analyzer.evidence.rules import values
from analyzer.evidence.rules.model import Action, Bits, Element, Match, Rule, Span
from analyzer.evidence.rules.packet import Packet

Value = int | str | frozenset[str] | tuple["int | str", ...] | None
"""Of a packet's field: a tuple where it is one of several; None where it is not known."""

_CONNTRACK = -200
"""Priority at which conntrack sees packets, in prerouting and output (NF_IP_PRI_CONNTRACK)."""
_ABSENT = ""
"""An interface that there is none of at a hook; a comparison with it fails, negated or not."""
_LARGE = 32
_NUMBERS = values.ADDRESSES | values.PORTS
_MANY = 1000
"""Endpoints of one service that are kept apart."""


class View:
    """The packet's fields; rules change its mark, its destination, and whether it is tracked."""

    def __init__(self, packet: Packet, local: Collection[str] | None) -> None:
        self.family = "ipv6" if ":" in packet.src else "ipv4"
        self.untracked: bool | None = packet.state == "untracked"
        """Whether a rule took the packet from conntrack; None where one may have."""
        self._packet = packet
        self._local = None if local is None else {values.address(text) for text in local}
        self._status: frozenset[str] | None = frozenset()
        self._early = False
        self._sorted: dict[int, tuple[list[int], list[int]]] = {}
        self._field: dict[str, Value] = {
            "family": self.family,
            "proto": packet.proto,
            "src": values.address(packet.src),
            "dst": values.address(packet.dst) if packet.dst else None,
            "sport": packet.sport,
            "dport": packet.dport,
            "mark": packet.mark,
            "tcpflags": packet.tcp_flags,
            "icmp": packet.icmp_type,
            "icmpv6": packet.icmp_type,
            "icmpcode": packet.icmp_code,
            "physin": packet.physin,
            "physout": packet.physout,
        }

    def enter(self, hook: str, priority: int) -> None:
        """Set what can be asked at a hook."""
        self._early = hook == "ingress" or (hook in ("prerouting", "output") and priority < _CONNTRACK)
        leaving = hook in ("forward", "output", "postrouting", "egress")
        self._field |= {
            "iif": _device(self._packet.iif) if hook != "output" else _ABSENT,
            "oif": _device(self._packet.oif) if leaving else _ABSENT,
            "srctype": self._type("src"),
            "dsttype": self._type("dst"),
        }

    def holds(self, rule: Rule) -> bool | None:
        """Say whether all conditions of a rule hold; None where that is not known."""
        answer: bool | None = True
        for match in rule.matches:
            holds = self._match(match)
            if holds is False:
                return False
            if holds is None:
                answer = None
        return answer

    def equal(self, names: tuple[str, ...], key: tuple[Element, ...]) -> bool | None:
        """Say whether fields equal a key; None where that is not known."""
        answer: bool | None = True
        for name, element in zip(names, key, strict=True):
            equal = self._in_state(element) if name == "state" else _equal(self._field[name], element)
            if equal is False:
                return False
            if equal is None:
                answer = None
        return answer

    def _in_state(self, element: Element) -> bool | None:
        """Say whether conntrack calls the packet so; whether it is translated says nothing of the other states."""
        if self._status is None and element not in ("snat", "dnat"):
            known, self._status = self._status, frozenset()
            equal = _equal(self._state(), element)
            self._status = known
            return equal
        return _equal(self._state(), element)

    def lacks(self, names: tuple[str, ...]) -> bool:
        """Say whether the packet has not one of these fields, so that no comparison holds."""
        return any(self._absent(name) for name in names)

    def set_mark(self, bits: Bits | None) -> None:
        """Change the mark; None where nobody can tell to what."""
        mark = self._field["mark"]
        if bits is None or (mark is None and bits.mask != values.MASK):
            self._field["mark"] = None
        else:
            self._field["mark"] = (int(mark or 0) & ~bits.mask) ^ bits.value  # type: ignore[arg-type]

    def translate(self, action: Action) -> None:
        """Give the packet its new address; what is not one address is not known any more.

        The kernel marks an entry as translated only if its tuple changed (nf_nat_setup_info).
        """
        if action.kind not in ("dnat", "redirect"):
            if self._status is not None and self._type("src") != "local":
                self._status |= {"snat"}
            return
        before = self._field["dst"], self._field["dport"]
        address, port = endpoint(action.target)
        if address is not None or action.kind == "redirect" or not action.target.startswith(":"):
            self._field["dst"] = values.address(address) if address else None
        if port is not None or re.search(r":\d+-|map", action.target):
            self._field["dport"] = port
        after = self._field["dst"], self._field["dport"]
        if None in after or None in before:
            self._status = None
        elif after != before and self._status is not None:
            self._status |= {"dnat"}

    def doubt_translation(self, perhaps: Sequence[Action], *, untouched: bool) -> None:
        """Take the packet to have been translated by one of these, or as it is.

        Where a service's endpoints are chosen at random, a rule that concerns all of them alike still decides.

        Args:
            perhaps: What rules may have done that are not certain.
            untouched: Whether none may have been applied, although one was.
        """
        self._status = None
        addresses, ports = [self._field["dst"]], [self._field["dport"]]
        before = values.address(self._packet.dst), self._packet.dport
        if untouched:
            addresses.append(before[0])
            ports.append(before[1])
        for action in perhaps:
            if action.kind in ("dnat", "redirect"):
                address, port = endpoint(action.target)
                only_port = action.kind == "dnat" and action.target.startswith(":")
                addresses.append(before[0] if only_port else values.address(address) if address else None)
                ports.append(
                    before[1] if port is None and not re.search(r":\d+-|map", action.target) else port
                )
        self._field["dst"], self._field["dport"] = _one_of(addresses), _one_of(ports)

    def _match(self, match: Match) -> bool | None:
        if not match.fields:
            return None
        if self.lacks(match.fields):
            return False
        if len(match.among) > _LARGE and match.fields[0] in _NUMBERS and len(match.fields) == 1:
            number = self._field[match.fields[0]]
            if isinstance(number, int):
                return self._within(match.among, number) != match.negated
        answer: bool | None = False
        for key in match.among:
            equal = self.equal(match.fields, key)
            if equal:
                answer = True
                break
            if equal is None:
                answer = None
        return answer if answer is None or not match.negated else not answer

    def _within(self, among: tuple[tuple[Element, ...], ...], number: int) -> bool:
        """Look a number up in a large set, which many rules may share; they are sorted once for each packet."""
        known = self._sorted.get(id(among))
        if known is None:
            spans = sorted(element for (element,) in among if isinstance(element, Span))
            ends = list(accumulate((span.high for span in spans), max))
            known = self._sorted[id(among)] = ([span.low for span in spans], ends)
        at = bisect_right(known[0], number)
        return at > 0 and known[1][at - 1] >= number

    def _absent(self, name: str) -> bool:
        if name in ("iif", "oif"):
            return self._field[name] == _ABSENT
        if name in values.PORTS:
            return self._packet.proto not in values.PORTED
        return name == "tcpflags" and self._packet.proto != "tcp"

    def _state(self) -> Value:
        if self.untracked:
            return frozenset({"untracked"})
        if self.untracked is None:
            return None
        if self._early:  # without an entry the state reads as invalid (nft_ct_get_eval, conntrack_mt)
            return frozenset({"invalid"})
        if self._packet.state is None or self._status is None:
            return None
        return self._status | {self._packet.state}

    def _type(self, side: str) -> Value:
        number = self._field[side]
        if self._local is None or not isinstance(number, int):
            return None
        if number in self._local:
            return "local"
        address = ipaddress.ip_address(number & 0xFFFFFFFF if self.family == "ipv4" else number)
        return "local" if address.is_loopback else "multicast" if address.is_multicast else "unicast"


def endpoint(target: str) -> tuple[str | None, int | None]:
    """Read where a translation leads: address and port, None for what is not told or not one value."""
    if target.startswith("["):
        address, _, port = target[1:].partition("]")
    elif target.count(":") > 1:
        address, port = target, ""
    else:
        address, _, port = target.partition(":")
    known = address if values.address(address) is not None else None
    return known, values.number(port.lstrip(":"))


def _device(name: str | None) -> str | None:
    """An interface as rules compare it; None where the packet has one that is not known."""
    return _ABSENT if name is None else name or None


def _one_of(said: Sequence[Value]) -> Value:
    """Give a value that is one of these; None where one of them is not known."""
    flat: dict[int | str, None] = {}
    for value in said:
        if value is None or isinstance(value, frozenset) or len(flat) > _MANY:
            return None
        flat |= dict.fromkeys(value if isinstance(value, tuple) else (value,))
    return next(iter(flat)) if len(flat) == 1 else tuple(flat)


def _equal(value: Value, element: Element) -> bool | None:
    if value is None:
        return None
    if isinstance(value, tuple):
        answers = {_equal(one, element) for one in value}
        return answers.pop() if len(answers) == 1 else None
    if isinstance(element, Span):
        return isinstance(value, int) and element.low <= value <= element.high
    if isinstance(element, Bits):
        return isinstance(value, int) and value & element.mask == element.value
    if isinstance(value, frozenset):
        return element in value
    if element.endswith("*") and isinstance(value, str):
        return value.startswith(element[:-1])
    return value == element
