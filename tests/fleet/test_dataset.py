"""What is kept of a fleet: typed tables by node and day, a result per bundle, and nothing twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pyarrow.parquet
import pytest

from analyzer import analyze
from analyzer.fleet import dataset, tables
from analyzer.fleet.bundles import FleetBundle, find
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from analyzer.result import parquet
from tests.conversation import bystander, record
from tests.fleet.nodes import analysed

Kept = tuple[list[Result], Place]


def test_partitions(kept: Kept) -> None:
    """Node and day are in the path, in the way of Hive; the file is named as its bundle."""
    results, place = kept
    parts = [part.name for result in results for part in result.parts]

    assert {
        "flows/node=node-a/day=2023-11-14",
        "flows/node=node-a/day=2023-11-15",
        "flows/node=node-b/day=2023-11-14",
        "crossings/node=node-a/day=2023-11-14",
        "crossings/node=node-a/day=2023-11-15",
        "crossings/node=node-b/day=2023-11-14",
        "findings/node=node-a/day=2023-11-14",
    } == {part.rpartition("/")[0] for part in parts}
    assert sorted(parts) == [name for name, _ in place.list() if name.endswith(".parquet")]
    assert len(parts) == len(set(parts))


@pytest.mark.parametrize("name", tables.MORE)
def test_types_depend_on_no_bundle(name: str, kept: Kept) -> None:
    """Every file has the columns of the table, typed as `analyzer.result.parquet` types them, and those of a fleet."""
    results, place = kept
    expected = [*parquet.schema(name), *tables.MORE[name]]
    for part in (part.name for result in results for part in result.parts if part.name.startswith(name)):
        schema = pyarrow.parquet.read_schema(place.path(part))

        assert [(field.name, field.type) for field in expected] == [(f.name, f.type) for f in schema]


@pytest.mark.parametrize("name", tables.MORE)
def test_any_reader_reads_it(name: str, kept: Kept) -> None:
    """Pyarrow alone, told nothing but that it is Hive's layout, finds node and day."""
    results, place = kept
    found = pyarrow.dataset.dataset(place.path(name), partitioning="hive").to_table().to_pandas()
    mine = dataset.read(name, results, place, ["node", "bundle"]).to_pandas()

    assert len(mine) == len(found) > 0
    assert set(mine["node"]) == set(found["node"].astype(str))
    assert all(b.startswith(f"{n}/") for n, b in zip(found["node"].astype(str), found["bundle"], strict=True))


def test_the_tables_are_the_analysis(kept: Kept, bundles: Path) -> None:
    """What is kept of a bundle is what its analysis says."""
    results, place = kept
    analysis = analyze(bundles / "node-a" / "monday")
    for name in tables.MORE:
        columns = [field.name for field in parquet.schema(name)]
        mine = dataset.read(name, results[:1], place, columns).to_pandas()
        expected = getattr(analysis, name)

        assert expected.astype(str).to_numpy().tolist() == mine.astype(str).to_numpy().tolist()


