"""What is kept of a fleet: a Parquet dataset of flows, crossings and findings by node and day, and a result per bundle.

    flows/node=NODE/day=2026-11-20/KEY-FINGERPRINT.parquet      likewise crossings/ and findings/
    bundles/KEY.json                                            written last: with it, the bundle is done
    joined.parquet

The names of a bundle's files follow from the bundle alone, so that analysing it twice, on two machines at once or after a
worker died half-way, leaves one copy. Files count only if a result lists them, and a result only if it is of the declared form
and its files are there as it says, by size and hash: a disk that filled up, or lost what was not synced, heals by itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from analyzer.api import Analysis
from analyzer.compute.threads import side_by_side
from analyzer.fleet import tables
from analyzer.fleet.bundles import FleetBundle, key
from analyzer.fleet.places import Place
from analyzer.incident.model import Counts
from analyzer.report.checked import untold
from analyzer.report.verdict import headline
from analyzer.result import typed

MOST_DAYS = 100
"""A bundle that spans more days, by whatever its clock says, is kept under its first one."""
LARGEST = 1 << 22
"""Bytes of a result, at most: a hundred days of three tables, and thousands of capture points."""
_WHEN = {"flows": "first", "crossings": "first", "findings": "time"}
"""The column that says a row's day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """When a capture point of a bundle was recording."""

    name: str
    role: str
    first: int | None
    last: int | None
    packets: int
    dropped: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of the dataset, as it was written."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> Part:
        """Describe a file."""
        return cls(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one bundle."""

    path: str
    node: str
    key: str
    fingerprint: str
    problem: str | None = None
    """Why it could not be analysed, in one sentence; such a result is not kept."""
    parts: tuple[Part, ...] = ()
    """Its files in the dataset."""
    counts: dict[str, int]
    points: tuple[Recorded, ...] = ()
    incidents: int = 0
    inconclusive: str | None = None
    caveats: int = 0
    headline: str = ""
    account: dict[str, int] = field(default_factory=dict)
    """Connections by class, as `analyzer.connection.model.Account` has them, and `open`; empty in results of earlier versions."""

    @classmethod
    def of(cls, bundle: FleetBundle, *, problem: str | None = None, **found: Any) -> Result:
        """Say what became of a bundle."""
        return cls(
            path=bundle.path,
            node=bundle.node,
            key=bundle.key,
            fingerprint=bundle.fingerprint,
            problem=problem,
            **{"counts": {}, **found},
        )


def write(analysis: Analysis, bundle: FleetBundle, target: Place) -> Result:
    """Write a bundle's tables, then its result."""
    parts = []
    for name, table in tables.make(analysis, bundle.path).items():
        for day, rows in _by_day(table, _WHEN[name]):
            part = _part(name, bundle, day)
            data = _bytes(rows)
            target.write(part, data)
            parts.append(Part.of(part, data))
    points = [
        Recorded(name=p.name, role=p.role, first=p.first, last=p.last, packets=p.packets, dropped=p.dropped)
        for p in analysis.capture_points
    ]
    result = Result.of(
        bundle,
        parts=tuple(parts),
        counts=asdict(analysis.counts),
        points=tuple(points),
        incidents=len(analysis.incidents),
        inconclusive=untold(analysis) or None,
        caveats=len(analysis.caveats),
        headline=headline(analysis),
        account={
            name: getattr(analysis.account, name)
            for name in ("connections", "worked", "node", "outside", "unknown", "open")
        },
    )
    target.write(f"bundles/{bundle.key}.json", json.dumps(asdict(result), indent=1).encode())
    return result


def _part(table: str, of: FleetBundle | Result, day: str) -> str:
    """Name a file of a bundle."""
    return f"{table}/node={quote(of.node, safe='')}/day={day}/{of.key}-{of.fingerprint}.parquet"


def results(target: Place) -> dict[str, Result]:
    """Read the results that are kept, by the bundles' keys; one that is not as `write` makes them is as good as none."""
    found = {}
    names = [
        name
        for name, info in target.list("bundles")
        if name.endswith(".json") and "/." not in name and int(info.get("size") or 0) <= LARGEST
    ]
    for name, text in target.read(names).items():
        with suppress(ValueError):
            result = typed.read(Result, text)
            if name == f"bundles/{result.key}.json" and _is_ours(result):
                found[result.key] = result
    return found


def _is_ours(result: Result) -> bool:
    """Whether every name follows from the bundle, and every number can be one: any other path may lead anywhere."""
    days = [part.name.partition("/day=")[2][:10] for part in result.parts]
    return (
        result.problem is None
        and key(result.path) == result.key
        and not {"", ".", ".."} & set(result.path.split("/"))
        and re.fullmatch("[0-9a-f]{16}", result.fingerprint) is not None
        and {each.name for each in fields(Counts)} == result.counts.keys()
        and min([0, result.incidents, result.caveats, *result.counts.values(), *result.account.values()]) == 0
        and all(re.fullmatch(r"\d{4}-\d\d-\d\d", day, re.ASCII) for day in days)
        and all(
            part.name in {_part(table, result, day) for table in tables.MORE}
            for part, day in zip(result.parts, days, strict=True)
        )
    )


def damaged(results: Mapping[str, Result], target: Place) -> dict[str, str]:
    """Say of which results a file is not there as it was written: key to the file's name."""
    sizes = {name: info.get("size") for table in tables.MORE for name, info in target.list(table)}
    each = [(result.key, part) for result in results.values() for part in result.parts]
    gone = {key: part.name for key, part in each if sizes.get(part.name) != part.size}
    there = [(key, part) for key, part in each if key not in gone]
    hashes = side_by_side(lambda one: target.sha256(one[1].name), there)
    return gone | {
        key: part.name for (key, part), found in zip(there, hashes, strict=True) if found != part.sha256
    }


def sweep(target: Place, kept: Mapping[str, Result], bad: Collection[str] = ()) -> None:
    """Remove what earlier or interrupted analyses of the same bundles left behind; of the bundles *bad*, everything."""
    untrue = {f"bundles/{key}.json" for key in bad}
    target.remove([name for name, _ in target.list("bundles") if name in untrue])
    listed = {part.name for result in kept.values() for part in result.parts}
    swept = {*kept, *bad}
    for table in tables.MORE:
        old = [name for name, _ in target.list(table) if name not in listed and _key(name) in swept]
        target.remove(old)


def read(
    name: str, results: Iterable[Result], target: Place, columns: Sequence[str], where: Any = None
) -> pa.Table:
    """Read columns of a table, of all bundles; `node` and `day` can be asked for, too."""
    return _all(name, results, target).to_table(columns=list(columns), filter=where)


def batches(
    name: str, results: Iterable[Result], target: Place, columns: Sequence[str], where: Any = None
) -> Iterator[pa.RecordBatch]:
    """Read the same piece by piece: there may be more than fits into memory."""
    yield from _all(name, results, target).to_batches(columns=list(columns), filter=where)


def _all(name: str, results: Iterable[Result], target: Place) -> pa.dataset.Dataset:
    """A table of all bundles."""
    parts = [
        target.path(part.name)
        for result in results
        for part in result.parts
        if part.name.startswith(f"{name}/")
    ]
    keys = pa.schema([("node", pa.string()), ("day", pa.string())])
    whole = pa.schema([*tables.schema(name), *keys])
    if not parts:
        return pa.dataset.dataset(whole.empty_table())
    return pa.dataset.dataset(
        sorted(parts),
        schema=whole,
        format="parquet",
        filesystem=target.files,
        partitioning=pa.dataset.partitioning(keys, flavor="hive"),
    )


def write_table(name: str, table: pd.DataFrame, schema: pa.Schema, target: Place) -> None:
    """Write a table that is made of all bundles, as one file."""
    target.write(f"{name}.parquet", _bytes(pa.Table.from_pandas(table, schema, preserve_index=False)))


def _key(part: str) -> str:
    """The key of the bundle that a file is of; also of one that was being written."""
    name = part.rpartition("/")[2].lstrip(".")
    return name.partition(".")[0].rpartition("-")[0]


def _bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(table.replace_schema_metadata(None), sink, compression="zstd")
    return sink.getvalue()


def _by_day(table: pa.Table, when: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each UTC day."""
    days = table[when].to_numpy().astype("datetime64[D]")
    found, which = np.unique(days, return_inverse=True)
    if len(found) > MOST_DAYS:
        found, which = found[:1], np.zeros(len(days), np.int64)
    for number, day in enumerate(found):
        yield str(day), table.take(np.flatnonzero(which == number))
