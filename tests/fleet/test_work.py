"""The unit of work: never raises, downloads what is elsewhere, leaves nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer import __version__
from analyzer import api as pipeline
from analyzer.fleet import dataset
from analyzer.fleet import work as module
from analyzer.fleet.bundles import find
from analyzer.fleet.places import Place
from analyzer.fleet.work import work
from tests.fleet.nodes import contents


@pytest.fixture
def remote(bundles: Path, tmp_path: Path) -> Place:
    """The same bundles, in a store that is no file system; one of them as an archive."""
    place = Place.at(f"memory:/{tmp_path}/remote")
    for path in sorted((bundles / "node-a" / "monday").iterdir()):
        place.write(f"node-a/monday/{path.name}", path.read_bytes())
    packed = shutil.make_archive(str(tmp_path / "packed"), "gztar", bundles / "node-b" / "monday")
    place.write("node-b/monday.tar.gz", Path(packed).read_bytes())
    return place


def test_elsewhere_as_here(
    source: Place, remote: Place, target: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A downloaded bundle has the same tables, and its copy is gone."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    here, there = find(source)[0], find(remote)[0]
    work(here, source, target, __version__)
    first = contents(target)
    result = work(replace(there, fingerprint=here.fingerprint), remote, target, __version__)

    assert result.problem is None
    assert first == contents(target)
    assert [] == list((tmp_path / "temporary").iterdir())


def test_an_archive_elsewhere(remote: Place, target: Place, kept: tuple[list[dataset.Result], Place]) -> None:
    """An archive is downloaded as it is; what it holds counts as in a folder."""
    result = work(find(remote)[1], remote, target, __version__)

    assert next(r.counts for r in kept[0] if r.path == "node-b/monday") == result.counts


def test_no_capture(source: Place, target: Place) -> None:
    """A bundle without a capture is told of in a sentence, and nothing is kept."""
    broken = find(source)[-1]
    result = work(broken, source, target, __version__)

    assert result.problem is not None
    assert "no capture (pcap or pcapng) found" in result.problem
    assert {} == contents(target)


def test_whatever_breaks(source: Place, target: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that breaks the analysis does not break the worker."""

    def broken(_: object, **__: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(module, "analyze", broken)

    assert (
        "the analysis failed: RecursionError: too deep"
        == work(find(source)[0], source, target, __version__).problem
    )


def test_memory_is_what_the_analysis_gets(
    source: Place, target: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit arrives where the columns are laid out, and the result is the same."""
    given: list[int] = []
    made = pipeline.TemporaryFiles
    monkeypatch.setattr(pipeline, "TemporaryFiles", lambda limit: (given.append(limit), made(limit))[1])
    bundle = find(source)[0]

    assert work(bundle, source, target, __version__) == work(
        bundle, source, target, __version__, memory=1 << 20
    )
    assert [1 << 20] == given


def test_another_version(source: Place, target: Place) -> None:
    """Two versions would write two kinds of tables: the worker refuses."""
    problem = work(find(source)[0], source, target, "0.0.1").problem

    assert (
        f"the worker has lostsyn {__version__}, but was asked by 0.0.1: install one version everywhere"
        == problem
    )


def test_too_large_for_the_disk(remote: Place, target: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded that would fill the disk."""
    usage = namedtuple("usage", "free")
    bundle = replace(find(remote)[0], size=module.SPARE + 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * module.SPARE + 10))
    problem = work(bundle, remote, target, __version__).problem

    assert problem is not None
    assert problem.startswith("it has 1024 MiB, but ")
    assert problem.endswith("set TMPDIR to a larger disk")


def test_a_small_disk(remote: Place, target: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small bundle fits on a disk with less room than is left free of a large one."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(900 << 20))

    assert None is work(find(remote)[0], remote, target, __version__).problem


@pytest.mark.parametrize("name", ["node-a/monday/../../../x.pcap", "node-a/monday/a\0b.pcap"])
def test_names_that_lead_elsewhere(name: str, remote: Place, target: Place) -> None:
    """An object's name is not a path: nothing is written outside of the temporary folder."""
    bundle = replace(find(remote)[0], files=(name,))

    assert f"{name!r} cannot be used as a file name here" == work(bundle, remote, target, __version__).problem


def test_too_many_files(remote: Place, target: Place) -> None:
    """As many as a bundle may have."""
    bundle = replace(find(remote)[0], files=("node-a/monday/x",) * 10_001)

    assert (
        "10001 files, more than the 10000 that a bundle may have"
        == work(bundle, remote, target, __version__).problem
    )


def test_a_name_that_no_table_can_hold(source: Place, target: Place) -> None:
    """Bytes of a file system that are not UTF-8; the near miss has signs of other scripts."""
    bundle = find(source)[-1]

    assert "its name is not UTF-8, as names in tables must be; give it another one" == (
        work(replace(bundle, path="node-a/\udcff"), source, target, __version__).problem
    )
    assert "not UTF-8" not in str(work(replace(bundle, path="node-a/ü"), source, target, __version__).problem)
