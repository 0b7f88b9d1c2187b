"""What `tcpdump` prints: any of `-n`, `-v`, `-e`, `-S`, `-tt` to `-ttttt`, `-#`, and the interfaces of `-i any`.

A packet begins with its time; lines that are indented, or that begin with a header of a tunnel's inner packet, continue it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, pairwise

from analyzer.capture.listing import crafting
from analyzer.capture.listing.errors import ERRORS, MTU, QUOTES, Unanswered, about
from analyzer.capture.listing.listed import (
    FLAGS,
    ICMP,
    ICMP6,
    TCP,
    UDP,
    Listed,
    Notes,
    mac,
    midnight,
    nanoseconds,
    port,
    since_midnight,
)
from analyzer.capture.listing.numbers import Asked, Numbers

_MAC = r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"
BEGINS = re.compile(
    r" {0,6}(?:(?P<number>\d{1,10}) {2,3})?(?P<back>-)?"
    r"(?:(?P<date>\d{4}-\d\d-\d\d) )?(?:(?P<clock>\d\d:\d\d:\d\d)|(?P<epoch>\d{1,11}))\.(?P<fraction>\d{6}|\d{9}) "
    r"(?:(?P<interface>\S{1,64}) +(?P<way>In|Out|B|M|P) +)?"
    r"(?P<rest>IP6?[ :]|ARP, |ifindex \d|vlan \d|(?:[0-9a-f]{2}:){5}[0-9a-f]{2} |(?:In|Out|B|M|P) +[0-9a-f]{2}:)",
    re.ASCII,
)
_LINK = re.compile(
    rf"(?:(?:In|Out|B|M|P) +)?(?:ifindex \d+ )?(?:(?P<src>{_MAC})(?: > (?P<dst>{_MAC}|Broadcast))?,? )?"
    r"(?:ethertype [^(]*\((?P<type>0x[0-9a-f]{4})\), length (?P<length>\d+): )?"
    r"(?:vlan \d+, p \d+(?:, DEI)?, (?:ethertype (?P<inner>\S+?)(?: \(0x[0-9a-f]+\))?, )?)*",
    re.ASCII,
)
_NETWORK = re.compile(
    r"(?P<arp>ARP, |Ethernet \(len 6\), |Request who-has|Reply )|(?:IP6? )?(?:truncated-ip6? - \d+ bytes missing! ?)?"
)
_HEADER = re.compile(r"\((?:tos|class|flowlabel|hlim) (?:[^()]|\([^()]*\))*\)")
_ENDS = re.compile(r"\s*(?P<src>[0-9A-Za-z_.:%-]{2,255}) > (?P<dst>[0-9A-Za-z_.:%-]{2,255}): ?")
_TUNNEL = re.compile(r"(?:GREv0, .*?length \d+: )?(?:\(.*?\)\)? ?)?IP6? (?=[0-9a-f(])")
_TCP = re.compile(
    r"Flags \[(?P<flags>[^\]]*)\],?(?: cksum 0x\w+ \([^)]*\),)?(?: seq (?P<seq>\d+)(?::\d+)?,)?(?: ack (?P<ack>\d+),)?"
    r"(?: win (?P<win>\d+),)?(?: urg \d+,)?(?: options \[(?P<options>[^\]]*)\],)? length (?P<length>\d+)",
    re.ASCII,
)
_DNS = re.compile(
    r"(?:\[[^\]]*\] )*(?P<id>\d{1,5})(?P<marks>[-+%*|$]*)(?P<rest>.*)\((?P<length>\d+)\)$", re.ASCII
)
_QUESTION = re.compile(r" (?:\[[^\]]*\] )*(?P<kind>[A-Z]+)\? (?P<name>\S+)")
_LENGTH = re.compile(r"length:? (\d+)", re.ASCII)
_ECHO = re.compile(r"echo (request|reply),(?: id (\d+),)? seq (\d+)")
_PROTOCOLS = {
    "tcp": TCP, "udp": UDP, "icmp": ICMP, "igmp": 2, "ESP": 50, "AH": 51, "sctp": 132, "ip-proto-": -1,
}  # fmt: skip
DAY = 86_400 * 10**9
FALLS = 8
"""Of so many lines one or fewer that stands before its time is no sign that each counts from the one before."""
LINE = 4096
"""Characters of a line that matter."""
PEEK = 500
"""Lines by which the form of the times is told."""


@dataclass(slots=True)
class _Begun:
    """A packet whose further lines may still come."""

    line: int
    number: int
    time: int
    interface: str | None
    text: str
    more: list[str]


def packets(lines: Iterable[tuple[int, str]], notes: Notes) -> Iterator[Listed]:
    """Read the packets of a listing.

    Args:
        lines: Number, from 1, and text of each.
        notes: Filled with what is noticed.
    """
    lines = iter(lines)
    first = list(islice(lines, PEEK))
    clock, numbers = _Clock(notes, (text for _, text in first)), Numbers()
    asked, unanswered = Asked(), Unanswered()
    begun: _Begun | None = None
    for line, text in chain(first, lines):
        text = text[:LINE]
        found = BEGINS.match(text)
        if found is None:
            if begun is not None and (text[:1] in " \t" or _TUNNEL.match(text)):
                if len(begun.more) < 16:
                    begun.more.append(text)
            elif text.strip():
                notes.not_understood(line)
            continue
        if begun is not None:
            yield from _listed(begun, numbers, asked, unanswered, notes)
        begun = _Begun(
            line,
            int(found["number"] or line),
            clock.read(found),
            found["interface"] if found["interface"] != "?" else None,
            text[found.start("rest") :],
            [],
        )
    if begun is not None:
        yield from _listed(begun, numbers, asked, unanswered, notes)


class _Clock:
    """Times of any of the forms, as ns; of a time of day the date is unknown, and midnight makes it the next day."""

    def __init__(self, notes: Notes, first: Iterable[str]) -> None:
        """Look at the first lines: indented times are since the packet before (`-ttt`), or the first (`-ttttt`) and rise."""
        begun = [
            found["clock"] + "." + found["fraction"]
            for line in first
            if (found := BEGINS.match(line)) and found["clock"]
        ]
        # Packets of several processors may be a little out of order; of times since the packet before every second one falls.
        falls = sum(later < time for time, later in pairwise(begun))
        self._deltas = falls * FALLS > len(begun)
        self._notes = notes
        self._day = self._last = 0
        self._dates: dict[str, int] = {}

    def read(self, found: re.Match[str]) -> int:
        if found["epoch"]:
            return nanoseconds(found["epoch"], found["fraction"])
        time = since_midnight(found["clock"], found["fraction"])
        if found["date"]:
            if found["date"] not in self._dates:
                self._dates = {found["date"]: 0}
                with suppress(ValueError):
                    self._dates[found["date"]] = midnight(found["date"])
            return self._dates[found["date"]] + time
        self._notes.dateless = True
        indent = found.start("clock") - max(found.end("number"), 0) - 2 * (found["number"] is not None)
        if indent > 0:
            self._last = self._last + (-time if found["back"] else time) if self._deltas else time
            return self._last
        if time < self._last - DAY // 2:
            self._day += DAY
        self._last = time
        return self._day + time


def _listed(
    begun: _Begun, numbers: Numbers, asked: Asked, unanswered: Unanswered, notes: Notes
) -> Iterator[Listed]:
    """Make the packet of a record, if its lines are understood."""
    packet: Listed | None = None
    with suppress(ValueError):
        packet = _packet(begun, notes)
    if packet is None:
        notes.not_understood(begun.line)
        return
    if packet.proto == 0:
        asked.follow(packet)
    if packet.proto == TCP and not packet.fragment:
        if packet.seq is None:
            notes.lacks.add("bare_seq")
        numbers.tcpdump(packet)
    if packet.proto in (ICMP, ICMP6) and packet.icmp[0] in QUOTES[packet.proto == ICMP6]:
        packet.payload = packet.payload or about(packet, begun.text, unanswered)
    elif packet.proto > 0:
        unanswered.follow(packet)
    yield packet


def _packet(begun: _Begun, notes: Notes) -> Listed | None:
    text, more = begun.text.rstrip(), begun.more
    link = _LINK.match(text)
    at = link.end() if link else 0
    network = _NETWORK.match(text, at)
    packet = Listed(number=begun.number, time=begun.time, src="", dst="", proto=-1, interface=begun.interface)
    if link and link["src"]:
        packet.mac_src = mac(link["src"])
        packet.mac_dst = mac(link["dst"] or "") if link["dst"] != "Broadcast" else b"\xff" * 6
        if link["length"] and link["type"] in ("0x0800", "0x86dd"):
            # Ethernet's header is told by both addresses; SLL2's has 20 bytes, SLL's 16.
            packet.total = int(link["length"]) - (14 if link["dst"] else 20 if "ifindex" in link[0] else 16)
    if network and network["arp"]:
        return _arp(packet, text)
    at = network.end() if network else at
    while True:
        at, text, more = _header(packet, at, text, more)
        ends = _ENDS.match(text, at)
        if ends is None:
            return None
        inner = _TUNNEL.match(text, ends.end())
        if inner is None and more and (inner := _TUNNEL.match(more[0])):
            text, more = more[0], more[1:]
        if inner is None:
            break
        at = inner.end()
        packet.ttl = packet.ip_id = packet.total = None
    src, sport = _end(ends["src"])
    dst, dport = _end(ends["dst"])
    packet.src, packet.dst, packet.sport, packet.dport = src, dst, sport or 0, dport or 0
    if packet.ttl is None:
        notes.lacks.add("ttl")
    if packet.ip_id is None and ":" not in src:
        notes.lacks.add("ip_id")
    told = text[ends.end() :]
    if sport is None or dport is None:
        return _portless(packet, told, more)
    return _tcp(packet, told) if told.startswith("Flags [") else _udp(packet, told, notes)


def _header(packet: Listed, at: int, text: str, more: list[str]) -> tuple[int, str, list[str]]:
    """Read what `-v` tells of the IP header; addresses of IPv4 follow on the next line."""
    while text[at : at + 1] == " ":
        at += 1
    found = _HEADER.match(text, at)
    if not found:
        return at, text, more
    said = dict(re.findall(r"(ttl|id|offset|hlim) (\d+)", found[0]))
    packet.ttl = int(said["ttl"] if "ttl" in said else said.get("hlim", 0)) & 255
    packet.ip_id = int(said["id"]) & 0xFFFF if "id" in said else None
    packet.fragment = int(said.get("offset", 0)) // 8 & 0x1FFF
    proto = re.search(r"(?:proto|next-header) [^(]*\((\d+)\)", found[0])
    packet.proto = int(proto[1]) & 255 or -1 if proto else -1
    if total := re.search(r"length:? (\d+)", found[0]):
        packet.total = int(total[1]) + (40 if "hlim" in said else 0)
        packet.length = max(packet.total - 20, 0) if packet.fragment else 0
    if found.end() >= len(text) and more:
        return 0, more[0], more[1:]
    return found.end(), text, more


def _end(text: str) -> tuple[str, int | None]:
    """Address and port, `10.0.0.1.80` or `2001:db8::1.80`; no port where there is none."""
    address, dot, last = text.rpartition(".")
    if ":" in text:
        return (address, port(last)) if dot else (text, None)
    return (address, port(last)) if address.count(".") == 3 else (text, None)


def _tcp(packet: Listed, told: str) -> Listed | None:
    found = _TCP.match(told)
    if found is None:
        return None
    packet.proto = TCP
    packet.flags = sum(FLAGS.get(letter, 0) for letter in set(found["flags"]) if found["flags"] != "none")
    packet.seq, packet.ack = (
        int(found[name]) & 0xFFFFFFFF if found[name] else None for name in ("seq", "ack")
    )
    packet.window, packet.length = int(found["win"] or 0) & 0xFFFF, int(found["length"])
    packet.options = _options(found["options"] or "")
    return packet


def _options(text: str) -> bytes:
    """Options in the order of the listing; tcpdump prints the padding, too."""
    found: list[tuple[str, object]] = []
    for part in text.split(","):
        numbers = tuple(int(number) for number in re.findall(r"\d+", part))
        match part.split()[:1]:
            case ["nop" | "eol" as filling]:
                found.append((filling.upper(), None))
            case ["sackOK"]:
                found.append(("SAckOK", b""))
            case ["mss"] if numbers:
                found.append(("MSS", numbers[0]))
            case ["wscale"] if numbers:
                found.append(("WScale", numbers[0]))
            case ["TS"] if len(numbers) == 2:
                found.append(("Timestamp", numbers))
            case ["sack"] if len(numbers) > 2:
                found.append(("SAck", numbers[1:9]))
    return crafting.options(*found)


def _udp(packet: Listed, told: str, notes: Notes) -> Listed | None:
    """Whatever has ports and is not TCP, the DNS of which is told in full."""
    if packet.proto not in (-1, UDP):
        return None
    packet.proto = UDP
    notes.lacks.add("payload")
    if (packet.sport == 53 or packet.dport == 53) and (dns := _DNS.match(told)):
        packet.length = int(dns["length"])
        question = _QUESTION.match(dns["rest"])
        name, kind = (question["name"], question["kind"]) if question else ("", "")
        packet.payload = crafting.dns(
            int(dns["id"]), name, kind, recursion="+" in dns["marks"], answer=packet.sport == 53
        )
    elif length := _LENGTH.search(told):
        packet.length = int(length[1])
    elif packet.total is not None:
        packet.length = max(packet.total - (48 if ":" in packet.src else 28), 0)
    else:
        notes.lacks.add("length")
    return packet


def _portless(packet: Listed, told: str, more: list[str]) -> Listed | None:
    """ICMP, a further fragment, or a protocol without ports."""
    length = _LENGTH.search(told)
    if "ICMP" in told.split(",")[0]:
        six = ":" in packet.src
        packet.proto = ICMP6 if six else ICMP
        packet.length = max(int(length[1]) - 8, 0) if length else 0
        if echo := _ECHO.search(told):
            packet.icmp = (
                ((128, 0) if six else (8, 0)) if echo[1] == "request" else ((129, 0) if six else (0, 0))
            )
            packet.word = (int(echo[2] or 0) & 0xFFFF) << 16 | int(echo[3]) & 0xFFFF
            return packet
        for pattern, v4, v6 in ERRORS:
            if re.search(pattern, told):
                packet.icmp = v6 if six else v4
                if packet.icmp[0] in QUOTES[six]:
                    packet.payload = _quoted(packet, more)
                    packet.word = int(mtu[1]) & 0xFFFF if (mtu := MTU.search(told)) else 0
                return packet
        return None
    for name, number in _PROTOCOLS.items():
        if name in told and packet.proto == -1:
            packet.proto = (
                number if number >= 0 else int((re.findall(r"ip-proto-(\d+)", told) or ["255"])[0]) & 255
            )
            packet.fragment = packet.fragment or int(told.strip() in ("tcp", "udp", "icmp"))
    packet.length = packet.length or (int(length[1]) if length else 0)
    return packet if packet.proto >= 0 else None


def _quoted(packet: Listed, more: list[str]) -> bytes | None:
    """What the error is about: told with `-v` only."""
    for line in more:
        if (ends := _ENDS.match(line)) or (" > " in line and (ends := _ENDS.search(line))):
            (src, sport), (dst, dport) = _end(ends["src"]), _end(ends["dst"])
            proto = TCP if "Flags [" in line else UDP if sport is not None else packet.proto
            return crafting.quoted(src, dst, proto, sport or 0, dport or 0)
    return None


def _arp(packet: Listed, text: str) -> Listed | None:
    asked = re.search(r"Request who-has ([0-9.]+)(?: \([^)]*\))? tell ([0-9.]+)", text)
    said = re.search(r"Reply ([0-9.]+) is-at (\S+?),", text)
    packet.proto = 0
    if asked:
        packet.flags, packet.src, packet.dst = 1, asked[2], asked[1]
        return packet
    if said:
        packet.flags, packet.src, packet.dst = 2, said[1], "0.0.0.0"  # noqa: S104 - whom it was told is not printed
        packet.mac_src = mac(said[2])
        return packet
    return None
