"""`analyze`: every form of input, every container, every frame accounted for."""

from __future__ import annotations

import gzip
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from analyzer import Analysis, Bundle, UnusableInput, analyze
from analyzer import api as pipeline
from analyzer.errors import TooLarge
from tests.capture.test_reader import enhanced, interface, option, section
from tests.conftest import FIXTURES, Case, analysed
from tests.conversation import Conversation, bystander, record


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """A bundle with one loss."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    return record(tmp_path / "lost", talk, bystander(-1), bystander(5))


def told(analysis: Analysis) -> tuple[object, ...]:
    """What is the same for the same packets, whatever they came in."""
    return analysis.counts, [(i.id, i.cause, i.gap, i.first, i.last) for i in analysis.incidents]


def records(path: Path) -> list[tuple[int, bytes]]:
    """The records of a nanosecond pcap: ns, bytes."""
    data, at, found = path.read_bytes(), 24, []
    while at < len(data):
        seconds, nanoseconds, size, _ = struct.unpack_from("<IIII", data, at)
        found.append((seconds * 10**9 + nanoseconds, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found


def packed(folder: Path, form: str) -> list[Path]:
    """The same captures in another form."""
    files = sorted(folder.iterdir())
    target = folder.parent / form
    target.mkdir()
    if form == "zip":
        with zipfile.ZipFile(target / "bundle.zip", "w") as made:
            for file in files:
                made.write(file, file.name)
        return [target / "bundle.zip"]
    if form == "tar":
        with tarfile.open(target / "bundle.tar.gz", "w:gz") as made:
            for file in files:
                made.add(file, file.name)
        return [target / "bundle.tar.gz"]
    if form == "pcapng":
        out = section() + b"".join(
            interface(options=option(2, file.stem.encode()) + option(9, b"\x09")) for file in files
        )
        seen = [(time, n, frame) for n, file in enumerate(files) for time, frame in records(file)]
        (target / "node.pcapng").write_bytes(
            out + b"".join(enhanced(n, time, frame) for time, n, frame in sorted(seen))
        )
        return [target]
    if form == "rotated":
        for file in files:
            head, half = file.read_bytes()[:24], len(records(file)) // 2
            parts = (records(file)[:half], records(file)[half:])
            for number, part in enumerate(parts):
                body = b"".join(
                    struct.pack("<IIII", t // 10**9, t % 10**9, len(frame), len(frame)) + frame
                    for t, frame in part
                )
                (target / f"{file.name}{2 - number}").write_bytes(head + body)
        return [target]
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "xz": lzma.compress,
        "zst": zstandard.compress,
    }
    for file in files:
        (target / f"{file.name}.{form}").write_bytes(compress[form](file.read_bytes()))
    return [target]


@pytest.mark.parametrize("form", ["zip", "tar", "pcapng", "rotated", "gz", "xz", "zst"])
def test_every_container(form: str, lost: Path) -> None:
    """The same packets give the same result."""
    assert told(analyze(lost)) == told(analyze(packed(lost, form)))


def test_every_kind_of_path(lost: Path) -> None:
    """A folder, its name, its files, an opened bundle."""
    expected = told(analyze(lost))

    assert 1 == len(analyze(lost).incidents)
    assert expected == told(analyze(str(lost)))
    assert expected == told(analyze(sorted(lost.iterdir())))
    assert expected == told(analyze(Bundle.open([lost])))


def test_every_frame_is_accounted_for(bundle_case: Case) -> None:
    """What the files hold is in the tables, or counted by reason."""
    bundle = Bundle.open([bundle_case.folder])
    frames = sum(records.count for capture in bundle.captures for records in capture.open().blocks())
    points = analysed(bundle_case.name).capture_points

    assert frames == sum(point.packets + sum(point.skipped.values()) for point in points)


def test_progress(lost: Path) -> None:
    """Every stored byte of the captures is told of."""
    advanced: list[int] = []
    analyze(lost, progress=advanced.append)

    assert sum(path.stat().st_size for path in lost.iterdir()) == sum(advanced)


def test_names_and_roles(tmp_path: Path) -> None:
    """What the caller says of files and points."""
    record(tmp_path, bystander(0), points=("cni0", "eth0"), names={"cni0": "a", "eth0": "b"})
    analysis = analyze(tmp_path, points={"a.pcap": "inside"}, roles={"inside": "bridge", "b": "uplink"})

    assert [("inside", "bridge"), ("b", "uplink")] == [(p.name, p.role) for p in analysis.capture_points]


@pytest.mark.parametrize("paths", [[], ["nowhere"], [Path("/nowhere/at/all.pcap")]])
def test_unusable(paths: list[str | Path]) -> None:
    """An error of ours, that is also a ValueError."""
    with pytest.raises(UnusableInput):
        analyze(paths)
    with pytest.raises(ValueError, match=r"no"):
        analyze(paths)


def test_the_same_twice(lost: Path) -> None:
    """Analysing is free of chance: the same text, byte for byte."""
    assert analyze(lost).to_json() == analyze(lost).to_json()


@pytest.mark.parametrize(
    ("memory", "says"),
    [(None, "needs more memory than there is"), (1 << 30, "more than --memory 1024M leaves room for")],
)
def test_too_little_memory(memory: int | None, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture that does not fit is an error of ours, which tells how it would fit; whoever expects a MemoryError gets one."""

    def record(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(pipeline, "record", record)
    with pytest.raises(TooLarge, match=says) as raised:
        pipeline.analyze(FIXTURES / "snat-race", memory=memory)

    assert isinstance(raised.value, MemoryError)
