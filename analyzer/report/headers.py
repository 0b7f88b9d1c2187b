"""Where the headers of a frame end, and where addresses stand in them: for the few frames that are handed on.

The same headers as `analyzer.capture.scan` reads, in Python, since an excerpt has a few thousand frames. What is not
understood counts as payload: nothing is kept by mistake. Every length is checked against the captured bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.capture.encapsulation import link_header, tunnel, unwrap
from analyzer.capture.layout import TUNNELS

_V4, _V6, _ARP, _ETHERNET, _EITHER = 0x0800, 0x86DD, 0x0806, 0x6558, 0
_ERSPAN_3 = 0x22EB
_PLACE = (1 << 40) - 1
_DEPTH = 4
"""Tunnels inside tunnels that are followed, as the scan does."""
_ICMP_ERRORS = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}
"""Types that quote a packet: RFC 792, RFC 4443 section 3."""
_ICMP_WORDS: dict[int, dict[int, tuple[int, ...]]] = {
    1: {0: (4, 5, 6, 7), 8: (4, 5, 6, 7), 3: (5, 6, 7), 5: (4, 5, 6, 7), 11: (5,), 12: (4, 5)},
    58: {2: (4, 5, 6, 7), 4: (4, 5, 6, 7), 128: (4, 5, 6, 7), 129: (4, 5, 6, 7), 1: (4,), 3: (4,), 136: (4,)},
}
"""Of the second word of an ICMP header, by protocol and type, the bytes that mean something: identifier and sequence number,
MTU, pointer, the quote's length (RFC 4884), a gateway, the flags of an advertisement."""
_EXTENSIONS = (0, 43, 44, 51, 60)
_PLAIN = {50: 8, 132: 12}
"""Bytes of the headers that are only kept: ESP's number and sequence, SCTP's common header."""
_TCP_OPTIONS = {0: (1,), 1: (1,), 2: (4,), 3: (3,), 4: (2,), 5: (10, 18, 26, 34), 8: (10,)}
"""End, padding, MSS, window scale, SACK and timestamps, with their lengths; others may carry addresses (MPTCP, TOA)."""
_HARDWARE = (1, 772, 801, 802, 803)
"""ARPHRD_ of links whose address is a MAC: Ethernet, loopback, IEEE 802.11 in its forms."""
_TUNNELS_4 = (768, 776, 778)
"""ARPHRD_ of tunnels over IPv4: TUNNEL, SIT, IPGRE; their link-layer address is the outer one (ip_tunnel_init)."""


@dataclass(slots=True)
class Headers:
    """The headers of one frame; positions are those in the frame."""

    end: int = 0
    """Where the payload begins: all before it is header."""
    macs: list[int] = field(default_factory=list)
    """Link-layer addresses, 6 bytes each."""
    v4: list[int] = field(default_factory=list)
    """IPv4 addresses, 4 bytes each."""
    v6: list[int] = field(default_factory=list)
    """IPv6 addresses, 16 bytes each."""
    ipv4: list[tuple[int, int]] = field(default_factory=list)
    """IPv4 headers, begin and end; the checksum stands 10 bytes behind the begin."""
    checksums: list[int] = field(default_factory=list)
    """Checksums of transport headers, 2 bytes each; they cover the addresses, too."""
    options: list[tuple[int, int, int]] = field(default_factory=list)
    """Options that may hold addresses of their own: begin, end, and the byte that makes them padding."""
    blank: list[tuple[int, int]] = field(default_factory=list)
    """Bytes of headers that mean nothing, or that nobody here understands, and checksums over what is within: begin, end."""


def read(frame: bytes | memoryview, link: int) -> Headers:
    """Find the headers of *frame*.

    Args:
        frame: The captured bytes.
        link: LINKTYPE_ number.
    """
    found = Headers()
    if link == 1:
        _network(frame, 0, _ETHERNET, found, 0)
    elif link == 276 and len(frame) >= 20:
        found.blank.append((2, 4))  # reserved
        _sender(12, _u16(frame, 8), frame[11], found)
        _network(frame, 20, _u16(frame, 0), found, 0)
    elif link == 113 and len(frame) >= 16:
        _sender(6, _u16(frame, 2), _u16(frame, 4), found)
        _network(frame, 16, _u16(frame, 14), found, 0)
    elif link in (101, 12, 14, 228, 229):
        _network(frame, 0, {228: _V4, 229: _V6}.get(link, _EITHER), found, 0)
    elif link in (0, 108) and len(frame) >= 4:
        _network(frame, 4, _EITHER, found, 0)
    else:
        _network(frame, *_place(link_header(frame, 0, len(frame), link)), found, 0)
    found.end = min(found.end, len(frame))
    return found


