"""The tables of one bundle as a fleet keeps them: those of an analysis, and what tells its connections from all others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from analyzer.api import Analysis
from analyzer.capture.layout import SYN_X, SYN_Y, SYNACK_Y, TCP_ACK, TCP_SYN
from analyzer.flow.keys import keys_of
from analyzer.flow.point import TCP
from analyzer.incident.model import Finding
from analyzer.incident.scene import Scene
from analyzer.result import parquet

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
        pa.field("destination", pa.string()),
    ],
}
"""Columns that a fleet's tables have beside those of an analysis; docs/fleet.md tells what they mean. A finding's `pod` is
taken from what is known of the node, where that tells more than the finding's own text."""


def schema(name: str) -> pa.Schema:
    """Return the columns of a table: they depend on no bundle."""
    return pa.schema([*parquet.schema(name), *MORE[name]])


def make(analysis: Analysis, bundle: str) -> dict[str, pa.Table]:
    """Return the tables of one bundle, by its path."""
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
    times = {"syns": _times(scene, TCP_SYN), "synacks": _times(scene, TCP_SYN | TCP_ACK)}
    made = {}
    for name, table in tables.items():
        fields = [field for field in schema(name) if field.name not in times]
        made[name] = pa.Table.from_pandas(
            table.assign(bundle=bundle), pa.schema(fields), preserve_index=False
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


def _times(scene: Scene, flags: int) -> pa.ChunkedArray:
    """Per flow of every point, the times of its TCP packets with these of SYN and ACK, the first `MOST_SYNS`, ascending."""
    chunks = []
    for point in scene.points:
        is_tcp = (point.flows.proto == TCP)[point.packets.flow]
        rows = np.flatnonzero((point.packets.flags & (TCP_SYN | TCP_ACK) == flags) & is_tcp)
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
        return bool(np.isin(keys_of([host]), scene.node.inside)[0])
    except ValueError:
        return False
