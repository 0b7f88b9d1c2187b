"""What rules compare packets with: from text to elements, field by field."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

from analyzer.evidence.rules.model import Bits, Element, Match, Span

ADDRESSES = frozenset({"src", "dst"})
PORTS = frozenset({"sport", "dport"})
PORTED = ("tcp", "udp", "sctp", "dccp", "udplite")
"""Protocols that have them."""
MASK = 0xFFFFFFFF
_V4 = 0xFFFF << 32
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,8}|\d{1,10}")
_PROTOCOLS = {
    "1": "icmp", "6": "tcp", "17": "udp", "33": "dccp", "47": "gre", "50": "esp", "51": "ah", "58": "icmpv6",
    "ipv6-icmp": "icmpv6", "icmp6": "icmpv6", "132": "sctp", "136": "udplite",
}  # fmt: skip
_FAMILIES = {"ip": "ipv4", "ip6": "ipv6", "2": "ipv4", "10": "ipv6", "0x0800": "ipv4", "0x86dd": "ipv6"}
_ICMP = {
    "icmp": {
        "0": "echo-reply", "3": "destination-unreachable", "5": "redirect", "8": "echo-request",
        "11": "time-exceeded", "12": "parameter-problem",
    },
    "icmpv6": {
        "1": "destination-unreachable", "2": "packet-too-big", "3": "time-exceeded", "4": "parameter-problem",
        "128": "echo-request", "129": "echo-reply", "133": "nd-router-solicit", "134": "nd-router-advert",
        "135": "nd-neighbor-solicit", "136": "nd-neighbor-advert", "137": "nd-redirect",
    },
}  # fmt: skip
_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "ece": 64, "cwr": 128}
_FLAGS |= {"none": 0, "all": 63}


def number(text: str) -> int | None:
    """Read a number, decimal or hexadecimal, of 32 bits at most."""
    if not _NUMBER.fullmatch(text):
        return None
    value = int(text, 0 if text[:2] in ("0x", "0X") else 10)
    return value if value <= MASK else None


def address(text: str) -> int | None:
    """Read an address into one space for IPv4 and IPv6."""
    if (fast := _v4(text)) is not None:
        return fast
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    return int(parsed) | (_V4 if parsed.version == 4 else 0)


def element(field: str, text: str) -> Element | None:
    """Read what one field is compared with; None where it is not understood.

    Args:
        field: As in `Match.fields`.
        text: One value, prefix or range, as iptables and nft print them.
    """
    if field in ADDRESSES:
        return _addresses(text)
    if field in PORTS:
        low, dash, high = text.partition("-")
        first, last = number(low), number(high if dash else low)
        return None if first is None or last is None or last > 0xFFFF else Span(first, last)
    if field == "mark":
        value, slash, mask = text.partition("/")
        bits, among = number(value), number(mask) if slash else MASK
        return None if bits is None or among is None else Bits(bits, among)
    if field in ("iif", "oif", "physin", "physout"):
        return None if text.isdecimal() else text or None  # nft prints the index of one that is gone
    word = text.lower()
    if field == "proto":
        return _PROTOCOLS.get(word, word)
    if field == "family":
        return _FAMILIES.get(word, word)
    if field in _ICMP:
        return _ICMP[field].get(word, word)
    return word if word.replace("-", "").isalpha() else None


def flags(text: str) -> int | None:
    """Read TCP flags: `SYN,ACK`, `syn | ack`, `0x12`."""
    words = [word for word in re.split(r"[,|\s()]+", text.lower()) if word]
    values = [_FLAGS.get(word, number(word)) for word in words]
    total = 0
    for value in values:
        if value is None:
            return None
        total |= value
    return total if words else None


def match(text: str, field: str, values: Sequence[str], *, negated: bool = False) -> Match:
    """Make a condition on one field; one that is not understood where a value is not."""
    among = [element(field, value) for value in values]
    known = tuple((one,) for one in among if one is not None)
    if not known or len(known) != len(among):
        return Match(text=text)
    return Match(text=text, fields=(field,), among=known, negated=negated)


def _addresses(text: str) -> Span | None:
    first, dash, last = text.partition("-")
    if dash:
        low, high = address(first), address(last)
        return None if low is None or high is None else Span(low, high)
    host = text.removesuffix("/32")
    if "." in host and "/" not in host and (number := _v4(host)) is not None:
        return Span(number, number)
    try:
        net = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    offset = _V4 if net.version == 4 else 0
    return Span(int(net.network_address) | offset, int(net.broadcast_address) | offset)


def _v4(text: str) -> int | None:
    """Read an IPv4 address, ten times as fast as `ipaddress`; a cluster's rules have tens of thousands."""
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text)) | _V4
    except (OSError, ValueError):
        return None
