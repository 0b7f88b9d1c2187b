"""One packet under every link, network and tunnel header that the decoder reads, and the odd frames beside."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, GRE, LLC, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

SRC, DST = "10.244.0.11", "192.0.2.100"
SRC6, DST6 = "2001:db8:1::11", "2001:db8:2::100"
OPTIONS: list[tuple[str, Any]] = [
    ("MSS", 1460),
    ("SAckOK", b""),
    ("Timestamp", (77, 33)),
    ("NOP", None),
    ("WScale", 7),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """A frame, and what the tables must say of it."""

    link: int
    frame: bytes
    wirelen: int | None = None
    """Bytes on the wire, where they are not those of `frame`."""
    expected: dict[str, Any]
    """Some columns of `analyzer.result.tables`: what they must hold."""

    @property
    def length(self) -> int:
        """Bytes on the wire."""
        return len(self.frame) if self.wirelen is None else self.wirelen


def _tcp() -> Packet:
    return (
        TCP(sport=20000, dport=80, seq=0xFEDCBA98, ack=0x87654321, flags="PA", window=501) / b"hello, world"
    )


def _v4(**fields: Any) -> Packet:
    return IP(src=SRC, dst=DST, id=4711, ttl=63, flags="DF", **fields)


def _v6(**fields: Any) -> Packet:
    return IPv6(src=SRC6, dst=DST6, hlim=61, **fields)


def _ether() -> Packet:
    return Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:01")


_SEGMENT = {
    "sport": 20000,
    "dport": 80,
    "proto": 6,
    "seq": 0xFEDCBA98,
    "ack": 0x87654321,
    "flags": 0x18,
    "window": 501,
    "length": 12,
    "fragment": False,
    "cut": False,
    "tunnel": "",
}
V4 = _SEGMENT | {"src": SRC, "dst": DST, "ip_id": 4711, "ttl": 63}
V6 = _SEGMENT | {"src": SRC6, "dst": DST6, "ip_id": 0, "ttl": 61}
_OUTER = IP(src="198.51.100.1", dst="198.51.100.2", ttl=9, id=1)
_OUTER6 = IPv6(src="2001:db8:f::1", dst="2001:db8:f::2", hlim=9)


def _of(
    packet: Packet | bytes, expected: dict[str, Any], link: int = 1, wirelen: int | None = None
) -> Layered:
    return Layered(link=link, frame=bytes(packet), expected=expected, wirelen=wirelen)


def _tunnel(packet: Packet, name: str, expected: dict[str, Any] = V4) -> Layered:
    return _of(_ether() / packet, expected | {"tunnel": name})


def _udp_tunnel(port: int) -> Packet:
    return _OUTER / UDP(sport=50123, dport=port, chksum=0)


_VXLAN = b"\x08\0\0\0\0\0\7\0"  # RFC 7348 section 5; scapy's own layer says GPE
ipv4, ipv6 = bytes(_v4() / _tcp()), bytes(_v6() / _tcp())
_udp = {"proto": 17, "sport": 53124, "dport": 53, "length": 9, "seq": 0, "ack": 0, "flags": 0, "window": 0}
_tso = bytearray(bytes(_ether() / _v4() / _tcp()))
_tso[16:18] = b"\0\0"
_tso6 = bytearray(bytes(_ether() / _v6() / _tcp()))
_tso6[18:20] = b"\0\0"
_quoted = _v4() / TCP(sport=20000, dport=80, seq=7)

_INNER = _ether() / _v4() / _tcp()


def _pppoe(frame: bytes) -> bytes:
    return b"\x11\0\0\7" + struct.pack(">H", len(frame)) + frame


def _l2tp(flags: int, fields: bytes, frame: bytes) -> Packet:
    return _OUTER / UDP(sport=1701, dport=1701) / (struct.pack(">H", flags) + fields + frame)


def _gtp(fields: bytes, first: int = 0x30) -> Packet:
    return (
        _OUTER
        / UDP(sport=2152, dport=2152)
        / (bytes([first, 255]) + struct.pack(">HI", len(fields + ipv4), 7) + fields + ipv4)
    )


def _mirrored(kind: int, header: bytes, sequence: bool = True) -> Packet:
    gre = GRE(proto=kind, seqnum_present=1, sequence_number=1) if sequence else GRE(proto=kind)
    return _OUTER / gre / (header + bytes(_INNER))


ROWS: dict[str, Layered] = {
    "ethernet": _of(_ether() / _v4() / _tcp(), V4),
    "ethernet, padded": _of(bytes(_ether() / _v4() / _tcp()) + bytes(6), V4),
    "vlan": _of(_ether() / Dot1Q(vlan=5) / _v4() / _tcp(), V4),
    "qinq": _of(_ether() / Dot1AD(vlan=7) / Dot1Q(vlan=5) / _v4() / _tcp(), V4),
    "sll": _of(CookedLinux(proto=0x0800, lladdrtype=1, lladdrlen=6) / _v4() / _tcp(), V4, 113),
    "sll, v6": _of(CookedLinux(proto=0x86DD, lladdrtype=1, lladdrlen=6) / _v6() / _tcp(), V6, 113),
    "sll2": _of(CookedLinuxV2(proto=0x0800, ifindex=3, lladdrlen=6) / _v4() / _tcp(), V4, 276),
    "sll2, v6": _of(CookedLinuxV2(proto=0x86DD, ifindex=3, lladdrlen=6) / _v6() / _tcp(), V6, 276),
    "sll2, vlan": _of(CookedLinuxV2(proto=0x8100, ifindex=3) / Dot1Q(vlan=5) / _v4() / _tcp(), V4, 276),
    "raw": _of(ipv4, V4, 101),
    "raw, v6": _of(ipv6, V6, 101),
    "raw, as OpenBSD numbers it": _of(ipv4, V4, 14),
    "raw, as BSD/OS numbers it": _of(ipv4, V4, 12),
    "ipv4 link": _of(ipv4, V4, 228),
    "ipv6 link": _of(ipv6, V6, 229),
    "null, little-endian": _of(struct.pack("<I", 2) + ipv4, V4, 0),
    "null, big-endian": _of(struct.pack(">I", 2) + ipv4, V4, 0),
    "null, v6 of FreeBSD": _of(struct.pack("<I", 28) + ipv6, V6, 0),
    "loop": _of(struct.pack(">I", 2) + ipv4, V4, 108),
    "loop, v6 of OpenBSD": _of(struct.pack(">I", 24) + ipv6, V6, 108),
    "ipv4 options": _of(_ether() / _v4(options=[IPOption_Router_Alert()]) / _tcp(), V4),
    "ipv4, first fragment": _of(_ether() / IP(src=SRC, dst=DST, id=4711, ttl=63, flags="MF") / _tcp(), V4),
    "ipv4, later fragment": _of(
        _ether() / IP(src=SRC, dst=DST, id=4711, ttl=63, frag=185, proto=6) / bytes(80),
        V4
        | {
            "fragment": True,
            "sport": 0,
            "dport": 0,
            "seq": 0,
            "ack": 0,
            "flags": 0,
            "window": 0,
            "length": 80,
        },
    ),
    "ipv6": _of(_ether() / _v6() / _tcp(), V6),
    "ipv6, every extension header": _of(
        _ether()
        / _v6()
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrRouting(nh=51, addresses=["2001:db8::1"], segleft=0)
        / (b"\6\4" + bytes(22) + ipv6[40:]),  # AH, 24 bytes
        V6,
    ),
    "ipv6, first fragment": _of(
        _ether() / _v6() / IPv6ExtHdrFragment(m=1, id=0x12345) / _tcp(), V6 | {"ip_id": 0x2345}
    ),
    "ipv6, later fragment": _of(
        _ether() / _v6() / IPv6ExtHdrFragment(offset=100, id=0x12345, nh=17) / bytes(80),
        V6
        | dict.fromkeys(("sport", "dport", "seq", "ack", "flags", "window"), 0)
        | {"fragment": True, "ip_id": 0x2345, "proto": 17, "length": 80},
    ),
    "vxlan": _tunnel(_udp_tunnel(4789) / _VXLAN / _ether() / _v4() / _tcp(), "vxlan"),
    "vxlan of flannel": _tunnel(_udp_tunnel(8472) / _VXLAN / _ether() / _v4() / _tcp(), "vxlan"),
    "vxlan, v6 in v6": _tunnel(
        _OUTER6 / UDP(sport=50123, dport=4789) / _VXLAN / _ether() / _v6() / _tcp(), "vxlan", V6
    ),
    "geneve": _tunnel(_udp_tunnel(6081) / GENEVE(vni=7, proto=0x6558) / _ether() / _v4() / _tcp(), "geneve"),
    "geneve, ip inside": _tunnel(_udp_tunnel(6081) / GENEVE(vni=7, proto=0x0800) / _v4() / _tcp(), "geneve"),
    "geneve, options": _tunnel(
        _udp_tunnel(6081)
        / GENEVE(vni=7, proto=0x6558, optionlen=2, options=bytes(8))
        / _ether()
        / _v4()
        / _tcp(),
        "geneve",
    ),
    "ipip": _tunnel(_OUTER / _v4() / _tcp(), "ipip"),
    "6in4": _tunnel(_OUTER / _v6() / _tcp(), "ipip", V6),
    "4in6": _tunnel(_OUTER6 / _v4() / _tcp(), "ipip"),
    "gre": _tunnel(_OUTER / GRE() / _v4() / _tcp(), "gre"),
    "gre, v6 inside": _tunnel(_OUTER / GRE() / _v6() / _tcp(), "gre", V6),
    "gre, key, checksum, sequence": _tunnel(
        _OUTER
        / GRE(key_present=1, key=7, chksum_present=1, seqnum_present=1, sequence_number=1)
        / _v4()
        / _tcp(),
        "gre",
    ),
    "gre, ethernet inside": _tunnel(_OUTER / GRE(proto=0x6558) / _ether() / _v4() / _tcp(), "gre"),
    "pppoe": _of(bytes(Ether(type=0x8864)) + _pppoe(b"\0\x21" + ipv4), V4),
    "pppoe, v6": _of(bytes(Ether(type=0x8864)) + _pppoe(b"\0\x57" + ipv6), V6),
    "pppoe in a vlan": _of(bytes(_ether() / Dot1Q(vlan=7, type=0x8864)) + _pppoe(b"\0\x21" + ipv4), V4),
    "pppoe, sll2": _of(bytes(CookedLinuxV2(proto=0x8864, ifindex=3)) + _pppoe(b"\0\x21" + ipv4), V4, 276),
    "mpls": _of(bytes(Ether(type=0x8847)) + b"\0\1\1\x40" + ipv4, V4),
    "mpls, three labels, v6": _of(
        bytes(Ether(type=0x8847)) + b"\0\1\0\x40" + b"\0\2\0\x40" + b"\0\3\1\x40" + ipv6, V6
    ),
    "mpls, multicast": _of(bytes(Ether(type=0x8848)) + b"\0\1\1\x40" + ipv4, V4),
    "mpls, ethernet behind a control word": _of(
        bytes(Ether(type=0x8847)) + b"\0\4\1\x40" + bytes(4) + bytes(_INNER), V4
    ),
    "ppp": _of(b"\xff\3\0\x21" + ipv4, V4, 9),
    "ppp, compressed": _of(b"\x21" + ipv4, V4, 9),
    "ppp, v6": _of(b"\0\x57" + ipv6, V6, 9),
    "ppp, mpls": _of(b"\xff\3\2\x81\0\1\1\x40" + ipv4, V4, 9),
    "ppp in hdlc": _of(b"\xff\3\0\x21" + ipv4, V4, 50),
    "ppp in hdlc, cisco's": _of(b"\x0f\0\x08\0" + ipv4, V4, 50),
    "pppoe without ethernet": _of(_pppoe(b"\0\x21" + ipv4), V4, 51),
    "cisco hdlc": _of(b"\x0f\0\x08\0" + ipv4, V4, 104),
    "cisco hdlc, v6": _of(b"\x0f\0\x86\xdd" + ipv6, V6, 104),
    "l2tp": _tunnel(_l2tp(0x0002, b"\0\1\0\2", b"\xff\3\0\x21" + ipv4), "l2tp"),
    "l2tp, every field": _tunnel(
        _l2tp(0x4A02, struct.pack(">HHHHHH", 18 + len(ipv4), 1, 2, 3, 4, 2) + bytes(2), b"\0\x21" + ipv4),
        "l2tp",
    ),
    "l2tp, v6": _tunnel(_l2tp(0x0002, b"\0\1\0\2", b"\xff\3\0\x57" + ipv6), "l2tp", V6),
    "l2tp, control": _of(
        _ether() / _v4() / UDP(sport=1701, dport=1701) / struct.pack(">HHHHHH", 0xC802, 12, 1, 0, 0, 0),
        V4 | _udp | {"sport": 1701, "dport": 1701, "length": 12},
    ),
    "gtp-u": _tunnel(_gtp(b""), "gtp"),
    "gtp-u, sequence": _tunnel(_gtp(b"\0\1\0\0", 0x32), "gtp"),
    "gtp-u, 5G's extension header": _tunnel(_gtp(b"\0\0\0\x85" + b"\1\x10\1\0", 0x34), "gtp"),
    "gtp-u, echo": _of(
        _ether() / _v4() / UDP(sport=2152, dport=2152) / (b"\x32\1\0\4" + bytes(8)),
        V4 | _udp | {"sport": 2152, "dport": 2152, "length": 12},
    ),
    "erspan, type I": _tunnel(_mirrored(0x88BE, b"", sequence=False), "erspan"),
    "erspan, type II": _tunnel(_mirrored(0x88BE, struct.pack(">HHI", 0x1007, 3, 5)), "erspan"),
    "erspan, type III": _tunnel(_mirrored(0x22EB, struct.pack(">HHIHH", 0x2007, 3, 77, 0, 0)), "erspan"),
    "erspan, type III, platform": _tunnel(
        _mirrored(0x22EB, struct.pack(">HHIHH", 0x2007, 3, 77, 0, 1) + bytes(8)), "erspan"
    ),
    "ipip inside vxlan": _tunnel(_udp_tunnel(4789) / _VXLAN / _ether() / _OUTER / _v4() / _tcp(), "ipip"),
    "arp": _of(
        _ether() / ARP(op=2, psrc="10.244.0.1", pdst=SRC),
        {
            "src": "10.244.0.1",
            "dst": SRC,
            "proto": 0,
            "seq": 2,
            "length": 0,
            "sport": 0,
            "dport": 0,
            "ttl": 0,
        },
    ),
    "syn, options": _of(
        _ether() / _v4() / TCP(sport=20000, dport=80, seq=1, flags="S", window=64240, options=OPTIONS),
        V4 | {"seq": 1, "ack": 0, "flags": 2, "window": 64240, "length": 0},
    ),
    "sack": _of(
        _ether()
        / _v4()
        / TCP(sport=20000, dport=80, seq=1, ack=2, flags="A", window=3, options=[("SAck", (5, 9, 12, 20))]),
        V4 | {"seq": 1, "ack": 2, "flags": 16, "window": 3, "length": 0},
    ),
    "all twelve flags": _of(
        _ether() / _v4() / TCP(sport=20000, dport=80, seq=1, ack=2, flags=0x1FF, reserved=7, window=3),
        V4 | {"seq": 1, "ack": 2, "flags": 0xFFF, "window": 3, "length": 0},
    ),
    "udp": _of(_ether() / _v4() / UDP(sport=53124, dport=53) / b"questions", V4 | _udp),
    "udp, v6": _of(_ether() / _v6() / UDP(sport=53124, dport=53) / b"questions", V6 | _udp),
    "vxlan port, no vxlan": _of(
        _ether() / _v4() / UDP(sport=53124, dport=4789) / b"questions", V4 | _udp | {"dport": 4789}
    ),
    "icmp echo": _of(
        _ether() / _v4() / ICMP(type=8, id=300, seq=9) / b"abcdefgh",
        V4 | _udp | {"proto": 1, "sport": 300, "dport": 300, "seq": 9, "length": 8},
    ),
    "icmp error": _of(
        _ether() / _v4() / ICMP(type=3, code=1) / _quoted,
        V4 | _udp | {"proto": 1, "sport": 3, "dport": 1, "flags": 1, "length": 40},
    ),
    "icmpv6 echo": _of(
        _ether() / _v6() / ICMPv6EchoRequest(id=300, seq=9, data=b"abcdefgh"),
        V6 | _udp | {"proto": 58, "sport": 300, "dport": 300, "seq": 9, "length": 8},
    ),
    "icmpv6 error": _of(
        _ether() / _v6() / ICMPv6DestUnreach(code=3) / _v6() / TCP(sport=20000, dport=80, seq=7),
        V6 | _udp | {"proto": 58, "sport": 1, "dport": 3, "flags": 3, "length": 60},
    ),
    "another transport": _of(
        _ether() / _v4(proto=132) / bytes(40),
        V4 | _udp | {"proto": 132, "sport": 0, "dport": 0, "length": 40},
    ),
    "tso, ip length 0": _of(bytes(_tso), V4 | {"length": 70000}, wirelen=14 + 40 + 70000),
    "tso, ipv6 length 0": _of(bytes(_tso6), V6 | {"length": 70000}, wirelen=14 + 60 + 70000),
}

NOT_ROWS: dict[str, tuple[int, bytes, str]] = {
    "unknown link type": (189, ipv4, "unknown link type"),
    "no ethernet header": (1, b"\2\0\0\0\0\1\2\0\0\0\0\x0a\x08", "link header cut short"),
    "no sll2 header": (276, bytes(19), "link header cut short"),
    "no sll header": (113, bytes(15), "link header cut short"),
    "no vlan tag": (1, bytes(12) + b"\x81\0\0", "link header cut short"),
    "no null header": (0, b"\2\0\0", "link header cut short"),
    "an empty raw packet": (101, b"", "link header cut short"),
    "no label": (1, bytes(12) + b"\x88\x47\0\1\1\x40", "link header cut short"),
    "no hdlc header": (104, b"\x0f\0\x08", "link header cut short"),
    "no ppp protocol": (9, b"\xff\3\0", "link header cut short"),
    "no pppoe session": (1, bytes(12) + b"\x88\x64\x11\0\0\7\0\2\0", "link header cut short"),
    "lcp in pppoe": (1, bytes(12) + b"\x88\x64\x11\0\0\7\0\x0a\xc0\x21" + bytes(8), "not IP or ARP"),
    "a pppoe packet of another code": (1, bytes(12) + b"\x88\x64\x11\xa7\0\7\0\0\0\x21", "not IP or ARP"),
    "a pseudowire without control word": (
        1,
        bytes(12) + b"\x88\x47\0\1\1\x40\xa2" + bytes(40),
        "not IP or ARP",
    ),
    "spanning tree": (
        1,
        bytes(
            Ether(dst="01:80:c2:00:00:00", src="02:00:00:00:00:0a", type=38)
            / LLC(dsap=0x42, ssap=0x42, ctrl=3)
            / bytes(35)
        ),
        "not IP or ARP",
    ),
    "lldp": (1, bytes(_ether())[:12] + b"\x88\xcc" + bytes(40), "not IP or ARP"),
    "arp of another network": (1, bytes(12) + b"\x08\x06\0\1\x80\x9b\6\4" + bytes(30), "not IP or ARP"),
    "neither 4 nor 6": (101, b"\x55" + bytes(39), "not IP or ARP"),
    "no network header": (1, bytes(12) + b"\x08\0", "network header cut short"),
    "half an ipv4 header": (228, ipv4[:19], "network header cut short"),
    "half an ipv6 header": (229, ipv6[:39], "network header cut short"),
    "half an arp": (1, bytes(_ether() / ARP(psrc=SRC, pdst=DST))[:41], "network header cut short"),
    "ipv4 header of 16 bytes": (228, b"\x44" + ipv4[1:], "network header malformed"),
    "version 6 where 4 is said": (228, ipv6, "network header malformed"),
    "half an extension header": (
        229,
        bytes(_v6() / IPv6ExtHdrHopByHop() / _tcp())[:44],
        "network header cut short",
    ),
}
