"""Where an upload lies."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from analyzer.web.folder import TOLD, Folder, Refused, private, read_bytes, told, write_json


def test_a_file_knows_how_much_of_it_arrived(tmp_path: Path) -> None:
    """The size on the disk is what has arrived; of a file that never began, nothing has."""
    folder = Folder(tmp_path)
    folder.files.mkdir()
    folder.file(7).write_bytes(b"abc")

    assert (3, 0) == (folder.received(7), folder.received(8))


def test_results_are_replaced_as_a_whole(tmp_path: Path) -> None:
    """New results take the place of the old ones, of which no file stays; nor does what was not meant to be kept."""
    folder = Folder(tmp_path)
    for name in ("report.json", "report.html"):
        work = folder.fresh("analyse")
        (work / name).write_text(name)
        (work / "temporary").write_text("left behind")
        folder.publish(work)

    assert ["report.html"] == [path.name for path in folder.results.iterdir()]
    assert ["results"] == [path.name for path in tmp_path.iterdir()]


def test_results_are_files(tmp_path: Path) -> None:
    """A link, a second name of another file and a FIFO that an analysis left as its result are none."""
    folder, token = Folder(tmp_path), tmp_path / "token"
    token.write_text("secret")
    work = folder.fresh("analyse")
    (work / "report.html").symlink_to(token)
    (work / "report.json").hardlink_to(token)
    os.mkfifo(work / "evidence.pcapng")
    folder.publish(work)

    assert [] == list(folder.results.iterdir())


def test_work_begins_empty(tmp_path: Path) -> None:
    """What an analysis that was killed left behind is gone when the next one begins."""
    folder = Folder(tmp_path)
    (folder.fresh("analyse") / "left").touch()

    assert [] == list(folder.fresh("analyse").iterdir())


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"says": 1}', '{"says": "\\ud800"}', '{"says": "' + "a" * TOLD + '"}']
)
def test_what_is_not_told_as_declared_is_nothing(tmp_path: Path, text: str) -> None:
    """A file that is not there, not whole, of other types or too long tells nothing, and is no error."""
    (tmp_path / "a.json").write_text(text)

    assert None is told(Refused, tmp_path / "a.json")
    assert None is told(Refused, tmp_path / "b.json")
    write_json(tmp_path / "a.json", {"says": "no"})
    assert Refused(says="no") == told(Refused, tmp_path / "a.json")


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    """A FIFO would block the server for ever, a link lead it elsewhere."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to("file")

    for name in ("fifo", "link", "."):
        with pytest.raises(OSError, match=r"regular|symbolic|directory"):
            read_bytes(tmp_path / name, 10)
    assert b"{}" == read_bytes(tmp_path / "file", 2)
    with pytest.raises(OSError, match="longer than 1 bytes"):
        read_bytes(tmp_path / "file", 1)


def test_nobody_else_is_let_in(tmp_path: Path) -> None:
    """The data folder and all of ours in it, also what is there from before; no link is followed."""
    data, outside = tmp_path / "data", tmp_path / "outside"
    (data / "uploads/a/files").mkdir(parents=True)
    outside.write_text("")
    for path in (outside, data / "token", data / "lostsyn.sqlite3-wal", data / "uploads/a/files/1"):
        path.write_text("")
        path.chmod(0o644)
    (data / "uploads/a/link").symlink_to(outside)
    data.chmod(0o755)
    private(data)

    assert {0o700} == {
        stat.S_IMODE(path.stat().st_mode) for path in (data, *data.rglob("*")) if path.is_dir()
    }
    files = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert 0o644 == stat.S_IMODE(outside.stat().st_mode)


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    """A folder that others may enter and that holds other files is refused as it is: it may be /tmp."""
    tmp_path.chmod(0o755)
    (tmp_path / "theirs").write_text("")

    with pytest.raises(OSError, match="folder of its own"):
        private(tmp_path)
    assert 0o755 == stat.S_IMODE(tmp_path.stat().st_mode)
    tmp_path.chmod(0o700)
    private(tmp_path)
