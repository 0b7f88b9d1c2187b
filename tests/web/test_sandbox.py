"""What a confined process can reach."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.web import sandbox
from tests.conftest import ROOT

TRY = """
import ctypes, json, os, socket, sys
from pathlib import Path
from analyzer.web import sandbox
data, server, landlock = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "landlock"
own, other = data / "uploads/own", data / "uploads/other"
if not landlock:
    sandbox._landlock_version = lambda: 0
left = sandbox.enter(data, own / "preview.work", [own / "files/1"])
import numpy
from analyzer.web import recognition

def denied(step):
    try:
        step()
    except OSError:
        return True
    return False

def datagram():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))

print(json.dumps({
    "left": left,
    "own": (own / "files/1").read_text(),
    "written": (own / "preview.work/x").write_text("abc"),
    "denied": {
        "token": denied((data / "token").read_text),
        "database": denied((data / "lostsyn.sqlite3").read_bytes),
        "another upload": denied((other / "files/2").read_text),
        "tracing the server": denied(Path(f"/proc/{server}/environ").read_bytes),
        "datagrams": denied(datagram),
        "connections": denied(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[4])))),
        "seeing it after all": ctypes.CDLL(None).umount(str(data).encode()) and denied((data / "token").read_text),
    },
    "denied by Landlock": {
        "the machine": denied(Path("/etc/passwd").read_text),
        "signals": denied(lambda: os.kill(server, 0)),
        "changing a file": denied(lambda: (own / "files/1").write_text("z")),
        "links": denied(lambda: (own / "preview.work/l").symlink_to("/etc/passwd")),
        "FIFOs": denied(lambda: os.mkfifo(own / "preview.work/f")),
    },
}))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with two uploads."""
    for name, number in (("own", 1), ("other", 2)):
        (tmp_path / f"uploads/{name}/files").mkdir(parents=True)
        (tmp_path / f"uploads/{name}/files/{number}").write_text(name)
    (tmp_path / "uploads/own/preview.work").mkdir()
    for name in ("token", "lostsyn.sqlite3"):
        (tmp_path / name).write_text("secret")
    return tmp_path


@pytest.mark.parametrize("how", ["landlock", "namespace"])
def test_what_is_out_of_reach(data: Path, how: str) -> None:
    """Network, token, other uploads and the server itself: by Landlock, and by namespaces where there is none."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = str(listening.getsockname()[1])
            done = subprocess.run(
                [sys.executable, "-c", TRY, str(data), str(other.pid), how, port],
                capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        other.communicate(b"\n")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    wanted = [] if how == "landlock" else ["the file system outside the data folder"]
    if wanted != told["left"]:
        pytest.skip(f"this kernel leaves {told['left']}")

    assert ("own", 3) == (told["own"], told["written"])
    assert [] == [what for what, denied in told["denied"].items() if not denied]
    if how == "landlock":
        assert [] == [what for what, denied in told["denied by Landlock"].items() if not denied]


def test_what_is_missing_is_told(data: Path) -> None:
    """The server asks, in a process of its own, what this kernel offers; here and now it is confined as little as before."""
    told = sandbox.missing(data)

    assert set(told) <= {
        "the network",
        "the file system",
        "the data folder",
        "the file system outside the data folder",
    }
    assert "secret" == (data / "token").read_text()


def test_the_data_folder_may_lie_in_what_is_allowed(data: Path) -> None:
    """A checkout that holds packages and the data folder alike is allowed but for the data folder."""
    (data.parent / "package").mkdir(exist_ok=True)
    allowed = set(sandbox._without(data.parent, data / "uploads"))

    assert {data.parent / "package", data / "token"} <= allowed
    assert not {data.parent, data, data / "uploads"} & allowed
