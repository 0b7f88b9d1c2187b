"""The tables of an analysis as pandas DataFrames, with the columns that `analyzer.result.schema` documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyzer.capture.columns import Flows
from analyzer.capture.layout import CUT, FRAGMENT, REPLY, TUNNEL_SHIFT, TUNNELS
from analyzer.capture.storage import Memory
from analyzer.connection.fates import FATES
from analyzer.connection.passages import address
from analyzer.connection.reasons import REASONS
from analyzer.flow.community_id import community_ids
from analyzer.flow.point import Point
from analyzer.incident.model import CapturePoint, Finding, Incident
from analyzer.incident.scene import Scene
from analyzer.incident.summary import agreed, confidence
from analyzer.node.ways import IN, LOCAL, OUT
from analyzer.result.schema import COLUMNS

_NEVER = np.iinfo(np.int64).min
"""What numpy and pandas take for no time."""
_HEADINGS = {OUT: "out", IN: "in", LOCAL: "local", 0: "unknown"}


def points(described: Sequence[CapturePoint]) -> pd.DataFrame:
    """One row per capture point, pod to uplink; columns as `COLUMNS["points"]` says."""
    table = pd.DataFrame(
        {
            "point": [p.name for p in described],
            "role": [p.role for p in described],
            "files": [", ".join(p.files) for p in described],
            "packets": [p.packets for p in described],
            "skipped": [sum(p.skipped.values()) for p in described],
            "first": times(np.array([_NEVER if p.first is None else p.first for p in described], np.int64)),
            "last": times(np.array([_NEVER if p.last is None else p.last for p in described], np.int64)),
            # A file's counter has 64 bits: one that is all ones is no count, and no number of the column either.
            "dropped": pd.array(
                [None if p.dropped is None else min(p.dropped, (1 << 63) - 1) for p in described],
                dtype="Int64",
            ),
            "clock_offset": [p.clock_offset for p in described],
        }
    )
    return typed(table, "points")


def packets(point: Point) -> pd.DataFrame:
    """Packets of one point; columns as `COLUMNS["packets"]` says."""
    p, flows = point.packets, point.flows
    reply = (p.bits & REPLY).astype(bool)
    src, dst = addresses(flows)
    one, other = src.codes[p.flow], dst.codes[p.flow]
    ports = flows.ports[p.flow]
    sport, dport = (ports >> 16).astype(np.uint16), (ports & 0xFFFF).astype(np.uint16)
    files = point.recording.files
    file = np.searchsorted(point.recording.first_rows, np.arange(len(p)), side="right") - 1
    return pd.DataFrame(
        {
            "point": pd.Categorical([point.name]).repeat(len(p)),
            "file": pd.Categorical.from_codes(file, dtype=pd.CategoricalDtype([f.label for f in files])),
            "frame": p.frame,
            "time": times(p.time),
            "flow": p.flow,
            "src": pd.Categorical.from_codes(np.where(reply, other, one), dtype=src.dtype),
            "sport": np.where(reply, dport, sport),
            "dst": pd.Categorical.from_codes(np.where(reply, one, other), dtype=src.dtype),
            "dport": np.where(reply, sport, dport),
            "proto": flows.proto[p.flow],
            "reply": reply,
            "seq": p.seq,
            "ack": p.ack,
            "flags": p.flags,
            "window": p.window,
            "length": p.length,
            "ip_id": p.ip_id,
            "ttl": p.ttl,
            "fragment": (p.bits & FRAGMENT).astype(bool),
            "cut": (p.bits & CUT).astype(bool),
            "tunnel": pd.Categorical.from_codes(
                (p.bits >> TUNNEL_SHIFT) & 7, dtype=pd.CategoricalDtype(list(TUNNELS))
            ),
        }
    )


def flows(scene: Scene) -> pd.DataFrame:
    """Flows of all points; columns as `COLUMNS["flows"]` says."""
    tables = [_flows(point, scene) for point in scene.points]
    return _joined(tables, "flows", ("point", "orig_h", "resp_h"))


def _flows(point: Point, scene: Scene) -> pd.DataFrame:
    f, p = point.flows, point.packets
    src, dst = addresses(f)
    first, last = np.full(len(f), np.iinfo(np.int64).max), np.full(len(f), np.iinfo(np.int64).min)
    np.minimum.at(first, p.flow, p.time)
    np.maximum.at(last, p.flow, p.time)
    sizes = np.diff(point.starts)
    return pd.DataFrame(
        {
            "point": point.name,
            "flow": np.arange(len(f), dtype=np.int32),
            "proto": f.proto,
            "orig_h": src,
            "orig_p": (f.ports >> 16).astype(np.uint16),
            "resp_h": dst,
            "resp_p": (f.ports & 0xFFFF).astype(np.uint16),
            "first": times(first),
            "last": times(last),
            "orig_pkts": sizes[::2],
            "resp_pkts": sizes[1::2],
            "heading": _heading(scene.node.heading[point.name]),
            "community_id": texts(community_ids(point)),
        }
    )


def crossings(scene: Scene) -> pd.DataFrame:
    """Matched flows of every gap; columns as `COLUMNS["crossings"]` says."""
    tables = []
    names = {point.name: community_ids(point) for point in scene.points}
    for gap in scene.gaps:
        m = gap.matches
        inner, outer = _end_names(gap.inner.flows, m.a), _end_names(gap.outer.flows, m.b)
        flip = m.flip.astype(bool)
        outer_orig, outer_resp = np.where(flip, outer[1], outer[0]), np.where(flip, outer[0], outer[1])
        # Few proofs differ: each is put into words once.
        proofs, proof = np.unique(m.agreed.astype(np.int64) << 32 | m.votes, return_inverse=True)
        told = [(int(p) >> 32, int(p) & 0xFFFFFFFF) for p in proofs]
        tables.append(
            pd.DataFrame(
                {
                    "inner_point": gap.inner.name,
                    "inner_flow": m.a,
                    "outer_point": gap.outer.name,
                    "outer_flow": m.b,
                    "inner_orig": inner[0],
                    "outer_orig": outer_orig,
                    "inner_resp": inner[1],
                    "outer_resp": outer_resp,
                    "snat": inner[0] != outer_orig,
                    "dnat": inner[1] != outer_resp,
                    "heading": _heading(gap.heading),
                    "agreed": texts(np.array([", ".join(agreed(*t)) for t in told], object)[proof]),
                    "confidence": np.array([confidence(*t) for t in told], object)[proof],
                    "inner_community_id": texts(names[gap.inner.name][m.a]),
                    "outer_community_id": texts(names[gap.outer.name][m.b]),
                }
            )
        )
    return _joined(tables, "crossings", ("inner_point", "outer_point", "confidence"))


def passages(scene: Scene) -> pd.DataFrame:
    """Requests at every point that saw them; columns as `COLUMNS["passages"]` says."""
    tables = []
    for proto, followed in scene.requests.items():
        for at in followed:
            point = at.point
            labels = [f.label for f in point.recording.files]
            file = np.searchsorted(point.recording.first_rows, at.rows, side="right") - 1
            tables.append(
                pd.DataFrame(
                    {
                        "time": times(point.packets.time[at.rows]),
                        "point": point.name,
                        "file": np.array(labels, object)[file],
                        "frame": point.packets.frame[at.rows],
                        "flow": point.packets.flow[at.rows],
                        "proto": np.full(len(at.rows), proto, np.uint8),
                        "first": at.first,
                        "fate": pd.Categorical.from_codes(
                            at.fate, dtype=pd.CategoricalDtype([str(f) for f in FATES])
                        ),
                        "answered": at.answered,
                        "reason": pd.Categorical.from_codes(
                            at.reason, dtype=pd.CategoricalDtype([r.code for r in REASONS])
                        ),
                    }
                )
            )
    return _joined(tables, "passages", ("point", "file"))


def findings(incidents: Sequence[Incident]) -> pd.DataFrame:
    """One row per finding; columns as `COLUMNS["findings"]` says."""
    rows: list[dict[str, Any]] = [
        {
            "incident": incident.id,
            "time": pd.Timestamp(f.time, unit="ns", tz="UTC"),
            "kind": f.kind,
            "cause": f.cause,
            "confidence": f.confidence,
            "gap": "-".join(f.gap) if f.gap else None,
            "inner": f.inner,
            "outer": f.outer,
            "delay_s": f.delay_s,
            "attempts": len(f.attempts),
            "vanished": int(f.facts.get("attempts_vanished", f.facts.get("packets", 0)))
            if f.kind.endswith("-vanished")
            else 0,
            **_parties(f),
            "point": f.point or None,
            "flow": f.flow,
        }
        for incident in incidents
        for f in incident.findings
    ]
    return typed(pd.DataFrame(rows, columns=list(COLUMNS["findings"])), "findings")


_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:\s]+)):(\d+)$")


def _parties(finding: Finding) -> dict[str, Any]:
    """The pod's side and the destination of a finding, of the texts that it is told with."""
    src, _, dst = finding.inner.rpartition("/")[0].partition(" > ")
    pod, (address_, port) = _split(src)[0], _split(dst)
    names = {one.address: one for one in finding.names}
    own, asked = names.get(pod), names.get(address_)
    return {
        "pod": pod,
        "pod_name": own and own.name,
        "namespace": (own and own.namespace) or None,
        "pod_node": (own and own.node) or None,
        "dst": address_,
        "service": f"{asked.namespace}/{asked.name}".lstrip("/")
        if asked and asked.kind == "service"
        else None,
        "dst_port": port,
    }


