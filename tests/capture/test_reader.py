"""Reading capture files: every container, every damage."""

from __future__ import annotations

import gzip
import io
import itertools
import lzma
import shutil
import struct
import subprocess
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dpkt
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.utils import RawPcapNgReader, RawPcapReader

from analyzer.capture import reader as reading
from analyzer.capture.compressed import Stream
from analyzer.capture.reader import Interface, Reader
from analyzer.errors import UnusableInput

if TYPE_CHECKING:
    from collections.abc import Iterable

FIXTURES = Path(__file__).parents[2] / "fixtures"
CAPTURES = sorted(path for path in FIXTURES.glob("*/**/*.*") if ".pcap" in path.name)
MAGICS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1, 0xA1B2CD34: 1000}
FRAME = bytes(12) + b"\x08\x00" + b"E" + bytes(45)


class Row(NamedTuple):
    """A packet as it was read."""

    frame: int
    time: int
    wirelen: int
    data: bytes
    interface: int


def pcap(
    packets: Iterable[tuple[int, int, bytes]], order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1
) -> bytes:
    """Write time (ns), length on the wire and bytes of each packet."""
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for time, wirelen, data in packets:
        out += struct.pack(order + "IIII", time // 10**9, time % 10**9 // MAGICS[magic], len(data), wirelen)
        out += (bytes(8) if magic == 0xA1B2CD34 else b"") + data
    return out


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Write a pcapng block."""
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """Write an option, padded."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<", length: int = -1) -> bytes:
    """Write a Section Header Block."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, length), order)


def interface(order: str = "<", link: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    """Write an Interface Description Block."""
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(number: int, ticks: int, data: bytes, order: str = "<", wirelen: int | None = None) -> bytes:
    """Write an Enhanced Packet Block."""
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), wirelen or len(data)
    )
    return block(6, head + data, order)


def reader_of(data: bytes, block: int = reading.BLOCK, name: str = "eth0.pcap") -> Reader:
    """Make a reader of a file in memory."""
    return Reader(lambda: io.BytesIO(data), name=name, size=len(data), block=block)


def read(data: bytes, block: int = reading.BLOCK) -> tuple[list[Row], Reader]:
    """Read a capture into rows, and its reader."""
    reader = reader_of(data, block)
    rows = []
    for records in reader.blocks():
        columns = zip(
            records.start, records.caplen, records.wirelen, records.time, records.interface, strict=True
        )
        for number, (start, caplen, wirelen, time, index) in enumerate(columns, records.first_frame):
            packet = bytes(records.data[start : start + caplen])
            assert len(packet) == caplen
            rows.append(Row(number, int(time), int(wirelen), packet, int(index)))
    return rows, reader


SAMPLE = [(1_700_000_000_000_005_000 + 1000 * n, 60 + n, bytes([n]) * (n * 7 % 31)) for n in range(20)]
"""Lengths that are and are not multiples of four, an empty packet among them."""


def sample_pcapng(order: str = "<") -> bytes:
    """Write `SAMPLE` as packets of two interfaces in turn."""
    packets = b"".join(
        enhanced(n % 2, time, data, order, wirelen) for n, (time, wirelen, data) in enumerate(SAMPLE)
    )
    nano = option(9, b"\x09", order)
    return section(order) + interface(order, options=nano) + interface(order, options=nano) + packets


packets = st.lists(
    st.tuples(
        st.integers(0, (1 << 32) - 1).map(lambda s: s * 10**9 + s % 10**6 * 1000),
        st.integers(0, 1 << 20),
        st.binary(max_size=80),
    ),
    max_size=30,
)


@given(packets, st.sampled_from("<>"), st.sampled_from(sorted(MAGICS)), st.integers(32, 200))
def test_pcap_round_trip(sample: list[tuple[int, int, bytes]], order: str, magic: int, block: int) -> None:
    """What is written in any of the six flavours is read, whatever the size of a block."""
    rows, reader = read(pcap(sample, order, magic), block)
    assert [Row(n, *packet, 0) for n, packet in enumerate(sample, 1)] == rows
    assert [] == reader.caveats
    assert [Interface(index=0, link=1, snaplen=262144)] == reader.interfaces


@given(packets, st.sampled_from("<>"), st.integers(32, 200))
def test_pcapng_round_trip(sample: list[tuple[int, int, bytes]], order: str, block: int) -> None:
    """What is written as enhanced packet blocks is read, whatever the size of a block."""
    blocks = b"".join(enhanced(0, time // 1000, data, order, wirelen) for time, wirelen, data in sample)
    rows, reader = read(section(order) + interface(order) + blocks, block)
    assert [Row(n, t, w or len(d), d, 0) for n, (t, w, d) in enumerate(sample, 1)] == rows
    assert [] == reader.caveats


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_as_dpkt_and_scapy_read_it(order: str, magic: int) -> None:
    """Two other readers agree."""
    data = pcap(SAMPLE, order, magic)
    rows, _ = read(data)
    nano = magic == 0xA1B23C4D
    scapy = [
        (meta.sec * 10**9 + meta.usec * (1 if nano else 1000), meta.wirelen, packet)
        for packet, meta in RawPcapReader(io.BytesIO(data))
    ]
    assert scapy == [(row.time, row.wirelen, row.data) for row in rows]
    # dpkt gives times as floats or decimals, and no length on the wire.
    assert [packet for _, packet in dpkt.pcap.Reader(io.BytesIO(data))] == [row.data for row in rows]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_as_scapy_reads_it(order: str) -> None:
    """Another reader agrees, on two interfaces of different resolution."""
    head = section(order) + interface(order) + interface(order, 101, options=option(9, b"\x09", order))
    data = head + b"".join(enhanced(n % 2, 10**15 + n, d, order, w) for n, (_, w, d) in enumerate(SAMPLE))
    rows, _ = read(data)
    scapy = [
        (((meta.tshigh << 32) + meta.tslow) * (10**9 // meta.tsresol), meta.wirelen, meta.linktype, packet)
        for packet, meta in RawPcapNgReader(io.BytesIO(data))
    ]
    assert scapy == [(row.time, row.wirelen, (1, 101)[row.interface], row.data) for row in rows]


@pytest.mark.parametrize(
    "data", [pcap(SAMPLE), pcap(SAMPLE, ">", 0xA1B2CD34), sample_pcapng(), sample_pcapng(">")]
)
def test_truncation_at_every_byte(data: bytes) -> None:
    """Whole packets are kept; the caveat names file, frame and byte."""
    rows, _ = read(data)
    boundaries = {0: len(data)}
    for cut in range(12, len(data)):
        kept, reader = read(data[:cut])
        assert rows[: len(kept)] == kept
        boundaries[len(kept)] = min(boundaries.get(len(kept), cut), cut)
        if reader.caveats:
            (caveat,) = reader.caveats
            assert caveat.startswith("eth0.pcap: ")
            assert "cut short" in caveat or "24-byte header" in caveat
            if "24-byte header" not in caveat:
                assert f"frame {len(kept) + 1} at byte " in caveat
                assert f"{len(kept)} packet{'s were' if len(kept) != 1 else ' was'} read" in caveat
    # Each further packet appears with its last byte, and a cut right there is no damage.
    assert set(range(len(rows))) <= set(boundaries)
    for count in range(1, len(rows)):
        assert [] == read(data[: boundaries[count]])[1].caveats
        assert [] != read(data[: boundaries[count] + 1])[1].caveats


def test_caveat_reads_well() -> None:
    """A claim beyond the file is told with all its numbers."""
    data = pcap(SAMPLE[:2]) + struct.pack("<IIII", 1, 2, 4294967280, 4294967280) + bytes(96)
    rows, reader = read(data)
    assert 2 == len(rows)
    assert [
        f"eth0.pcap: frame 3 at byte {len(pcap(SAMPLE[:2]))} claims 4294967280 captured bytes but 96 remain; "
        "the capture was cut short, 2 packets were read"
    ] == reader.caveats


def test_absurd_claim_inside_a_longer_file() -> None:
    """A claim that no packet has ends the reading even where the file goes on."""
    data = pcap(SAMPLE[:1]) + struct.pack("<IIII", 1, 2, 1 << 30, 1 << 30) + bytes(1000)
    rows, reader = read(data, block=64)
    assert 1 == len(rows)
    assert ["more than any packet has" in caveat for caveat in reader.caveats] == [True]


@pytest.mark.parametrize("data", [pcap(SAMPLE), sample_pcapng()])
@pytest.mark.parametrize("size", [32, 33, 47, 64, 100, 255, 1000])
def test_size_of_a_block_is_no_matter(data: bytes, size: int) -> None:
    """Records cut by the end of a block are carried over; one larger than a block makes it grow."""
    whole, _ = read(data)
    parts, reader = read(data, size)
    assert whole == parts
    assert [] == reader.caveats


def test_packet_larger_than_a_block() -> None:
    """A packet of a megabyte is read in blocks of a kilobyte, and what follows it."""
    sample = [(10**9, 1 << 20, bytes(1 << 20)), (2 * 10**9, 4, b"next")]
    rows, _ = read(pcap(sample), 1024)
    assert [Row(1, *sample[0], 0), Row(2, *sample[1], 0)] == rows


def test_rows_beyond_one_block_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """More packets than the arrays hold are handed out in several blocks with running frame numbers."""
    monkeypatch.setattr(reading, "ROWS", 7)
    for data in (pcap(SAMPLE), sample_pcapng()):
        rows, _ = read(data)
        assert list(range(1, 21)) == [row.frame for row in rows]
        assert [data for _, _, data in SAMPLE] == [row.data for row in rows]
        assert 3 == sum(1 for _ in reader_of(data).blocks())


def test_offset_of_a_packet_in_the_file() -> None:
    """`base` plus `start` is where the packet lies in the uncompressed file."""
    data = pcap(SAMPLE)
    for stored in (data, gzip.compress(data)):
        for records in reader_of(stored, 64).blocks():
            for start, caplen in zip(records.start, records.caplen, strict=True):
                at = records.base + start
                assert data[at : at + caplen] == bytes(records.data[start : start + caplen])


@given(
    st.sampled_from([pcap([]), pcap([], ">", 0xA1B23C4D), section(), section(">") + interface(">")]),
    st.binary(),
)
def test_garbage_after_a_good_beginning(head: bytes, tail: bytes) -> None:
    """Garbage is never an exception, and every byte that is not a packet's is told."""
    rows, reader = read(head + tail, 64)
    assert len(rows) * 16 <= len(tail)
    assert (rows == [] and tail == b"") or rows or reader.caveats


