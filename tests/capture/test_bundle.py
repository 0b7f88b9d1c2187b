"""Bundles: files, folders and archives, sorted by content."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analyzer.capture import archive
from analyzer.capture import bundle as bundling
from analyzer.capture.bundle import Bundle
from analyzer.errors import UnusableInput

PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 96, 1) + struct.pack("<IIII", 1, 2, 4, 4) + b"data"
TEXT = b"Linux node7 6.1.0-18-amd64 #1 SMP Debian\n"
FILES = {
    "node7.eth0.pcap10": PCAP,
    "node7.eth0.pcap9": PCAP,
    "pods/veth1a2b.pcap.gz": gzip.compress(PCAP),
    "pods/misnamed.txt": PCAP,
    "uname.txt": TEXT,
    "dmesg.gz": gzip.compress("[1.0] café\n".encode()),
    "empty.log": b"",
    "core": b"\x7fELF\0\0",
    ".hidden.pcap": PCAP,
    ".git/eth0.pcap": PCAP,
}
LABELS = ["node7.eth0.pcap9", "node7.eth0.pcap10", "pods/misnamed.txt", "pods/veth1a2b.pcap.gz"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with `FILES`."""
    for name, data in FILES.items():
        path = tmp_path / "incident" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "incident"


def packed(folder: Path, kind: str) -> Path:
    """Pack the folder's files into an archive beside it."""
    path = folder.with_suffix(kind)
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as written:
            for name in FILES:
                written.write(folder / name, name)
    else:
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as written:
            for name in FILES:
                written.add(folder / name, name)
    return path


def labels(bundle: Bundle) -> list[str]:
    """Give the labels of the captures."""
    return [capture.label for capture in bundle.captures]


def test_a_capture_of_another_format_is_named(folder: Path) -> None:
    """What it is and how to convert it are said beside the captures that are read."""
    (folder / "eth1.snoop").write_bytes(b"snoop\0\0\0" + struct.pack(">II", 2, 4))

    assert (
        "ignored, a capture in the format of snoop (Solaris), convert it with: editcap -F pcapng IN OUT: eth1.snoop"
        in Bundle.open([folder]).caveats
    )


@pytest.mark.parametrize("kind", ["", ".tar", ".tar.gz", ".zip"])
def test_folder_and_archives(kind: str, folder: Path) -> None:
    """A folder, and the same packed in an archive, give the same bundle."""
    path = packed(folder, kind) if kind else folder
    bundle = Bundle.open([path])
    assert path.name == bundle.name
    assert labels(bundle) == LABELS
    assert ["dmesg.gz", "uname.txt"] == [file.label for file in bundle.evidence]
    assert {"ignored, empty: empty.log", "ignored, neither a capture nor text: core"} == set(bundle.caveats)
    assert ["node7.eth0.pcap9", "veth1a2b.pcap.gz"] == [bundle.captures[0].name, bundle.captures[3].name]
    assert ["eth0", "eth0", "misnamed", "veth1a2b"] == [file.point_hint.point for file in bundle.captures]
    for capture in bundle.captures:
        reader = capture.open()
        assert 1 == sum(records.count for records in reader.blocks())
        assert capture.label == reader.name
        assert capture.size == reader.size == reader.bytes_read
    assert [("[1.0] café\n", None), (TEXT.decode(), None)] == [file.read() for file in bundle.evidence]


def test_several_paths(folder: Path) -> None:
    """Several paths make one bundle; labels say which path they are under."""
    (folder / "a").mkdir()
    (folder / "a" / "eth0.pcap").write_bytes(PCAP)
    bundle = Bundle.open([folder / "a" / "eth0.pcap", str(folder / "pods"), packed(folder, ".zip")])
    assert "eth0.pcap, pods, incident.zip" == bundle.name
    packed_labels = [f"incident.zip/{label}" for label in LABELS]
    assert ["eth0.pcap", *packed_labels, "pods/misnamed.txt", "pods/veth1a2b.pcap.gz"] == labels(bundle)


def test_files_of_one_name(tmp_path: Path) -> None:
    """Files of the same name in different folders keep different labels and points' folders."""
    paths = []
    for name in ("cni0", "eth0"):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "trace.pcap")
        paths[-1].write_bytes(PCAP)
    bundle = Bundle.open(paths)
    assert [str(path).strip("/") for path in paths] == labels(bundle)
    assert ["cni0", "eth0"] == [capture.point_hint.point for capture in bundle.captures]


