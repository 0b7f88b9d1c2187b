"""The packet list of tshark and Wireshark: number, time, source, destination, protocol, length, info.

As `tshark` prints it, as Wireshark exports it as plain text or CSV, and as people paste it. Numbers are relative to the
connection's first unless told otherwise, and windows are scaled where the SYNs were captured (packet-tcp.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from analyzer.capture.listing import crafting
from analyzer.capture.listing.listed import (
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
    split,
)
from analyzer.capture.listing.numbers import Asked, Numbers

_WHEN = r"(?:(?P<date>\d{4}-\d\d-\d\d)[ T])?(?:(?P<clock>\d\d:\d\d:\d\d)|(?P<seconds>-?\d{1,11}))[.,](?P<fraction>\d{1,9})Z?"
_ADDRESS = r"[0-9A-Za-z_.:%-]{2,255}"
BEGINS = re.compile(
    rf" *(?P<number>\d{{1,10}}) +{_WHEN} +(?P<src>{_ADDRESS}) +(?:(?:→|->|\?|>) +)?(?P<dst>{_ADDRESS}) +"
    r"(?P<protocol>[A-Za-z][\w./+-]{0,31}) +(?P<length>\d{1,8}) *(?P<info>.*)",
    re.ASCII,
)
HEADING = re.compile(
    r'\s*"?No\."?[\s,]+"?Time"?[\s,]+"?Source"?[\s,]+"?Destination"?[\s,]+"?Protocol"?[\s,]+"?Length'
)
_TIME = re.compile(_WHEN, re.ASCII)
_MARK = re.compile(r"(?:\[[^\]]*\] *)*")
_TCP = re.compile(
    r"(?P<sport>\S{1,40}?) {0,2}(?:→|->|>|\?) {0,2}(?P<dport>\S{1,40}) \[(?P<flags>[A-Za-z, <>]*)\](?P<rest>.*)"
)
_PAIR = re.compile(r"\b(Seq|Ack|Win|Len|MSS|TSval|TSecr|WS|SLE|SRE)=(-?\d+)", re.ASCII)
_UDP = re.compile(
    r"(?P<sport>\S{1,40}?) {0,2}(?:→|->|>|\?) {0,2}(?P<dport>\S{1,40})\s+Len=(?P<length>\d+)", re.ASCII
)
_ECHO = re.compile(
    r"Echo \(ping\) (?P<what>request|reply)\s+id=0x(?P<id>[0-9a-f]+), seq=(?P<seq>\d+)", re.ASCII
)
_FLAGS = {
    "FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECE": 64, "ECN": 64, "CWR": 128, "NS": 256, "AE": 256,
}  # fmt: skip
_ERRORS: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...] = (
    ("Port unreachable", (3, 3), (1, 4)),
    ("Protocol unreachable", (3, 2), (1, 0)),
    ("Fragmentation needed", (3, 4), (2, 0)),
    ("Packet Too Big", (3, 4), (2, 0)),
    ("Host administratively prohibited", (3, 10), (1, 1)),
    ("Network administratively prohibited", (3, 9), (1, 1)),
    ("dministratively", (3, 13), (1, 1)),
    ("Network unreachable", (3, 0), (1, 0)),
    ("no route to destination", (3, 0), (1, 0)),
    ("nreachable", (3, 1), (1, 3)),
    ("exceeded in transit", (11, 0), (3, 0)),
    ("hop limit exceeded", (11, 0), (3, 0)),
    ("exceeded", (11, 1), (3, 1)),
    ("Redirect", (5, 1), (137, 0)),
    ("Neighbor Solicitation", (135, 0), (135, 0)),
    ("Neighbor Advertisement", (136, 0), (136, 0)),
    ("Router Solicitation", (10, 0), (133, 0)),
    ("Router Advertisement", (9, 0), (134, 0)),
    ("Listener Report Message v2", (143, 0), (143, 0)),
    ("Listener Report", (131, 0), (131, 0)),
    ("Listener", (130, 0), (130, 0)),
)
# Protocols over UDP whose lines name no ports; all others that name none are over TCP.
_OVER_UDP = frozenset({
    "DNS", "MDNS", "LLMNR", "NBNS", "DHCP", "DHCPv6", "BOOTP", "NTP", "SNMP", "SSDP", "QUIC", "SYSLOG", "TFTP", "RADIUS",
    "VXLAN", "WireGuard", "SIP", "RTP", "RTCP", "STUN", "DTLS", "DTLSv1.2", "IGMPv2", "IGMPv3", "ESP", "OSPF", "VRRP", "IPv4",
    "IPv6", "SCTP", "GRE", "STP", "LLDP", "PIMv2",
})  # fmt: skip
LINE = 4096
"""Characters of a line that matter."""
_HEADERS, _HEADERS6 = 34, 54
"""Bytes of Ethernet and IP headers."""


def packets(
    lines: Iterable[tuple[int, str]], notes: Notes, shifts: Mapping[tuple[str, str, str], int]
) -> Iterator[Listed]:
    """Read the packets of a listing.

    Args:
        lines: Number, from 1, and text of each.
        notes: Filled with what is noticed.
        shifts: What `shifts` found.
    """
    reading = _Reading(notes, shifts)
    for line, text in lines:
        row = _row(text[:LINE])
        packet = None
        if row is not None:
            with suppress(ValueError):
                packet = reading.packet(row)
        if packet is not None:
            yield packet
        elif row is not None and reading.portless:
            notes.portless += 1
        elif row is not None or (text.strip(" .\t") and not HEADING.match(text)):
            notes.not_understood(line)


def shifts(lines: Iterable[tuple[int, str]]) -> dict[tuple[str, str, str], int]:
    """Find the least shift with which each side's windows fit into the 16 bits that they had in the header.

    Of sides whose window is larger than that anywhere: (source, destination, ports as printed).
    """
    found: dict[tuple[str, str, str], int] = {}
    for _, text in lines:
        window = re.search(r"\bWin=(\d{5,10})\b", text, re.ASCII)
        if (
            window
            and int(window[1]) >> 16
            and (row := _row(text[:LINE]))
            and (tcp := _segment(row["info"]))
            and len(found) < 1 << 16
        ):
            key = row["src"], row["dst"], f"{tcp['sport']} {tcp['dport']}"
            found[key] = max(found.get(key, 0), min(int(window[1]).bit_length() - 16, 14))
    return found


def _row(text: str) -> dict[str, str] | None:
    """The columns of a line."""
    if text.startswith('"'):
        columns = split(text, ",")
        if len(columns) < 7 or not columns[0].isdecimal() or not _TIME.fullmatch(columns[1]):
            return None
        names = ("number", "when", "src", "dst", "protocol", "length", "info")
        return dict(zip(names, columns, strict=False))
    found = BEGINS.match(text)
    if found is None:
        return None
    when = text[found.end("number") : found.start("src")].strip()
    return {name: found[name] for name in ("number", "src", "dst", "protocol", "length", "info")} | {
        "when": when
    }


def _segment(info: str) -> re.Match[str] | None:
    mark = _MARK.match(info)
    return _TCP.match(info, mark.end() if mark else 0)


class _Reading:
    """What is known so far of the packets of a listing."""

    def __init__(self, notes: Notes, shifts: Mapping[tuple[str, str, str], int]) -> None:
        self.notes = notes
        self.portless = False
        self._shifts = shifts
        self._numbers = Numbers()
        self._asked = Asked()
        self._scales: dict[tuple[str, int, str, int], int | None] = {}
        notes.lacks |= {"ttl", "ip_id", "payload"}

    def packet(self, row: dict[str, str]) -> Listed | None:
        self.portless = False
        packet = Listed(
            number=int(row["number"]) & 0xFFFFFFFF, time=self._time(row["when"]), src=row["src"], dst=row["dst"], proto=-1
        )  # fmt: skip
        info, length = row["info"], int(row["length"])
        if row["protocol"] == "ARP":
            arp = _arp(packet, info)
            if arp is not None:
                self._asked.follow(arp)
            return arp
        if tcp := _segment(info):
            return self._tcp(packet, tcp, row)
        if udp := _UDP.match(info):
            sport, dport = port(udp["sport"]), port(udp["dport"])
            if sport is None or dport is None:
                return None
            packet.proto, packet.sport, packet.dport, packet.length = UDP, sport, dport, int(udp["length"])
            return packet
        headers = _HEADERS6 if ":" in packet.src else _HEADERS
        if row["protocol"].startswith("ICMP"):
            return _icmp(packet, info, max(length - headers - 8, 0))
        return self._carrying(packet, row["protocol"], length - headers)

    def _time(self, text: str) -> int:
        found = _TIME.fullmatch(text)
        if found is None:
            raise ValueError(text)
        if found["seconds"]:
            return nanoseconds(found["seconds"], found["fraction"])
        time = since_midnight(found["clock"], found["fraction"])
        if found["date"]:
            return midnight(found["date"]) + time
        self.notes.dateless = True
        return time

    def _tcp(self, packet: Listed, found: re.Match[str], row: dict[str, str]) -> Listed | None:
        sport, dport = port(found["sport"]), port(found["dport"])
        if sport is None or dport is None:
            return None
        said = {name: int(number) for name, number in _PAIR.findall(found["rest"])}
        packet.proto, packet.sport, packet.dport = TCP, sport, dport
        packet.flags = sum(_FLAGS.get(name.strip().upper(), 0) for name in set(found["flags"].split(",")))
        packet.seq, packet.ack = (
            said[name] & 0xFFFFFFFF if name in said else None for name in ("Seq", "Ack")
        )
        packet.length = max(said.get("Len", 0), 0)
        edges = [int(edge) for _, edge in re.findall(r"\b(SLE|SRE)=(\d+)", found["rest"])]
        packet.options = crafting.linux_options(
            mss=said.get("MSS"),
            sack_permitted="SACK_PERM" in found["rest"],
            stamps=(said["TSval"], said["TSecr"]) if "TSval" in said and "TSecr" in said else None,
            scale=(max(said["WS"], 1).bit_length() - 1) if "WS" in said else None,
            edges=edges,
        )
        if packet.flags & 2:
            self._scales[packet.src, sport, packet.dst, dport] = (
                said["WS"].bit_length() - 1 if "WS" in said else None
            )
            self.notes.relative |= packet.seq == 0
        packet.window = self._window(packet, said.get("Win", 0), found, row)
        self._numbers.plain(packet)
        return packet

    def _window(self, packet: Listed, window: int, found: re.Match[str], row: dict[str, str]) -> int:
        """Undo what was done to the window for the reader; SYNs' windows are never scaled (RFC 7323 section 2.2)."""
        if packet.flags & 2:
            return window & 0xFFFF
        own = packet.src, packet.sport, packet.dst, packet.dport
        other = packet.dst, packet.dport, packet.src, packet.sport
        if own in self._scales and other in self._scales:
            mine, theirs = self._scales[own], self._scales[other]
            return window >> (mine if mine is not None and theirs is not None else 0) & 0xFFFF
        self.notes.lacks.add("window")
        key = row["src"], row["dst"], f"{found['sport']} {found['dport']}"
        return window >> self._shifts.get(key, 0) & 0xFFFF

    def _carrying(self, packet: Listed, protocol: str, size: int) -> Listed | None:
        """A segment that is told by what it carries: of the only connection of the two hosts, and next in line."""
        ends = None if protocol in _OVER_UDP else self._numbers.only(packet.src, packet.dst)
        if ends is None:
            self.portless = True
            return None
        (packet.src, packet.sport), (packet.dst, packet.dport) = ends
        own, _ = self._numbers.side(packet)
        if own.next is None or own.last is None:
            self.portless = True
            return None
        last = own.last
        packet.proto, packet.flags, packet.seq, packet.ack = TCP, 16, own.next, last.ack
        packet.options, packet.window = (b"" if last.flags & 2 else last.options), last.window
        packet.length = max(size - 20 - len(packet.options or b""), 0)
        self.notes.inferred += 1
        self._numbers.plain(packet)
        return packet


