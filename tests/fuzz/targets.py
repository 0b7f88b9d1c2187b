"""What is fuzzed: all that reads what a stranger wrote. A target takes bytes and may raise a `LostsynError`, nothing else."""

from __future__ import annotations

import ast
import gzip
import io
import json
import lzma
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import get_args

import zstandard

from analyzer import analyze
from analyzer.capture import naming
from analyzer.capture.bundle import Bundle
from analyzer.capture.compressed import Stream
from analyzer.capture.decoder import Decoder
from analyzer.capture.files import EvidenceFile
from analyzer.capture.interfaces import Interfaces
from analyzer.capture.listing import recognising
from analyzer.capture.listing.translation import Translation
from analyzer.capture.reader import Reader
from analyzer.capture.storage import Memory
from analyzer.cli.formats import FORMATS
from analyzer.cli.saying import shown
from analyzer.evidence import collect
from analyzer.evidence.rules.packet import Packet
from analyzer.evidence.rules.walk import walk
from analyzer.evidence.sources import sources
from analyzer.expectations import file as expectations
from analyzer.field import explaining, slowlog
from analyzer.fleet import dataset
from analyzer.fleet.places import Place
from analyzer.report import evidence, html
from analyzer.report.checked import Checked
from analyzer.report.headers import read
from analyzer.report.redaction import Redaction, redact
from tests.capture.layers import ROWS

ROOT = Path(__file__).parents[2]
FEW = 12
"""Records of a seed's capture: small seeds, many cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One entrance."""

    run: Callable[[bytes], object]
    """Reads what is given; an exception that is no `LostsynError` is a find."""
    seeds: Callable[[], list[bytes]]
    cases: int
    """How many are tried in every run of the tests."""


@cache
def captures() -> list[bytes]:
    """The beginnings of the fixtures' captures, and one packet under every link, network and tunnel header."""
    found = [_beginning(path.read_bytes()) for path in sorted((ROOT / "fixtures").glob("*/*.pcap"))[:40]]
    found += [path.read_bytes()[:6000] for path in sorted((ROOT / "fixtures").glob("*/*.pcapng"))]
    for row in ROWS.values():
        head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, row.link)
        packet = struct.pack("<IIII", 1700000000, 5, len(row.frame), row.length) + row.frame
        found.append(head + packet * 2)
    return found


def _beginning(data: bytes) -> bytes:
    at = 24
    for _ in range(FEW):
        if at + 16 > len(data):
            break
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    return data[:at]


@cache
def texts() -> list[bytes]:
    """The side evidence of the fixtures, and what the sources' tests are written with, cut to what is still recognised."""
    paths = [*sorted((ROOT / "fixtures").glob("*/*")), *sorted((ROOT / "tests/evidence/samples").iterdir())]
    kept: dict[bytes, bytes] = {}
    for path in paths:
        if path.suffix in (".txt", ".json", ".log", ".csv") and path.name != "truth.json":
            data = path.read_bytes()[:4000]
            kept.setdefault(path.name.encode() + data[:200], data)
    return [*kept.values(), *_written()]


@cache
def listings() -> list[bytes]:
    """The packet listings of the fixtures, and those that stand in their tests."""
    found = [path.read_bytes()[:4000] for path in sorted((ROOT / "fixtures").glob("*-seed/*"))]
    return [text for text in [*found, *_written("capture/listing")] if recognising.form(text)]


