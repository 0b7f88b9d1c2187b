"""The decoder: columns that grow, interfaces, files that follow each other."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from analyzer.capture import decoder
from analyzer.capture.columns import FLOW_DTYPES, PACKET_DTYPES, Flows, Packets
from analyzer.capture.decoder import Decoder
from analyzer.capture.reader import Reader
from analyzer.capture.storage import Memory
from tests.capture.test_reader import enhanced, interface, option, pcap, section

IPV4 = bytes.fromhex("4500002800004000400600000a000001c0000264")


def segment(port: int, flags: int = 2, seq: int = 1) -> bytes:
    """Write an IPv4 packet with a TCP segment."""
    return IPV4 + struct.pack(">HHIIHHHH", port & 0xFFFF, 80, seq, 0, 0x5000 | flags, 64240, 0, 0)


def decoded(*files: bytes) -> Decoder:
    """Decode files as one group; every name is an interface of its own."""
    made, names = Decoder(Memory()), [None, "eth0", "eth1"]
    for data in files:
        reader = Reader(lambda data=data: io.BytesIO(data), name="eth0.pcap", size=len(data), block=4096)
        made.read(reader, names.index, lambda _: None)
    return made


def packets_of(frames: list[bytes]) -> bytes:
    """Write raw IP packets a microsecond apart."""
    return pcap([(number * 1000, len(frame), frame) for number, frame in enumerate(frames)], link=101)


@pytest.mark.parametrize("count", [1, 4095, 4096, 4097, 9000])
def test_flows_grow_beyond_any_table(count: int) -> None:
    """One flow per port, however many, in the order of their first packets, and all found again."""
    made = decoded(packets_of([segment(port) for port in [*range(count), *range(count)]]))
    packets, flows = made.finish()

    assert (2 * count, count) == (len(packets), len(flows))
    assert list(range(count)) == (flows.ports >> 16).tolist()
    np.testing.assert_array_equal(packets.flow[:count], packets.flow[count:])


def test_nobody_can_foresee_a_hash() -> None:
    """Each time the flows are the same and their hashes others: no capture can be made whose flows all meet in one slot."""
    data = packets_of([segment(port) for port in range(99)])
    (_, one), (_, other) = decoded(data).finish(), decoded(data).finish()

    assert one.ports.tolist() == other.ports.tolist()
    assert not set(one.hash.tolist()) & set(other.hash.tolist())


def test_newest_incarnation_survives_growth() -> None:
    """A tuple that was used twice before the table grew is found in its second use afterwards."""
    frames = [
        segment(9, seq=1),
        segment(9, seq=500),
        *(segment(port) for port in range(10, 5000)),
        segment(9, 16),
    ]
    made = decoded(packets_of(frames))

    assert [0, 1, 1] == made.finish()[0].flow[[0, 1, -1]].tolist()


def test_rotated_files_share_flows() -> None:
    """A flow goes on from one file to the next; frames are counted anew."""
    made = decoded(packets_of([segment(9), segment(10)]), packets_of([segment(10, 16), segment(9, 16)]))
    packets, _ = made.finish()

    assert [0, 1, 1, 0] == packets.flow.tolist()
    assert [1, 2, 1, 2] == packets.frame.tolist()


def test_lanes_keep_flows_apart() -> None:
    """The same tuple on two interfaces of a file is two flows, and what is skipped is counted per interface."""
    made = decoded(
        section()
        + interface(link=101)
        + interface(link=101, options=option(2, b"eth0"))
        + enhanced(0, 1, segment(9))
        + enhanced(1, 2, segment(9))
        + enhanced(1, 3, b"\x99" * 40)
    )
    _, flows = made.finish()

    assert [0, 1] == flows.iface.tolist()
    assert flows.hash[0] != flows.hash[1]
    assert [{}, {"not IP or ARP": 1}] == [made.skipped(0), made.skipped(1)]


def test_offsets_lead_back_to_the_bytes() -> None:
    """`offset` is where the transport header begins in the file, in every block of it."""
    data = packets_of([segment(port) for port in range(300)])
    packets, _ = decoded(data).finish()

    assert [struct.pack(">H", port) for port in range(300)] == [data[at : at + 2] for at in packets.offset]


def test_offsets_reach_beyond_4_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is several stretches; each file begins with one of its own."""
    monkeypatch.setattr(decoder, "REACH", 30_000)
    data = packets_of([segment(port) for port in range(2000)])
    made = Decoder(Memory())
    for _ in range(2):
        made.read(Reader(lambda: io.BytesIO(data), name="x", block=16384), lambda _: 0, lambda _: None)
    packets, _ = made.finish()
    bounds = [stretch.first_row for stretch in made.stretches] + [4000]
    found = [
        (stretch.file, data[stretch.base + int(at) :][:2])
        for stretch, begin, end in zip(made.stretches, bounds, bounds[1:], strict=False)
        for at in packets.offset[begin:end]
    ]

    assert len(made.stretches) > 4
    assert [0, 0] == [stretch.base for stretch in made.stretches if stretch.first_row in (0, 2000)]
    assert [(file, struct.pack(">H", port)) for file in (0, 1) for port in range(2000)] == found


def test_progress_tells_every_byte_once() -> None:
    """What progress was told sums up to the file's size."""
    data = packets_of([segment(port) for port in range(5000)])
    told: list[int] = []
    reader = Reader(lambda: io.BytesIO(data), name="eth0.pcap", size=len(data), block=4096)
    Decoder(Memory()).read(reader, lambda _: 0, told.append)

    assert len(told) > 10
    assert len(data) == sum(told)


def test_nothing_read() -> None:
    """A group without packets has empty columns of the right types."""
    made = decoded(pcap([]))
    packets, flows = made.finish()

    assert (0, 0, {}) == (len(packets), len(flows), made.skipped(0))
    assert PACKET_DTYPES == {name: getattr(packets, name).dtype.str[1:] for name in PACKET_DTYPES}
    assert FLOW_DTYPES == {name: getattr(flows, name).dtype.str[1:] for name in FLOW_DTYPES}


def test_columns_are_those_documented() -> None:
    """The classes and the tables of types name the same columns in the same order."""
    assert list(PACKET_DTYPES) == list(Packets.__slots__)
    assert list(FLOW_DTYPES) == list(Flows.__slots__)
    assert sum(np.dtype(kind).itemsize for kind in PACKET_DTYPES.values()) == 44


def test_few_flows_hold_little() -> None:
    """A node may have hundreds of points: none keeps the room that a busy one would need."""
    _, flows = decoded(packets_of([segment(1)])).finish()

    assert all(column.base is None for column in (flows.ports, flows.src_lo, flows.mac_dst))
