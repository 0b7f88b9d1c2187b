"""Captures of other formats are told from text, from damage and from what is read."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import dpkt
import pytest

from analyzer.capture.formats import advice, other_format
from tests.conftest import CASES


def erf(*records: tuple[int, int, bytes]) -> bytes:
    """Write records of a time, s, a type and what follows the header."""
    return b"".join(
        struct.pack("<II", 0, time) + struct.pack(">BBHHH", kind, 4, 16 + len(data), 0, len(data)) + data
        for time, kind, data in records
    )


@pytest.mark.tshark
@pytest.mark.parametrize(
    "name", ["snoop", "netmon1", "netmon2", "ngsniffer", "ngwsniffer_1_1", "ngwsniffer_2_0"]
)
def test_what_editcap_writes(name: str, tmp_path: Path) -> None:
    """Each format that Wireshark's tool writes is named, and the tool converts it."""
    path, source = tmp_path / "x", CASES["snat-race"].folder / "eth0.pcap"
    subprocess.run(["editcap", "-F", name, str(source), str(path)], check=True, capture_output=True)
    format_ = other_format(path.read_bytes()[:4096])
    assert format_ is not None
    *command, source_, target = advice(format_).partition(": ")[2].split()

    assert ["IN", "OUT"] == [source_, target]
    subprocess.run([*command, str(path), str(tmp_path / "y")], check=True, capture_output=True)
    assert (tmp_path / "y").read_bytes().startswith(bytes.fromhex("0a0d0d0a"))


def test_erf() -> None:
    """Records are followed, as the format has no magic number."""
    records = [(1_800_000_000 + i, 0x82 if i else 2, bytes(60)) for i in range(4)]

    assert "ERF (Endace)" == other_format(erf(*records))
    assert "ERF (Endace)" == other_format(erf(*records[:1]))


@pytest.mark.tshark
def test_erf_becomes_ethernet(tmp_path: Path) -> None:
    """What editcap makes of a card's file by the line that is named has the frames as they were on the wire."""
    with (CASES["snat-race"].folder / "eth0.pcap").open("rb") as file:
        frames = [data for _, data in dpkt.pcap.Reader(file)][:40]
    # A type 2 record has two bytes, offset and padding, before the frame.
    (tmp_path / "IN").write_bytes(erf(*((1_800_000_000 + i, 2, bytes(2) + f) for i, f in enumerate(frames))))
    command = advice("ERF (Endace)").partition(": ")[2].split()
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    with (tmp_path / "OUT").open("rb") as file:
        read = [data for _, data in dpkt.pcapng.Reader(file)]

    assert frames == read


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"snoopy",
        bytes(64),
        erf((1_800_000_000, 99, bytes(60))),
        erf((12, 2, bytes(60))),
        erf((1_800_000_000, 2, bytes(60)))[:-1] + bytes(20),
        b"a text that is long enough for a record" * 4,
    ],
)
def test_near_misses(head: bytes) -> None:
    """A beginning alone, zeros, times and types that cannot be, and text."""
    assert other_format(head) is None
