"""Rare headers: what takes them off, and what only looks like one. Whole frames are in `tests/capture/layers.py`."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.layout import REASONS, TUNNELS
from tests.conftest import load_uncompiled

made = load_uncompiled("analyzer.capture.encapsulation")


def udp(port: int, payload: bytes) -> bytes:
    """A UDP header to that port, and at least 8 bytes behind it."""
    return struct.pack(">HHHH", 40000, port, 0, 0) + payload


def inner(data: bytes, proto: int = 17) -> tuple[str, int, int] | None:
    """The tunnel, and place and EtherType of what is inside; None where it is no tunnel."""
    found = made.tunnel(data, 0, len(data), proto)
    return None if found < 0 else (TUNNELS[found >> 56], found >> 16 & 0xFFFFFFFF, found & 0xFFFF)


@pytest.mark.parametrize(
    ("data", "proto"),
    [
        (bytes.fromhex("3081880b0000") + bytes(20), 47),
        (bytes.fromhex("000088cc") + bytes(20), 47),
        (bytes.fromhex("100022eb00000001") + struct.pack(">HHIHH", 0x2007, 3, 7, 0, 0x0800), 47),
        (udp(1701, bytes.fromhex("c802000c00010000") + bytes(8)), 17),
        (udp(1701, bytes.fromhex("0003000000000007") + bytes(20)), 17),
        (udp(1701, bytes.fromhex("00020001000200fd") + bytes(20)), 17),
        (udp(2152, bytes.fromhex("30fe000000000007") + b"\x45" + bytes(19)), 17),
        (udp(2152, bytes.fromhex("50ff000000000007") + b"\x45" + bytes(19)), 17),
        (udp(2152, bytes.fromhex("34ff000000000007 00000085 00000000") + b"\x45" + bytes(19)), 17),
        (udp(2152, bytes.fromhex("34ff000000000007 00000085 ff000000") + b"\x45" + bytes(19)), 17),
        (udp(2152, bytes.fromhex("30ff000000000007") + b"\x02" + bytes(19)), 17),
        (udp(4790, bytes.fromhex("0800000000000700") + bytes(40)), 17),
    ],
    ids=[
        "PPTP", "GRE of something else", "ERSPAN III of an IP packet", "L2TP control", "L2TPv3", "L2TP with LCP",
        "GTP end marker", "GTPv2", "an extension of length 0", "an extension beyond the end", "GTP of Ethernet",
        "VXLAN's header at another port",
    ],
)  # fmt: skip
def test_what_is_no_tunnel_that_is_read(data: bytes, proto: int) -> None:
    """The outer packet is then the row."""
    assert inner(data, proto) is None


def test_an_answer_of_l2tp_comes_from_its_port() -> None:
    """The client's port may be any (RFC 2661 section 8.1)."""
    data = struct.pack(">HHHH", 1701, 40000, 0, 0) + bytes.fromhex("0002000100020021") + b"\x45" + bytes(19)

    assert ("l2tp", 16, 0x0800) == inner(data)


def test_extensions_of_gtp_are_walked() -> None:
    """Each says how many 4 bytes it has, and what comes next."""
    header = bytes.fromhex("36ff0000 00000007 00010085 01090040 02000000 00000000")

    assert ("gtp", 32, 0) == inner(udp(2152, header + b"\x60" + bytes(39)))


@given(st.binary(max_size=60), st.sampled_from([4, 17, 41, 47]), st.sampled_from([1701, 2152, 4789, 6081]))
def test_any_tunnel(data: bytes, proto: int, port: int) -> None:
    """No bytes are read that are not there, and what is taken off has a length."""
    data = udp(port, data) if proto == 17 else data
    found = inner(data, proto)

    assert found is None or found[1] > 0 or proto in (4, 41)


@given(st.binary(max_size=40), st.sampled_from([9, 50, 51, 104, 7]))
def test_any_link_header(data: bytes, link: int) -> None:
    """It ends within the frame, or the reason is one of those that are counted."""
    found = made.link_header(data, 0, len(data), link)

    assert 0 < found >> 16 <= len(data) if found >= 0 else -1 - found < len(REASONS)


@given(st.binary(max_size=60), st.sampled_from([0x8100, 0x8847, 0x8848, 0x8864, 0x88E5]))
def test_any_wrapping(data: bytes, kind: int) -> None:
    """The same of tags, labels and PPPoE."""
    found = made.unwrap(data, 0, len(data), kind)

    assert 0 < found >> 16 <= len(data) if found >= 0 else -1 - found < len(REASONS)