def _sender(at: int, hardware: int, size: int, found: Headers) -> None:
    """The eight bytes of a cooked header that hold the sender's link-layer address, and what else was there in memory.

    That of a tunnel device is the address of its outer header, or the first half of it; what is not a MAC is blanked.
    """
    if hardware in _HARDWARE and size == 6:
        found.macs.append(at)
        at, size = at + 6, 2
    elif hardware in _TUNNELS_4 and size == 4:
        found.v4.append(at)
        at, size = at + 4, 4
    else:
        size = 8
    found.blank.append((at, at + size))


def _place(of: int) -> tuple[int, int]:
    """Where the next header begins, and its EtherType, by what `analyzer.capture.encapsulation` says; a negative one for none."""
    return (0, -1) if of < 0 else (of >> 16 & _PLACE, of & 0xFFFF)


def _u16(frame: bytes | memoryview, at: int) -> int:
    return frame[at] << 8 | frame[at + 1]


def _network(
    frame: bytes | memoryview, at: int, kind: int, found: Headers, depth: int, quoted: bool = False
) -> None:
    """Read on at a network header of EtherType *kind*; *quoted* inside an ICMP error."""
    while kind > 0 and kind not in (_V4, _V6, _ARP):
        begin, inner = _place(unwrap(frame, at, len(frame), kind))
        if inner < 0:
            break
        if kind == _ETHERNET:
            found.macs += [at, at + 6]
        at, kind = begin, inner
    found.end = at
    if kind == _EITHER and at < len(frame):
        kind = {4: _V4, 6: _V6}.get(frame[at] >> 4, _EITHER)
    if kind == _ARP and len(frame) - at >= 28 and bytes(frame[at + 2 : at + 6]) == b"\x08\0\6\4":
        found.macs += [at + 8, at + 18]
        found.v4 += [at + 14, at + 24]
        found.end = at + 28
    elif kind == _V4 and len(frame) - at >= 20 and frame[at] >> 4 == 4:
        _ipv4(frame, at, found, depth, quoted)
    elif kind == _V6 and len(frame) - at >= 40 and frame[at] >> 4 == 6:
        _ipv6(frame, at, found, depth, quoted)


def _ipv4(frame: bytes | memoryview, at: int, found: Headers, depth: int, quoted: bool) -> None:
    end = at + (frame[at] & 15) * 4
    if end < at + 20 or end > len(frame):
        return
    found.v4 += [at + 12, at + 16]
    found.ipv4.append((at, end))
    if end > at + 20:
        found.options.append((at + 20, end, 1))
    found.end = end
    if not _u16(frame, at + 6) & 0x1FFF:
        _transport(frame, end, frame[at + 9], found, depth, quoted)


def _ipv6(frame: bytes | memoryview, at: int, found: Headers, depth: int, quoted: bool) -> None:
    found.v6 += [at + 8, at + 24]
    proto, at = frame[at + 6], at + 40
    found.end = at
    while proto in _EXTENSIONS and len(frame) - at >= 8:
        if proto == 44:
            later = _u16(frame, at + 2) >> 3
            size = 8
        else:
            later = 0
            size = (frame[at + 1] + 2) * 4 if proto == 51 else (frame[at + 1] + 1) * 8
        if size > len(frame) - at:
            return
        if proto in (0, 43, 60):
            found.options.append((at + 4, at + size, 0))
        elif proto == 51:
            # Reserved bytes, and the integrity check value, which covers the addresses (RFC 4302 section 2.6).
            found.blank.append((at + 2, at + 4))
            found.options.append((min(at + 12, at + size), at + size, 0))
        else:
            found.blank.append((at + 1, at + 2))  # reserved
        proto, at = frame[at], at + size
        found.end = at
        if later:
            return
    if proto not in _EXTENSIONS:
        _transport(frame, at, proto, found, depth, quoted)


