"""What is kept of a fleet: a Parquet dataset of flows, crossings and findings by node and day, and a result per bundle.

    flows/node=NODE/day=2026-11-20/KEY-FINGERPRINT.parquet      likewise crossings/ and findings/
    bundles/KEY.json                                            written last: with it, the bundle is done
    joined.parquet

The names of a bundle's files follow from the bundle alone, so that analysing it twice, on two machines at once or after a
worker died half-way, leaves one copy. Files count only if a result lists them.
"""

from __future__ import annotations

import io
import ipaddress
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from analyzer import parquet
from analyzer.capture.layout import SYN_X, SYN_Y, SYNACK_Y, TCP_ACK, TCP_SYN
from analyzer.flow.point import TCP
from analyzer.nat.fates import request_rows
from analyzer.nat.ways import address_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.analysis import Analysis
    from analyzer.fleet.bundles import FleetBundle
    from analyzer.fleet.places import Place
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene
    from analyzer.model import Finding

MOST_DAYS = 100
"""A bundle that spans more days, by whatever its clock says, is kept under its first one."""
MOST_SYNS = 16
"""Times of SYNs, and of SYN-ACKs, that are kept of one flow."""
_TIME = pa.timestamp("ns", "UTC")
MORE: dict[str, list[pa.Field]] = {
    "flows": [
        pa.field("bundle", pa.string()),
        pa.field("role", pa.string()),
        pa.field("orig_isn", pa.uint32()),
        pa.field("resp_isn", pa.uint32()),
        pa.field("inner_orig", pa.string()),
        pa.field("inner_resp", pa.string()),
        pa.field("syns", pa.list_(_TIME)),
        pa.field("synacks", pa.list_(_TIME)),
    ],
    "crossings": [pa.field("bundle", pa.string()), pa.field("first", _TIME)],
    "findings": [
        pa.field("bundle", pa.string()),
        pa.field("pod", pa.string()),
        pa.field("destination", pa.string()),
    ],
}
"""Columns that a fleet's tables have beside those of `analyzer.schema`; docs/fleet.md tells what they mean."""
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
class Result:
    """What became of one bundle."""

    path: str
    node: str
    key: str
    fingerprint: str
    problem: str | None = None
    """Why it could not be analysed, in one sentence; such a result is not kept."""
    parts: tuple[str, ...] = ()
    """Its files in the dataset."""
    counts: dict[str, int]
    points: tuple[Recorded, ...] = ()
    incidents: int = 0
    inconclusive: str | None = None
    caveats: int = 0

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
    for name, table in _tables(analysis, bundle).items():
        for day, rows in _by_day(table, _WHEN[name]):
            part = f"{name}/node={quote(bundle.node, safe='')}/day={day}/{bundle.key}-{bundle.fingerprint}.parquet"
            target.write(part, _bytes(rows))
            parts.append(part)
    points = [
        Recorded(name=p.name, role=p.role, first=p.first, last=p.last, packets=p.packets, dropped=p.dropped)
        for p in analysis.points
    ]
    result = Result.of(
        bundle,
        parts=tuple(parts),
        counts=asdict(analysis.counts),
        points=tuple(points),
        incidents=len(analysis.incidents),
        inconclusive=analysis.inconclusive,
        caveats=len(analysis.caveats),
    )
    target.write(f"bundles/{bundle.key}.json", json.dumps(asdict(result), indent=1).encode())
    return result


def results(target: Place) -> dict[str, Result]:
    """Read the results that are kept, by the bundles' keys; one that cannot be read is as good as none."""
    found = {}
    names = [name for name, _ in target.list("bundles") if name.endswith(".json") and "/." not in name]
    for text in target.read(names).values():
        try:
            said = json.loads(text)
            said["points"] = tuple(Recorded(**point) for point in said["points"])
            result = Result(**{**said, "parts": tuple(said["parts"])})
        except (ValueError, TypeError, KeyError):
            continue
        found[result.key] = result
    return found


def sweep(target: Place, kept: Mapping[str, Result]) -> None:
    """Remove what earlier or interrupted analyses of the same bundles left behind."""
    listed = {part for result in kept.values() for part in result.parts}
    for table in MORE:
        old = [name for name, _ in target.list(table) if name not in listed and _key(name) in kept]
        target.remove(old)


def read(
    name: str, results: Iterable[Result], target: Place, columns: Sequence[str], where: Any = None
) -> pd.DataFrame:
    """Read columns of a table, of all bundles; `node` and `day` can be asked for, too."""
    parts = [target.path(part) for result in results for part in result.parts if part.startswith(f"{name}/")]
    keys = pa.schema([("node", pa.string()), ("day", pa.string())])
    whole = pa.schema([*_stored(name), *keys])
    if not parts:
        empty: pd.DataFrame = whole.empty_table().select(list(columns)).to_pandas()
        return empty
    found = pa.dataset.dataset(
        sorted(parts),
        schema=whole,
        format="parquet",
        filesystem=target.files,
        partitioning=pa.dataset.partitioning(keys, flavor="hive"),
    )
    table: pd.DataFrame = found.to_table(columns=list(columns), filter=where).to_pandas()
    return table