@given(st.sampled_from("<>"), st.lists(st.tuples(st.integers(28, 900), st.integers(0, 255)), max_size=6))
def test_damaged_bytes(order: str, damage: list[tuple[int, int]]) -> None:
    """Bytes changed anywhere are never an exception, and packets stay inside the data."""
    data = bytearray(sample_pcapng(order))
    for at, value in damage:
        data[at] = value
    rows, _ = read(bytes(data))
    assert len(rows) <= len(SAMPLE)


@given(st.binary(max_size=64))
def test_what_is_no_capture(data: bytes) -> None:
    """A file that is no capture is one sentence."""
    if not reading.is_capture(data):
        with pytest.raises(UnusableInput, match=r"^eth0\.pcap: neither pcap nor pcapng$"):
            read(data)


def test_unopenable_file(tmp_path: Path) -> None:
    """A file that went away is one sentence."""
    reader = Reader(lambda: (tmp_path / "gone").open("rb"), name="gone")
    with pytest.raises(UnusableInput, match=r"^gone: cannot be read: No such file or directory$"):
        next(reader.blocks())


def test_link_type_without_frame_check_bits() -> None:
    """The upper bits of a pcap's link type tell of a frame check sequence and are not the type's."""
    assert 113 == read(pcap([], link=0x2400_0071))[1].interfaces[0].link


