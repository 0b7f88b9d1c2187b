"""What is kept of a fleet: typed tables by node and day, a result per bundle, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet
import pytest

from analyzer import analyze, parquet
from analyzer.fleet import dataset
from analyzer.fleet.bundles import FleetBundle, find
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from tests.conversation import START, TRANSIT, Conversation, bystander, record
from tests.fleet.nodes import analysed

Kept = tuple[list[Result], Place]


def test_partitions(kept: Kept) -> None:
    """Node and day are in the path, in the way of Hive; the file is named as its bundle."""
    results, place = kept
    parts = [part for result in results for part in result.parts]

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


@pytest.mark.parametrize("name", dataset.MORE)
def test_types_depend_on_no_bundle(name: str, kept: Kept) -> None:
    """Every file has the columns of the table, typed as `analyzer.parquet` types them, and those of a fleet."""
    results, place = kept
    expected = [*parquet.schema(name), *dataset.MORE[name]]
    for part in (part for result in results for part in result.parts if part.startswith(name)):
        schema = pyarrow.parquet.read_schema(place.path(part))

        assert [(field.name, field.type) for field in expected] == [(f.name, f.type) for f in schema]


@pytest.mark.parametrize("name", dataset.MORE)
def test_any_reader_reads_it(name: str, kept: Kept) -> None:
    """Pyarrow alone, told nothing but that it is Hive's layout, finds node and day."""
    results, place = kept
    found = pyarrow.dataset.dataset(place.path(name), partitioning="hive").to_table().to_pandas()
    mine = dataset.read(name, results, place, ["node", "bundle"])

    assert len(mine) == len(found) > 0
    assert set(mine["node"]) == set(found["node"].astype(str))
    assert all(b.startswith(f"{n}/") for n, b in zip(found["node"].astype(str), found["bundle"], strict=True))


def test_the_tables_are_the_analysis(kept: Kept, bundles: Path) -> None:
    """What is kept of a bundle is what its analysis says."""
    results, place = kept
    analysis = analyze(bundles / "node-a" / "monday")
    for name in dataset.MORE:
        columns = [field.name for field in parquet.schema(name)]
        mine = dataset.read(name, results[:1], place, columns)
        expected = getattr(analysis, name)

        assert expected.astype(str).to_numpy().tolist() == mine.astype(str).to_numpy().tolist()


def test_openings(tmp_path: Path) -> None:
    """Sequence numbers, times of SYNs and SYN-ACKs, and what the next point inwards saw; of TCP, where they were seen."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept(2)
    late = Conversation(pod="10.244.0.11:20001", server="192.0.2.100:80", nat="192.0.2.10:1025")
    late.data(5, 3)
    record(tmp_path / "in" / "n" / "x", talk, late, bystander(-1), bystander(5))
    results, place = analysed(tmp_path / "in", tmp_path / "out")
    table = dataset.read(
        "flows", results, place,
        ["role", "orig_p", "orig_isn", "resp_isn", "syns", "synacks", "inner_orig", "inner_resp"],
    )  # fmt: skip
    outside = table[table["role"] == "uplink"].set_index("orig_p")
    bridge = table[table["role"] == "bridge"].set_index("orig_p")

    assert (1_000_000, 5_000_000) == (outside.loc[1024, "orig_isn"], outside.loc[1024, "resp_isn"])
    assert [START + 10**9 + 2 * TRANSIT] == outside.loc[1024, "syns"].astype("int64").tolist()
    assert [START + 2 * 10**9] == outside.loc[1024, "synacks"].astype("int64").tolist()
    assert ("10.244.0.11:20000", "192.0.2.100:80") == tuple(outside.loc[1024, ["inner_orig", "inner_resp"]])
    assert 2 == len(bridge.loc[20000, "syns"])
    assert pd.isna(outside.loc[1025, "orig_isn"])
    assert 0 == len(outside.loc[1025, "syns"])


def test_findings_name_pod_and_destination(kept: Kept) -> None:
    """Of a connection that leaves, the opener is the pod."""
    results, place = kept
    table = dataset.read("findings", results, place, ["bundle", "pod", "destination"])

    assert [["node-a/monday", "10.244.1.5", "192.0.2.100:80/tcp"]] == table.values.tolist()


def test_the_pod_that_is_asked(tmp_path: Path) -> None:
    """Of a connection that enters and is lost behind the bridge, the pod is the one that it was for."""
    talks = [
        Conversation(
            pod=f"198.51.100.7:{port}", server="10.0.0.2:30080", dnat="10.244.2.7:8080", way="eth0 | cni0 veth-b", isn=port
        )
        for port in (4000, 4001)
    ]  # fmt: skip
    talks[0].syn(0).lost_after("cni0")
    talks[1].syn(1)
    talks[1].accept()
    record(tmp_path / "in" / "n" / "x", *talks, bystander(-5), bystander(5))
    (result,), place = analysed(tmp_path / "in", tmp_path / "out")
    table = dataset.read("findings", [result], place, ["pod", "destination"])

    assert [["10.244.2.7", "10.0.0.2:30080/tcp"]] == table.to_numpy().tolist()


def test_a_clock_gone_mad(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that seems to span ages does not become a file for each day."""
    monkeypatch.setattr(dataset, "MOST_DAYS", 1)
    record(tmp_path / "in" / "n" / "x", bystander(0), bystander(86400))
    results, _ = analysed(tmp_path / "in", tmp_path / "out")

    assert {"day=2023-11-14"} == {part.split("/")[2] for part in results[0].parts}


def test_many_syns(tmp_path: Path) -> None:
    """Of a flow that repeats its SYN for ever, the first times are kept."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    for second in range(dataset.MOST_SYNS + 4):
        talk.syn(second)
    record(tmp_path / "in" / "n" / "x", talk, bystander(-5), bystander(50))
    table = dataset.read("flows", *analysed(tmp_path / "in", tmp_path / "out"), ["role", "syns"])
    longest = max(table["syns"], key=len)

    assert dataset.MOST_SYNS == len(longest)
    assert (np.diff(longest.astype("int64")) > 0).all()


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
    assert set(second.parts) <= before


def test_without_any_bundle(target: Place) -> None:
    """A table of nothing has its columns."""
    assert ["node", "day", "syns"] == list(dataset.read("flows", [], target, ["node", "day", "syns"]).columns)


def test_names_of_nodes(tmp_path: Path) -> None:
    """Whatever a folder is called, its node can be asked for by that name."""
    name = "a node=7 %2F ü"
    record(tmp_path / "in" / name / "x", bystander(0), bystander(5))
    results, place = analysed(tmp_path / "in", tmp_path / "out")

    assert {name} == set(dataset.read("flows", results, place, ["node"])["node"])
    assert [name] == [bundle.node for bundle in find(Place.at(str(tmp_path / "in")))]


def test_what_is_not_kept() -> None:
    """A bundle that could not be analysed is described by its problem alone."""
    bundle = FleetBundle(path="a/x", node="a", files=("a/x/eth0.pcap",), size=1, fingerprint="f")

    assert ((), {}, "why") == (
        (made := Result.of(bundle, problem="why")).parts, made.counts, made.problem,
    )  # fmt: skip
