"""Folders that somebody else made: nothing outside is read, nothing waits for ever, what changes meanwhile costs itself."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.capture.bundle import Bundle
from analyzer.capture.points import record
from analyzer.capture.storage import Memory
from analyzer.errors import UnusableInput
from tests.capture.test_points import raw
from tests.conversation import bystander
from tests.conversation import record as write


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with one capture, and another one beside it."""
    (tmp_path / "b" / "sub").mkdir(parents=True)
    (tmp_path / "b" / "eth0.pcap").write_bytes(raw(1))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "cni0.pcap").write_bytes(raw(2))
    return tmp_path / "b"


@pytest.mark.parametrize(
    "target", ["../outside", "../outside/cni0.pcap", "/proc/kmsg", "/etc", "/", "../gone", ".."]
)
def test_links_out_of_a_bundle_are_not_followed(target: str, bundle: Path) -> None:
    """To files, folders, what never ends, and the folder above."""
    (bundle / "sub" / "a").symlink_to(target if target.startswith("/") else f"../{target}")
    opened = Bundle.open([bundle])

    assert ["eth0.pcap"] == [capture.label for capture in opened.captures]
    assert ("ignored, a link that points outside the bundle: sub/a",) == opened.caveats


def test_links_within_a_bundle_are(bundle: Path) -> None:
    """The near miss: a file that lies elsewhere in it, under its other name; a folder that leads back costs nothing."""
    (bundle / "sub" / "real").write_bytes(raw(3, 4))
    (bundle / "cni0.pcap").symlink_to("sub/real")
    (bundle / "sub" / "back").symlink_to("..")
    opened = Bundle.open([bundle])

    assert ["cni0.pcap", "eth0.pcap"] == [capture.label for capture in opened.captures]
    assert ("ignored, the same file as another one: sub/real",) == opened.caveats


def test_a_path_that_is_given_may_be_a_link(bundle: Path, tmp_path: Path) -> None:
    """Who gives it knows where it leads."""
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "file.pcap").symlink_to("b/eth0.pcap")

    assert 1 == len(Bundle.open([tmp_path / "link"]).captures)
    assert 1 == len(Bundle.open([tmp_path / "file.pcap"]).captures)


def test_pipes_and_devices_are_left_out(bundle: Path) -> None:
    """Reading a pipe would wait for a writer."""
    os.mkfifo(bundle / "pipe.pcap")
    opened = Bundle.open([bundle])

    assert ["eth0.pcap"] == [capture.label for capture in opened.captures]
    assert ("ignored, not a file, or a broken link: pipe.pcap",) == opened.caveats


def test_a_pipe_in_a_files_place(bundle: Path) -> None:
    """A file that becomes one after it was found: a caveat, and the other points."""
    (bundle / "cni0.pcap").write_bytes(raw(1, 2))
    captures = Bundle.open([bundle]).captures
    (bundle / "cni0.pcap").unlink()
    os.mkfifo(bundle / "cni0.pcap")
    found = {r.name: r for r in record(captures, lambda _: {}, {}, lambda _: None, Memory())}

    assert (0, 1) == (len(found["cni0"].packets), len(found["eth0"].packets))
    assert ("cni0.pcap: cannot be read: not a file any more",) == found["cni0"].caveats


def test_a_file_that_would_wait(bundle: Path) -> None:
    """/proc/kmsg is a regular file, and reading it waits for the kernel's next line."""
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(UnusableInput):
            Bundle.open(["/proc/kmsg"])
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert ended.wait(20)


def test_a_capture_that_vanished(tmp_path: Path) -> None:
    """It ends its own part; the analysis says so and goes on."""
    write(tmp_path, bystander(0), bystander(5))
    opened = Bundle.open([tmp_path])
    (tmp_path / "eth0.pcap").unlink()
    analysis = analyze(opened)

    assert {"veth-z", "cni0"} == {point.name for point in analysis.capture_points if point.packets}
    assert "eth0.pcap: cannot be read: No such file or directory" in analysis.caveats


def test_a_capture_that_became_another_file(tmp_path: Path) -> None:
    """Text in its place."""
    write(tmp_path, bystander(0), bystander(5))
    opened = Bundle.open([tmp_path])
    (tmp_path / "eth0.pcap").write_text("hello\n")

    assert "eth0.pcap: neither pcap nor pcapng" in analyze(opened).caveats


def test_a_capture_that_got_shorter(tmp_path: Path) -> None:
    """Between being found and being read; the packets before that are there."""
    write(tmp_path, bystander(0), bystander(5))
    opened = Bundle.open([tmp_path])
    os.truncate(tmp_path / "eth0.pcap", 150)
    analysis = analyze(opened)

    assert 1 == next(point.packets for point in analysis.capture_points if point.name == "eth0")
    assert any("eth0.pcap: frame 2 at byte" in c and "cut short" in c for c in analysis.caveats)


def test_a_capture_that_gets_shorter_while_it_is_read(tmp_path: Path) -> None:
    """In the middle of its blocks."""
    path = tmp_path / "eth0.pcap"
    path.write_bytes(raw(*range(1, 2000)))
    (capture,) = Bundle.open([tmp_path]).captures
    reader = capture.open()
    reader._block = 1 << 10
    blocks = reader.blocks()
    first = next(blocks)
    kept = first.count
    os.truncate(path, path.stat().st_size // 2)
    kept += sum(records.count for records in blocks)

    assert 1000 > kept > 900
    assert "cut short" in reader.caveats[0]


def test_captures_that_vanish_before_their_packets_are_read_again(tmp_path: Path) -> None:
    """The headers of single packets are read again where the judgement needs them: without them it says less."""
    from analyzer.capture.transport import transports

    write(tmp_path, bystander(0))
    (found,) = record(
        Bundle.open([tmp_path / "eth0.pcap"]).captures, lambda _: {}, {}, lambda _: None, Memory()
    )
    (tmp_path / "eth0.pcap").unlink()

    assert [(0, b""), (1, b"")] == list(transports(found, [0, 1]))
