"""Archives: members in place, hostile ones included."""

from __future__ import annotations

import io
import tarfile
import zipfile
from copy import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.capture import archive

FILES = {"veth1a2b.pcap": b"one" * 300, "sub/cni0.pcap": b"", "x" * 150 + "/é.txt": b"three" * 1000}


def tar(files: dict[str, bytes], mode: str = "w", **options: int) -> bytes:
    """Write a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **options) as written:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            written.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_members(path: Path, data: bytes) -> tuple[dict[str, bytes], list[str]]:
    """Read the members of a tar archive, and the caveats."""
    path.write_bytes(data)
    caveats: list[str] = []
    found = {}
    for member in archive.tar_members(path, caveats, archive.Allowance()):
        with member.open() as opened:
            found[member.name] = opened.read()
    return found, caveats


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tar(format: int, mode: str, tmp_path: Path) -> None:  # noqa: A002
    """Every format and compression gives names and contents, long and foreign names among them."""
    assert (FILES, []) == tar_members(tmp_path / "a.tar", tar(FILES, mode, format=format))


def test_tar_zstd(tmp_path: Path) -> None:
    """A tar in zstd is read too."""
    stored = zstandard.ZstdCompressor().compress(tar(FILES))
    assert (FILES, []) == tar_members(tmp_path / "a.tar.zst", stored)


def test_members_are_independent(tmp_path: Path) -> None:
    """Members can be opened in any order, several times, and after the archive's last word."""
    path = tmp_path / "a.tar"
    path.write_bytes(tar(FILES))
    first, _, third = archive.tar_members(path, [], archive.Allowance())
    with third.open() as opened, first.open() as other, third.open() as again:
        assert FILES["veth1a2b.pcap"][:5] == other.read(5)
        assert 5000 == len(opened.read())
        assert 5000 == len(again.read())


def test_only_regular_files(tmp_path: Path) -> None:
    """Links, devices and folders are no members; a sparse file is told."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as written:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("/etc/passwd")
            info.type, info.linkname = kind, "/etc/shadow"
            written.addfile(info)
        sparse = tarfile.TarInfo("big.pcap")
        sparse.pax_headers = {"GNU.sparse.major": "1"}
        written.addfile(sparse)
        written.addfile(tarfile.TarInfo("../../last"))
    found, caveats = tar_members(tmp_path / "a.tar", out.getvalue())
    assert {"../../last": b""} == found
    assert ["a.tar: big.pcap is stored as a sparse file and was ignored"] == caveats


def test_tar_cut_short(tmp_path: Path) -> None:
    """An archive cut within a member gives what is there, and says so."""
    data = tar({"a": b"a" * 2000, "b": b"b" * 2000})
    found, caveats = tar_members(tmp_path / "a.tar", data[: 512 + 2048 + 512 + 700])
    assert {"a": b"a" * 2000, "b": b"b" * 700} == found
    assert ["a.tar: the archive ends within its last member"] == caveats


def test_tar_with_a_damaged_header(tmp_path: Path) -> None:
    """What stands before the damage is used."""
    data = bytearray(tar({"a": b"a", "b": b"b"}))
    data[1024 + 100] ^= 1
    found, caveats = tar_members(tmp_path / "a.tar", bytes(data))
    assert {"a": b"a"} == found
    assert "the tar header at byte 1024 is damaged" in caveats[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_hostile_tar(data: st.DataObject, tmp_path: Path) -> None:
    """Bytes changed anywhere, with a right checksum, are no exception, and no member exceeds the file."""
    stored = bytearray(tar(FILES))
    for _ in range(data.draw(st.integers(1, 4))):
        header = data.draw(st.sampled_from([0, 512, 1536, 2048]))
        at = data.draw(st.integers(0, 511))
        stored[header + at] = data.draw(st.integers(0, 255))
        stored[header + 148 : header + 156] = b" " * 8
        stored[header + 148 : header + 156] = b"%06o\0 " % sum(stored[header : header + 512])
    found, _ = tar_members(tmp_path / "a.tar", bytes(stored))
    assert all(len(content) <= len(stored) for content in found.values())


def test_bounded_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed archive larger than the limit is used as far as the limit goes."""
    monkeypatch.setattr(archive, "TOTAL", 2 << 20)
    found, caveats = tar_members(tmp_path / "a.tar.gz", tar({"a": b"a", "b": bytes(8 << 20)}, "w:gz"))
    assert b"a" == found["a"]
    assert len(found["b"]) <= 2 << 20
    assert 2 == len(caveats)


