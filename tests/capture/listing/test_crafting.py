"""Headers made of a listing: what a dissector reads in them is what the listing says."""

from __future__ import annotations

from functools import partial

import pytest
from scapy.layers.dns import DNS
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from analyzer.capture.listing.crafting import dns, frame, linux_options, options, quoted
from analyzer.capture.listing.listed import Listed


def listed(**fields: object) -> Listed:
    """A packet between two addresses."""
    return Listed(**({"number": 1, "time": 0, "src": "10.0.0.1", "dst": "10.0.0.2", "proto": 6} | fields))  # type: ignore[arg-type]


def test_a_segment() -> None:
    """Addresses, ports, numbers, options, and its length on the wire."""
    told = linux_options(mss=1460, sack_permitted=True, stamps=(7, 8), scale=10)
    data, wirelen = frame(
        listed(
            sport=5, dport=6, seq=7, ack=8, flags=0x12, window=9, options=told, length=100, ttl=63, ip_id=3
        )
    )
    made = Ether(data)

    assert (5, 6, 7, 8, 0x12, 9) == tuple(
        getattr(made[TCP], name) for name in ("sport", "dport", "seq", "ack", "flags", "window")
    )
    assert [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (7, 8)), ("NOP", None), ("WScale", 10)] == made[
        TCP
    ].options
    assert (14 + 20 + 40 + 100, 63, 3) == (wirelen, made.ttl, made.id)
    assert wirelen - 100 == len(data)


def test_a_segment_larger_than_an_ip_packet() -> None:
    """As of TSO: length 0, and the record's is true."""
    data, wirelen = frame(listed(length=70000))

    assert (b"\0\0", 14 + 40 + 70000) == (data[16:18], wirelen)


def test_others() -> None:
    """IPv6, UDP with what is known of its payload, ICMP, ARP."""
    udp, _ = frame(
        listed(src="2001:db8::1", dst="2001:db8::2", proto=17, sport=1, dport=2, length=3, payload=b"abcdef")
    )
    echo, _ = frame(listed(proto=1, icmp=(8, 0), word=5 << 16 | 6, length=8))
    arp, _ = frame(listed(proto=0, flags=1))

    assert ("2001:db8::2", 11, b"abc") == (
        Ether(udp)[IPv6].dst,
        Ether(udp)[UDP].len,
        bytes(Ether(udp)[UDP].payload),
    )
    assert (8, 5, 6) == (Ether(echo)[ICMP].type, Ether(echo)[ICMP].id, Ether(echo)[ICMP].seq)
    assert ("10.0.0.1", "10.0.0.2") == (Ether(arp)[ARP].psrc, Ether(arp)[ARP].pdst)


@pytest.mark.parametrize(
    "fields",
    [
        {"src": "client.example"},
        {"dst": "2001:db8::1"},
        {"sport": 70000},
        {"seq": 1 << 32},
        {"proto": 0, "src": "::1", "dst": "::2"},
    ],
)
def test_what_does_not_fit(fields: dict[str, object]) -> None:
    """A name, two families, numbers that no header holds."""
    with pytest.raises(ValueError, match=r"."):
        frame(listed(**fields))


def test_pieces() -> None:
    """A quoted packet begins with its IP header; a question has its type's number, or is left out."""
    assert (0x45, b"\0\5\0\6") == (
        quoted("10.0.0.1", "10.0.0.2", 6, 5, 6)[0],
        quoted("10.0.0.1", "10.0.0.2", 6, 5, 6)[20:24],
    )
    ask = partial(dns, recursion=True, answer=False)
    made = DNS(ask(7, "x.example.", "AAAA"))

    assert (7, 1, 0, b"x.example.", 28) == (made.id, made.rd, made.qr, made.qd[0].qname, made.qd[0].qtype)
    assert 12 == len(ask(7, "x" * 64, "A")) == len(ask(7, "x", "NOSUCH")) == len(ask(7, "", ""))


def test_options_fill_whole_words() -> None:
    """NOPs as Linux puts them, never more than a header holds; in the order of the listing where that tells it."""
    assert 12 == len(linux_options(stamps=(1, 2)))
    assert 40 >= len(linux_options(stamps=(1, 2), edges=(1, 2, 3, 4, 5, 6, 7, 8)))
    assert bytes.fromhex("0101050a000000010000000204020000") == linux_options(edges=(1, 2, 3)) + options(
        ("SAckOK", b"")
    )
    assert 40 == len(options(*[("Timestamp", (1, 2))] * 5))
    with pytest.raises(ValueError, match=r"."):
        options(("WScale", 256))
