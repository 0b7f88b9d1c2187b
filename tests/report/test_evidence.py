"""The evidence capture: the incidents' packets, all points, headers only, a comment on each."""

from __future__ import annotations

import gzip
import re
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from scapy.utils import RawPcapNgReader, RawPcapReader

from analyzer import Analysis, analyze
from analyzer.errors import LostsynError
from analyzer.report import evidence, headers
from tests.conftest import Case, analysed
from tests.conversation import Conversation, bystander, record
from tests.golden import renderings

DNS = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x08intranet\x07example\x03com\0\0\1\0\1"
SECRET = b"\x03www\x07example\x03com\x00 and a secret"


class Packet(NamedTuple):
    """One packet of a pcapng file."""

    point: str
    time: int
    data: bytes
    wirelen: int
    comments: list[str]


def packets(path: Path) -> list[Packet]:
    """Read a pcapng file with scapy."""
    with RawPcapNgReader(str(path)) as reader:
        return [
            Packet(
                said.ifname.decode(),
                (said.tshigh << 32 | said.tslow),
                data,
                said.wirelen,
                [text.decode() for text in (said.comments or [])],
            )
            for data, said in reader
        ]


def _told(analysis: Analysis) -> Counter[tuple[str, str, int]]:
    """Point, file and frame of all packets of the incidents, each once."""
    findings = [finding for incident in analysis.incidents for finding in incident.findings]
    seen = {s for f in findings for p in f.passages for s in p.sightings}
    seen |= {s for f in findings for a in f.attempts for s in a.packets}
    return Counter((s.point, s.file, s.frame) for s in seen)


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """A UDP request that vanishes behind the bridge, and is repeated."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:53", nat="192.0.2.10:20000", proto="udp")
    talk.data(SECRET, at=0).lost_after("cni0")
    talk.data(SECRET, at=5)
    talk.reply(SECRET, at=5.01)
    return record(tmp_path / "lost", talk, bystander(-5), bystander(20))


def test_every_packet_that_is_told_of(bundle_case: Case, tmp_path: Path) -> None:
    """The file holds each packet of the incidents once, in time order, and says where it comes from."""
    analysis = analysed(bundle_case.name)
    path = tmp_path / "evidence.pcapng"
    written = evidence.write(analysis, path)
    found = packets(path)
    named = [comment.rpartition("; ")[2].rstrip(")") for packet in found for comment in packet.comments[:1]]

    assert (len(found), 0) == (written.packets, written.left_out)
    assert sorted(f"{file} frame {frame}" for _, file, frame in _told(analysis)) == sorted(named)
    assert Counter(point for point, *_ in _told(analysis)) == Counter(packet.point for packet in found)
    assert sorted(packet.time for packet in found) == [packet.time for packet in found]


def test_headers_are_those_of_the_capture(cases: dict[str, Case], tmp_path: Path) -> None:
    """Each packet begins as in the file that its comment names, and keeps its length on the wire."""
    folder = cases["snat-race"].folder
    path = tmp_path / "evidence.pcapng"
    evidence.write(analyze(folder), path)
    originals = {}
    for file in folder.glob("*.pcap"):
        with RawPcapReader(str(file)) as reader:
            for number, (data, said) in enumerate(reader, 1):
                originals[f"{file.name} frame {number}"] = data, said.wirelen
    for packet in packets(path):
        data, wirelen = originals[packet.comments[0].rpartition("; ")[2].rstrip(")")]

        assert data.startswith(packet.data)
        assert len(packet.data) >= 54
        assert wirelen == packet.wirelen


def test_comments_say_what_happened(cases: dict[str, Case], tmp_path: Path) -> None:
    """The lost SYN, the partner that got the port and the second attempt are called so, in the order of the way."""
    path = tmp_path / "evidence.pcapng"
    evidence.write(analysed("snat-race"), path)
    mine = [
        (packet.point, comment.partition(" (")[0])
        for packet in packets(path)
        for comment in packet.comments
        if "(syn-vanished-1, connection 1;" in comment
    ]

    assert [
        ("veth-b", "attempt 1: seen here, next at cni0"),
        ("veth-a", "partner, SYN, got the port: seen here, next at cni0"),
        ("cni0", "attempt 1: last seen here, vanished between cni0 and eth0"),
        ("cni0", "partner, SYN, got the port: seen here, next at eth0"),
        ("eth0", "partner, SYN, got the port: seen here"),
        ("veth-b", "attempt 2: seen here, next at cni0"),
        ("cni0", "attempt 2: seen here, next at eth0"),
        ("eth0", "attempt 2: seen here"),
    ] == mine[:8]


def test_payload_is_cut_off(lost: Path, tmp_path: Path) -> None:
    """Without being asked for, no byte behind the transport header enters the file."""
    path = tmp_path / "evidence.pcapng"
    evidence.write(analyze(lost), path)

    assert {42} == {len(packet.data) for packet in packets(path)}
    assert {42 + len(SECRET)} == {packet.wirelen for packet in packets(path)}
    assert b"secret" not in path.read_bytes()
    assert b"example" not in path.read_bytes()


def test_no_payload_in_any_report(lost: Path, tmp_path: Path) -> None:
    """HTML, JSON, text and tables tell of the lost question, and nothing of what it asks, in whatever form."""
    ask = Conversation(pod="10.244.0.12:20001", server="192.0.2.53:53", nat="192.0.2.10:20001", proto="udp")
    for at in (1, 6):
        ask.data(DNS, at=at).lost_after("cni0")
    analysis = analyze(record(tmp_path / "dns", ask, bystander(-5), bystander(20)))
    outputs = [*renderings(analysis).values(), *renderings(analyze(lost)).values()]
    outputs += [
        str(table.to_dict())
        for table in (analysis.packets("cni0"), analysis.flows, analysis.passages, analysis.findings)
    ]

    assert analysis.incidents
    for output in outputs:
        assert not re.search(r"secret|example|intranet|c2VjcmV0|736563726574|696e7472616e6574", output)


@pytest.mark.parametrize("name", ["clean", "dns-race", "late-start", "stale-entry", "table-full"])
def test_no_payload_of_real_captures(cases: dict[str, Case], name: str) -> None:
    """No text that packets carry is in any report: not the names that were looked up."""
    words: set[bytes] = set()
    for capture in cases[name].captures:
        with RawPcapReader(str(capture)) as reader:
            for data, _ in reader:
                words |= set(re.findall(rb"[A-Za-z]{8,}", data[headers.read(data, reader.linktype).end :]))

    assert b"registry" in words
    for output in renderings(analysed(name)).values():
        assert not [word for word in words if word.decode() in output]


def test_payload_when_asked_for(lost: Path, tmp_path: Path) -> None:
    """With payload, the packets are as they were captured."""
    path = tmp_path / "evidence.pcapng"
    evidence.write(analyze(lost), path, payload=True)

    assert all(packet.data.endswith(SECRET) for packet in packets(path))


def test_times_are_on_the_common_clock(cases: dict[str, Case], tmp_path: Path) -> None:
    """A point whose clock differs by a quarter of an hour lies beside its neighbour in the file."""
    path = tmp_path / "evidence.pcapng"
    analysis = analysed("late-ack-seed")
    evidence.write(analysis, path)
    found = packets(path)

    assert any(point.clock_offset for point in analysis.capture_points)
    assert found[-1].time - found[0].time < 60 * 10**9
    assert {"container", "eth0"} == {packet.point for packet in found}


def test_archives_and_compression(lost: Path, tmp_path: Path) -> None:
    """Captures in gzip, inside an archive, are read again from there."""
    expected, actual = tmp_path / "a.pcapng", tmp_path / "b.pcapng"
    evidence.write(analyze(lost), expected)
    for file in list(lost.glob("*.pcap")):
        file.with_suffix(".pcap.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    with tarfile.open(tmp_path / "lost.tar.xz", "w:xz") as archive:
        archive.add(lost, "lost")
    evidence.write(analyze(tmp_path / "lost.tar.xz"), actual)

    assert [packet[:4] for packet in packets(expected)] == [packet[:4] for packet in packets(actual)]


def test_an_interface_for_each_point(cases: dict[str, Case], tmp_path: Path) -> None:
    """Of one `-i any` capture every interface becomes one of the evidence, by its name."""
    path = tmp_path / "evidence.pcapng"
    evidence.write(analysed("snat-race-any"), path)

    assert {"veth-a", "veth-b", "cni0", "eth0"} == {packet.point for packet in packets(path)}


def test_what_does_not_fit_is_counted(lost: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limits the file ends, and says so."""
    path = tmp_path / "evidence.pcapng"
    monkeypatch.setattr(evidence, "PACKETS", 3)
    written = evidence.write(analyze(lost), path)

    assert 3 == written.packets == len(packets(path))
    assert written.left_out > 0
    assert f"{written.left_out} further packets are left out".encode() in path.read_bytes()

    monkeypatch.setattr(evidence, "BYTES", 100)
    assert 2 == evidence.write(analyze(lost), path).packets