def test_a_folder_by_a_dot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is called by its name."""
    monkeypatch.chdir(folder)
    assert "incident" == Bundle.open(["."]).name


def test_symbolic_links(folder: Path) -> None:
    """Links are followed once: a loop ends, and a file reached twice is taken once, with a word."""
    (folder / "pods" / "up").symlink_to("..")
    (folder / "zz.pcap").symlink_to("node7.eth0.pcap9")
    (folder / "broken").symlink_to("nowhere")
    bundle = Bundle.open([folder])
    assert labels(bundle) == LABELS
    assert "ignored, the same file as another one: zz.pcap" in bundle.caveats
    assert "ignored, not a file, or a broken link: broken" in bundle.caveats


def test_a_file_given_twice(folder: Path) -> None:
    """The same file given twice is one capture."""
    path = folder / "node7.eth0.pcap9"
    assert 1 == len(Bundle.open([path, path]).captures)


def test_pipe_in_a_folder(folder: Path) -> None:
    """A pipe is not opened, as that could wait for ever."""
    os.mkfifo(folder / "pipe")
    assert "ignored, not a file, or a broken link: pipe" in Bundle.open([folder]).caveats
    with pytest.raises(UnusableInput, match="pipe: neither a file nor a folder"):
        Bundle.open([folder / "pipe"])


def test_unreadable_files() -> None:
    """An unreadable file is a caveat beside others, and one sentence alone; so is an unreadable folder."""
    with _nobody(), tempfile.TemporaryDirectory() as name:
        folder = Path(name, "incident")
        folder.mkdir()
        (folder / "eth0.pcap").write_bytes(PCAP)
        (folder / "cni0.pcap").write_bytes(PCAP)
        (folder / "cni0.pcap").chmod(0)
        (folder / "closed").mkdir(mode=0)
        caveats = Bundle.open([folder]).caveats
        assert ("ignored, cannot be read: Permission denied: cni0.pcap, closed/",) == caveats
        for alone in ("cni0.pcap", "closed"):
            with pytest.raises(UnusableInput, match="Permission denied"):
                Bundle.open([folder / alone])
        (folder / "closed").chmod(0o700)


@contextmanager
def _nobody() -> Iterator[None]:
    """Root reads everything, so be somebody else for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_file_that_fails_to_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file system refuses is a caveat that names the file."""
    opened = Path.open

    def refusing(path: Path, *args: str, **named: int) -> object:
        if path.name == "core":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refusing)
    assert "ignored, cannot be read: Permission denied: core" in Bundle.open([folder]).caveats


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["gone"], r"gone: no such file or folder$"),
        (["x\0y"], r"cannot be read: embedded null byte$"),
        (["nothing"], r"^nothing: no capture \(pcap or pcapng\) found; record .* tcpdump -i cni0 "),
        (["uname.txt"], r"^uname\.txt: no capture \(pcap or pcapng\) found among 1 text file; record "),
        (
            ["core"],
            r"^core: no capture \(pcap or pcapng\) found; ignored, neither a capture nor text: core; record ",
        ),
        (
            ["uname.txt", "core"],
            r"^uname\.txt, core: no capture .* found among 1 text file; ignored, .*: core; record ",
        ),
        ([], r"^no path given$"),
    ],
)
def test_no_capture(paths: list[str], sentence: str, folder: Path) -> None:
    """Where nothing can be analysed, one sentence says what there was instead, and what to record."""
    (folder / "nothing").mkdir()
    with pytest.raises(UnusableInput, match=sentence) as caught:
        Bundle.open([folder / path for path in paths])
    assert str(caught.value).partition("; record ")[0] == caught.value.reason


def test_points_by_the_user(folder: Path) -> None:
    """A file is found by its label, by the last part of it, or by its path; a wrong name is an error."""
    for file in ("pods/misnamed.txt", "misnamed.txt", str(folder / "pods" / "misnamed.txt")):
        bundle = Bundle.open([folder], points={file: "cni0"})
        assert ["eth0", "eth0", "cni0", "veth1a2b"] == [
            capture.point_hint.point for capture in bundle.captures
        ]
        assert bundle.captures[2].point_hint.explicit
    with pytest.raises(UnusableInput, match=r"^no capture of the bundle is called 'misnamed'$"):
        Bundle.open([folder], points={"misnamed": "cni0"})


def test_several_nodes(tmp_path: Path) -> None:
    """The same point on two nodes is two points, and said."""
    for name in ("a.eth0.pcap", "b.eth0.pcap", "a.cni0.pcap"):
        (tmp_path / name).write_bytes(PCAP)
    bundle = Bundle.open([tmp_path])
    assert ["cni0", "a.eth0", "b.eth0"] == [capture.point_hint.point for capture in bundle.captures]
    assert ["the captures are of several nodes (a, b)"] == list(bundle.caveats)


def test_hostile_member_names(tmp_path: Path) -> None:
    """Members' paths are words in messages only; equal ones are told apart."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as written:
        for name in ("../../etc/eth0.pcap", "/etc/eth0.pcap", "a\x1b[2J.pcap", "/", "x/../.."):
            info = tarfile.TarInfo(name)
            info.size = len(PCAP)
            written.addfile(info, io.BytesIO(PCAP))
    (tmp_path / "a.tar").write_bytes(out.getvalue())
    assert ["a?[2J.pcap", "etc/eth0.pcap", "etc/eth0.pcap (2)", "x"] == labels(
        Bundle.open([tmp_path / "a.tar"])
    )


