"""Where an upload lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.web.folder import Folder, read_json, write_json


def test_a_file_knows_how_much_of_it_arrived(tmp_path: Path) -> None:
    """The size on the disk is what has arrived; of a file that never began, nothing has."""
    folder = Folder(tmp_path)
    folder.files.mkdir()
    folder.file(7).write_bytes(b"abc")

    assert (3, 0) == (folder.received(7), folder.received(8))


def test_results_are_replaced_as_a_whole(tmp_path: Path) -> None:
    """New results take the place of the old ones, of which no file stays."""
    folder = Folder(tmp_path)
    for name in ("old", "new"):
        work = folder.fresh("analyse")
        (work / name).write_text(name)
        folder.publish(work)

    assert ["new"] == [path.name for path in folder.results.iterdir()]
    assert ["results"] == [path.name for path in tmp_path.iterdir()]


def test_work_begins_empty(tmp_path: Path) -> None:
    """What an analysis that was killed left behind is gone when the next one begins."""
    folder = Folder(tmp_path)
    (folder.fresh("analyse") / "left").touch()

    assert [] == list(folder.fresh("analyse").iterdir())


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "\x00"])
def test_json_that_is_not_whole_is_empty(tmp_path: Path, text: str) -> None:
    """A file that is not there, not whole or no object tells nothing, and is no error."""
    (tmp_path / "a.json").write_text(text)

    assert {} == read_json(tmp_path / "a.json")
    assert {} == read_json(tmp_path / "b.json")
    write_json(tmp_path / "a.json", {"a": 1})
    assert {"a": 1} == read_json(tmp_path / "a.json")
