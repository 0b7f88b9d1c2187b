"""Files are written whole or not at all, whatever happens in between."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.errors import LostsynError
from analyzer.result.saving import inode, saving


def test_the_new_file_takes_the_old_ones_place(tmp_path: Path) -> None:
    """With its permissions, and nothing left beside it."""
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with saving(path) as file:
        file.write(b"new")
        assert b"old" == path.read_bytes()

    assert b"new" == path.read_bytes()
    assert 0o640 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """Those that the process gives, not those of a temporary file."""
    before = os.umask(0o027)
    try:
        with saving(tmp_path / "a"):
            pass
    finally:
        os.umask(before)

    assert 0o640 == stat.S_IMODE((tmp_path / "a").stat().st_mode)


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    """Whatever was written until then is gone."""
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), saving(path) as file:
        file.write(b"half" + None)  # type: ignore[operator]

    assert b"old" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_links_lead_where_they_did(tmp_path: Path) -> None:
    """A symbolic link stays one; of two hard links the other keeps what it had."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "other").hardlink_to(tmp_path / "real")
    with saving(tmp_path / "link") as file:
        file.write(b"new")

    assert (tmp_path / "link").is_symlink()
    assert (b"new", b"old") == ((tmp_path / "real").read_bytes(), (tmp_path / "other").read_bytes())


def test_what_cannot_be_replaced_is_written_to(tmp_path: Path) -> None:
    """A device stays one; a full one is said, as is a folder that is not there."""
    with saving(Path(os.devnull)) as file:
        file.write(b"x")

    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    for path, why in ((Path("/dev/full"), "No space left on device"), (tmp_path / "a/b", "No such file")):
        with pytest.raises(LostsynError, match=f"{path}: cannot be written: {why}"), saving(path) as file:
            file.write(b"x")


def test_killed_while_writing(tmp_path: Path) -> None:
    """The old file is there; what is left beside it is hidden, so no bundle holds it."""
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    program = (
        "import os, signal, sys; from pathlib import Path; from analyzer.result.saving import saving\n"
        "with saving(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", program, path], check=False)

    assert -signal.SIGKILL == ran.returncode
    assert b"old" == path.read_bytes()
    assert all(left.name.startswith(".") for left in tmp_path.iterdir() if left != path)


@pytest.mark.parametrize("number", range(10))
def test_killed_at_any_moment(number: int, tmp_path: Path) -> None:
    """The file is one that was written whole; nothing else than hidden pieces lies beside it."""
    path = tmp_path / "report.html"
    program = (
        "import sys; from pathlib import Path; from analyzer.result.saving import saving\n"
        "for letter in iter(lambda: b'ab', None):\n"
        "    for one in letter:\n"
        "        with saving(Path(sys.argv[1])) as file: [file.write(bytes([one]) * 4096) for _ in range(64)]\n"
        "        print(flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        time.sleep(number * 0.0017)
        writer.kill()
    data = path.read_bytes()

    assert 64 * 4096 == len(data)
    assert 1 == len(set(data))
    assert all(left.name.startswith(".") for left in tmp_path.iterdir() if left != path)


def test_a_folder_that_is_read_only() -> None:
    """Also for root there are some."""
    with pytest.raises(LostsynError, match="/sys/a: cannot be written: "), saving(Path("/sys/a")) as file:
        file.write(b"new")


def test_inodes_tell_what_is_one_file(tmp_path: Path) -> None:
    """Links of both kinds; no file and no regular file have none."""
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").hardlink_to(tmp_path / "a")

    assert 1 == len({inode(tmp_path / name) for name in "abc"})
    assert [None] * 3 == [inode(path) for path in (tmp_path / "d", tmp_path, Path(os.devnull))]