def zip_members(path: Path) -> tuple[dict[str, bytes], list[str]]:
    """Read the members of a zip archive, and the caveats."""
    caveats: list[str] = []
    found = {}
    for member in archive.zip_members(path, caveats, archive.Allowance()):
        with member.open() as opened:
            found[member.name] = opened.read()
        assert member.size == len(found[member.name])
    return found, caveats


def test_zip(tmp_path: Path) -> None:
    """Stored and deflated members are read."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as written:
        for number, (name, data) in enumerate(FILES.items()):
            written.writestr(name, data, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
        written.mkdir("folder")
    assert (FILES, []) == zip_members(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_with_a_method_that_cannot_be_bounded(method: int, tmp_path: Path) -> None:
    """A member whose decompression could fill the memory is ignored with a word."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("a.pcap", b"a" * 100, method)
    assert ({}, ["a.zip: a.pcap is neither stored nor deflated and was ignored"]) == zip_members(path)


def test_encrypted_zip(tmp_path: Path) -> None:
    """An encrypted member is ignored with a word."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("a.pcap", b"a")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert ({}, ["a.zip: a.pcap is encrypted and was ignored"]) == zip_members(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
def test_damaged_zip(damage: list[tuple[int, int]], tmp_path: Path) -> None:
    """Bytes changed anywhere are a caveat, or an error of the file system as openers raise it."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in FILES.items():
            written.writestr(name, content)
    data = bytearray(path.read_bytes())
    for at, value in damage:
        data[at % len(data)] = value
    path.write_bytes(data)
    for member in archive.zip_members(path, [], archive.Allowance()):
        try:
            opened = member.open()
        except OSError:
            continue
        opened.close()


def test_heads() -> None:
    """Archives are told by their first bytes."""
    assert archive.is_tar(tar({"a": b""}))
    assert not archive.is_tar(b"")
    assert archive.is_zip(b"PK\x03\x04rest")
    assert not archive.is_zip(b"PK")


def test_a_member_is_no_longer_than_the_archive(tmp_path: Path) -> None:
    """A partial tar, and a zip that claims what no deflated bytes can give: sizes are what room is made for."""
    header = tarfile.TarInfo("eth0.pcap")
    header.size = 60 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1000))
    assert [1000] == [member.size for member in archive.tar_members(path, [], archive.Allowance())]

    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a.pcap", b"a")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    (size,) = [member.size for member in archive.zip_members(path, [], archive.Allowance())]
    assert size < 10_000


HOSTILE_NAME = "x\n::error::told\x1b[31m\u202e.pcap"


def _header(name: str, kind: bytes, size: bytes, body: bytes = b"") -> bytes:
    """Write a tar header whose size is as it is given, with a right checksum, and what follows it."""
    info = tarfile.TarInfo(name)
    info.type = kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1, 1 << 64, (1 << 87) - 1])
def test_a_size_beyond_any_file(size: int, tmp_path: Path) -> None:
    """What stands before a member that claims more bytes than a file can have is used, and one sentence says it ends early."""
    begin = tar({"a": b"a"})[:1024]
    crafted = _header("b", tarfile.XGLTYPE, b"\x80" + size.to_bytes(11, "big"))
    found, caveats = tar_members(tmp_path / "a.tar", begin + crafted + tar({"c": b"c"}))
    assert {"a": b"a"} == found
    assert ["a.tar: the archive ends within its last member"] == caveats


