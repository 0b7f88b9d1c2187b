"""Connections that leave one node and enter another: one row for both nodes' captures.

A SYN's initial sequence number is 32 random bits that NAT leaves alone. Where it and the five-tuple are the same at two
nodes' uplinks, it is one connection; where something between the nodes translated it, both sides' numbers must agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analyzer.errors import LostsynError
from analyzer.fleet import clocks, dataset, losses
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place

SLICE = 500_000
"""Flows that are joined at once, about; slices are by ISN, so what belongs together is in one."""
CROWD = 8
"""Flows of one ISN that are compared each with each. ISNs are random (RFC 9293 section 3.4.1), but scanners and floods have
one for thousands of SYNs: of these, only such with the same five-tuple are compared."""
TUPLE = ["orig_h", "orig_p", "resp_h", "resp_p"]
_TIMES = ["syns", "synacks"]
_COLUMNS = [
    "node", "bundle", "heading", *TUPLE, "orig_isn", "resp_isn", "resp_pkts", "inner_orig", "inner_resp",
]  # fmt: skip
_TIME = pa.timestamp("ns", "UTC")
_NAMES = (
    "left_node", "entered_node", "left_bundle", "entered_bundle", "pod", "left", "entered", "inside",
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("time", _TIME),
        *((name, pa.string()) for name in _NAMES),
        ("syns_left", pa.int64()),
        ("syns_entered", pa.int64()),
        ("fate", pa.string()),
        ("vanished", pa.int64()),
        ("because", pa.string()),
        ("transit_ns", pa.int64()),
        ("round_trip_ns", pa.int64()),
        ("clock_offset_ns", pa.int64()),
        ("confidence", pa.string()),
    ]
)
"""Columns of `joined`; docs/fleet.md tells what they mean."""


def join(results: Sequence[Result], target: Place) -> pd.DataFrame:
    """Join the connections of all nodes; columns as `SCHEMA` says."""
    pairs, single = [], []
    for rows in _slices(results, target):
        joined, rest = match(rows)
        pairs.append(joined)
        single.append(rest)
    both = clocks.measure(pd.concat(pairs, ignore_index=True))
    lone = losses.between(pd.concat(single, ignore_index=True), both, results)
    lone = lone.reindex(columns=lone.columns.union(both.columns))  # nothing of them entered
    table = pa.concat_tables([_told(losses.within(both, results)), _told(lone)])
    told: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return told.sort_values(["time", "left_node", "left"], ignore_index=True)


def _slices(results: Sequence[Result], target: Place) -> Iterator[pd.DataFrame]:
    """The flows at uplinks whose SYN was seen, in slices by their ISN; the dataset is read once."""
    columns = [*_COLUMNS, *_TIMES]
    here = (pc.field("role") == "uplink") & pc.field("orig_isn").is_valid()
    count = 1 << max((_rows(results) - 1) // SLICE, 0).bit_length()
    with TemporaryDirectory() as folder:
        try:
            files = _sort(dataset.batches("flows", results, target, columns, here), count, folder)
        except OSError as error:
            raise LostsynError(
                f"the flows of {target.url} cannot be read, or not sorted into {folder} ({error}); set TMPDIR to a folder "
                "that has room for them"
            ) from None
        if not files:
            yield opened(dataset.read("flows", [], target, columns), results)
        for path in files:
            with pa.OSFile(path) as file:
                yield opened(pa.ipc.open_stream(file).read_all(), results)


def _sort(batches: Iterable[pa.RecordBatch], count: int, folder: str) -> list[str]:
    """Write flows into so many files at most, by the last bits of their ISN; says which files there are."""
    with ExitStack() as stack:
        files: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        for batch in batches:
            number = batch["orig_isn"].to_numpy() & np.uint32(count - 1)
            order = np.argsort(number, kind="stable")
            ordered = batch.take(order)
            found, begins = np.unique(number[order], return_index=True)
            bounds = pairwise([*begins.tolist(), len(order)])
            for slice_, (begin, end) in zip(found.tolist(), bounds, strict=True):
                if slice_ not in files:
                    new = pa.ipc.new_stream(f"{folder}/{slice_}", batch.schema)
                    files[slice_] = stack.enter_context(new)
                files[slice_].write_batch(ordered.slice(begin, end - begin))
    return [f"{folder}/{slice_}" for slice_ in sorted(files)]


def opened(flows: pa.Table, results: Sequence[Result]) -> pd.DataFrame:
    """The flows with a SYN as columns: times are ns; there may be many, so no object is made for each.

    `syns` and `synacks` hold lists, `n_syns`, `first_syn` and so on how many there are, and the first (-1 without any).
    """
    rows: pd.DataFrame = flows.drop(_TIMES).to_pandas()
    for name in _TIMES:
        lists = flows[name].combine_chunks().cast(pa.list_(pa.int64()))
        count = lists.value_lengths().to_numpy()
        times = np.append(lists.flatten().to_numpy(), -1)  # the last one for lists that are empty
        first = np.where(count > 0, np.cumsum(count) - count, len(times) - 1)
        rows[f"n_{name}"], rows[f"first_{name[:-1]}"] = count, times[first]
        rows[name] = pd.Series(pd.arrays.ArrowExtensionArray(lists), rows.index)
    for name, values in (("node", {r.node for r in results}), ("bundle", {r.path for r in results})):
        rows[name] = pd.Categorical(rows[name], categories=sorted(values))  # the same in every slice
    return rows[rows["n_syns"] > 0]


def _rows(results: Sequence[Result]) -> int:
    """At most so many flows with a SYN were seen at uplinks."""
    return sum(result.counts["syn_attempts"] for result in results)


def match(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the same connection at two nodes.

    Returns:
        The pairs, columns with `_a` where they left and `_b` where they entered; and what left a node and has no
        partner, with `rivals`: how many flows of other nodes have the same ISN, so that it may be one of them.
    """
    # Two bundles, or two uplinks, may hold the same flow of one node: the first is as good as the other.
    rows = rows.drop_duplicates(["node", *TUPLE, "orig_isn"], ignore_index=True)
    crowd = rows[rows.groupby("orig_isn")["orig_isn"].transform("size") > CROWD]
    apart = crowd.groupby(TUPLE, dropna=False).ngroup()
    rows = rows.assign(apart=apart.reindex(rows.index, fill_value=-1))
    a, b = rows[rows["heading"].isin(["out", "unknown"])], rows[rows["heading"] != "out"]
    a, b = a.reset_index(names="row"), b.reset_index(names="row")
    both = a.merge(b, on=["orig_isn", "apart"], suffixes=("_a", "_b"))
    both = both[both["node_a"] != both["node_b"]]
    both = both[(both["heading_a"] == "out") | (both["heading_b"] == "in")]
    same = np.logical_and.reduce([both[f"{end}_a"] == both[f"{end}_b"] for end in TUPLE])
    known = both["resp_isn_a"].notna() & both["resp_isn_b"].notna()  # both nodes saw an answer
    agreed = known & (both["resp_isn_a"] == both["resp_isn_b"])
    both = both.assign(confidence=np.where(agreed, "proven", "likely"))
    fits = both[agreed | (same & ~known)]
    alone = ~fits["row_a"].duplicated(keep=False) & ~fits["row_b"].duplicated(keep=False)
    pairs = fits[alone]
    rest = a[~a["row"].isin(pairs["row_a"]) & ~a["row"].isin(pairs["row_b"])]
    return pairs, rest.assign(rivals=_rivals(rest, b))


