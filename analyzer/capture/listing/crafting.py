"""From what a listing tells of a packet to the packet's headers."""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING

from analyzer.capture.listing.listed import ICMP, ICMP6, TCP, UDP, Listed

if TYPE_CHECKING:
    from ipaddress import IPv6Address

HEAD = 64
"""Bytes behind the transport header that are kept: more than a fingerprint is made of, and a name of a DNS question."""


_address = lru_cache(1 << 14)(ip_address)
"""Few hosts send most packets."""


def frame(packet: Listed) -> tuple[bytes, int]:
    """Make an Ethernet frame.

    Returns:
        Its headers, and how long it was on the wire; checksums are left out.

    Raises:
        ValueError: An address is none, or a number does not fit its field.
    """
    try:
        src, dst = _address(packet.src), _address(packet.dst)
        if src.version != dst.version:
            raise ValueError(f"{src} and {dst} are of two families")
        macs = packet.mac_dst + packet.mac_src
        if packet.proto == 0:
            return _arp(packet, macs, src, dst), 42
        transport = _transport(packet)
        size = len(transport) + packet.length
        known = (packet.payload or b"")[: min(HEAD, packet.length)]
        return macs + _ip(packet, src, dst, size) + transport + known, (34 if src.version == 4 else 54) + size
    except struct.error as problem:
        raise ValueError(str(problem)) from None


def _ip(packet: Listed, src: IPv4Address | IPv6Address, dst: IPv4Address | IPv6Address, size: int) -> bytes:
    """EtherType and IP header; as of a TSO frame, a length that does not fit is 0, and the record's is true."""
    ttl = packet.ttl or 0
    if isinstance(src, IPv4Address):
        total = size + 20 if size + 20 < 1 << 16 else 0
        head = struct.pack(">HHHBBH", total, packet.ip_id or 0, packet.fragment, ttl, packet.proto, 0)
        return b"\x08\0\x45\0" + head + src.packed + dst.packed
    head = struct.pack(">HBB", size if size < 1 << 16 else 0, packet.proto, ttl)
    return b"\x86\xdd\x60\0\0\0" + head + src.packed + dst.packed


def _transport(packet: Listed) -> bytes:
    if packet.fragment:
        return b""
    if packet.proto == TCP:
        options = packet.options or b""
        options += bytes(-len(options) % 4)
        return (
            struct.pack(
                ">HHIIHHHH", packet.sport, packet.dport, packet.seq or 0, packet.ack or 0,
                (20 + len(options)) // 4 << 12 | packet.flags, packet.window or 0, 0, 0,
            )
            + options
        )  # fmt: skip
    if packet.proto == UDP:
        length = packet.length + 8
        return struct.pack(">HHHH", packet.sport, packet.dport, length if length < 1 << 16 else 0, 0)
    if packet.proto in (ICMP, ICMP6):
        return struct.pack(">BBHI", *packet.icmp, 0, packet.word)
    return b""


def quoted(src: str, dst: str, proto: int, sport: int, dport: int) -> bytes:
    """The beginning of the packet that an ICMP error quotes: its IP header and ports.

    Raises:
        ValueError: An address is none.
    """
    packet = Listed(number=0, time=0, src=src, dst=dst, proto=proto, sport=sport, dport=dport)
    return frame(packet)[0][14:]


def _arp(
    packet: Listed, macs: bytes, src: IPv4Address | IPv6Address, dst: IPv4Address | IPv6Address
) -> bytes:
    if not isinstance(src, IPv4Address) or not isinstance(dst, IPv4Address):
        raise ValueError("ARP is of IPv4")
    head = struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, packet.flags)
    return macs + head + packet.mac_src + src.packed + packet.mac_dst + dst.packed


def dns_question(number: int, flags: int, name: str, kind: str) -> bytes:
    """The beginning of a DNS query, RFC 1035 section 4.1; what does not fit the rules is left out."""
    head = struct.pack(">HHHHHH", number & 0xFFFF, flags, 1, 0, 0, 0)
    labels = [label.encode("ascii", "replace") for label in name.rstrip(".").split(".") if label]
    types = {
        "A": 1,
        "NS": 2,
        "CNAME": 5,
        "SOA": 6,
        "PTR": 12,
        "MX": 15,
        "TXT": 16,
        "AAAA": 28,
        "SRV": 33,
        "HTTPS": 65,
    }
    if kind not in types or any(len(label) > 63 for label in labels):
        return head
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return head + question + struct.pack(">HH", types[kind], 1)
