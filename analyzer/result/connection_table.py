"""The table of connections: one row each, with what became of it, whose doing that was, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analyzer.capture.storage import Memory
from analyzer.connection.account import CLASSES, DIRECTIONS, WHY
from analyzer.connection.chain import Chains
from analyzer.connection.outcome import OUTCOMES, STATES
from analyzer.connection.reasons import REASONS
from analyzer.evidence.naming import Name
from analyzer.flow.keys import among
from analyzer.incident.model import Incident
from analyzer.incident.scene import Scene
from analyzer.node.topology import depth
from analyzer.result.schema import COLUMNS
from analyzer.result.tables import addresses, texts, times, typed


def connections(scene: Scene, incidents: Sequence[Incident]) -> pd.DataFrame:
    """One row per connection, with the incident that names it; columns as `COLUMNS["connections"]` says."""
    found = scene.connections
    if found is None or not len(found):
        return typed(pd.DataFrame(columns=list(COLUMNS["connections"])), "connections")
    chains, outcomes, n = found.chains, found.outcomes, len(found)
    columns: dict[str, Any] = {name: np.empty(n, object) for name in ("src", "dst", "pod", "points")}
    ports, deciding = np.zeros((n, 2), np.int64), np.full(n, -1, np.int64)
    for number, point in enumerate(chains.points):
        here = np.flatnonzero(chains.point == number)
        flow = chains.flow[here]
        src, dst = addresses(point.flows.take(flow, Memory()))
        columns["src"][here], columns["dst"][here] = np.asarray(src, object), np.asarray(dst, object)
        inside = among(point.src[flow], scene.node.inside), among(point.dst[flow], scene.node.inside)
        columns["pod"][here] = np.where(
            inside[0], columns["src"][here], np.where(inside[1], columns["dst"][here], None)
        )
        ports[here, 0], ports[here, 1] = point.flows.ports[flow] >> 16, point.flows.ports[flow] & 0xFFFF
        rows = outcomes.deciding[here]
        deciding[here] = np.where(rows >= 0, point.packets.frame[rows].astype(np.int64), -1)
    columns["points"] = _seen_by(chains)
    gaps = np.array(["-".join(gap.names) for gap in scene.gaps] + [None], object)
    refused = [found.refused.get(i) for i in range(n)]
    of: dict[int | None, Incident] = {}
    for one in incidents:
        for finding in one.findings:
            of.setdefault(found.of(finding.point, finding.flow), one)
    incident = [of.get(i) for i in range(n)]
    table = pd.DataFrame(
        {
            "connection": np.arange(n),
            "time": times(outcomes.first),
            "proto": outcomes.proto,
            "src": texts(columns["src"]),
            "src_port": pd.array(ports[:, 0], dtype="Int64"),
            "dst": texts(columns["dst"]),
            "dst_port": pd.array(ports[:, 1], dtype="Int64"),
            "direction": _category(found.direction, list(DIRECTIONS)),
            "pod": texts(columns["pod"]),
            **_named(columns["pod"], columns["dst"], scene.evidence.names),
            "point": _category(chains.point, [p.name for p in chains.points]),
            "flow": chains.flow.astype(np.int64),
            "points": texts(columns["points"]),
            "outcome": _category(outcomes.code, list(OUTCOMES)),
            "refused_by": pd.Categorical(
                [one.by if one else None for one in refused], categories=["peer", "router", "pod", "node"]
            ),
            "refusal": texts(np.array([one.words if one else None for one in refused], object)),
            "reset_by": _category(outcomes.by, ["opener", "responder"]),
            "class": _category(found.told, list(CLASSES)),
            "why_unknown": _category(found.why - 1, list(WHY[1:])),
            "reason": _category(found.fates.reason, [r.code for r in REASONS]),
            "gap": texts(gaps[found.fates.gap]),
            "incident": texts(np.array([i.id if i else None for i in incident], object)),
            "cause": pd.Categorical([i.cause if i else None for i in incident]),
            "delay_s": np.where(outcomes.delay > 0, outcomes.delay / 1e9, np.nan),
            "packets": outcomes.packets,
            "repeated": outcomes.repeated.astype(np.int64),
            "deciding_frame": pd.array(np.where(deciding >= 0, deciding, 0), dtype="Int64"),
            "conn_state": _category(outcomes.state, list(STATES)),
            "history": texts(np.array([outcomes.letters(i) for i in range(n)], object)),
            "duration": (outcomes.last - outcomes.first) / 1e9,
        }
    )
    table.loc[deciding < 0, "deciding_frame"] = pd.NA
    return table


def _named(
    pods: NDArray[np.object_], targets: NDArray[np.object_], names: Mapping[str, Name]
) -> dict[str, pd.Series[Any]]:
    """What the pods and the destinations are called."""
    known = [names.get(address) for address in pods] if names else [None] * len(pods)
    asked = [names.get(address) for address in targets] if names else [None] * len(targets)
    return {
        "pod_name": texts(np.array([one and one.name for one in known], object)),
        "namespace": texts(np.array([(one and one.namespace) or None for one in known], object)),
        "pod_node": texts(np.array([(one and one.node) or None for one in known], object)),
        "service": texts(
            np.array([one.text if one and one.kind == "service" else None for one in asked], object)
        ),
    }


def _category(codes: NDArray[Any], names: list[str]) -> pd.Categorical[Any]:
    """Codes as their names; -1 is none."""
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(names))


def _seen_by(chains: Chains) -> NDArray[np.object_]:
    """Per connection the points that saw it, each with the first frame there."""
    found = np.full(len(chains), "", object)
    for number in sorted(range(len(chains.points)), key=lambda n: depth(chains.points[n])):
        point, of = chains.points[number], chains.of[number]
        flows = np.flatnonzero(of >= 0)
        begin = 2 * flows.astype(np.int64)
        # Rows that one side sent follow those of the other; a side that sent nothing has none of its own.
        rows = [
            np.where(
                point.starts[begin + side + 1] > point.starts[begin + side],
                point.order[np.minimum(point.starts[begin + side], len(point.order) - 1)],
                len(point.packets),
            )
            for side in (0, 1)
        ]
        frames = point.packets.frame[np.minimum(*rows)]
        told = np.array([f"{point.name}:{frame}" for frame in frames.tolist()], object)
        _, once = np.unique(of[flows], return_index=True)
        at = of[flows[once]]
        found[at] = found[at] + np.where(found[at] == "", "", " ") + told[once]
    return found
