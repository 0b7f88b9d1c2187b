"""Captures around traffic."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from analyzer.errors import LostsynError
from analyzer.lab.namespaces import Namespace
from analyzer.lab.node import POINTS
from analyzer.lab.recorder import RECORDERS, SETTLE_S, recording


def test_every_recorder_covers_every_point() -> None:
    """Each point has a program, or one program has each point."""
    for name, commands in RECORDERS.items():
        words = [word for argv in commands().values() for word in argv]
        assert name == "any" or all(point in words for point in POINTS)


@pytest.mark.kernel
def test_the_first_and_the_last_packet_are_in_the_capture(tmp_path: Path) -> None:
    """Traffic starts after the program listens; the file is complete when the block ends."""
    program = {"lo": (*RECORDERS["points"]()["eth0"][:-3], "lo", "-w", "lo.pcap")}
    with Namespace("test") as where:
        where.ip("link", "set", "lo", "up")
        with where.entered():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with recording(where, program, tmp_path), client:
            for number in range(3):
                client.sendto(b"packet %d" % number, ("127.0.0.1", 9))
    data = (tmp_path / "lo.pcap").read_bytes()
    assert all(b"packet %d" % number in data for number in range(3))
    assert "0 packets dropped by kernel" in (tmp_path / "tcpdump-lo.log").read_text()


@pytest.mark.kernel
def test_a_program_that_cannot_capture_is_quoted(tmp_path: Path) -> None:
    """No traffic is made that nobody records."""
    with (
        Namespace("test") as where,
        pytest.raises(LostsynError, match=r"tcpdump does not capture: .*No such device"),
        recording(where, {"x": ("tcpdump", "-i", "nodevice", "-w", "x.pcap")}, tmp_path),
    ):
        pytest.fail("the block must not be entered")


@pytest.mark.kernel
def test_a_program_that_was_stopped_starts_anew(tmp_path: Path) -> None:
    """What it captured before is overwritten; its options can be others."""
    program = {"lo": (*RECORDERS["points"]()["eth0"][:-3], "lo", "-w", "lo.pcap")}
    with Namespace("test") as where:
        where.ip("link", "set", "lo", "up")
        with where.entered():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client, recording(where, program, tmp_path) as captures:
            client.sendto(b"before", ("127.0.0.1", 9))
            time.sleep(SETTLE_S)
            captures.stop("lo")
            assert b"before" in (tmp_path / "lo.pcap").read_bytes()
            captures.start("lo", "-s", "64")
            client.sendto(b"after" * 30, ("127.0.0.1", 9))
    data = (tmp_path / "lo.pcap").read_bytes()
    assert b"before" not in data
    assert 4 <= data.count(b"after") < 30


@pytest.mark.kernel
def test_a_frozen_program_loses_what_its_buffer_cannot_hold(tmp_path: Path) -> None:
    """And says so in its last line; after that it captures again."""
    program = {"lo": (*RECORDERS["points"]()["eth0"][:-3], "lo", "-w", "lo.pcap", "-B", "1")}
    with Namespace("test") as where:
        where.ip("link", "set", "lo", "up")
        with where.entered():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client, recording(where, program, tmp_path) as captures:
            with captures.frozen("lo"):
                for _ in range(30):
                    client.sendto(bytes(1000), ("127.0.0.1", 9))
                    time.sleep(0.05)
            time.sleep(0.3)
            client.sendto(b"thawed", ("127.0.0.1", 9))
    assert b"thawed" in (tmp_path / "lo.pcap").read_bytes()
    assert not (tmp_path / "tcpdump-lo.log").read_text().endswith("\n0 packets dropped by kernel\n")


@pytest.mark.kernel
def test_a_scenario_that_needs_a_point_of_its_own_says_so(tmp_path: Path) -> None:
    """As with one capture of all interfaces."""
    with (
        Namespace("test") as where,
        recording(where, {}, tmp_path) as captures,
        pytest.raises(LostsynError, match="needs a capture of eth0 alone: use the recorder 'points'"),
    ):
        captures.stop("eth0")
