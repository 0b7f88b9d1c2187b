"""The hot loop of decoding: every layer, every cut, any bytes; compiled and not, the same."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from dataclasses import fields
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analyzer.capture import decoder, flowtable, scan
from analyzer.capture.columns import Flows, Packets
from analyzer.capture.decoder import Decoder
from analyzer.capture.layout import ARP, CUT, FRAGMENT, REASONS, REPLY, TUNNEL_SHIFT, TUNNELS
from analyzer.capture.reader import Reader
from analyzer.capture.storage import Memory
from analyzer.connection.passages import address
from tests.capture.layers import NOT_ROWS, ROWS, Layered
from tests.conftest import CASES, load_uncompiled

LINKS = sorted({layered.link for layered in ROWS.values()} | {189})
FORMS = [
    (
        load_uncompiled("analyzer.capture.scan", cython=cython),
        load_uncompiled("analyzer.capture.flowtable", cython=cython),
    )
    for cython in (False, True)
]

Frame = tuple[bytes, int]
"""What was captured of a frame, and how long it was on the wire."""


def decode(
    link: int, frames: Iterable[Frame], form: tuple[ModuleType, ModuleType] = (scan, flowtable)
) -> tuple[Packets, Flows, dict[str, int]]:
    """Decode frames of one link type, in one of the forms of the hot loop."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
    for number, (frame, wirelen) in enumerate(frames):
        out += struct.pack("<IIII", number, 0, len(frame), wirelen) + frame
    with (
        mock.patch.multiple(decoder, decode=form[0].decode, FlowTable=form[1].FlowTable),
        mock.patch("os.urandom", lambda count: b"\x9e" * count),  # the same hashes in every form
    ):
        made = Decoder(Memory())
        made.read(Reader(lambda: io.BytesIO(out), name="eth0.pcap"), lambda _: 0, lambda _: None)
    return *made.finish(), made.skipped(0)


def told(packets: Packets, flows: Flows, row: int = 0) -> dict[str, Any]:
    """What the columns say of a row, in the words of the tables."""
    flow, bits = packets.flow[row], int(packets.bits[row])
    ends = [
        (address(int(hi[flow]), int(lo[flow])), port)
        for hi, lo, port in (
            (flows.src_hi, flows.src_lo, int(flows.ports[flow]) >> 16),
            (flows.dst_hi, flows.dst_lo, int(flows.ports[flow]) & 0xFFFF),
        )
    ]
    (src, sport), (dst, dport) = ends[::-1] if bits & REPLY else ends
    said = {"src": src, "dst": dst, "sport": sport, "dport": dport, "proto": int(flows.proto[flow])}
    names = ("seq", "ack", "flags", "window", "length", "ip_id", "ttl")
    said |= {name: int(getattr(packets, name)[row]) for name in names}
    return said | {
        "fragment": bool(bits & FRAGMENT),
        "cut": bool(bits & CUT),
        "tunnel": TUNNELS[(bits >> TUNNEL_SHIFT) & 7],
    }


@pytest.mark.parametrize("layered", ROWS.values(), ids=ROWS)
def test_every_layer(layered: Layered) -> None:
    """Whatever a packet lies in, its row tells the innermost addresses, ports and numbers."""
    packets, flows, skipped = decode(layered.link, [(layered.frame, layered.length)])
    said = told(packets, flows)

    assert ({}, 1) == (skipped, len(packets))
    assert layered.expected == {name: said[name] for name in layered.expected}


@pytest.mark.parametrize(("link", "frame", "reason"), NOT_ROWS.values(), ids=NOT_ROWS)
def test_what_is_no_row_is_counted(link: int, frame: bytes, reason: str) -> None:
    """A frame that cannot be a row is counted under its reason."""
    packets, _, skipped = decode(link, [(frame, len(frame) + 100)])

    assert ({reason: 1}, 0) == (skipped, len(packets))


def test_every_reason_is_reached() -> None:
    """No reason is there that no frame has."""
    assert set(REASONS) == {reason for _, _, reason in NOT_ROWS.values()}


@pytest.mark.parametrize("layered", ROWS.values(), ids=ROWS)
def test_cut_at_every_byte(layered: Layered) -> None:
    """A shorter snaplen loses frames or marks rows as cut; it never changes what an unmarked row says."""
    frames = [(layered.frame[:size], layered.length) for size in range(len(layered.frame) + 1)]
    packets, flows, skipped = decode(layered.link, frames)
    whole = told(packets, flows, len(packets) - 1)

    assert len(frames) == len(packets) + sum(skipped.values())
    for row in range(len(packets)):
        said = told(packets, flows, row)
        if not said["cut"] and said["tunnel"] == whole["tunnel"]:
            assert whole == said


