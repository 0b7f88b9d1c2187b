"""Parquet files: the tables again, with types that depend on no bundle."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from analyzer import Analysis, LostsynError, analyze
from analyzer.result.parquet import schema
from analyzer.result.schema import COLUMNS
from tests.conversation import Conversation, bystander, record


@pytest.fixture
def lost(tmp_path: Path) -> Analysis:
    """A loss, a datagram, and connections around."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    udp = Conversation(pod="10.244.0.11:53000", server="192.0.2.100:53", nat="192.0.2.10:53000", proto="udp")
    udp.data(45, 2)
    return analyze(record(tmp_path / "bundle", talk, udp, bystander(-1), bystander(5)))


def every_table(analysis: Analysis) -> dict[str, pd.DataFrame]:
    """Each table as the files hold them: the packets of all points in one."""
    packets = pd.concat(
        [analysis.packets(point.name) for point in analysis.capture_points], ignore_index=True
    )
    return {"packets": packets} | {name: getattr(analysis, name) for name in COLUMNS if name != "packets"}


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Objects, and None for what is missing."""
    return table.astype(object).where(table.notna(), None)


def test_round_trip(lost: Analysis, tmp_path: Path) -> None:
    """What is read is what was written, to the last value."""
    lost.to_parquet(tmp_path / "new" / "tables")
    tables = every_table(lost)

    assert {f"{name}.parquet" for name in COLUMNS} == {p.name for p in (tmp_path / "new/tables").iterdir()}
    for name, table in tables.items():
        read = pd.read_parquet(tmp_path / "new/tables" / f"{name}.parquet")
        assert len(table)
        pd.testing.assert_frame_equal(_plain(table), _plain(read))
        assert {c: "category" for c, said in COLUMNS[name].items() if said.dtype == "category"} == {
            c: str(dtype) for c, dtype in read.dtypes.items() if str(dtype) == "category"
        }


@pytest.mark.parametrize("name", COLUMNS)
def test_types_depend_on_no_bundle(name: str, lost: Analysis, tmp_path: Path) -> None:
    """The files of a bundle without a packet have the schema of all others."""
    empty = analyze(record(tmp_path / "nothing", points=("cni0", "eth0")))
    for analysis, folder in ((lost, "full"), (empty, "empty")):
        analysis.to_parquet(tmp_path / folder)
        file = pq.read_schema(tmp_path / folder / f"{name}.parquet")

        assert file.equals(schema(name))
        assert name == file.metadata[b"lostsyn.table"].decode()


def test_documentation_is_in_the_files() -> None:
    """A field carries what docs/tables.md says of it, and nothing empty."""
    fields = {field.name: field.metadata for field in schema("packets")}

    assert b"bytes" == fields["length"][b"unit"]
    assert b"tcp.len" == fields["length"][b"wireshark"]
    assert {b"meaning"} == set(fields["cut"])


def test_same_bytes(lost: Analysis, tmp_path: Path) -> None:
    """Written twice, also over older files, the files are the same."""
    lost.to_parquet(tmp_path / "one")
    for name in COLUMNS:
        (tmp_path / f"{name}.parquet").write_bytes(b"older and longer" * 10_000)
    lost.to_parquet(tmp_path)

    for name in COLUMNS:
        assert (tmp_path / "one" / f"{name}.parquet").read_bytes() == (
            tmp_path / f"{name}.parquet"
        ).read_bytes()


def test_a_row_group_is_of_one_point(lost: Analysis, tmp_path: Path) -> None:
    """Who asks for one point's packets reads no others."""
    lost.to_parquet(tmp_path)
    file = pq.ParquetFile(tmp_path / "packets.parquet")
    groups = [set(file.read_row_group(i)["point"].to_pylist()) for i in range(file.num_row_groups)]

    assert [{point.name} for point in lost.capture_points] == groups


def test_hostile_names(lost: Analysis, tmp_path: Path) -> None:
    """Names from captures are values, never file names."""
    name = "../../evil\x00/.\n"
    for point in lost.scene.points:  # type: ignore[union-attr]
        if point.name == "eth0":
            point.name = name
    lost.scene.trails.points[name] = lost.scene.trails.points.pop("eth0")  # type: ignore[union-attr]
    heading = lost.scene.node.heading  # type: ignore[union-attr]
    heading[name] = heading.pop("eth0")
    points = tuple(replace(p, name=name if p.name == "eth0" else p.name) for p in lost.capture_points)
    replace(lost, capture_points=points).to_parquet(tmp_path / "out")

    assert {f"{table}.parquet" for table in COLUMNS} == {path.name for path in (tmp_path / "out").iterdir()}
    assert name in set(pd.read_parquet(tmp_path / "out/packets.parquet")["point"])


def test_without_pyarrow(lost: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing one sentence says how to get it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(LostsynError, match=r"pip install 'lostsyn\[parquet\]'"):
        lost.to_parquet(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_written(lost: Analysis, tmp_path: Path) -> None:
    """A folder that is a file is one sentence."""
    (tmp_path / "file").write_text("")

    with pytest.raises(LostsynError, match="file: cannot be written: File exists"):
        lost.to_parquet(tmp_path / "file")
