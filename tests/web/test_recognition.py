"""What uploaded files are."""

from __future__ import annotations

import json
import tarfile
from dataclasses import asdict
from pathlib import Path

import pytest

from analyzer.capture.interfaces import BEYOND
from analyzer.capture.link import Link
from analyzer.result import typed
from analyzer.web.preview import PREVIEW, Preview
from analyzer.web.recognition import preview, told, work
from tests.capture.test_reader import pcap
from tests.conftest import FIXTURES

RACE = FIXTURES / "snat-race"


def _points(found: Preview) -> list[tuple[str, str | None, int]]:
    return [(part.point, part.role, part.packets) for part in found.parts]


def test_a_capture(tmp_path: Path) -> None:
    """Its point and role by the client's name, its packets and its time, though it is stored under a number."""
    (tmp_path / "00001").write_bytes((RACE / "eth0.pcap").read_bytes())
    found = preview(tmp_path / "00001", "node7/eth0.pcap", True, {})

    assert [("eth0", "uplink", 408)] == _points(found)
    assert "node7/eth0.pcap" == found.parts[0].label
    assert ({}, ()) == (found.texts, found.notes)
    assert 0 < found.parts[0].first < found.parts[0].last


def test_half_a_capture(tmp_path: Path) -> None:
    """While it is coming, what is there counts; that it ends early is damage only when all of it is there."""
    data = (RACE / "eth0.pcap").read_bytes()
    (tmp_path / "1").write_bytes(data[: len(data) // 2])
    coming, cut = (preview(tmp_path / "1", "eth0.pcap", complete, {}) for complete in (False, True))

    assert 0 < coming.parts[0].packets < 408
    assert () == coming.notes
    assert 1 == len(cut.notes)
    assert cut.notes[0].startswith("eth0.pcap: ")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("conntrack-S-before.txt", "conntrack -S"),
        ("uname.txt", "uname -r"),
        ("ip-link.json", "ip -j link and ip -j addr"),
        ("case.toml", "text in no known format"),
    ],
)
def test_text(name: str, says: str) -> None:
    """Side evidence is called by the command that wrote it."""
    found = preview(RACE / name, name, True, {})

    assert ({name: says}, ()) == (found.texts, found.notes)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02\x03" * 100, b"\xff\xd8\xff\xe0 JFIF\x00"])
def test_neither(tmp_path: Path, data: bytes) -> None:
    """What is neither a capture nor text is said to be so."""
    (tmp_path / "1").write_bytes(data)
    found = preview(tmp_path / "1", "holiday.jpg", True, {})

    assert ((), {}) == (found.parts, found.texts)
    assert [f"ignored, {'neither a capture nor text' if data else 'empty'}: holiday.jpg"] == list(found.notes)


def test_a_tunnel_and_a_listing(tmp_path: Path) -> None:
    """The node's tunnel device is a point like the others, and what tcpdump printed of one is a capture, with a word on it."""
    (tmp_path / "1").write_bytes((RACE / "cni0.pcap").read_bytes())
    tunnel = preview(tmp_path / "1", "flannel.1.pcap", True, {})
    listing = preview(FIXTURES / "late-ack-seed" / "eth0.txt", "eth0.txt", True, {})

    assert [("flannel.1", "tunnel", 420)] == _points(tunnel)
    assert tunnel == typed.read(Preview, json.dumps(asdict(tunnel)))
    assert [("eth0", "uplink", 22)] == _points(listing)
    assert listing.notes[0].startswith("eth0.txt: a packet listing")


def test_an_archive(tmp_path: Path) -> None:
    """Members bear the archive's name before their own, as the analysis will call them."""
    with tarfile.open(tmp_path / "1", "w:gz") as archive:
        archive.add(RACE / "cni0.pcap", "here/cni0.pcap")
        archive.add(RACE / "uname.txt", "here/uname.txt")
    found = preview(tmp_path / "1", "node7.tar.gz", True, {})

    assert [("cni0", "bridge", 420)] == _points(found)
    assert "node7.tar.gz/here/cni0.pcap" == found.parts[0].label
    assert {"node7.tar.gz/here/uname.txt": "uname -r"} == found.texts


def test_several_interfaces_in_one_file() -> None:
    """A pcapng of several interfaces is several points."""
    (capture,) = [path for path in (FIXTURES / "snat-race-pcapng").iterdir() if ".pcap" in path.name]
    found = preview(capture, capture.name, True, {})

    assert {"pod", "bridge", "uplink"} <= {role for _, role, _ in _points(found)}


def test_any_is_split_by_interface(tmp_path: Path) -> None:
    """`tcpdump -i any` tells numbers; the interface table that came with it names them."""
    folder = FIXTURES / "snat-race-any"
    (capture,) = [path for path in folder.iterdir() if ".pcap" in path.name]
    unnamed = preview(capture, capture.name, True, {})
    order = [
        {"number": number, "path": str(path), "name": path.name, "complete": True}
        for number, path in enumerate([capture, folder / "ip-link.json"], 1)
    ]
    work({"files": order[:1], "others": order[1:]}, tmp_path)
    named = typed.read(Preview, (tmp_path / "1.json").read_text())

    assert all(point.startswith("interface ") for point, _, _ in _points(unnamed))
    assert {"pod", "bridge", "uplink"} <= {role for _, role, _ in _points(named)}
    assert [count for _, _, count in _points(unnamed)] == [count for _, _, count in _points(named)]
    link = Link(index=10**6, name="eth0", mac=None, addresses=(), file="")
    assert _points(unnamed) == _points(preview(capture, capture.name, True, {link.index: link}))


def test_sentences_bear_the_clients_name() -> None:
    """Only at the beginning of a sentence is the stored name one."""
    assert r"a\1.tgz: damaged, 00001: no" == told(
        "00001: damaged, 00001: no", Path("/data/00001"), r"a\1.tgz"
    )
    assert "000012: damaged" == told("000012: damaged", Path("/data/00001"), "a")


def test_more_interfaces_than_are_told_apart(tmp_path: Path) -> None:
    """`-i any` with another interface number in each packet: so many are told, the rest is counted, in bounded space."""
    frames = [b"\x08\0\0\0" + number.to_bytes(4, "big") + bytes(12) for number in range(1, 50_000)]
    (tmp_path / "1").write_bytes(pcap([(n, len(frame), frame) for n, frame in enumerate(frames)], link=276))
    path = tmp_path / "1"
    work(
        {"files": [{"number": 1, "path": str(path), "name": "any.pcap", "complete": True}], "others": []},
        tmp_path,
    )
    found = typed.read(Preview, (tmp_path / "1.json").read_text())

    assert BEYOND == len(found.parts)
    left_out = 49_999 - BEYOND
    said = f"any.pcap: more than {BEYOND} interfaces are named; {left_out} packets of those beyond are not counted"
    assert (said,) == found.notes
    assert (tmp_path / "1.json").stat().st_size < PREVIEW
