"""The whole way: what is missing is done, what is there is not done again, what is bad is told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import LostsynError, UnusableInput
from analyzer.fleet.dataset import Result
from analyzer.fleet.pipeline import survey
from analyzer.fleet.places import Place
from analyzer.fleet.work import work
from tests.conversation import bystander, record
from tests.fleet.nodes import Here, contents


@pytest.fixture
def own(bundles: Path, tmp_path: Path) -> Path:
    """A copy of the bundles that a test may change."""
    return shutil.copytree(bundles, tmp_path / "own")


def surveyed(root: Path, target: Place, **more: Any) -> tuple[list[str], Any]:
    """The bundles that were analysed, and the report."""
    done: list[str] = []
    report = survey(
        Place.at(str(root)), target, Here(), advance=lambda result: done.append(result.path), **more
    )
    return sorted(done), report


def test_the_first_run(own: Path, target: Place) -> None:
    """Every bundle is tried; the report counts them."""
    announced: list[int] = []
    done, report = surveyed(own, target, begin=announced.append)

    assert ["node-a/monday", "node-a/tuesday", "node-b/monday", "node-c/broken"] == done
    assert [4] == announced
    assert (3, 3, 0) == (report.bundles, report.analysed, report.done_before)
    assert ["node-c/broken"] == [problem.bundle for problem in report.bad.shown]
    assert "joined.parquet" in contents(target)


def test_a_rerun_does_what_is_missing(own: Path, target: Place) -> None:
    """Only the bad bundle is tried again; the report says the same."""
    _, first = surveyed(own, target)
    before = contents(target)
    done, second = surveyed(own, target)

    assert ["node-c/broken"] == done
    assert (3, 0, 3) == (second.bundles, second.analysed, second.done_before)
    assert before == contents(target)
    assert (first.nodes, first.lost, first.between) == (second.nodes, second.lost, second.between)


def test_a_changed_bundle_is_done_again(own: Path, target: Place) -> None:
    """That one and no other; nothing of what it was before remains."""
    surveyed(own, target)
    shutil.rmtree(own / "node-a" / "monday")
    record(own / "node-a" / "monday", bystander(-5), bystander(5))
    done, report = surveyed(own, target)
    fresh = Place.at(f"{target.url}-fresh")
    surveyed(own, fresh)

    assert ["node-a/monday", "node-c/broken"] == done
    assert 0 == report.lost
    assert contents(fresh) == contents(target)


def test_a_new_bundle_is_added(own: Path, target: Place) -> None:
    """What is there stays as it is."""
    surveyed(own, target)
    record(own / "node-d" / "x", bystander(-5), bystander(5))
    done, report = surveyed(own, target)

    assert ["node-c/broken", "node-d/x"] == done
    assert (4, 1, 3) == (report.bundles, report.analysed, report.done_before)


def test_a_bundle_that_was_deleted_stays_told(own: Path, target: Place) -> None:
    """Captures are deleted to make room; what they showed is kept."""
    _, first = surveyed(own, target)
    shutil.rmtree(own / "node-a" / "monday")
    _, second = surveyed(own, target)

    assert first.lost == second.lost == 1


def test_a_bundle_that_turned_bad(own: Path, target: Place) -> None:
    """What it showed before it changed is no longer told, not even when it is deleted after that."""
    surveyed(own, target)
    for path in (own / "node-a" / "monday").iterdir():
        path.write_text("no capture any more")
    _, report = surveyed(own, target)

    assert 0 == report.lost
    assert ["node-a/monday", "node-c/broken"] == [problem.bundle for problem in report.bad.shown]
    assert [] == [name for name in contents(target) if "node-a-monday" in name]
    shutil.rmtree(own / "node-a" / "monday")
    _, report = surveyed(own, target)
    assert (2, 0) == (report.bundles, report.lost)


def _files(target: Place, bundle: str) -> list[Path]:
    return [
        Path(target.path(name)) for name in contents(target) if bundle in name and name.endswith(".parquet")
    ]


@pytest.mark.parametrize("damage", ["missing", "cut", "result"])
def test_a_damaged_dataset_heals(own: Path, target: Place, damage: str) -> None:
    """A bundle whose files or result are not whole is done again, and only that one; then all is as it was."""
    _, first = surveyed(own, target)
    before = contents(target)
    if damage == "result":
        for path in Path(target.path("bundles")).glob("node-a-monday*"):
            path.write_bytes(b'{"path": 1}')
    else:
        for path in _files(target, "node-a-monday")[:1]:
            path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-10])
    done, second = surveyed(own, target)

    assert ["node-a/monday", "node-c/broken"] == done
    assert before == contents(target)
    assert (first.lost, first.nodes) == (second.lost, second.nodes)


def test_a_damaged_result_that_cannot_be_made_anew(own: Path, target: Place) -> None:
    """The bundle is gone, and what was kept of it is damaged: that is told, once, and no damaged file is read."""
    surveyed(own, target)
    shutil.rmtree(own / "node-a" / "monday")
    _files(target, "node-a-monday")[0].write_bytes(b"")
    done, report = surveyed(own, target)

    assert ["node-c/broken"] == done
    assert ["node-a/monday", "node-c/broken"] == [problem.bundle for problem in report.bad.shown]
    assert "of the dataset is missing or damaged, and the bundle is not there" in report.bad.shown[0].says
    assert [] == [name for name in contents(target) if "node-a-monday" in name]
    assert (2, 0) == (report.bundles, report.lost)


def test_interrupted(own: Path, target: Place) -> None:
    """What was done before the interruption is not done again."""

    def interrupted(bundle: Any, **more: Any) -> Result:
        if bundle.path == "node-b/monday":
            raise KeyboardInterrupt
        return work(bundle, **more)

    with pytest.raises(KeyboardInterrupt):
        surveyed(own, target, task=interrupted)
    done, report = surveyed(own, target)

    assert ["node-b/monday", "node-c/broken"] == done
    assert 2 == report.done_before


def test_no_bundle(tmp_path: Path, target: Place) -> None:
    """Nothing to analyse is an error, and nothing is written."""
    with pytest.raises(UnusableInput, match="no bundle found"):
        surveyed(tmp_path / "nowhere", target)

    assert {} == contents(target)


def test_a_dataset_that_cannot_be_written(own: Path, tmp_path: Path) -> None:
    """A file is in the way: one sentence, which names it."""
    (tmp_path / "file").write_text("")

    with pytest.raises(LostsynError, match="cannot be written"):
        surveyed(own, Place.at(str(tmp_path / "file")))
