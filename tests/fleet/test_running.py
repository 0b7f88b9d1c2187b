"""Every bundle's result once, though workers die: on processes of this machine, and on a real Dask scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dask
import pytest

from analyzer.errors import LostsynError
from analyzer.fleet import dataset, running
from analyzer.fleet.bundles import find
from analyzer.fleet.places import Place
from analyzer.fleet.workers import Processes, Scheduler, Workers
from tests.fleet.deaths import dying, refuse
from tests.fleet.nodes import Here, analysed, contents

VICTIM = "node-a/monday"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A scheduler with two worker processes of one thread each; a task that killed two is given up."""
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(params=["processes", "dask"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Two worker processes, of both kinds."""
    made: Workers
    made = Scheduler(request.getfixturevalue("scheduler")) if request.param == "dask" else Processes(2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def undisturbed(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The dataset as one process makes it that nobody disturbs."""
    _, place = analysed(bundles, tmp_path_factory.mktemp("undisturbed"))
    return contents(place)


def test_a_worker_killed_midway_loses_nothing(
    source: Place, target: Place, workers: Workers, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """Killed with its tables written and its result not: every bundle is there once, byte for byte as undisturbed."""
    task = partial(dying, victim=VICTIM, flag=tmp_path / "died")
    results = list(running.run(find(source), source, target, workers, task))

    assert (tmp_path / "died").exists()
    assert ["node-a/monday", "node-a/tuesday", "node-b/monday", "node-c/broken"] == sorted(
        result.path for result in results
    )
    assert ["node-c/broken"] == [result.path for result in results if result.problem]
    assert undisturbed == contents(target)


def test_a_bundle_that_kills_every_worker(
    source: Place, target: Place, workers: Workers, undisturbed: dict[str, bytes]
) -> None:
    """It is reported, and the others are analysed as if it were not there."""
    results = list(
        running.run(find(source), source, target, workers, partial(dying, victim=VICTIM, flag=None))
    )
    problems = {result.path: result.problem for result in results if result.problem}

    assert 4 == len(results)
    assert {"node-a/monday", "node-c/broken"} == set(problems)
    assert (problems["node-a/monday"] or "").startswith("the process that analysed it was killed")
    kept = dataset.results(target)
    assert ["node-a/tuesday", "node-b/monday"] == sorted(result.path for result in kept.values())
    dataset.sweep(target, kept)
    assert {name: data for name, data in undisturbed.items() if "node-a-monday" not in name} == {
        name: data for name, data in contents(target).items() if "node-a-monday" not in name
    }


class Nobody(Here):
    """A scheduler that has no worker."""

    def width(self) -> int:
        """None is there."""
        return 0


def test_no_worker_at_all(source: Place, target: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for a while; then one sentence says what to do."""
    monkeypatch.setattr(running, "PATIENCE", 0.0)
    monkeypatch.setattr(running, "_LOOK", 0.0)

    with pytest.raises(LostsynError, match="no worker is left; what was done is kept: start workers"):
        list(running.run(find(source), source, target, Nobody()))


def test_a_worker_that_cannot_work(source: Place, target: Place) -> None:
    """What a worker raises is said of the bundle."""
    workers = Processes(1)
    results = list(running.run(find(source)[:1], source, target, workers, refuse))
    workers.close()

    assert ["the worker failed: ModuleNotFoundError: No module named 'analyzer'"] == [
        r.problem for r in results
    ]


def test_nothing_to_do(source: Place, target: Place) -> None:
    """No bundle, no result, and nobody is asked."""
    assert [] == list(running.run([], source, target, Nobody()))
