"""Where headers end, and which addresses they hold: under every layer that the decoder reads."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from analyzer.capture.layout import LINKS
from analyzer.report.headers import Headers, read
from tests.capture.layers import NOT_ROWS, ROWS, Layered

MACS = {bytes.fromhex("02000000000a"), bytes.fromhex("020000000001")}

every_layer = pytest.mark.parametrize("layered", ROWS.values(), ids=ROWS)


def _addresses(frame: bytes, found: Headers) -> set[str]:
    v4 = {socket.inet_ntop(socket.AF_INET, frame[at : at + 4]) for at in found.v4}
    return v4 | {socket.inet_ntop(socket.AF_INET6, frame[at : at + 16]) for at in found.v6}


@every_layer
def test_headers_end_where_the_payload_begins(layered: Layered) -> None:
    """What follows the headers is what the program sent, and nothing of it comes before."""
    payload = layered.frame[read(layered.frame, layered.link).end :]
    proto, length = layered.expected["proto"], layered.expected["length"]
    if layered.expected.get("fragment"):
        assert bytes(80) == payload
    elif proto == 6:
        assert (b"hello, world" if length else b"") == payload[: min(length, 12)]
    elif proto == 17:
        assert layered.frame[len(layered.frame) - length :] == payload
    elif proto in (1, 58):
        assert payload in (b"abcdefgh", b"")
    else:
        assert {0: 0, 132: 28}[proto] == len(payload)


@every_layer
def test_all_addresses_are_found(layered: Layered) -> None:
    """Once the places are overwritten that were found, no address of any layer is left."""
    found = read(layered.frame, layered.link)
    frame = bytearray(layered.frame)
    for places, size in ((found.macs, 6), (found.v4, 4), (found.v6, 16)):
        for at in places:
            frame[at : at + size] = bytes(size)
    for begin, end, fill in found.options:
        frame[begin:end] = bytes([fill]) * (end - begin)

    assert {layered.expected["src"], layered.expected["dst"]} <= _addresses(layered.frame, found)
    assert not [mac for mac in MACS if mac in frame]
    assert not [
        prefix
        for prefix in (b"\x0a\xf4\0", b"\xc0\0\2", b"\xc6\x33\x64", b"\x20\1\x0d\xb8")
        if prefix in frame
    ]


@every_layer
def test_cut_anywhere(layered: Layered) -> None:
    """A frame that was cut short has the headers that are there, and no place beyond."""
    for length in range(len(layered.frame)):
        _check(layered.frame[:length], read(layered.frame[:length], layered.link))


@given(st.binary(max_size=200), st.sampled_from(sorted(LINKS)), st.sampled_from(list(ROWS.values())))
def test_nonsense_is_survived(tail: bytes, link: int, layered: Layered) -> None:
    """Whatever the bytes are, every place lies within them."""
    for frame in (tail, layered.frame[: len(tail)] + tail):
        _check(frame, read(frame, link))


def _check(frame: bytes, found: Headers) -> None:
    assert 0 <= found.end <= len(frame)
    for places, size in ((found.macs, 6), (found.v4, 4), (found.v6, 16), (found.checksums, 2)):
        assert all(0 <= at <= len(frame) - size for at in places)
    for begin, end, *_ in (*found.options, *found.ipv4):
        assert 0 <= begin <= end <= len(frame)


@pytest.mark.parametrize(("link", "frame", "reason"), NOT_ROWS.values(), ids=NOT_ROWS)
def test_what_is_not_understood_is_payload(
    request: pytest.FixtureRequest, link: int, frame: bytes, reason: str
) -> None:
    """Of a frame without a whole network header no more than what is whole before is kept."""
    assert read(frame, link).end <= (40 if "extension" in request.node.name else 18)
    assert not read(frame, link).v4


def test_quoted_headers_are_headers() -> None:
    """An ICMP error is kept to the end of the headers that it quotes, and no further."""
    quoted = IP(src="10.244.0.11", dst="192.0.2.100") / TCP() / b"secret"
    frame = bytes(IP(src="192.0.2.1", dst="10.244.0.11") / ICMP(type=3, code=1) / quoted)
    found = read(frame, 101)

    assert len(frame) - 6 == found.end
    assert 4 == len(found.v4)
    assert 2 == len(found.ipv4)
    assert 2 == len(found.checksums)


def test_eight_quoted_bytes_are_enough() -> None:
    """RFC 792 has an error quote 8 bytes of the transport header: they are kept."""
    quoted = bytes(IP(src="10.244.0.11", dst="192.0.2.100") / TCP(sport=20000))[:28]
    frame = bytes(IP(src="192.0.2.1", dst="10.244.0.11") / ICMP(type=11) / quoted)

    assert len(frame) == read(frame, 101).end


def test_a_redirect_names_a_gateway() -> None:
    """The better gateway of an ICMP redirect is an address as well; of another error those bytes are none."""
    quoted = IP(src="10.244.0.11", dst="192.0.2.100") / TCP()
    redirect, unreachable = (
        bytes(IP(src="192.0.2.1", dst="10.244.0.11") / ICMP(type=kind, gw="192.0.2.7") / quoted)
        for kind in (5, 3)
    )

    assert "192.0.2.7" in _addresses(redirect, read(redirect, 101))
    assert "192.0.2.7" not in _addresses(unreachable, read(unreachable, 101))


def test_neighbour_discovery_names_a_target() -> None:
    """The target of a neighbour solicitation and the sender's link-layer address in it are told."""
    frame = bytes(
        Ether(src="02:00:00:00:00:0a", dst="33:33:ff:00:00:01")
        / IPv6(src="2001:db8::b", dst="ff02::1:ff00:1")
        / ICMPv6ND_NS(tgt="2001:db8::1")
        / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:0a")
    )
    found = read(frame, 1)

    assert {"2001:db8::b", "ff02::1:ff00:1", "2001:db8::1"} == _addresses(frame, found)
    assert [bytes.fromhex("02000000000a")] * 2 == [frame[at : at + 6] for at in found.macs if frame[at] == 2]