def test_a_long_frame_is_not_cut_by_a_wrong_wire_length() -> None:
    """A record that claims less on the wire than it holds gives a row all the same."""
    frame = ROWS["ethernet"].frame
    packets, flows, skipped = decode(1, [(frame, size) for size in (0, 14, 20, 53, len(frame))])

    assert ({}, 5) == (skipped, len(packets))
    assert [True, True, True, True, False] == [told(packets, flows, row)["cut"] for row in range(5)]


@pytest.mark.parametrize("name", ["tso, ip length 0", "tso, ipv6 length 0", "arp", "udp"])
def test_an_absurd_wire_length(name: str) -> None:
    """A length that no column holds does not become a negative one."""
    packets, _, _ = decode(1, [(ROWS[name].frame, 0xFFFFFFFF)])

    assert len(packets) == 1
    assert (packets.length >= 0).all()


def test_ipv4_protocol_zero_is_no_arp() -> None:
    """Protocol 0 of a hostile header is not read as ARP, whose number it has in the tables."""
    frame = bytearray(ROWS["raw"].frame[:20])
    frame[9] = 0
    for size in (20, 21, 30):
        packets, flows, skipped = decode(101, [((bytes(frame) + bytes(10))[:size], 1500)])

        assert ({"network header malformed": 1}, 0) == (skipped, len(packets))
        assert ARP not in flows.proto


def same(link: int, frames: Sequence[Frame]) -> None:
    """Assert that all forms decode frames to the same, and lose none."""
    packets, flows, skipped = decode(link, frames)
    assert len(frames) == len(packets) + sum(skipped.values())
    assert (packets.length >= 0).all()
    for form in FORMS:
        other_packets, other_flows, other_skipped = decode(link, frames, form)
        assert skipped == other_skipped
        for one, other in ((packets, other_packets), (flows, other_flows)):
            for column in fields(one):
                np.testing.assert_array_equal(
                    getattr(one, column.name), getattr(other, column.name), column.name
                )


def test_all_layers_in_every_form() -> None:
    """Every layer, decoded by the compiled loop, by the source, and by the source without Cython."""
    for link in LINKS:
        same(link, [(layered.frame, layered.length) for layered in ROWS.values() if layered.link == link])


wire_lengths = st.one_of(st.none(), st.integers(0, 2**32 - 1))


@given(
    st.sampled_from(LINKS),
    st.lists(st.tuples(st.binary(max_size=90), wire_lengths), max_size=4),
)
@example(229, [(bytes.fromhex("60000000000000ff") + bytes(32), None)])
def test_any_bytes(link: int, frames: list[tuple[bytes, int | None]]) -> None:
    """No bytes crash the loop, lose a frame, or are read differently by its forms."""
    same(link, [(frame, len(frame) if wirelen is None else wirelen) for frame, wirelen in frames])


@st.composite
def mutated(draw: st.DrawFn) -> tuple[int, list[Frame]]:
    """Frames of one link type with some bytes changed and the end cut off."""
    link = draw(st.sampled_from(sorted(set(LINKS) - {189})))
    originals = [layered.frame for layered in ROWS.values() if layered.link == link]
    frames = []
    for frame in draw(st.lists(st.sampled_from(originals), min_size=1, max_size=4)):
        changed = bytearray(frame)
        for at, value in draw(
            st.lists(st.tuples(st.integers(0, len(frame) - 1), st.integers(0, 255)), max_size=4)
        ):
            changed[at] = value
        size = draw(st.integers(0, len(frame)) | st.just(len(frame)))
        wirelen = draw(st.just(len(frame)) | wire_lengths.filter(lambda n: n is not None))
        frames.append((bytes(changed[:size]), wirelen))
    return link, frames


@given(mutated())
@settings(max_examples=150)
def test_damaged_frames(example: tuple[int, list[Frame]]) -> None:
    """Frames with wrong bytes anywhere crash nothing, get lost nowhere, and all forms agree on them."""
    same(*example)


@st.composite
def damaged_capture(draw: st.DrawFn) -> list[Frame]:
    """Real frames of the race, in any order, some repeated, some cut."""
    data = (CASES["snat-race"].folder / "eth0.pcap").read_bytes()
    frames, at = [], 24
    while at < len(data):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        frames.append(data[at + 16 : at + 16 + size])
        at += 16 + size
    chosen = draw(st.lists(st.sampled_from(frames[:200]), min_size=1, max_size=30))
    return [(frame[: draw(st.integers(30, len(frame)))], len(frame)) for frame in chosen]


@given(damaged_capture())
@settings(max_examples=30)
def test_real_frames_in_any_order(frames: list[Frame]) -> None:
    """Incarnations come out the same in all forms, whatever order the segments have."""
    same(1, frames)
