"""Frames that no row is made of are called by their layers."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.dot11 import Dot11, Dot11Beacon, RadioTap
from scapy.layers.l2 import LLC, STP, Dot3, Ether
from scapy.packet import Packet

from analyzer import Bundle
from analyzer.capture.dissecting import layers
from analyzer.capture.points import record
from analyzer.capture.storage import Memory
from tests.capture.test_reader import pcap

IP = bytes(12) + b"\x08\0\x45" + bytes(40)


def _file(folder: Path, *frames: bytes, link: int = 1) -> Bundle:
    (folder / "eth0.pcap").write_bytes(
        pcap([(n * 10**9, len(frame), frame) for n, frame in enumerate(frames)], link=link)
    )
    return Bundle.open([folder])


@pytest.mark.parametrize(
    ("frame", "link", "names"),
    [
        (Dot3() / LLC() / STP(), 1, "802.3 / LLC / Spanning Tree Protocol"),
        (RadioTap() / Dot11() / Dot11Beacon(), 127, "RadioTap / 802.11 / 802.11 Beacon"),
    ],
)
def test_layers(frame: Packet, link: int, names: str, tmp_path: Path) -> None:
    """Those of most frames, from the link on; what is IP does not count."""
    (capture,) = _file(tmp_path, *([IP] if link == 1 else []), bytes(frame), bytes(frame), link=link).captures

    assert names == layers(capture)


@pytest.mark.parametrize(("frames", "link"), [((IP,), 1), ((b"\0",), 9999), ((), 1)])
def test_nothing_to_tell(frames: tuple[bytes, ...], link: int, tmp_path: Path) -> None:
    """IP alone, a link that nobody knows, no frame."""
    (capture,) = _file(tmp_path, *frames, link=link).captures

    assert "" == layers(capture)


@pytest.mark.parametrize("size", range(0, 80, 7))
def test_cut_frames(size: int, tmp_path: Path) -> None:
    """Whatever is cut is no error."""
    (capture,) = _file(
        tmp_path, bytes(RadioTap() / Dot11() / Dot11Beacon())[:size] or b"x", link=127
    ).captures

    assert layers(capture).isprintable()


def test_a_point_of_such_frames(tmp_path: Path) -> None:
    """The caveat has the names."""
    bundle = _file(tmp_path, *[bytes(Ether(type=0x9000) / b"\0\0")] * 2, *[bytes(Dot3() / LLC() / STP())] * 3)
    (found,) = record(bundle.captures, lambda _: {}, {}, lambda _: None, Memory())

    assert ", the first are 802.3 / LLC / Spanning Tree Protocol: their contents" in found.caveats[-1]