def _icmp(packet: Listed, info: str, length: int) -> Listed | None:
    six = ":" in packet.src
    packet.proto, packet.length = ICMP6 if six else ICMP, length
    if echo := _ECHO.match(info):
        packet.icmp = (
            ((128, 0) if six else (8, 0)) if echo["what"] == "request" else ((129, 0) if six else (0, 0))
        )
        packet.word = (int(echo["id"], 16) & 0xFFFF) << 16 | int(echo["seq"]) & 0xFFFF
        return packet
    for text, v4, v6 in _ERRORS:
        if text in info:
            packet.icmp = v6 if six else v4
            return packet
    return None


def _arp(packet: Listed, info: str) -> Listed | None:
    packet.proto = 0
    asked = re.search(r"Who has ([0-9.]+)\?.* Tell ([0-9.]+)", info)
    said = re.search(r"([0-9.]+) is at (\S+)", info)
    packet.mac_src, packet.mac_dst = mac(packet.src), mac(packet.dst)
    if asked:
        packet.flags, packet.src, packet.dst = 1, asked[2], asked[1]
    elif said:
        packet.flags, packet.src, packet.dst = 2, said[1], "0.0.0.0"  # noqa: S104 - whom it was told is not printed
        packet.mac_src = mac(said[2])
    else:
        return None
    return packet
