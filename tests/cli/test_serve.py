"""`lostsyn serve`."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from analyzer.cli.serve import command
from analyzer.errors import LostsynError, MissingTool
from tests.web.serving import Server


def test_it_prints_where_it_is_and_stops_when_told(tmp_path: Path) -> None:
    """The address with the token comes on stdout, on loopback; Ctrl-C ends it; the folder is the owner's alone."""
    server = Server(tmp_path / "a" / "data")

    assert server.url.startswith("http://127.0.0.1:")
    assert server.token == (server.data / "token").read_text()
    assert 0o700 == stat.S_IMODE(server.data.stat().st_mode)
    server.stop()
    assert 0 == server.process.returncode


def test_one_server_for_a_folder(tmp_path: Path) -> None:
    """A second server on the same folder says so and ends, before it touches anything."""
    server = Server(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "from analyzer.cli import main; main()", "serve", "--port", "0", "--data", str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    server.stop()

    assert (2, "") == (done.returncode, done.stdout)
    assert (
        f"lostsyn: {tmp_path}: another lostsyn serve works there; give --data another folder\n" == done.stderr
    )


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """An address that cannot be listened on is one sentence."""
    server = Server(tmp_path / "one")
    port = server.url.rpartition(":")[2]
    done = CliRunner().invoke(command, ["--port", port, "--data", str(tmp_path / "two")])
    server.stop()

    assert isinstance(done.exception, LostsynError)
    assert f"127.0.0.1 port {port}: cannot be listened on: Address already in use" in str(done.exception)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A data folder below a file is one sentence."""
    (tmp_path / "file").touch()
    done = CliRunner().invoke(command, ["--data", str(tmp_path / "file" / "data")])

    assert isinstance(done.exception, LostsynError)
    assert "cannot be used" in str(done.exception)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, the sentence says how to install it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = CliRunner().invoke(command, ["--data", str(tmp_path)])

    assert isinstance(done.exception, MissingTool)
    assert "pip install 'lostsyn[web]'" in str(done.exception)
    assert "uvicorn" in str(done.exception)