@pytest.mark.parametrize(
    ("options", "strange"),
    [
        (b"\2\4\5\xb4\1\3\3\7", 0),
        (b"\x1e\x0a\x30\1\x0a\xf4\0\x0b\0\0\1\1", 10),  # MPTCP's ADD_ADDR
        (b"\xfe\x08\0\x50\x0a\xf4\0\x0b", 8),  # TOA
        (b"\2\0\x0a\xf4\0\x0b\1\1", 8),  # a length that cannot be
        (b"\x1e\xff\x0a\xf4\0\x0b\1\1", 8),  # and one beyond the header
    ],
)
def test_strange_tcp_options_may_hold_addresses(options: bytes, strange: int) -> None:
    """Options of known kinds hold none; all others, and what cannot be parsed, are named."""
    tcp = bytearray(bytes(TCP()) + options)
    tcp[12] = (5 + len(options) // 4) << 4
    found = read(bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=6)) + bytes(tcp), 101)

    assert strange == sum(end - begin for begin, end, _ in found.options)


def _tunnelled(outer: bytes, proto: int) -> bytes:
    inner = IP(src="10.244.0.11", dst="192.0.2.100") / TCP()
    if proto == 47:
        return bytes(IP(src="198.51.100.1", dst="198.51.100.2", proto=47) / (outer + bytes(Ether() / inner)))
    return bytes(
        IP(src="198.51.100.1", dst="198.51.100.2")
        / UDP(sport=1701, dport=1701)
        / (outer + b"\x21" + bytes(inner))
    )


def test_a_mirrored_frame_carries_words_of_its_switch() -> None:
    """Of ERSPAN III the eight bytes that the platform defines are left out, and the headers behind them found."""
    gre = bytes.fromhex("100022eb00000007")
    with_platform = _tunnelled(gre + bytes.fromhex("200000000000000000000001") + b"SECRETS!", 47)
    without = _tunnelled(gre + bytes.fromhex("200000000000000000000000"), 47)
    at = with_platform.index(b"SECRETS!")

    assert [(at, at + 8, 0)] == read(with_platform, 101).options
    assert [] == read(without, 101).options
    assert 4 == len(read(with_platform, 101).v4) == len(read(without, 101).v4)


def test_l2tp_may_have_padding() -> None:
    """Any bytes may stand before what L2TP carries; they are blanked."""
    padded = _tunnelled(bytes.fromhex("0202000100020006") + b"SECRET", 17)
    plain = _tunnelled(bytes.fromhex("000200010002"), 17)
    at = padded.index(b"SECRET")

    assert (at, at + 6) in read(padded, 101).blank
    assert 4 == len(read(padded, 101).v4) == len(read(plain, 101).v4)
    assert len(read(plain, 101).blank) == len(read(padded, 101).blank) - 1
