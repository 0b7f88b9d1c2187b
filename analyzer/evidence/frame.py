"""Addresses of a packet that a source of evidence holds as bytes; captures have a decoder of their own."""

from __future__ import annotations

import ipaddress
from typing import TypedDict

from analyzer.evidence.drops import PORTED, VERSIONS, protocol

_TAGS = frozenset({0x8100, 0x88A8})


class Told(TypedDict, total=False):
    """The fields of `analyzer.evidence.drops.DropRecord` that a packet's bytes tell."""

    proto: str
    src: str
    dst: str
    sport: int
    dport: int
    seq: int
    ip_id: int


def ethernet(frame: bytes) -> Told:
    """Read an Ethernet frame, with or without VLAN tags; nothing where it is not IP, and no more than it holds."""
    at = 12
    while len(frame) >= at + 2:
        kind = int.from_bytes(frame[at : at + 2])
        at += 2
        if kind not in _TAGS:
            return ip(frame[at:]) if kind in VERSIONS else {}
        at += 2
    return {}


def ip(packet: bytes) -> Told:
    """Read an IP packet; extension headers of IPv6 are not followed."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        told: Told = {
            "ip_id": int.from_bytes(packet[4:6]),
            "src": str(ipaddress.IPv4Address(packet[12:16])),
            "dst": str(ipaddress.IPv4Address(packet[16:20])),
        }
        proto, rest = packet[9], packet[max(20, (packet[0] & 15) * 4) :]
        if int.from_bytes(packet[6:8]) & 0x1FFF:  # a later fragment has no ports
            rest = b""
    elif len(packet) >= 40 and packet[0] >> 4 == 6:
        told = {
            "src": str(ipaddress.IPv6Address(packet[8:24])),
            "dst": str(ipaddress.IPv6Address(packet[24:40])),
        }
        proto, rest = packet[6], packet[40:]
    else:
        return {}
    told["proto"] = protocol(proto)
    if proto in PORTED and len(rest) >= 4:
        told["sport"], told["dport"] = int.from_bytes(rest[:2]), int.from_bytes(rest[2:4])
    if proto == 6 and len(rest) >= 8:
        told["seq"] = int.from_bytes(rest[4:8])
    return told
