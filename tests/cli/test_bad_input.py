"""Input that cannot be used: one clear sentence on stderr, exit 2, never a traceback, nothing lost without a word."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer import analyze
from analyzer.errors import LostsynError
from tests.capture.test_reader import pcap
from tests.conftest import CASES
from tests.conversation import bystander, record


def fails(ran: Any, *parts: str) -> None:
    """Assert one sentence on stderr that says all of this, and exit 2."""
    assert 2 == ran.code
    assert ran.err.startswith("lostsyn: ")
    assert 1 == ran.err.count("\n")
    assert "Traceback" not in ran.err
    for part in parts:
        assert part in ran.err


@pytest.mark.parametrize("command", ["check", "report"])
def test_a_file_that_is_no_capture(command: str, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Text, or anything else."""
    for name, data in (
        ("notes.txt", b"hello\n"),
        ("photo.pcap", b"\x89PNG\r\n\x1a\n" + bytes(50)),
        ("empty.pcap", b""),
    ):
        (tmp_path / name).write_bytes(data)
        says = (f"{name}: no capture (pcap or pcapng) found", "tcpdump -i cni0 -s 256 -w cni0.pcap")
        fails(lostsyn(command, tmp_path / name), *says)


def test_an_empty_folder(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """A folder without anything."""
    (tmp_path / "nothing").mkdir()
    fails(lostsyn("check", tmp_path / "nothing"), "nothing: no capture (pcap or pcapng) found")


def test_a_path_that_is_not_there(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Named as it was given."""
    fails(lostsyn("check", tmp_path / "gone.pcap"), f"{tmp_path / 'gone.pcap'}: no such file or folder")


def test_a_path_that_cannot_be_read(
    tmp_path: Path, lostsyn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without the right to read it."""
    record(tmp_path, bystander(0), points=("cni0", "eth0"))
    opened = Path.open

    def denied(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "eth0.pcap":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", denied)
    fails(lostsyn("check", tmp_path / "eth0.pcap"), "eth0.pcap", "cannot be read: Permission denied")
    with_the_rest = lostsyn("check", tmp_path, "--format", "json")
    assert 2 == with_the_rest.code
    assert any(
        "cannot be read: Permission denied: eth0.pcap" in c for c in json.loads(with_the_rest.out)["caveats"]
    )


def test_an_unknown_link_type(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """All of it unreadable: exit 2; one file of several: a caveat, and every frame counted."""
    usb = pcap([(n, 40, bytes(40)) for n in range(7)], link=189)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "usbmon0.pcap").write_bytes(usb)
    fails(lostsyn("check", tmp_path / "alone"), "usbmon0")

    folder = record(tmp_path / "among", bystander(-1), bystander(3))
    (folder / "usbmon0.pcap").write_bytes(usb)
    ran = lostsyn("check", folder, "--format", "json")
    told = json.loads(ran.out)
    assert 0 == ran.code
    (point,) = (p for p in told["points"] if p["name"] == "usbmon0")
    assert 0 == point["packets"]
    assert any("usbmon0" in caveat and "unknown link type" in caveat for caveat in told["caveats"])


def test_a_capture_without_a_partner_point(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """One point tells nothing about a gap; the result is printed, the reason is on stderr, the code is 2."""
    folder = record(tmp_path, bystander(0), points=("eth0",))
    ran = lostsyn("check", folder, "--format", "json")

    assert 2 == ran.code
    assert ran.err.startswith("lostsyn: only eth0 was captured")
    assert "tcpdump -i cni0" in ran.err
    assert 1 == json.loads(ran.out)["counts"]["connections"]


def test_captures_of_different_times(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Two points that never recorded together tell nothing either."""
    record(tmp_path, bystander(0), points=("cni0",))
    record(tmp_path, bystander(500.1), points=("eth0",))

    fails(lostsyn("check", tmp_path), "recorded packets at the same time")


@pytest.mark.parametrize("cut", [1, 7, 16, 30, 75])
def test_a_truncated_file(cut: int, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """What was whole is analysed; a caveat names file, frame and byte."""
    folder = record(tmp_path, bystander(-1), bystander(3))
    data = (folder / "eth0.pcap").read_bytes()
    (folder / "eth0.pcap").write_bytes(data[:-cut])
    starts, at = [], 24
    while at < len(data):
        starts.append(at)
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    whole = [
        begin
        for begin in starts
        if begin + 16 + struct.unpack_from("<I", data, begin + 8)[0] <= len(data) - cut
    ]
    told = json.loads(lostsyn("check", folder, "--format", "json").out)
    (point,) = (p for p in told["points"] if p["name"] == "eth0")
    (caveat,) = told["caveats"]

    assert len(whole) == point["packets"]
    assert caveat.startswith(f"eth0.pcap: frame {len(whole) + 1} at byte {starts[len(whole)]} ")


def test_report_of_a_truncated_file(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """`report` says the caveats on stderr, too."""
    folder = record(tmp_path / "in", bystander(-1), bystander(3))
    data = (folder / "eth0.pcap").read_bytes()
    (folder / "eth0.pcap").write_bytes(data[:-3])
    ran = lostsyn("report", folder, "-o", tmp_path / "out.html")

    assert 0 == ran.code
    assert "eth0.pcap: frame 6 at byte " in ran.err


def test_no_path() -> None:
    """The library says it as plainly."""
    with pytest.raises(LostsynError, match=r"^no path given$"):
        analyze([])


def test_a_damaged_interface_block(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """A pod's interface without its name is taken for an uplink; the points then disagree on where its SYNs go."""
    (path,) = CASES["snat-race-pcapng"].captures
    named, nameless = b"\x02\0\x06\0veth-a", b"\x02\0\x80\0veth-a"
    (tmp_path / "node.pcapng").write_bytes(path.read_bytes().replace(named, nameless))
    told = json.loads(lostsyn("check", tmp_path, "--format", "json").out)

    assert {"node", "veth-b", "cni0", "eth0"} == {point["name"] for point in told["points"]}
    assert 0 < told["counts"]["syn_vanished"]


@pytest.mark.parametrize("name", ["late-ack", "late-ack-seed"])
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_damage(name: str, data: st.DataObject, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Real captures and listings with some bytes changed and their ends cut off: a result or one sentence, no traceback."""
    for path in CASES[name].captures or CASES[name].listings:
        changed = bytearray(path.read_bytes())
        for at, value in data.draw(
            st.lists(st.tuples(st.integers(0, len(changed) - 1), st.integers(0, 255)), max_size=6)
        ):
            changed[at] = value
        (tmp_path / path.name).write_bytes(changed[: data.draw(st.integers(len(changed) // 2, len(changed)))])
    ran = lostsyn("check", tmp_path, "--format", "json")

    if ran.out:
        assert all(point["packets"] >= 0 for point in json.loads(ran.out)["points"])
    else:
        fails(ran)