def _rivals(rest: pd.DataFrame, b: pd.DataFrame) -> pd.Series[int]:
    """How many flows that may have entered other nodes have the same ISN: counted, as to pair them may be too many."""
    told = pd.Series(0, rest.index)
    for heading, others in (("out", b), ("unknown", b[b["heading"] == "in"])):
        left = rest[rest["heading"] == heading]
        told[left.index] = _alike(left, others, ["orig_isn"]) - _alike(left, others, ["orig_isn", "node"])
    return told


def _alike(
    left: pd.DataFrame, others: pd.DataFrame, by: list[str]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How many of *others* are equal to each one in these columns."""
    count = others.groupby(by, observed=True).size().rename("count").reset_index()
    return left[by].merge(count, how="left")["count"].fillna(0).to_numpy(np.int64)


def ends(rows: pd.DataFrame, suffix: str) -> pd.Series[str]:
    """Five-tuples in words: `10.0.0.1:40000 > 10.0.0.2:80/tcp`; null where there is none."""
    told = []
    for side in ("orig", "resp"):
        host = rows[f"{side}_h{suffix}"].astype("string[pyarrow]")
        port = rows[f"{side}_p{suffix}"].astype("Int64").astype("string[pyarrow]")
        v6 = host.str.contains(":", regex=False).fillna(False)
        told.append(host.where(~v6, "[" + host + "]") + ":" + port)
    return told[0] + " > " + told[1] + "/tcp"


def _told(found: pd.DataFrame) -> pa.Table:
    """The columns of `SCHEMA`."""
    told = {
        "time": pd.to_datetime(found["first_syn_a"], utc=True),
        "left_node": found["node_a"],
        "entered_node": found["node_b"],
        "left_bundle": found["bundle_a"],
        "entered_bundle": found["bundle_b"],
        "pod": found["inner_orig_a"],
        "left": ends(found, "_a"),
        "entered": ends(found, "_b"),
        "inside": found["inner_resp_b"],
        "syns_left": found["n_syns_a"],
        "syns_entered": found["n_syns_b"].fillna(0).astype("int64"),
        **{name: found[name] for name in ("fate", "vanished", "because", "confidence")},
        "transit_ns": found["transit"],
        "round_trip_ns": found["round_trip"],
        "clock_offset_ns": found["offset"],
    }
    arrays = [pa.Array.from_pandas(told[field.name]).cast(field.type) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