@pytest.mark.parametrize(
    ("one", "most"),
    [
        (_header("p", tarfile.XHDTYPE, b"00000177770\0", b"3 =" * (0o177770 // 3)), 20),
        (_header("d/", tarfile.DIRTYPE, b"00000000000\0"), 10_000),
    ],
    ids=["extended headers", "folders"],
)
def test_headers_have_a_budget(
    one: bytes, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few KB that decompress to headers only are one sentence, after as many as all archives of a bundle may have."""
    monkeypatch.setattr(archive, "HEADERS", 10_000)
    read: list[int] = []
    frombuf = tarfile.TarInfo.frombuf
    monkeypatch.setattr(tarfile.TarInfo, "frombuf", lambda *given: read.append(1) or frombuf(*given))  # type: ignore[func-returns-value]
    stored = zstandard.ZstdCompressor().compress(one * (2 * most))
    found, caveats = tar_members(tmp_path / "a.tar.zst", stored)
    assert {} == found
    assert [
        "a.tar.zst: the archives of this bundle have more than 10000 headers; what follows was ignored"
    ] == caveats
    assert len(read) <= most + 1


def test_one_budget_for_all_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many archives together cost no more headers than one may."""
    monkeypatch.setattr(archive, "HEADERS", 5)
    allowance = archive.Allowance()
    told: list[list[str]] = []
    for number in range(3):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(tar({"a": b"", "b": b""}))
        told.append([])
        assert [2, 2, 1][number] == len(list(archive.tar_members(path, told[-1], allowance)))
    assert [0, 0, 1] == [len(caveats) for caveats in told]


def test_many_archives_need_no_descriptors(tmp_path: Path) -> None:
    """Members of hundreds of archives can be opened, though a process may have few files open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    allowance = archive.Allowance()
    members: list[archive.Member] = []
    for number in range(100):
        path = tmp_path / f"{number}"
        with zipfile.ZipFile(path.with_suffix(".zip"), "w") as written:
            written.writestr("a", b"zip")
        path.with_suffix(".tar").write_bytes(tar({"a": b"tar"}))
        path.with_suffix(".tgz").write_bytes(tar({"a": b"tgz"}, "w:gz"))
        members += archive.zip_members(path.with_suffix(".zip"), [], allowance)
        members += archive.tar_members(path.with_suffix(".tar"), [], allowance)
        members += archive.tar_members(path.with_suffix(".tgz"), [], allowance)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 20
    for number, member in enumerate(members):
        with member.open() as opened:
            assert (b"zip", b"tar", b"tgz")[number % 3] == opened.read()


@pytest.mark.parametrize(("free", "fits"), [(16 << 20, True), (8 << 20, False)])
def test_a_small_disk(free: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a disk with little room half is left free, not a GiB: what fits is unpacked."""
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))  # type: ignore[attr-defined]
    found, caveats = tar_members(tmp_path / "a.tar.gz", tar({"a": bytes(6 << 20)}, "w:gz"))
    assert (fits, fits) == (len(found["a"]) == 6 << 20, not caveats)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What decompresses to a thousandfold is unpacked as far as any archive may be large, and no further."""
    monkeypatch.setattr(archive, "LEAST", 1 << 20)
    found, caveats = tar_members(
        tmp_path / "a.tar.zst", zstandard.ZstdCompressor().compress(tar({"a": bytes(64 << 20)}))
    )
    assert len(found["a"]) < 8 << 20
    assert "MiB; the rest was ignored" in caveats[0]


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """A directory that names the same bytes over and over: they are read once."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a", bytes(100_000))
        for number in range(5):
            again = copy(written.infolist()[0])
            again.filename = f"b{number}"
            written.filelist.append(again)
    caveats: list[str] = []
    found = list(archive.zip_members(path, caveats, archive.Allowance()))

    assert sum(member.stored for member in found) <= path.stat().st_size
    assert "a" == found[0].name
    assert ["stored where others are" in caveat for caveat in caveats] == [True]


def test_a_zip_member_without_a_name(tmp_path: Path) -> None:
    """What the directory does not name is a member all the same."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("a", b"a")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 28 : at + 30] = bytes(2)
    data[at + 46 :] = data[at + 47 :]
    data[-10:-6] = (46).to_bytes(4, "little")
    path.write_bytes(data)
    assert ({"unnamed": b"a"}, []) == zip_members(path)


def test_a_huge_zip_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library would make an object of each of its entries."""
    monkeypatch.setattr(archive, "DIRECTORY", 100)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as written:
        for number in range(10):
            written.writestr(str(number), b"")
    assert "its directory is larger than" in zip_members(path)[1][0]


def test_names_are_printable(tmp_path: Path) -> None:
    """A member's name reaches no terminal and no log of a CI job as it is."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as written:
        for number in range(3):
            written.writestr(f"{HOSTILE_NAME}{number}", b"a", zipfile.ZIP_LZMA)
    _, (caveat,) = zip_members(path)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as written_tar:
        sparse = tarfile.TarInfo(HOSTILE_NAME)
        sparse.pax_headers = {"GNU.sparse.major": "1"}
        written_tar.addfile(sparse)
    _, (other,) = tar_members(tmp_path / "a.tar", out.getvalue())
    assert caveat.isprintable()
    assert caveat.endswith(" and 2 more are neither stored nor deflated and were ignored")
    assert other.isprintable()
