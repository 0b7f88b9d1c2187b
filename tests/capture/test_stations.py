"""A file's own station is what its frames have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.capture.bundle import Bundle
from analyzer.capture.stations import station
from tests.capture.test_reader import pcap

NODE, ROUTER, HOST, OTHER = (bytes([n]) * 6 for n in (2, 4, 6, 8))
GROUP = bytes.fromhex("01005e000001")


def found(tmp_path: Path, *frames: bytes, link: int = 1) -> frozenset[bytes]:
    """The station of a capture of these frames."""
    path = tmp_path / "eth0.pcap"
    path.write_bytes(pcap([(n, len(frame), frame) for n, frame in enumerate(frames)], link=link))
    (capture,) = Bundle.open([path]).captures
    return station(capture)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([NODE + ROUTER, HOST + NODE], {NODE}),
        ([NODE + ROUTER, ROUTER + NODE], {NODE, ROUTER}),
        ([NODE + ROUTER, GROUP + HOST, ROUTER + NODE], {NODE, ROUTER}),
        ([NODE + ROUTER, HOST + OTHER], set()),
        ([GROUP + HOST], set()),
        ([NODE], set()),
    ],
    ids=["several others", "one router", "a group's", "a mirror of strangers", "groups only", "cut"],
)
def test_what_frames_have_in_common(tmp_path: Path, frames: list[bytes], expected: set[bytes]) -> None:
    """The node, and its router where it talks to nobody else."""
    assert expected == found(tmp_path, *frames)


def test_no_ethernet(tmp_path: Path) -> None:
    """Raw IP has no stations."""
    assert frozenset() == found(tmp_path, NODE + ROUTER, link=101)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """It has none, and decoding tells."""
    path = tmp_path / "eth0.pcap"
    path.write_bytes(pcap([(0, 12, NODE + ROUTER)], link=1))
    (capture,) = Bundle.open([path]).captures
    path.unlink()

    assert frozenset() == station(capture)
