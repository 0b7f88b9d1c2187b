"""SHA-256 of the files of a bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path

from analyzer.capture.bundle import Bundle
from analyzer.capture.hashing import Input, hashes
from tests.conftest import FIXTURES


def test_every_file_that_was_looked_into() -> None:
    """Captures first, texts after; each with what `sha256sum` says."""
    folder = FIXTURES / "snat-race"
    found = hashes(Bundle.open([folder]).files)

    assert {path.name for path in folder.iterdir()} == {one.file for one in found}
    assert [True] * 4 == [one.file.endswith(".pcap") for one in found[:4]]
    for one in found:
        data = (folder / one.file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one.size, one.sha256)


def test_an_archive_is_one_input(tmp_path: Path) -> None:
    """It is what was given, whatever is in it."""
    import tarfile

    with tarfile.open(tmp_path / "node.tar.gz", "w:gz") as archive:
        archive.add(FIXTURES / "snat-race", "node")

    assert ["node.tar.gz"] == [one.file for one in hashes(Bundle.open([tmp_path / "node.tar.gz"]).files)]


def test_large_files_are_left_out(tmp_path: Path) -> None:
    """The small ones first, as long as all together stay within the limit; without one all are hashed."""
    files = []
    for name, size in (("a", 500), ("b", 100), ("c", 300)):
        (tmp_path / name).write_bytes(bytes(size))
        files.append((name, tmp_path / name))

    assert [("a", False), ("b", True), ("c", True)] == [
        (one.file, one.sha256 is not None) for one in hashes(files, 400)
    ]
    assert all(one.sha256 for one in hashes(files, None))


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """It has no hash, and is listed all the same."""
    assert (Input(file="gone", size=0, sha256=None),) == hashes([("gone", tmp_path / "gone")])
