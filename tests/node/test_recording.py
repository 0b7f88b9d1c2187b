"""When a silent point was recording: by the manifest, by the program's own times, by its neighbours in the file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from tests.connection.reasons import asks, out, reasons
from tests.conversation import START, Conversation, bystander, record


def _outage() -> list[Conversation]:
    """A pod asks when the uplink has had its last packet; the bridge goes on."""
    home = Conversation(pod="10.244.0.99:5000", server="10.244.0.1:22", way="veth-z cni0")
    home.syn(20)
    home.accept()
    return [bystander(-5), asks(out(), 0, 1, after="cni0"), home]


def _manifest(folder: Path, **changes: Any) -> None:
    how = {
        "interface": "eth0",
        "files": "eth0.pcap*",
        "start_ns": START - 10**10,
        "stop_ns": START + 3 * 10**10,
        "direction": "inout",
        "filter": "",
    }
    (folder / "manifest.json").write_text(json.dumps({"lostsyn_capture": 1, "recordings": [how | changes]}))


def _pcapng(path: Path, talks: list[Conversation], points: list[str], stop: dict[str, float]) -> None:
    """One file of several interfaces; *stop* says until when the program says it recorded some of them."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    def option(code: int, value: bytes) -> bytes:
        return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)

    def time(ns: int) -> bytes:
        return struct.pack("<II", ns >> 32, ns & 0xFFFFFFFF)

    data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    for point in points:
        options = option(2, point.encode()) + option(9, b"\x09") + option(0, b"")
        data += block(1, struct.pack("<HHI", 1, 0, 262144) + options)
    frames = sorted((at, point, frame) for talk in talks for point, at, frame in talk.frames())
    for at, point, frame in frames:
        if point in points:
            head = (
                struct.pack("<I", points.index(point)) + time(at) + struct.pack("<II", len(frame), len(frame))
            )
            data += block(6, head + frame)
    for point, end in stop.items():
        said = option(2, time(START - 10**10)) + option(3, time(START + round(end * 1e9))) + option(0, b"")
        data += block(5, struct.pack("<I", points.index(point)) + time(START) + said)
    path.write_bytes(data)


def test_nothing_tells(tmp_path: Path) -> None:
    """The uplink's own packets ended before: nobody can tell."""
    assert ["not-recording"] * 2 == reasons(analyze(record(tmp_path, *_outage())))


def test_a_manifest(tmp_path: Path) -> None:
    """It says that the uplink was recorded until later, so nothing left."""
    record(tmp_path, *_outage())
    _manifest(tmp_path)
    assert ["lost"] * 2 == reasons(analyze(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"filter": "port 53"},
        {"direction": "in"},
        {"files": "eth1.pcap*"},
        {"stop_ns": START - 10**9},
    ],
    ids=str,
)
def test_a_manifest_that_says_less(changes: dict[str, Any], tmp_path: Path) -> None:
    """The near misses: a filter, one direction, another file, an earlier end."""
    record(tmp_path, *_outage())
    _manifest(tmp_path, **changes)
    assert ["not-recording"] * 2 == reasons(analyze(tmp_path))


def test_packets_of_other_interfaces_of_the_file(tmp_path: Path) -> None:
    """One program wrote them all: where the bridge's packets are the uplink's would be."""
    _pcapng(tmp_path / "node.pcapng", _outage(), ["veth-a", "veth-z", "cni0", "eth0"], {})
    analysis = analyze(tmp_path)

    assert ["lost"] * 2 == reasons(analysis)
    assert 1 == analysis.account.node


def test_the_programs_own_times(tmp_path: Path) -> None:
    """The uplink in a file of its own whose program says when it stopped; and one that stopped before."""
    for stop, expected in ((30, "lost"), (-3, "not-recording")):
        folder = tmp_path / expected
        record(folder, *_outage(), points=("veth-a", "veth-z", "cni0"))
        _pcapng(folder / "eth0.pcapng", _outage(), ["eth0"], {"eth0": stop})
        assert [expected] * 2 == reasons(analyze(folder))


@pytest.mark.parametrize("torn", [True, False], ids=["cut within a record", "cut between two"])
def test_a_file_that_is_not_whole(torn: bool, tmp_path: Path) -> None:
    """What was recorded after its last packet may have been there: neither a manifest nor a log speaks for it any more."""
    record(tmp_path, *_outage(), bystander(30))
    _manifest(tmp_path, stop_ns=START + 10**11)
    capture = tmp_path / "eth0.pcap"
    data, ends = capture.read_bytes(), [24]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 16 + struct.unpack_from("<I", data, ends[-1] + 8)[0])
    (tmp_path / "tcpdump-eth0.log").write_text(
        "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 256 bytes\n"
        f"{len(ends) - 1} packets captured\n{len(ends) - 1} packets received by filter\n0 packets dropped by kernel\n"
    )
    assert ["lost"] * 2 == reasons(analyze(tmp_path))

    # Of two conversations with as many packets each, the later one is cut off.
    capture.write_bytes(data[: ends[len(ends) // 2] + 8 * torn])
    analysis = analyze(tmp_path)
    assert ["not-recording"] * 2 == reasons(analysis)
    assert torn or any("packets that the capturing program counted" in told for told in analysis.caveats)


def test_a_ring_lacks_its_beginning(tmp_path: Path) -> None:
    """Where a ring overwrote what was recorded first, the log counts more than there is, and the end is whole."""
    record(tmp_path, *_outage())
    _manifest(tmp_path, start_ns=None)
    (tmp_path / "eth0.log").write_text(
        "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 256 bytes\n"
        "9000 packets captured\n9000 packets received by filter\n0 packets dropped by kernel\n"
    )
    assert ["lost"] * 2 == reasons(analyze(tmp_path))