def test_sections_interfaces_and_clocks() -> None:
    """Every section has its own byte order and interfaces, every interface its own clock and link type."""
    second = 1_700_000_000
    data = (
        section("<")
        + interface("<", 1, options=option(2, b"eth0"))
        + interface("<", 276, options=option(9, b"\x09") + option(2, b"any\0junk"))
        + enhanced(1, second * 10**9 + 7, b"nano")
        + enhanced(0, second * 10**6 + 7, b"micro")
        + section(">", 4096)
        + interface(">", 101, options=option(9, b"\x8a", ">") + option(14, struct.pack(">q", -100), ">"))
        + interface(
            ">", 1, options=option(9, b"\x0c", ">") + option(2, b"veth1a2b", ">") + option(0, b"", ">")
        )
        + enhanced(1, 5_000_000_000_123, b"pico", ">")
        + enhanced(0, (second << 10) + 512, b"binary", ">")
    )
    rows, reader = read(data)
    assert [] == reader.caveats
    assert [("eth0", 1), ("any", 276), (None, 101), ("veth1a2b", 1)] == [
        (i.name, i.link) for i in reader.interfaces
    ]
    assert [0, 1, 2, 3] == [i.index for i in reader.interfaces]
    assert [
        Row(1, second * 10**9 + 7, 4, b"nano", 1),
        Row(2, second * 10**9 + 7000, 5, b"micro", 0),
        Row(3, 5_000_000_000, 4, b"pico", 3),
        Row(4, (second - 100) * 10**9 + 500_000_000, 6, b"binary", 2),
    ] == rows