def _written(tests: str = "evidence") -> Iterator[bytes]:
    """The texts that stand in the tests of evidence: no source is without a seed that it recognises."""
    for path in sorted((ROOT / "tests" / tests).rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
                yield node.value.encode("utf-8", "replace")[:4000]


@cache
def tables() -> list[bytes]:
    """Files of expectations."""
    return [path.read_bytes() for path in sorted((ROOT / "fixtures").glob("*/case.toml"))]


@cache
def archives() -> list[bytes]:
    """Small archives of each kind, of captures and texts."""
    found = []
    members = {
        "eth0.pcap": captures()[0],
        "a/uname.txt": b"6.1.0\n",
        "cni0.pcapng": captures()[-1],
        "x" * 120: b"y",
    }
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
            for name, data in members.items():
                if form == tarfile.USTAR_FORMAT and len(name) > 100:
                    continue
                about = tarfile.TarInfo(name)
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
        found.append(raw.getvalue().rstrip(b"\0") + bytes(1024))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        found.append(raw.getvalue())
    return found + [pack(found[0]) for pack in PACKERS]


PACKERS = (gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress)


@cache
def compressed() -> list[bytes]:
    """Captures, compressed in each way, one member and several."""
    return [pack(captures()[0]) * times for pack in PACKERS for times in (1, 3)]


@cache
def bundles() -> list[bytes]:
    """A capture for each of three points, with texts: joined by lengths, see `_bundle`."""
    found = []
    for name in ("snat-race", "late-ack", "dns-race", "policy-drop", "table-full", "snat-race-ipv6"):
        folder = ROOT / "fixtures" / name
        parts = [_first(folder / f"{point}.pcap", 60) for point in ("veth-a", "cni0", "eth0")]
        parts += [
            (folder / text).read_bytes()[:4000]
            for text in ("nft-ruleset.txt", "conntrack-S-after.txt", "ip-link.json")
        ]
        found.append(b"".join(struct.pack("<I", len(part)) + part for part in parts))
    return found


def _first(path: Path, count: int) -> bytes:
    data, at = path.read_bytes(), 24
    for _ in range(count):
        if at + 16 > len(data):
            break
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    return data[:at]


def parts_of(data: bytes) -> list[bytes]:
    """Take apart what `bundles` joined; lengths that lie are cut."""
    parts, at = [], 0
    while at + 4 <= len(data) and len(parts) < 6:
        size = struct.unpack_from("<I", data, at)[0]
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return parts


@cache
def results() -> list[bytes]:
    """A result of a fleet's dataset."""
    point = {"name": "eth0", "role": "uplink", "first": 1, "last": 2, "packets": 3, "dropped": None}
    told = {
        "path": "a/b", "node": "a", "key": "k", "fingerprint": "f", "problem": None, "parts": ["flows/node=a/k-f.parquet"],
        "counts": {"connections": 1}, "points": [point, point], "incidents": 1, "inconclusive": None, "caveats": 0,
    }  # fmt: skip
    return [json.dumps(told, indent=1).encode()]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lostsyn-fuzz-") as folder:
        yield Path(folder)


def container(data: bytes) -> None:
    """A capture file, block by block: what rows claim lies within the block."""
    reader = Reader(lambda: io.BytesIO(data), name="x", block=16384)
    for records in reader.blocks():
        assert (records.caplen >= 0).all()
        assert (records.start + records.caplen <= len(records.data)).all()


def decoder(data: bytes) -> None:
    """The same to columns."""
    reader = Reader(lambda: io.BytesIO(data), name="x", block=16384)
    made = Decoder(Memory())
    made.read(reader, Interfaces().reading(reader).of, lambda _: None)
    packets, flows = made.finish()
    assert not len(packets) or packets.flow.max() < len(flows)


def stream(data: bytes) -> None:
    """A compressed file."""
    with Stream(io.BytesIO(data)) as opened:
        while opened.read(1 << 16):
            pass


def archive(data: bytes) -> None:
    """An archive, with all that is in it."""
    with _folder() as folder:
        path = folder / "a.tar"
        path.write_bytes(data)
        opened = Bundle.open([path])
        for capture in opened.captures:
            for _ in capture.open().blocks():
                pass
        for text in opened.evidence:
            text.read()


def listing(data: bytes) -> None:
    """A packet listing, as what it seems to be or else as any."""
    form = recognising.form(data[:4096]) or get_args(recognising.Form)[len(data) % 4]
    listed = recognising.Listing(form=form, open=lambda: io.BytesIO(data), most=1 << 30)
    container(Translation(listed).read())


def source(name: str, data: bytes) -> None:
    """A text, by a source that may never have recognised it."""
    (module,) = (one for one in sources() if one.__name__.endswith(f".{name}"))  # type: ignore[attr-defined]
    text = data.decode("utf-8", "replace")
    module.recognises(text)
    for _ in module.parse(text, "x.txt"):
        pass


def side_evidence(data: bytes) -> None:
    """Texts as a bundle has them, and what they tell together."""
    parts = [part for part in data.split(b"\x00SPLIT\x00") if part] or [data]
    collect([_text(f"{number}.txt", part) for number, part in enumerate(parts)])


def rules(data: bytes) -> None:
    """A listing of rules, and packets that walk through it."""
    for ruleset in collect([_text("rules.txt", data)]).rules:
        for proto, state in (("tcp", "new"), ("udp", "established"), ("icmp", "invalid")):
            packet = Packet(
                proto=proto, src="10.244.0.11", dst="192.0.2.100", sport=20000, dport=80, iif="cni0", oif="eth0",
                state=state, tcp_flags=2,
            )  # fmt: skip
            walk(ruleset, packet)


def _text(label: str, data: bytes) -> EvidenceFile:
    return EvidenceFile(label=label, source=partial(io.BytesIO, data), size=len(data))


def expected(data: bytes) -> None:
    """A file of expectations."""
    with _folder() as folder:
        path = folder / "lostsyn.toml"
        path.write_bytes(data)
        known = expectations.read(path)
        known.of(["a"])
        known.besides([["b"]])


def kept(data: bytes) -> None:
    """A result in a fleet's dataset: read, or as good as none."""
    with _folder() as folder:
        (folder / "bundles").mkdir()
        (folder / "bundles" / "k.json").write_bytes(data)
        dataset.results(Place.at(str(folder)))


def headers(data: bytes) -> None:
    """A frame whose addresses become aliases."""
    link = (1, 113, 276, 101, 0)[data[0] % 5] if data else 1
    out = REDACTION.frame(data[1:], link)
    assert len(out) == read(data[1:], link).end


def words(data: bytes) -> None:
    """A text whose addresses become aliases, a name that becomes a point's."""
    text = data.decode("utf-8", "replace")
    REDACTION.text(text)
    assert all(line.isprintable() for line in shown(text).split("\n"))
    label = text[:200].replace("\n", "/") or "x"
    naming.refine(naming.hint(label), text[-30:])


REDACTION = Redaction(b"a key of the tests")


def whole(data: bytes) -> None:
    """A bundle through the whole analysis, and into every format."""
    with _folder() as folder:
        names = ("veth-a.pcap", "cni0.pcap", "eth0.pcap", "nft.txt", "conntrack-S-after.txt", "ip-link.json")
        for name, part in zip(names, parts_of(data), strict=False):
            (folder / name).write_bytes(part)
        analysis = analyze(folder)
        checked = Checked.of((str(folder),), analysis, None)
        for form in FORMATS.values():
            form.printed(form.render([checked], each=False))
        html.render(redact(analysis, b"a key of the tests"))
        evidence.write(analysis, folder / "e.pcapng", key=b"a key of the tests")


def slow(data: bytes) -> None:
    """A log of slow requests, joined to a connection."""
    requests, _ = slowlog.read(data.decode(errors="replace"), "x")
    connection = explaining.Connection(
        "10.0.0.1", 1, "192.0.2.1", 80, 10**18, 1.0, "ok", "worked", "", "", ""
    )
    explaining.explain(requests, [connection])


def logs() -> list[bytes]:
    """A log of the probe, an application's CSV, and one list of JSON."""
    return [
        b'{"time_ns": 1795992073595061901, "duration_s": 1.02, "sport": 20000, "dst": "192.0.2.100", "dport": 80}\n',
        b"start,took,url\n2026-11-20T11:48:39.5+01:00,1.02s,http://[2001:db8::1]:80/x\n",
        b'[{"@timestamp": "20/Nov/2026:11:48:39 +0000", "latency_ms": "1e3", "upstream_addr": "192.0.2.1:80"}]',
    ]


def _frames() -> list[bytes]:
    links = {1: 0, 113: 1, 276: 2, 101: 3, 0: 4}
    return [bytes([links[row.link]]) + row.frame for row in ROWS.values() if row.link in links]


def _joined() -> list[bytes]:
    return [b"\x00SPLIT\x00".join(texts()[at : at + 3]) for at in range(0, len(texts()), 3)]


def _of(name: str) -> list[bytes]:
    (module,) = (one for one in sources() if one.__name__.endswith(f".{name}"))  # type: ignore[attr-defined]
    return [text for text in texts() if module.recognises(text.decode("utf-8", "replace"))]


SOURCES = [one.__name__.rpartition(".")[2] for one in sources()]  # type: ignore[attr-defined]

TARGETS: dict[str, Target] = {
    "container": Target(run=container, seeds=captures, cases=25_000),
    "decoder": Target(run=decoder, seeds=captures, cases=6000),
    "compressed": Target(run=stream, seeds=compressed, cases=15_000),
    "listing": Target(run=listing, seeds=listings, cases=1500),
    "archive": Target(run=archive, seeds=archives, cases=2000),
    **{
        f"source-{name}": Target(run=partial(source, name), seeds=partial(_of, name), cases=2500)
        for name in SOURCES
    },
    "evidence": Target(run=side_evidence, seeds=_joined, cases=200),
    "rules": Target(
        run=rules, seeds=lambda: [*_of("nft_text"), *_of("iptables_save"), *_of("nft_json")], cases=300
    ),
    "slow-log": Target(run=slow, seeds=logs, cases=1500),
    "expectations": Target(run=expected, seeds=tables, cases=1500),
    "dataset": Target(run=kept, seeds=results, cases=600),
    "headers": Target(run=headers, seeds=_frames, cases=30_000),
    "words": Target(run=words, seeds=lambda: [*texts(), *tables()], cases=2000),
    "analysis": Target(run=whole, seeds=bundles, cases=25),
}
