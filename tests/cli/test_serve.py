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
from analyzer.web import logs, sandbox
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
        f"lostsyn: {tmp_path}: in use by another lostsyn serve; give --data another folder\n" == done.stderr
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


@pytest.mark.parametrize("base", ["lostsyn", "/a//b", "/a/../b", "/a b", "//example.com", "/.", "/ü", "/a?b"])
def test_what_is_no_base_path(base: str, tmp_path: Path) -> None:
    """A path that would lead elsewhere, or that no request has, is refused before anything is made."""
    with pytest.raises(LostsynError, match="is not a path such as /lostsyn"):
        CliRunner().invoke(
            command, ["--data", str(tmp_path / "data"), "--base-path", base], catch_exceptions=False
        )
    assert not (tmp_path / "data").exists()


def test_a_folder_of_others(tmp_path: Path) -> None:
    """A folder that others may enter and that is not ours alone is neither used nor changed."""
    (tmp_path / "theirs").write_text("")
    tmp_path.chmod(0o755)
    with pytest.raises(LostsynError, match="cannot be made private: others may enter it"):
        CliRunner().invoke(command, ["--data", str(tmp_path)], catch_exceptions=False)
    assert 0o755 == stat.S_IMODE(tmp_path.stat().st_mode)


def test_what_the_kernel_does_not_offer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what reads uploads can reach more than it should, the server says so when it starts."""
    monkeypatch.setattr(sandbox, "missing", lambda _: ["the network", "the file system"])
    monkeypatch.setattr(logs, "begin", lambda: None)
    monkeypatch.setattr("uvicorn.Server.run", lambda _, sockets: [one.close() for one in sockets])
    told = CliRunner().invoke(
        command, ["--data", str(tmp_path / "data"), "--port", "0"], catch_exceptions=False
    )

    assert "what reads uploads can reach the network and the file system: neither Landlock" in told.stderr


def test_everything_in_the_folder_is_private(tmp_path: Path) -> None:
    """What was made for others to read, by an older server or a careless copy, is closed to them at the next start."""
    data = tmp_path / "data"
    Server(data).stop()
    (data / "uploads" / "old").mkdir()
    (data / "lostsyn.sqlite3").chmod(0o644)
    data.chmod(0o755)
    server = Server(data)
    server.begin("a", 0)

    assert {0o600, 0o700} == {stat.S_IMODE(path.stat().st_mode) for path in (data, *data.rglob("*"))}
    server.stop()