def test_packets_of_every_kind() -> None:
    """Simple and obsolete packet blocks are packets; a simple one has no time of its own."""
    data = (
        section()
        + interface(snaplen=6)
        + block(3, struct.pack("<I", 4) + b"abcd")
        + enhanced(0, 3_000_000, b"efgh")
        + block(3, struct.pack("<I", 1500) + b"ijklmnop")
        + block(2, struct.pack("<HHIIII", 0, 9, 0, 4_000_000, 3, 70) + b"qrs\0" + option(1, b"comment"))
        + block(3, struct.pack("<I", 2) + b"tu")
    )
    rows, reader = read(data)
    assert [
        Row(1, 0, 4, b"abcd", 0),
        Row(2, 3 * 10**9, 4, b"efgh", 0),
        Row(3, 3 * 10**9, 1500, b"ijklmn", 0),
        Row(4, 4 * 10**9, 70, b"qrs", 0),
        Row(5, 4 * 10**9, 2, b"tu", 0),
    ] == rows
    assert [
        "eth0.pcap: some packets carry no time; each got the time of the packet before it"
    ] == reader.caveats


def test_obsolete_packet_of_a_big_endian_second_interface() -> None:
    """The obsolete block's interface is 16 bits, followed by 16 of drops."""
    obsolete = block(2, struct.pack(">HHIIII", 1, 65535, 0, 5, 4, 4) + b"data", ">")
    rows, _ = read(section(">") + interface(">") + interface(">") + obsolete)
    assert [Row(1, 5000, 4, b"data", 1)] == rows


def statistics(number: int, *options: tuple[int, int]) -> bytes:
    """Write an Interface Statistics Block with 64-bit options."""
    counted = b"".join(option(code, struct.pack("<Q", value)) for code, value in options)
    return block(5, struct.pack("<III", number, 0, 0) + counted)


def test_drops_from_statistics() -> None:
    """The last statistics of each interface count, those of the interface and of the system together."""
    data = (
        section() + interface() + interface() + interface()
        + statistics(0, (4, 100), (5, 3)) + statistics(1, (4, 100)) + enhanced(0, 1, b"x")
        + statistics(0, (5, 5), (7, 2)) + statistics(9, (5, 1000)) + statistics(2, (7, 0))
    )  # fmt: skip
    _, reader = read(data)
    assert {0: 7, 2: 0} == reader.dropped_by
    assert 7 == reader.dropped
    assert read(pcap(SAMPLE))[1].dropped is None


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (enhanced(3, 1, b"data"), "names an interface that its section does not describe"),
        (block(3, struct.pack("<I", 99) + b"short"), "claims 99 captured bytes in a block of 24"),
        (struct.pack("<II", 6, 31), "claims a block of 31 bytes, which cannot be"),
        (struct.pack("<II", 6, 1 << 31), "claims a block of 2147483648 bytes but 44 remain"),
        (enhanced(0, 1, b"data")[:-4] + b"\1\2\3\4", "at its beginning and of 67305985 at its end"),
        (b"\x0a\x0d\x0d\x0a\x1c\0\0\0\1\2\3\4", "begins a section in no known byte order"),
        (
            block(6, struct.pack("<IIIII", 0, 0, 1, 400, 400) + b"data"),
            "claims 400 captured bytes in a block of 36",
        ),
    ],
)
def test_damaged_blocks(damaged: bytes, told: str) -> None:
    """Each way a block can be wrong ends the file there and is told."""
    rows, reader = read(section() + interface() + enhanced(0, 1, b"data") + damaged + enhanced(0, 2, b"more"))
    assert 1 == len(rows)
    (caveat,) = reader.caveats
    assert caveat.startswith(f"eth0.pcap: frame 2 at byte {28 + 20 + 36} ")
    assert told in caveat