def test_archive_in_an_archive(folder: Path) -> None:
    """Archives inside archives are not opened, and said."""
    packed(folder, ".zip").rename(folder / "inner.zip")
    with zipfile.ZipFile(folder / "outer.zip", "w") as written:
        written.write(folder / "inner.zip", "inner.zip")
        written.writestr("eth0.pcap", PCAP)
    bundle = Bundle.open([folder / "outer.zip"])
    assert ["eth0.pcap"] == labels(bundle)
    assert ["ignored, an archive inside an archive: inner.zip"] == list(bundle.caveats)


def test_archive_in_a_folder(folder: Path) -> None:
    """An archive in a folder is a folder."""
    packed(folder, ".zip").rename(folder / "pods" / "inner.zip")
    assert {f"pods/inner.zip/{label}" for label in LABELS} <= set(labels(Bundle.open([folder])))


def test_bounds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files, members or bytes are cut with a word."""
    path = packed(folder, ".zip")
    monkeypatch.setattr(archive, "MEMBERS", 2)
    (caveat,) = Bundle.open([path]).caveats
    assert caveat.startswith("incident.zip: only 2 members were looked at")
    monkeypatch.setattr(bundling, "FILES", 3)
    assert any("beyond the first 3 files: " in caveat for caveat in Bundle.open([folder]).caveats)


def test_many_ignored_files(folder: Path) -> None:
    """Files ignored for one reason are one caveat that names the first of them."""
    for number in range(9):
        (folder / f"empty{number}").touch()
    (caveat,) = [caveat for caveat in Bundle.open([folder]).caveats if "empty" in caveat]
    assert "ignored, empty: empty.log, empty0, empty1, empty2, empty3 and 5 more" == caveat


def test_damaged_compressed_file(folder: Path) -> None:
    """A compressed file that cannot be begun is told with its damage."""
    (folder / "bad.pcap.gz").write_bytes(gzip.compress(PCAP)[:12])
    assert (
        "ignored, gzip data ends early, at byte 12 of the file: bad.pcap.gz" in Bundle.open([folder]).caveats
    )


def test_evidence_is_bounded(folder: Path) -> None:
    """Evidence is read up to a limit, to the end of a line, and says so."""
    (folder / "long.txt").write_bytes(b"0123456789\n" * 10)
    (file,) = [file for file in Bundle.open([folder]).evidence if file.label == "long.txt"]
    assert ("0123456789\n" * 2, "only its first 22 bytes were read") == file.read(32)
    assert ("0123456789\n" * 10, None) == file.read(110)
    (folder / "long.txt").unlink()
    assert ("", "cannot be read: No such file or directory") == file.read()


def test_texts_that_are_compressed_too_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bytes cost no minutes: of one line over and over as much is read as a text may be that is stored in so few bytes."""
    monkeypatch.setattr(bundling, "SPARE", 100_000)
    (tmp_path / "eth0.pcap").write_bytes(PCAP)
    (tmp_path / "uname.txt.gz").write_bytes(gzip.compress(TEXT * 100_000))
    (tmp_path / "some.txt.gz").write_bytes(gzip.compress(TEXT * 100))
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as packed:
        for name in ("a.txt", "b.txt"):
            about = tarfile.TarInfo(name)
            about.size = 60_000
            packed.addfile(about, io.BytesIO(bytes(TEXT * 2000)[: about.size]))
        about = tarfile.TarInfo("zeros.bin")
        about.size = 8 << 20
        packed.addfile(about, io.BytesIO(bytes(about.size)))
    read = {file.name: file.read() for file in Bundle.open([tmp_path]).evidence}
    stored = (tmp_path / "uname.txt.gz").stat().st_size

    assert stored * 199 < len(read["uname.txt.gz"][0]) <= stored * 200
    assert f"only its first {len(read['uname.txt.gz'][0])} bytes were read" == read["uname.txt.gz"][1]
    assert (100 * len(TEXT), None) == (len(read["some.txt.gz"][0]), read["some.txt.gz"][1])
    assert [60_000, True] == [len(read["a.txt"][0]), len(read["b.txt"][0]) < 60_000]
