"""Addresses of a packet's bytes."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.frame import ethernet, ip

TCP = struct.pack("!HHIIBBHHH", 4000, 80, 7, 0, 0x50, 2, 1000, 0, 0)
V4 = (
    struct.pack("!BBHHHBBH", 0x45, 0, 40, 99, 0x4000, 64, 6, 0)
    + socket.inet_aton("10.0.0.1")
    + socket.inet_aton("192.0.2.1")
)
V6 = (
    struct.pack("!IHBB", 6 << 28, 20, 6, 64)
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
)


def test_ipv4_and_ipv6() -> None:
    """Both versions of IP tell the same fields; IPv6 has no ID."""
    ends = {"proto": "tcp", "sport": 4000, "dport": 80, "seq": 7}
    assert {"ip_id": 99, "src": "10.0.0.1", "dst": "192.0.2.1"} | ends == ip(V4 + TCP)
    assert {"src": "2001:db8::1", "dst": "2001:db8::2"} | ends == ip(V6 + TCP)


def test_ethernet() -> None:
    """VLAN tags are skipped; what is not IP tells nothing."""
    plain, tagged = bytes(12) + b"\x08\x00" + V4 + TCP, bytes(12) + b"\x81\x00\x00\x05\x08\x00" + V4 + TCP
    assert ip(V4 + TCP) == ethernet(plain) == ethernet(tagged)
    assert {} == ethernet(bytes(12) + b"\x08\x06" + bytes(28))


def test_later_fragments_have_no_ports() -> None:
    """What looks like ports there is payload."""
    fragment = V4[:6] + b"\x00\x10" + V4[8:] + TCP
    assert "sport" not in ip(fragment)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_any_bytes(data: bytes, cut: int) -> None:
    """Nothing that is cut or no packet fails."""
    ethernet(data)
    ip(data)
    assert ip((V4 + TCP)[:cut]).keys() <= ip(V4 + TCP).keys()