def _transport(
    frame: bytes | memoryview, at: int, proto: int, found: Headers, depth: int, quoted: bool
) -> None:
    left = len(frame) - at
    if proto == 6:
        # An ICMP error may quote no more than the first 8 bytes.
        size = max((frame[at + 12] >> 4) * 4, 20) if left > 12 else left
        found.end = at + size
        if left >= 18:
            found.checksums.append(at + 16)
        elif left == 17:
            found.blank.append((at + 16, at + 17))
        if left >= 20 and not frame[at + 13] & 0x20:
            found.blank.append((at + 18, at + 20))  # an urgent pointer that nobody reads
        _tcp_options(frame, at + 20, min(at + size, len(frame)), found)
    elif proto == 17 and left >= 8:
        found.end = at + 8
        found.checksums.append(at + 6)
        if not quoted and depth < _DEPTH:
            _tunnel(frame, at, proto, found, depth)
    elif proto in _ICMP_ERRORS and left >= 8:
        found.end = at + 8
        found.checksums.append(at + 2)
        known = _ICMP_WORDS[proto].get(frame[at], ())
        found.blank += [(at + place, at + place + 1) for place in range(4, 8) if place not in known]
        if frame[at] in _ICMP_ERRORS[proto] and not quoted:
            if frame[at] == 5 and proto == 1:
                found.v4.append(at + 4)  # the better gateway, RFC 792
            _network(frame, at + 8, _EITHER, found, depth, quoted=True)
        elif proto == 58 and frame[at] in (135, 136) and left >= 24:
            _neighbour(frame, at, found)
    elif proto in (4, 41, 47) and left >= 4 and not quoted:
        found.end = at + 4 * (proto == 47)
        if depth < _DEPTH:
            _tunnel(frame, at, proto, found, depth)
    else:
        found.end = at + _PLAIN.get(proto, 0)
        if proto == 132 and left >= 12:
            found.checksums += [at + 8, at + 10]  # CRC32c of all chunks, which may name addresses


def _tcp_options(frame: bytes | memoryview, at: int, end: int, found: Headers) -> None:
    while at < end:
        kind = frame[at]
        size = 1 if kind < 2 else frame[at + 1] if at + 1 < end else 0
        if size < 1 or (kind > 1 and size < 2) or at + size > end:
            found.options.append((at, end, 1))
            return
        if size not in _TCP_OPTIONS.get(kind, ()):
            found.options.append((at, at + size, 1))
        if kind == 0:
            found.blank.append((at, end))  # padding
            return
        at += size


def _tunnel(frame: bytes | memoryview, at: int, proto: int, found: Headers, depth: int) -> None:
    of = tunnel(frame, at, len(frame), proto)
    inner, kind = _place(of)
    if kind < 0 or inner > len(frame):
        return
    name = TUNNELS[of >> 56]
    if name == "geneve":
        found.blank.append((at + 15, at + 16))
        found.options.append((at + 16, inner, 0))
    elif name in ("gre", "erspan"):
        _gre(frame, at, inner, found)
    elif name == "l2tp":
        _l2tp(frame, at + 8, found)
    _network(frame, inner, kind, found, depth + 1)


def _gre(frame: bytes | memoryview, at: int, inner: int, found: Headers) -> None:
    flags, kind = frame[at], _u16(frame, at + 2)
    at += 4
    if flags & 0x80:
        found.checksums.append(at)  # of what is within
        found.blank.append((at + 2, at + 4))
        at += 4
    if flags & 0x20:
        found.options.append((at, at + 4, 0))  # a key is often an address
        at += 4
    at += 4 if flags & 0x10 else 0
    if kind == _ERSPAN_3 and inner - at > 12:
        found.options.append((at + 12, inner, 0))  # what the switch adds, as it likes


def _l2tp(frame: bytes | memoryview, at: int, found: Headers) -> None:
    """Padding of any content before what L2TP carries, RFC 2661 section 3.1."""
    flags = _u16(frame, at)
    if flags & 0x0200:
        at += 6 + (2 if flags & 0x4000 else 0) + (4 if flags & 0x0800 else 0)
        found.blank.append((at + 2, at + 2 + _u16(frame, at)))


def _neighbour(frame: bytes | memoryview, at: int, found: Headers) -> None:
    """Neighbour solicitation and advertisement, RFC 4861 section 4.3: the target, and its link-layer address."""
    found.v6.append(at + 8)
    found.end = at = at + 24
    if len(frame) - at >= 8 and frame[at] in (1, 2) and frame[at + 1] == 1:
        found.macs.append(at + 2)
        found.end = at + 8
