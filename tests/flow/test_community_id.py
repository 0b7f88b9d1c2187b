"""Community IDs: those of the package that defined them, and those of Wireshark."""

from __future__ import annotations

import ipaddress
import struct
import subprocess
from collections.abc import Mapping

import communityid
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.flow.community_id import ANSWERS, community_ids
from analyzer.flow.point import Point
from tests.conftest import Case, analysed
from tests.flow.test_point import packet, point

REFERENCE = communityid.CommunityID()
A, B = "10.0.0.1", "10.0.0.2"
v4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
v6 = st.integers(0x2001_0DB8 << 96, (0x2001_0DB9 << 96) - 1).map(ipaddress.IPv6Address)
Pair = (
    tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | tuple[ipaddress.IPv6Address, ipaddress.IPv6Address]
)


def ip(src: ipaddress.IPv4Address | ipaddress.IPv6Address, dst: object, proto: int, body: bytes) -> bytes:
    """Write a packet between any two addresses."""
    ends = src.packed + dst.packed  # type: ignore[attr-defined]
    if src.version == 4:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, proto, 0) + ends + body
    return struct.pack(">IHBB", 6 << 28, len(body), proto, 64) + ends + body


def only(of: Point) -> str | None:
    """The Community ID of a point's one flow."""
    (found,) = community_ids(of)
    assert found is None or isinstance(found, str)
    return found


@given(
    ends=st.tuples(v4, v4) | st.tuples(v6, v6),
    ports=st.tuples(st.integers(0, 65535), st.integers(1, 65535)),
    proto=st.sampled_from([6, 17]),
)
def test_ports(ends: Pair, ports: tuple[int, int], proto: int) -> None:
    """TCP and UDP over both IP versions, whichever end is the smaller one."""
    rest = struct.pack(">IIHHHH", 1, 0, 0x5002, 64240, 0, 0) if proto == 6 else struct.pack(">HH", 8, 0)
    made = point(ip(*ends, proto, struct.pack(">HH", *ports) + rest))

    assert REFERENCE.calc(communityid.FlowTuple(proto, str(ends[0]), str(ends[1]), *ports)) == only(made)


@given(ends=st.tuples(v4, v4) | st.tuples(v6, v6), proto=st.sampled_from([50, 89, 103, 255]))
def test_without_ports(ends: Pair, proto: int) -> None:
    """Protocols that have no ports are hashed without."""
    made = point(ip(*ends, proto, bytes(3)))

    assert REFERENCE.calc(communityid.FlowTuple(proto, str(ends[0]), str(ends[1]))) == only(made)


@given(
    ends=st.tuples(v4, v4) | st.tuples(v6, v6),
    kind=st.integers(0, 255),
    code=st.integers(0, 255),
    rest=st.binary(min_size=4, max_size=8),
)
def test_icmp(ends: Pair, kind: int, code: int, rest: bytes) -> None:
    """Types that are answered have no direction, all others have; an echo begins with the request."""
    proto = 1 if ends[0].version == 4 else 58
    if kind in (0, 8, 128, 129):
        kind, code = {1: 8, 58: 128}[proto], 0
    made = point(ip(*ends, proto, bytes([kind, code, 0, 0]) + rest))

    assert REFERENCE.calc(communityid.FlowTuple(proto, str(ends[0]), str(ends[1]), kind, code)) == only(made)


def test_both_directions_are_one() -> None:
    """A reply belongs to the flow of its request."""
    there, back = (packet(by, 0x02 if not by else 0x12, 7) for by in (0, 1))

    assert {only(point(there)), only(point(back))} == {only(point(there, back))}


def test_echo_identifiers_do_not_matter() -> None:
    """Also one that looks like type and code of something else: 3 and 3, 0 and 0."""
    a, b = (ipaddress.IPv4Address(text) for text in (A, B))
    echoes = [point(ip(a, b, 1, bytes([8, 0, 0, 0]) + struct.pack(">HH", i, 1))) for i in (0, 3, 700)]
    unreachable = point(ip(a, b, 1, bytes([3, 3, 0, 0]) + bytes(4)))

    assert 1 == len({only(echo) for echo in echoes})
    assert only(unreachable) not in {only(echo) for echo in echoes}


def test_what_has_none() -> None:
    """ARP, and a fragment or a header cut short: no ports were captured, so none are made up."""
    a, b = (ipaddress.IPv4Address(text) for text in (A, B))
    whole = packet(0, 0, 0, (53, 5353), proto=17)
    fragment = bytearray(whole)
    fragment[6:8] = struct.pack(">H", 100)

    assert only(point(whole)) is not None
    assert only(point(bytes(fragment))) is None
    assert only(point(ip(a, b, 6, b"\x00"))) is None
    assert only(point(ip(a, b, 1, b"\x08"))) is None


def test_answers_are_mutual() -> None:
    """Whatever answers is answered by it."""
    for answers in ANSWERS.values():
        assert all(answers[answer] == kind for kind, answer in answers.items())


@pytest.mark.tshark
@pytest.mark.parametrize("name", ["clean", "snat-race-ipv6"])
def test_wireshark_says_the_same(name: str, cases: Mapping[str, Case]) -> None:
    """Each packet of real captures, on both sides of the NAT boundary."""
    analysis = analysed(name)
    flows = analysis.flows.set_index(["point", "flow"])["community_id"]
    for at in (analysis.capture_points[0], analysis.capture_points[-1]):
        argv = [
            "tshark",
            "-n",
            "-r",
            str(cases[name].folder / at.files[0]),
            "--enable-protocol",
            "communityid",
        ]
        argv += ["-T", "fields", "-e", "frame.number", "-e", "communityid", "-E", "occurrence=l"]
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        said = dict(line.split("\t") for line in told.splitlines())
        packets = analysis.packets(at.name)
        ours = [
            (str(frame), flows.loc[(at.name, flow)] if proto else "")
            for frame, flow, proto in zip(packets["frame"], packets["flow"], packets["proto"], strict=True)
        ]

        assert ours
        assert [(frame, said[frame]) for frame, _ in ours] == ours