def test_simple_packet_without_an_interface() -> None:
    """A packet of no interface is damage."""
    rows, reader = read(section() + block(3, struct.pack("<I", 4) + b"abcd"))
    assert [] == rows
    assert 1 == len(reader.caveats)


def test_interfaces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that only describes interfaces does not fill the memory."""
    monkeypatch.setattr(reading, "INTERFACES", 10)
    _, reader = read(section() + interface() * 20)
    assert 10 == len(reader.interfaces)
    assert "describes more than 10 interfaces" in reader.caveats[0]


COMPRESSORS = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lambda data: lzma.compress(data, preset=0),
}


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("data", [pcap(SAMPLE), sample_pcapng()])
def test_compressed(name: str, data: bytes) -> None:
    """Compression changes nothing, in one member or in several, and progress ends at the file's size."""
    compress = COMPRESSORS[name]
    rows, _ = read(data)
    for stored in (compress(data), compress(data[:100]) + compress(b"") + compress(data[100:])):
        for size in (64, reading.BLOCK):
            found, reader = read(stored, size)
            assert rows == found
            assert [] == reader.caveats
            assert len(stored) == reader.bytes_read


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressed_truncation_at_every_byte(name: str) -> None:
    """Of a compressed file cut short, what was whole is kept and told."""
    data = pcap(SAMPLE)
    stored = COMPRESSORS[name](data)
    rows, _ = read(data)
    for cut in range(len(stored)):
        try:
            kept, reader = read(stored[:cut])
        except UnusableInput:
            continue  # not even the capture's first bytes came out
        assert rows[: len(kept)] == kept
        assert any(
            f"{name} data ends early, at byte {cut} of the file" in caveat for caveat in reader.caveats
        )


def test_memory_is_bounded() -> None:
    """Neither a decompression bomb nor a large claim takes memory."""
    bomb = gzip.compress(pcap([]) + bytes(100_000_000), 6)
    claim = pcap([]) + struct.pack("<IIII", 1, 2, 60 << 20, 60 << 20) + bytes(96)
    tracemalloc.start()
    try:
        assert 100_000_000 // 16 == sum(records.count for records in reader_of(bomb).blocks())
        assert 0 == sum(records.count for records in reader_of(claim, 4096).blocks())
        assert 32 << 20 > tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.tshark
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
def test_frames_as_wireshark_counts(tmp_path: Path) -> None:
    """Numbers, times, lengths and interfaces are tshark's, also around blocks that are no packets."""
    others = {
        "names": block(4, struct.pack("<HH", 0, 0)),
        "journal": block(9, b"__REALTIME_TIMESTAMP=1700000000000000\nMESSAGE=hello\n"),
        "secrets": block(10, struct.pack("<II", 0x544C534B, 4) + b"abcd"),
        "custom": block(0x0BAD, struct.pack("<I", 32473) + b"abcdefgh"),
        "custom, not to copy": block(0x40000BAD, struct.pack("<I", 32473) + b"abcdefgh"),
        "unknown": block(0x7777, b"abcdefgh"),
        "local": block(0x80000001, b"abcdefgh"),
        "statistics": statistics(0, (5, 1)),
        "obsolete": block(2, struct.pack("<HHIIII", 1, 0, 0, 5, len(FRAME), 99) + FRAME),
    }
    data = section() + interface(options=option(2, b"eth0")) + interface(options=option(9, b"\x09"))
    for number, other in enumerate(others.values()):
        data += enhanced(number % 2, 1_700_000_000_000_000 + number, FRAME, wirelen=70 + number) + other
    data += section(">") + interface(">", options=option(9, b"\x94", ">")) + enhanced(0, 12345678, FRAME, ">")
    path = tmp_path / "mixed.pcapng"
    path.write_bytes(data)
    fields = [("-e", f"frame.{field}") for field in ("number", "time_epoch", "len", "cap_len", "protocols")]
    said = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *itertools.chain(*fields)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    expected = []
    for line in said.splitlines():
        number, time, wirelen, caplen, protocols = line.split("\t")
        if protocols.startswith("eth"):
            seconds, _, fraction = time.partition(".")
            expected.append((int(number), int(seconds) * 10**9 + int(fraction), int(wirelen), int(caplen)))
    rows, reader = read(data)
    assert len(others) + 2 == len(rows)
    assert expected == [(row.frame, row.time, row.wirelen, len(row.data)) for row in rows]
    assert ["eth0.pcap: 3 frames are journal or custom entries, not packets"] == reader.caveats


