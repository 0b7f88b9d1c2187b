"""One interface captured twice at one time is one point."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import dpkt
import pytest

from analyzer import Analysis, analyze
from tests.conftest import ROOT
from tests.conversation import Conversation, record

SLL2 = 276


def shape(analysis: Analysis) -> tuple[list[str], int, list[tuple[object, ...]]]:
    """Points, connections, incidents."""
    incidents: list[tuple[object, ...]] = [
        (incident.kind, incident.cause, incident.gap) for incident in analysis.incidents
    ]
    return [point.name for point in analysis.capture_points], len(analysis.connections), incidents


def cooked(folder: Path, names: tuple[str, ...], keep: Callable[[int], bool] = lambda n: True) -> None:
    """Write `any.pcap`: what these captures of a folder have, a microsecond earlier, as tcpdump -i any records it."""
    frames = []
    for number, name in enumerate(names, 2):
        with (folder / f"{name}.pcap").open("rb") as file:
            for n, (at, frame) in enumerate(dpkt.pcap.Reader(file)):
                head = struct.pack(
                    ">HHIHBB8s", dpkt.ethernet.Ethernet(frame).type, 0, number, 1, 0, 6, frame[6:12]
                )
                if keep(n):
                    frames.append((round(at * 10**9) - 1_000, head + frame[14:]))
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, SLL2)
    for time, frame in sorted(frames):
        out += struct.pack("<IIII", time // 10**9, time % 10**9, len(frame), len(frame)) + frame
    (folder / "any.pcap").write_bytes(out)


@pytest.mark.parametrize("keep", [lambda n: True, lambda n: n % 20])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("fixture", ["snat-race", "policy-reject", "clean"])
def test_any_beside_single_interfaces(
    fixture: str, named: bool, keep: Callable[[int], bool], tmp_path: Path
) -> None:
    """Whether or not its interfaces have names, and though it lacks some packets, nothing else is concluded."""
    names = tuple(path.stem for path in sorted((ROOT / "fixtures" / fixture).glob("*.pcap")))
    for name in names:
        shutil.copy(ROOT / "fixtures" / fixture / f"{name}.pcap", tmp_path)
    expected = shape(analyze(tmp_path))
    cooked(tmp_path, names, keep)
    if named:
        (tmp_path / "ip-link.txt").write_text(
            "".join(
                f"{number}: {name}: <BROADCAST,UP> mtu 1500 qdisc noqueue state UP\n    link/ether 02:00:00:00:00:{number:02x}\n"
                for number, name in enumerate(names, 2)
            )
        )
    analysis = analyze(tmp_path)

    assert expected == shape(analysis)
    assert len(names) == sum("any.pcap has the packets of the same" in caveat for caveat in analysis.caveats)


def test_the_same_file_twice(tmp_path: Path) -> None:
    """As from two uploads; the times alone tell it of a listing, which has no more."""
    (tmp_path / "again").mkdir()
    for name in ("cni0", "eth0"):
        shutil.copy(ROOT / f"fixtures/policy-drop/{name}.pcap", tmp_path)
    expected = shape(analyze(tmp_path))
    shutil.copy(tmp_path / "eth0.pcap", tmp_path / "again")

    assert expected == shape(analyze(tmp_path))


def test_two_ends_of_a_way(tmp_path: Path) -> None:
    """Near miss: two pods' own interfaces of one name, between which a bridge hands on everything, stay two points."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:80", way="a cni0 b")
    talk.syn(0)
    talk.accept()
    record(tmp_path, talk, points=("a", "b"))
    for pod in "ab":
        (tmp_path / pod).mkdir()
        (tmp_path / f"{pod}.pcap").rename(tmp_path / pod / "eth0.pcap")

    assert ["a/eth0", "b/eth0"] == [point.name for point in analyze(tmp_path).capture_points]


def test_one_way_only(tmp_path: Path) -> None:
    """Cannot tell: without a packet of the other direction it may be the next point on the way."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:53", proto="udp", way="a cni0 b")
    for at in (0, 1):
        talk.send("", b"asks %d" % at, at=at)
    record(tmp_path, talk, points=("a", "b"))
    for pod in "ab":
        (tmp_path / pod).mkdir()
        (tmp_path / f"{pod}.pcap").rename(tmp_path / pod / "eth0.pcap")

    assert ["a/eth0", "b/eth0"] == [point.name for point in analyze(tmp_path).capture_points]