def test_a_clock_gone_mad(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that seems to span ages does not become a file for each day."""
    monkeypatch.setattr(dataset, "MOST_DAYS", 1)
    record(tmp_path / "in" / "n" / "x", bystander(0), bystander(86400))
    results, _ = analysed(tmp_path / "in", tmp_path / "out")

    assert {"day=2023-11-14"} == {part.name.split("/")[2] for part in results[0].parts}


def test_results_come_back(kept: Kept) -> None:
    """A result is read as it was written."""
    results, place = kept

    assert {result.key: result for result in results} == dataset.results(place)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'{"points": []}', b'{"points": [{"x": 1}]}', b"\xff"]
)
def test_a_result_that_cannot_be_read(text: bytes, target: Place) -> None:
    """It is as good as none: the bundle is analysed again."""
    target.write("bundles/x.json", text)

    assert {} == dataset.results(target)


def _said(results: list[Result]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(results[0])))
    return found


@pytest.mark.parametrize(
    ("changed", "to"),
    [
        ("path", "../monday"), ("path", "node-a/../monday"), ("path", "/node-a/monday"), ("path", 3), ("key", "other"),
        ("fingerprint", "../../../../x"), ("fingerprint", ""), ("node", "../../x"), ("node", None), ("incidents", "1"),
        ("incidents", -1), ("incidents", 1 << 64), ("caveats", True), ("counts", {}), ("counts", []), ("points", [1]),
        ("points", None), ("parts", [{"name": "../../secret.parquet", "size": 1, "sha256": "x"}]), ("parts", ["flows/x"]),
        ("problem", "it failed"), ("more", 1),
    ],
)  # fmt: skip
def test_a_result_of_another_form(kept: Kept, target: Place, changed: str, to: Any) -> None:
    """Wrong types, numbers out of range, and paths that do not follow from the bundle, make it none: nothing is led astray."""
    said = _said(kept[0])
    target.write(f"bundles/{said['key']}.json", json.dumps(said).encode())
    assert [said["key"]] == list(dataset.results(target))
    target.write(f"bundles/{said['key']}.json", json.dumps({**said, changed: to}).encode())

    assert {} == dataset.results(target)


def test_a_result_under_another_name(kept: Kept, target: Place) -> None:
    """A copy of a result is no second bundle, and one of 4 MB is none."""
    said = _said(kept[0])
    target.write("bundles/copy.json", json.dumps(said).encode())
    assert {} == dataset.results(target)
    target.write(f"bundles/{said['key']}.json", json.dumps(said).encode() + b" " * dataset.LARGEST)
    assert {} == dataset.results(target)


@pytest.mark.parametrize("how", ["gone", "cut", "other bytes", "a folder", "whole"])
def test_files_that_are_not_as_they_were_written(kept: Kept, target: Place, how: str) -> None:
    """A file that is missing, short, or of the right size with other bytes is found; one that is whole is not."""
    results, place = kept
    shutil.copytree(place.root, target.root)
    part = Path(target.path(results[0].parts[0].name))
    data = part.read_bytes()
    part.unlink()
    if how == "a folder":
        part.mkdir()
    elif how != "gone":
        other = {
            "cut": data[:-1],
            "other bytes": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
            "whole": data,
        }
        part.write_bytes(other[how])
    expected = {} if how == "whole" else {results[0].key: results[0].parts[0].name}

    assert expected == dataset.damaged({result.key: result for result in results}, target)


def test_sweeping(bundles: Path, tmp_path: Path) -> None:
    """What no result lists goes; another bundle's files, and those of a bundle without a result, stay."""
    results, place = analysed(bundles, tmp_path)
    first, second = results[0], results[1]
    leftovers = [
        f"flows/node=node-a/day=2023-11-14/{first.key}-{'0' * 16}.parquet",
        f"flows/node=node-a/day=2023-11-14/.{first.key}-{first.fingerprint}.parquet.aa.part",
    ]
    for name in leftovers:
        place.write(name, b"")
    before = {name for name, _ in place.list()}
    dataset.sweep(place, {first.key: first})

    assert before - set(leftovers) == {name for name, _ in place.list()}
    assert {part.name for part in second.parts} <= before


def test_without_any_bundle(target: Place) -> None:
    """A table of nothing has its columns."""
    assert ["node", "day", "syns"] == list(
        dataset.read("flows", [], target, ["node", "day", "syns"]).to_pandas().columns
    )


def test_names_of_nodes(tmp_path: Path) -> None:
    """Whatever a folder is called, its node can be asked for by that name."""
    name = "a node=7 %2F ü"
    record(tmp_path / "in" / name / "x", bystander(0), bystander(5))
    results, place = analysed(tmp_path / "in", tmp_path / "out")

    assert {name} == set(dataset.read("flows", results, place, ["node"]).to_pandas()["node"])
    assert [name] == [bundle.node for bundle in find(Place.at(str(tmp_path / "in")))]


def test_what_is_not_kept() -> None:
    """A bundle that could not be analysed is described by its problem alone."""
    bundle = FleetBundle(path="a/x", node="a", files=("a/x/eth0.pcap",), size=1, fingerprint="f")

    assert ((), {}, "why") == (
        (made := Result.of(bundle, problem="why")).parts, made.counts, made.problem,
    )  # fmt: skip