@pytest.mark.tshark
@pytest.mark.skipif(not shutil.which("editcap"), reason="editcap is not installed")
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "modpcap", "pcapng"])
def test_files_that_editcap_writes(kind: str, tmp_path: Path) -> None:
    """Wireshark's own writer gives the same packets in each container."""
    sample = [(1_700_000_000_000_005_000 + 1000 * n, 60 + n, FRAME) for n in range(20)]
    (tmp_path / "a").write_bytes(pcap(sample))
    subprocess.run(["editcap", "-F", kind, tmp_path / "a", tmp_path / "b"], check=True, capture_output=True)
    rows, reader = read((tmp_path / "b").read_bytes())
    assert [Row(n, *packet, 0) for n, packet in enumerate(sample, 1)] == rows
    assert [] == reader.caveats


@pytest.mark.tshark
@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_fixtures_as_tshark_and_scapy_read_them(path: Path) -> None:
    """Every packet of every real capture has tshark's number, time and lengths, and scapy's bytes."""
    fields = [("-e", f"frame.{field}") for field in ("number", "time_epoch", "len", "cap_len")]
    said = subprocess.run(
        ["tshark", "-n", "-r", path, "-T", "fields", *itertools.chain(*fields)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rows, reader = read(path.read_bytes())
    expected = []
    for line in said.splitlines():
        number, time, wirelen, caplen = line.split("\t")
        seconds, _, fraction = time.partition(".")
        expected.append(
            (int(number), int(seconds) * 10**9 + int(fraction.ljust(9, "0")), int(wirelen), int(caplen))
        )
    assert expected == [(row.frame, row.time, row.wirelen, len(row.data)) for row in rows]
    with Stream(path.open("rb", buffering=0)) as stream:
        plain = stream.read(1 << 30)
    scapy = RawPcapNgReader if plain.startswith(b"\x0a\x0d\x0d\x0a") else RawPcapReader
    assert [packet for packet, _ in scapy(io.BytesIO(plain))] == [row.data for row in rows]
    assert [] == reader.caveats


@settings(max_examples=30)
@given(st.data())
def test_first_bytes_tell_a_capture(data: st.DataObject) -> None:
    """Each magic is one, in full; a text that begins with a section's magic is none."""
    magic = data.draw(st.sampled_from([struct.pack(o + "I", m) for o in "<>" for m in MAGICS]))
    assert reading.is_capture(magic + data.draw(st.binary(max_size=8)))
    assert not reading.is_capture(magic[:3])
    assert reading.is_capture(section(data.draw(st.sampled_from("<>")))[:12])
    assert not reading.is_capture(b"\n\r\r\nsome text")


def test_a_section_of_an_unknown_version_is_passed_over() -> None:
    """Its blocks may mean anything, so they are skipped by their lengths; the sections around it are read."""
    known = section() + interface() + enhanced(0, 1000, bytes(60))
    unknown = (
        block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1)) + block(1, b"") + enhanced(0, 1, b"x")
    )
    found, reader = read(known + unknown * 2 + known)

    assert 2 == len(found)
    assert [
        "eth0.pcap: 2 sections are of an unknown version (pcapng 2.0, at byte 140); packets in there were not read"
    ] == reader.caveats