def test_every_incident_has_its_share(
    cases: dict[str, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not all fits, each incident is there with its first connections."""
    path = tmp_path / "evidence.pcapng"
    monkeypatch.setattr(evidence, "PACKETS", 60)
    analysis = analysed("table-full")
    evidence.write(analysis, path)
    comments = " ".join(comment for packet in packets(path) for comment in packet.comments)

    assert len(analysis.incidents) > 1
    assert all(f"({incident.id}, connection 1;" in comments for incident in analysis.incidents)


def test_no_incident_no_packet(cases: dict[str, Case], tmp_path: Path) -> None:
    """Where nothing happened the file is valid and empty."""
    path = tmp_path / "evidence.pcapng"
    evidence.write(analysed("clean"), path)

    assert [] == packets(path)


def test_a_capture_that_is_gone(lost: Path, tmp_path: Path) -> None:
    """A capture that was removed after the analysis is an error of one sentence that names it."""
    analysis = analyze(lost)
    (lost / "cni0.pcap").unlink()
    with pytest.raises(LostsynError, match=r"cni0\.pcap: cannot be read"):
        evidence.write(analysis, tmp_path / "evidence.pcapng")


def test_a_place_that_cannot_be_written(lost: Path, tmp_path: Path) -> None:
    """So is a file that cannot be made."""
    with pytest.raises(LostsynError, match="cannot be written"):
        evidence.write(analyze(lost), tmp_path / "no folder" / "evidence.pcapng")


def test_an_analysis_without_captures(sample: object, tmp_path: Path) -> None:
    """Evidence needs the captures: an analysis that was put together by hand has none."""
    with pytest.raises(ValueError, match="holds no captures"):
        evidence.write(sample.race(), tmp_path / "evidence.pcapng")  # type: ignore[attr-defined]


@pytest.mark.tshark
def test_wireshark_shows_it(cases: dict[str, Case], tmp_path: Path) -> None:
    """A reader that is not ours counts the frames, names interfaces, shows comments, finds nothing malformed."""
    path = tmp_path / "evidence.pcapng"
    for name in ("snat-race", "snat-race-ipv6", "snat-race-any", "late-ack-seed", "table-full"):
        written = evidence.write(analysed(name), path)
        fields = ("frame.interface_name", "frame.comment", "_ws.malformed", "_ws.expert.severity")
        told = subprocess.run(
            ["tshark", "-r", str(path), "-T", "fields", *(f"-e{field}" for field in fields)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        rows = [line.split("\t") for line in told.splitlines()]
        error = str(0x00800000)

        assert written.packets == len(rows)
        assert sorted(packet.point for packet in packets(path)) == sorted(row[0] for row in rows)
        assert all("connection" in row[1] and "frame" in row[1] for row in rows)
        assert {""} == {row[2] for row in rows}
        assert not [row for row in rows if error in row[3]]


@pytest.mark.parametrize("key", [None, b"key"])
def test_the_file_says_what_it_is(lost: Path, tmp_path: Path, key: bytes | None) -> None:
    """Its comment counts the incidents and is made of sentences, with redaction, too."""
    path = tmp_path / "evidence.pcapng"
    evidence.write(analyze(lost), path, key=key)
    said = path.read_bytes()

    assert b"; 1 incident; times on the common clock" in said
    assert (key is not None) == (b" transport headers. Addresses are aliases that keep prefixes" in said)
