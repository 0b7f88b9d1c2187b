"""No output takes the place of what was read, by whatever path or link; what stands there already is kept on an error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.cli.check import FORMATS
from tests.conversation import bystander, record


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Three captures, and counters."""
    folder = tmp_path / "b"
    record(folder, bystander(0), bystander(5))
    (folder / "uname.txt").write_text("Linux node7 6.1.0 #1 SMP x86_64 GNU/Linux\n")
    return folder


@pytest.mark.parametrize(
    "command", [["report"], ["check"], ["check", "--format", "json"], ["what-if", "--setting", "be-liberal"]]
)
@pytest.mark.parametrize("way", ["itself", "link", "hard link", "dots"])
@pytest.mark.parametrize("name", ["eth0.pcap", "uname.txt"])
def test_a_file_of_the_bundle(
    command: list[str], way: str, name: str, bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]
) -> None:
    """A capture or side evidence, by its name, by a link of either kind, by another path."""
    target = bundle / name
    before = target.read_bytes()
    path = tmp_path / "out"
    if way == "itself":
        path = target
    elif way == "link":
        path.symlink_to(target)
    elif way == "hard link":
        path.hardlink_to(target)
    else:
        path = bundle / ".." / "b" / name
    ran = lostsyn(command[0], bundle, *command[1:], "-o", path)

    assert (
        2,
        f"lostsyn: {path}: is {name} of the bundle, and would be overwritten; give another file\n",
    ) == (
        ran.code,
        ran.err,
    )
    assert before == target.read_bytes()


def test_evidence_over_a_capture_that_lies_elsewhere(
    bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]
) -> None:
    """Outside of the bundle's folder, and a hard link to one of its files."""
    path = tmp_path / "evidence.pcapng"
    path.hardlink_to(bundle / "cni0.pcap")
    ran = lostsyn("check", bundle, "--evidence", path)

    assert 2 == ran.code
    assert "is cni0.pcap of the bundle" in ran.err


def test_a_report_for_each_incident(bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Its folder may hold a link to a capture, too."""
    (tmp_path / "each").mkdir()
    (tmp_path / "each" / "syn-vanished-1.html").hardlink_to(bundle / "eth0.pcap")
    ran = lostsyn("report", bundle, "-o", tmp_path / "r.html", "--per-incident", tmp_path / "each")

    assert 2 == ran.code
    assert "is eth0.pcap of the bundle" in ran.err


def test_the_archive_that_is_read(bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """An archive is an input as a whole."""
    archive = Path(shutil.make_archive(str(tmp_path / "b"), "tar", bundle))
    ran = lostsyn("report", archive, "-o", archive)

    assert 2 == ran.code
    assert "is b.tar of the bundle" in ran.err


def test_the_near_miss_an_earlier_report(bundle: Path, lostsyn: Callable[..., Any]) -> None:
    """A report beside the captures is text of the bundle, and is written anew."""
    for _ in range(2):
        assert 0 == lostsyn("report", bundle, "-o", bundle / "report.html").code
        assert (bundle / "report.html").read_text().startswith("<!")
        assert lostsyn("check", bundle, "-o", bundle / "report.txt").code in (0, 2)


@pytest.mark.parametrize("name", ["cni0.pcap", "uname.txt", "b.tar.gz", "cni0.txt"])
def test_what_another_bundle_is_made_of(
    name: str, bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]
) -> None:
    """Beside the one capture that is read, or anywhere: a slip of the completion costs no evidence."""
    shutil.make_archive(str(bundle / "b"), "gztar", bundle)
    (bundle / "cni0.txt").write_text(
        "11:48:39.575820 IP 10.0.0.1.5 > 10.0.0.2.6: Flags [S], seq 5, win 64240, length 0\n" * 3
    )
    before = (bundle / name).read_bytes()
    ran = lostsyn("check", bundle / "eth0.pcap", "-o", bundle / name)

    assert 2 == ran.code
    assert f"{name}: holds captures or side evidence, and would be overwritten; give another file" in ran.err
    assert before == (bundle / name).read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_the_near_miss_an_output_of_ours(
    form: str, bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]
) -> None:
    """Written anew, in any format; so is the evidence."""
    out, evidence = tmp_path / "out", tmp_path / "evidence.pcapng"
    for _ in range(2):
        assert lostsyn("check", bundle, "--format", form, "-o", out, "--evidence", evidence).code in (0, 2)
    assert (
        "would be overwritten"
        not in lostsyn("check", bundle, "--format", form, "-o", out, "--evidence", evidence).err
    )


def test_outputs_are_apart(bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """From each other, from the key, from the expectations."""
    key, expected = tmp_path / "key", tmp_path / "lostsyn.toml"
    key.write_bytes(bytes(range(32)))
    expected.write_text('[expect]\nbundle = "b"\n')
    for arguments in (
        ("-o", tmp_path / "x", "--evidence", tmp_path / "x"),
        ("-o", key, "--redact-key", key),
        ("--evidence", key, "--redact-key", key),
        ("-o", expected, "--expect", expected),
    ):
        ran = lostsyn("check", bundle, *arguments)
        assert 2 == ran.code
        assert "which would be overwritten" in ran.err
    assert bytes(range(32)) == key.read_bytes()


def test_what_cannot_be_written(bundle: Path, lostsyn: Callable[..., Any]) -> None:
    """A folder that is not there, and a device that is full."""
    for path in ("/nowhere/report.html", "/dev/full"):
        ran = lostsyn("report", bundle, "-o", path)
        assert 2 == ran.code
        assert f"lostsyn: {path}: cannot be written: " in ran.err
