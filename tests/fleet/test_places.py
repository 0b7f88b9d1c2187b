"""Folders here and elsewhere: the same answers, files that are whole, one sentence where something is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import LostsynError, MissingTool, UnusableInput
from analyzer.fleet.places import Place


@pytest.fixture(params=["path", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder by its path, by its URL, and in a store that is no file system."""
    urls = {"path": str(tmp_path / "x"), "file": f"file://{tmp_path}/x/", "memory": f"memory:/{tmp_path}/x"}
    return Place.at(urls[request.param])


def test_what_was_written_is_there(place: Place) -> None:
    """Listed by name below the folder, in order, and read whole."""
    place.write("b/two", b"2")
    place.write("a", b"1")

    assert ["a", "b/two"] == [name for name, _ in place.list()]
    assert ["b/two"] == [name for name, _ in place.list("b")]
    assert {"a": b"1", "b/two": b"2"} == place.read(["b/two", "a"])


def test_writing_again_replaces(place: Place) -> None:
    """Also with less; nothing temporary remains."""
    place.write("a", b"long")
    place.write("a", b"1")

    assert {"a": b"1"} == place.read(["a"])
    assert ["a"] == [name for name, _ in place.list()]


def test_removing(place: Place) -> None:
    """What is gone already is no matter."""
    place.write("a", b"1")
    place.remove(["a", "b"])

    assert [] == list(place.list())


def test_nothing_there(place: Place) -> None:
    """A folder that is not there yet is empty."""
    assert [] == list(place.list())
    assert {} == place.read([])


def test_elsewhere(place: Place) -> None:
    """It is the same place in another process: a path does not depend on where that one was started."""
    other = pickle.loads(pickle.dumps(place))  # noqa: S301 - our own

    assert (place.url, place.root, place.is_local) == (other.url, other.root, other.is_local)


def test_local_or_not(place: Place) -> None:
    """What is in this machine's file system is used in place."""
    assert place.url.startswith("memory") != place.is_local


def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What dies before the name is given leaves what was there before."""
    place = Place.at(str(tmp_path))
    place.write("a", b"before")

    def die(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(LostsynError, match="a cannot be written: No space left on device"):
        place.write("a", b"after")

    assert {"a": b"before"} == place.read(["a"])


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("nowhere://x", UnusableInput, "nowhere://x: Protocol not known"),
        ("abfs://x", MissingTool, "abfs://x: Install adlfs"),
    ],
)
def test_urls_that_lead_nowhere(url: str, error: type[LostsynError], said: str) -> None:
    """Unknown, or in need of a package that is not installed: one sentence."""
    with pytest.raises(error, match=said):
        Place.at(url)


def test_a_store_that_fails(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each store has errors of its own; all become one sentence."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no credentials")

    for name in ("find", "cat", "rm_file", "makedirs"):
        monkeypatch.setattr(place.files, name, refuse)
    for ask in (
        lambda: list(place.list()),
        lambda: place.read(["a"]),
        lambda: place.remove(["a"]),
        lambda: place.write("a", b""),
    ):
        with pytest.raises(LostsynError, match="no credentials"):
            ask()