def _split(end: str) -> tuple[str, int | None]:
    said = _PORT.fullmatch(end)
    return (said[1] or said[2], int(said[3])) if said else (end, None)


def times(nanoseconds: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Nanoseconds since the epoch as times in UTC."""
    return pd.DatetimeIndex(nanoseconds.view("datetime64[ns]")).tz_localize("UTC")


def texts(values: NDArray[np.object_]) -> pd.Series[Any]:
    """Texts and None; never guessed at, so that a column without a text is none of numbers."""
    return pd.Series(values, dtype="str")


def _heading(codes: NDArray[np.int8]) -> pd.Categorical[Any]:
    return pd.Categorical([_HEADINGS[int(code)] for code in codes], categories=list(_HEADINGS.values()))


def addresses(flows: Flows) -> tuple[pd.Categorical[Any], pd.Categorical[Any]]:
    """Each flow's two addresses as categories of one set of texts."""
    hi, lo = np.concatenate([flows.src_hi, flows.dst_hi]), np.concatenate([flows.src_lo, flows.dst_lo])
    order = np.lexsort((lo, hi))
    hi, lo = hi[order], lo[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])
    codes = np.empty(len(order), np.int64)
    codes[order] = np.cumsum(fresh) - 1
    dtype = pd.CategoricalDtype([address(int(h), int(w)) for h, w in zip(hi[fresh], lo[fresh], strict=True)])
    src, dst = np.split(codes, 2)
    return pd.Categorical.from_codes(src, dtype=dtype), pd.Categorical.from_codes(dst, dtype=dtype)


def _end_names(flows: Flows, chosen: NDArray[np.int32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both ends of these flows as `address:port`."""
    src, dst = addresses(flows.take(chosen, Memory()))
    heads = np.array([f"[{a}]:" if ":" in a else f"{a}:" for a in src.categories], object)
    ports = flows.ports[chosen]
    return heads[src.codes] + _numerals(ports >> 16), heads[dst.codes] + _numerals(ports & 0xFFFF)


def _numerals(numbers: NDArray[Any]) -> NDArray[np.object_]:
    return np.array(list(map(str, numbers.tolist())), object)


def _joined(tables: list[pd.DataFrame], name: str, categories: Sequence[str]) -> pd.DataFrame:
    """One table of several, with its documented columns even when empty."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return typed(pd.DataFrame(columns=list(COLUMNS[name])), name)
    for column in categories:
        union = pd.unique(pd.concat([table[column].astype(object) for table in filled]))
        for table in filled:
            table[column] = pd.Categorical(table[column].astype(object), categories=sorted(union))
    return pd.concat(filled, ignore_index=True)


def typed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give columns that pandas had to guess at their documented dtypes."""
    return table.astype({column: said.dtype for column, said in COLUMNS[name].items() if said.dtype != "str"})
