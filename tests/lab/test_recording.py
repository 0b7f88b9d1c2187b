"""The capture script around traffic."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.errors import LostsynError
from analyzer.lab.namespaces import Namespace
from analyzer.lab.recording import recorded
from tests.kernel.recorded import packets

pytestmark = pytest.mark.kernel


def test_the_first_and_the_last_packet_are_in_the_capture(tmp_path: Path) -> None:
    """Traffic starts after the recorders listen; frozen ones go on; the node is asked in between; files are complete."""
    with Namespace("test") as where:
        where.ip("link", "set", "lo", "up")
        with where.entered():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client, recorded(where, tmp_path, ["lo"]) as recording:
            client.sendto(b"first", ("127.0.0.1", 9))
            with recording.frozen():
                client.sendto(b"second", ("127.0.0.1", 9))
            recording.tell()
            client.sendto(b"third", ("127.0.0.1", 9))

    assert 3 == packets(tmp_path / "lo.pcap", "udp")
    assert {"before", "event", "after"} == {path.name for path in tmp_path.iterdir() if path.is_dir()}


def test_what_cannot_be_recorded_is_said(tmp_path: Path) -> None:
    """No traffic is made that nobody records."""
    with (
        Namespace("test") as where,
        pytest.raises(LostsynError, match="did not begin: lostsyn-capture: there is no interface nodevice"),
        recorded(where, tmp_path, ["nodevice"]),
    ):
        pytest.fail("the block must not be entered")


ENDLESS = """
import sys, time
from pathlib import Path
from analyzer.lab.namespaces import Namespace
from analyzer.lab.recording import recorded
with Namespace("endless") as where:
    where.ip("link", "set", "lo", "up")
    with recorded(where, Path(sys.argv[1]), ["lo"]):
        print("recording", flush=True)
        time.sleep(60)
"""


def test_it_ends_with_its_laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed without a chance to clean up, the laboratory leaves no process that records."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen(
        (sys.executable, "-c", ENDLESS, str(tmp_path)), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "recording\n" == process.stdout.readline()
        namespace = f"lostsyn-{process.pid}-endless"
        process.send_signal(signal.SIGKILL)
    inside = ("ip", "netns", "pids", namespace)
    deadline = time.monotonic() + 20
    while subprocess.run(inside, capture_output=True, check=True).stdout and time.monotonic() < deadline:
        time.sleep(0.1)

    assert b"" == subprocess.run(inside, capture_output=True, check=True).stdout
    subprocess.run(("ip", "netns", "delete", namespace), check=True)