def write_table(name: str, table: pd.DataFrame, schema: pa.Schema, target: Place) -> None:
    """Write a table that is made of all bundles, as one file."""
    target.write(f"{name}.parquet", _bytes(pa.Table.from_pandas(table, schema, preserve_index=False)))


def _key(part: str) -> str:
    """The key of the bundle that a file is of; also of one that was being written."""
    name = part.rpartition("/")[2].lstrip(".")
    return name.partition(".")[0].rpartition("-")[0]


def _stored(name: str) -> pa.Schema:
    return pa.schema([*parquet.schema(name), *MORE[name]])


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


def _tables(analysis: Analysis, bundle: FleetBundle) -> dict[str, pa.Table]:
    """The tables of one bundle, with the columns of `MORE`."""
    scene = analysis.scene
    assert scene is not None
    crossings, flows, findings = analysis.crossings, analysis.flows, analysis.findings
    first = flows.set_index(["point", "flow"])["first"]
    opened = first.reindex(pd.MultiIndex.from_frame(crossings[["inner_point", "inner_flow"]]))
    ends = [_ends(finding, scene) for incident in analysis.incidents for finding in incident.findings]
    tables = {
        "flows": pd.concat([flows, _opening(scene), _inner(flows, crossings)], axis=1),
        "crossings": crossings.assign(first=opened.array),
        "findings": findings.assign(pod=[pod for pod, _ in ends], destination=[to for _, to in ends]),
    }
    times = {"syns": _times(scene, _syns), "synacks": _times(scene, _synacks)}
    made = {}
    for name, table in tables.items():
        fields = [field for field in _stored(name) if field.name not in times]
        made[name] = pa.Table.from_pandas(
            table.assign(bundle=bundle.path), pa.schema(fields), preserve_index=False
        )
    for name, lists in times.items():
        made["flows"] = made["flows"].append_column(name, lists)
    return made


def _opening(scene: Scene) -> pd.DataFrame:
    """What tells a TCP connection from all others: a row per flow of every point."""
    made = []
    for point in scene.points:
        f, tcp = point.flows, point.flows.proto == TCP
        orig = pd.Series(f.isn_x, dtype="UInt32").where(tcp & (f.marks & SYN_X != 0))
        resp = pd.Series(f.isn_y, dtype="UInt32").where(tcp & (f.marks & (SYN_Y | SYNACK_Y) != 0))
        role = pd.Series([point.role or "unknown"] * len(f), dtype=object)
        made.append(pd.DataFrame({"role": role, "orig_isn": orig, "resp_isn": resp}))
    return pd.concat(made, ignore_index=True)


def _syns(point: Point) -> NDArray[np.int64]:
    return request_rows(point, TCP)


def _synacks(point: Point) -> NDArray[np.int64]:
    both = TCP_SYN | TCP_ACK
    is_tcp = (point.flows.proto == TCP)[point.packets.flow]
    return np.flatnonzero((point.packets.flags & both == both) & is_tcp)


def _times(scene: Scene, rows_of: Callable[[Point], NDArray[np.int64]]) -> pa.ChunkedArray:
    """Per flow of every point, the times of these rows, ascending, the first `MOST_SYNS` of them."""
    chunks = []
    for point in scene.points:
        rows = rows_of(point)
        flow, time = point.packets.flow[rows], point.packets.time[rows]
        order = np.lexsort((time, flow))
        counts = np.bincount(flow, minlength=len(point.flows))
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        values = pa.array(time[order][rank < MOST_SYNS]).cast(_TIME)
        offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, MOST_SYNS))])
        chunks.append(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values))
    return pa.chunked_array(chunks, pa.list_(_TIME))


def _inner(flows: pd.DataFrame, crossings: pd.DataFrame) -> pd.DataFrame:
    """Both ends of each flow as the next point inwards saw it."""
    known = crossings.drop_duplicates(["outer_point", "outer_flow"])
    known = known.set_index(["outer_point", "outer_flow"])[["inner_orig", "inner_resp"]]
    return known.reindex(pd.MultiIndex.from_frame(flows[["point", "flow"]])).reset_index(drop=True)


def _ends(finding: Finding, scene: Scene) -> tuple[str, str]:
    """The pod's address, and the destination, of a connection that lost something.

    Of one that enters, the first point knows the destination before DNAT; what later points saw names the pod.
    """
    named, _, proto = finding.inner.rpartition("/")
    orig, _, resp = named.partition(" > ")
    seen = [
        end for attempt in finding.attempts for packet in attempt.packets for end in (packet.src, packet.dst)
    ]
    hosts = [_host(end) for end in (orig, resp, *seen)]
    return next((host for host in hosts if _is_inside(host, scene)), hosts[0]), f"{resp}/{proto}"


def _host(end: str) -> str:
    """`10.0.0.1` of `10.0.0.1:80`, `2001:db8::1` of `[2001:db8::1]:80`."""
    return end.rpartition(":")[0].strip("[]")


def _is_inside(host: str, scene: Scene) -> bool:
    """Whether an address is a pod's of this node."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    number = int(address) if address.version == 6 else 0xFFFF00000000 | int(address)
    halves = (np.array([half], np.uint64) for half in (number >> 64, number & 0xFFFFFFFFFFFFFFFF))
    return bool(np.isin(address_key(*halves), scene.node.inside)[0])
