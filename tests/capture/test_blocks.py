"""pcapng blocks are read back by readers that did not write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.utils import RawPcapNgReader

from analyzer.capture import blocks
from tests.capture.rows import rows


def _file(folder: Path, *parts: bytes) -> Path:
    path = folder / "written.pcapng"
    path.write_bytes(b"".join(parts))
    return path


def test_scapy_reads_what_is_written(tmp_path: Path) -> None:
    """Names, nanoseconds, lengths and comments come back."""
    path = _file(
        tmp_path,
        blocks.section("about", "lostsyn 1"),
        blocks.interface("veth-a", "capture point, pod", 101, 0),
        blocks.interface("eth0", "", 1, 0),
        blocks.packet(1, 1_700_000_000_123_456_789, b"abcde", 77, ["one", "two ü"]),
        blocks.packet(0, 5, b"", 3, []),
    )
    with RawPcapNgReader(str(path)) as reader:
        (first, one), (second, two) = list(reader)

    assert (b"abcde", b"") == (first, second)
    assert (1_700_000_000_123_456_789, 5) == tuple((said.tshigh << 32 | said.tslow) for said in (one, two))
    assert (b"eth0", 1, 77, 10**9) == (one.ifname, one.linktype, one.wirelen, one.tsresol)
    assert (b"veth-a", 101, 3) == (two.ifname, two.linktype, two.wirelen)
    assert b"two \xc3\xbc" in (one.comments if isinstance(one.comments, list) else [one.comment])


@pytest.mark.parametrize("offset", [0, -3])
def test_times_before_1970(tmp_path: Path, offset: int) -> None:
    """An offset of the interface moves its times; the own reader agrees."""
    frame = bytes.fromhex("450000280001000040060000c0000201c0000202" + "00" * 12 + "5002000000000000")
    path = _file(
        tmp_path,
        blocks.section("", ""),
        blocks.interface("eth0", "", 101, offset),
        blocks.packet(0, 4_000_000_000, frame, 40, []),
    )
    (row,), _ = rows(path)

    assert (4 + offset) * 10**9 == row.time


def test_texts_are_bounded(tmp_path: Path) -> None:
    """A text of any length fits its option, and is never cut within a character."""
    path = _file(
        tmp_path,
        blocks.section("é" * 40_000, "x"),
        blocks.interface("e" * 70_000, "", 101, 0),
        blocks.packet(0, 1, b"x", 1, ["é" * 3999]),
    )
    with RawPcapNgReader(str(path)) as reader:
        ((_, said),) = list(reader)
    comment = said.comments[0] if isinstance(said.comments, list) else said.comment

    assert "é" * 2000 == comment.decode()
