"""Single packets read again: the right bytes, bounded, from any container; TCP options as conntrack reads them."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import TCP

from analyzer.capture.bundle import Bundle
from analyzer.capture.points import Recording, record
from analyzer.capture.storage import Memory
from analyzer.capture.transport import MOST, Options, tcp_options, transports
from tests.capture.layers import OPTIONS
from tests.capture.test_decoder import segment
from tests.capture.test_reader import pcap


def recording(folder: Path) -> Recording:
    """Record the only point of a folder."""
    (found,) = record(Bundle.open([folder]).captures, lambda _: {}, {}, lambda _: None, Memory())
    return found


def capture(count: int, begin: int = 0) -> bytes:
    """Write packets whose source port is their number."""
    numbers = range(begin, begin + count)
    return pcap([(i * 10**9, 40, segment(i, seq=i)) for i in numbers], link=101)


@pytest.mark.parametrize("compressed", [False, True])
def test_bytes_of_the_rows(compressed: bool, tmp_path: Path) -> None:
    """Each asked row comes once, in order, with its transport header, also across megabytes of others."""
    data = capture(25_000)
    (tmp_path / "eth0.pcap").write_bytes(gzip.compress(data, 1) if compressed else data)
    wanted = [24_999, 5, 12_000, 5]

    found = list(transports(recording(tmp_path), wanted))

    assert [5, 12_000, 24_999] == [row for row, _ in found]
    assert [(row & 0xFFFF).to_bytes(2, "big") for row, _ in found] == [data[:2] for _, data in found]
    assert all(20 <= len(data) <= MOST for _, data in found)


def test_rows_of_rotated_files(tmp_path: Path) -> None:
    """Rows are read from the file that they lie in."""
    (tmp_path / "eth0.pcap1").write_bytes(capture(10))
    (tmp_path / "eth0.pcap2").write_bytes(capture(10, begin=100))

    found = dict(transports(recording(tmp_path), [3, 13]))

    assert {3: 3, 13: 103} == {row: int.from_bytes(data[:2], "big") for row, data in found.items()}


def test_a_cut_header_gives_no_bytes(tmp_path: Path) -> None:
    """What was not captured whole is not made up from the record behind it."""
    (tmp_path / "eth0.pcap").write_bytes(pcap([(1, 40, segment(1)[:30]), (2, 40, segment(2))], link=101))

    assert [b"", segment(2)[20:]] == [data for _, data in transports(recording(tmp_path), [0, 1])]


def test_a_damaged_member_of_an_archive(tmp_path: Path) -> None:
    """Of a member that breaks off, every packet before the damage is read again, and no error is raised."""
    path = tmp_path / "node.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("eth0.pcap", capture(5000))
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4 : len(data) * 3 // 4 + 64] = bytes(64)
    path.write_bytes(data)
    made = recording(tmp_path)
    found = list(transports(made, range(len(made.packets))))

    assert 100 < len(found) < 5000
    assert [row & 0xFFFF for row, _ in found[:-1]] == [
        int.from_bytes(data[:2], "big") for _, data in found[:-1]
    ]


def test_the_last_packet_of_a_file(tmp_path: Path) -> None:
    """At the end of the file there are as many bytes as there are."""
    (tmp_path / "eth0.pcap").write_bytes(capture(1))

    assert [(0, segment(0, seq=0)[20:])] == list(transports(recording(tmp_path), [0]))


def test_options_of_a_syn() -> None:
    """Largest segment, window scale, SACK-permitted and timestamp are read."""
    header = bytes(TCP(flags="S", options=OPTIONS))

    assert Options(any=True, mss=1460, wscale=7, sack_permitted=True, tsval=77) == tcp_options(header)


def test_sack_blocks() -> None:
    """The edges of every block, in order."""
    header = bytes(TCP(flags="A", options=[("NOP", None), ("NOP", None), ("SAck", (5, 9, 12, 20))]))

    assert ((5, 9), (12, 20)) == tcp_options(header).sack


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", Options()),
        ("03", Options(any=True)),
        ("0300", Options(any=True)),
        ("030307", Options(any=True, wscale=7)),
        ("03040707", Options(any=True)),
        ("0402030307", Options(any=True, wscale=7, sack_permitted=True)),
        ("00030307", Options(any=True)),
        ("05060000000c", Options(any=True)),
        ("03ff07", Options(any=True)),
    ],
)
def test_malformed_options(options: str, expected: Options) -> None:
    """A malformed option ends the list; what came before it counts."""
    raw = bytes.fromhex(options)
    raw += bytes(-len(raw) % 4)

    assert expected == tcp_options(bytes(12) + bytes([(5 + len(raw) // 4) << 4]) + bytes(7) + raw)


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    """No bytes crash the parser."""
    assert isinstance(tcp_options(data), Options)
