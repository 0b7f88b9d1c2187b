"""SYNs that left one node's uplink and never entered the other's: lost between the nodes, if that can be said.

It can be said of a SYN that was never answered, if the other node was recording then, lost nothing of its capture, and other
connections from the same node to the same address did enter it. Else the fate is undecidable, and a sentence says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analyzer.compute.thresholds import FLEET_ANSWER
from analyzer.connection.model import Fate
from analyzer.fleet.clocks import unmatched
from analyzer.fleet.dataset import Recorded, Result
from analyzer.fleet.tables import MOST_SYNS
from analyzer.incident.model import Confidence

Uplinks = dict[str, list["Recorded"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a connection's SYNs between two nodes."""

    fate: Fate
    vanished: int = 0
    because: str = ""
    confidence: Confidence = "proven"


def within(pairs: pd.DataFrame, results: Iterable[Result]) -> pd.DataFrame:
    """Judge connections that both nodes saw: did all of their SYNs enter?"""
    uplinks = _uplinks(results)
    told = pairs.assign(fate=Fate.PASSED.value, vanished=0, because="")
    fewer = pairs[(pairs["n_syns_b"] < pairs["n_syns_a"]) & (pairs["n_syns_a"] < MOST_SYNS)]
    judged = _judged(fewer, [_of_pair(row, uplinks) for row in fewer.to_dict("records")])
    columns = ["fate", "vanished", "because", "confidence"]
    told.loc[judged.index, columns] = judged[columns]
    return told


def between(single: pd.DataFrame, pairs: pd.DataFrame, results: Iterable[Result]) -> pd.DataFrame:
    """Judge connections that left a node and entered none, where others to the same address did enter one.

    Where no other did, nothing says that the address is in this fleet: such connections are left out.
    """
    uplinks = _uplinks(results)
    served: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in pairs.drop_duplicates(["bundle_a", "bundle_b", "resp_h_a"]).to_dict("records"):
        served.setdefault((row["bundle_a"], row["resp_h_a"]), {}).setdefault(row["node_b"], {})[
            row["bundle_b"]
        ] = row["offset"]
    asked = single[single["resp_pkts"] == 0].add_suffix("_a")
    known = [key in served for key in zip(asked["bundle_a"], asked["resp_h_a"], strict=True)]
    asked = asked[np.array(known, bool)]
    verdicts, where = [], []
    for row in asked.to_dict("records"):
        others = served[row["bundle_a"], row["resp_h_a"]]
        node, entered = next(iter(others.items()))
        bundle, offset = _recording(row["syns_a"], entered, uplinks)
        if row["rivals_a"]:
            verdict = _open(
                "a connection with the same sequence number entered elsewhere; it may be this one"
            )
        elif len(others) > 1:
            verdict = _open(f"the address is served by several nodes: {', '.join(sorted(others))}")
        else:
            verdict = _lost(row["syns_a"], offset, uplinks[row["bundle_a"]], uplinks[bundle], node)
        verdicts.append(verdict)
        where.append((node, bundle, offset) if len(others) == 1 else (None, None, pd.NA))
    told = _judged(asked, verdicts)
    told["node_b"], told["bundle_b"] = [node for node, _, _ in where], [bundle for _, bundle, _ in where]
    told["offset"] = pd.array([offset for _, _, offset in where], "Int64")
    return told


def _of_pair(row: Mapping[Any, Any], uplinks: Uplinks) -> Verdict:
    left, entered = row["syns_a"], row["syns_b"]
    if pd.isna(row["offset"]):
        return _open(
            f"{len(left)} SYNs left and {len(entered)} entered, but nothing tells how the clocks differ"
        )
    missing = [
        time
        for time in unmatched(left, entered, int(row["offset"]))
        if not _answered(time, left, row["synacks_a"])
    ]
    if not missing:
        return Verdict(fate=Fate.PASSED, confidence=row["confidence"])
    here, there = uplinks[row["bundle_a"]], uplinks[row["bundle_b"]]
    return _lost(missing, row["offset"], here, there, row["node_b"])


def _lost(
    times: Sequence[int],
    offset: Any,
    here: Sequence[Recorded],
    there: Sequence[Recorded],
    node: str,
) -> Verdict:
    """Say that SYNs were lost, unless the captures of both nodes cannot tell."""
    if pd.isna(offset):
        return _open(f"nothing tells how the clock of {node} differs, so whether it was recording then")
    if not _covers(there, times, int(offset)):
        return _open(f"{node} was not recording then")
    if not _covers(here, times, FLEET_ANSWER):
        return _open("its own node's capture ended before an answer could come")
    dropped = [point.dropped for point in there]
    if any(dropped):
        return _open(
            f"the capture at {node} lost {sum(filter(None, dropped))} packets; these may be among them"
        )
    return Verdict(
        fate=Fate.VANISHED,
        vanished=len(times),
        because=f"never answered; {node} was recording, and other connections to this address entered it",
        confidence="possible" if None in dropped else "likely",
    )


def _open(because: str) -> Verdict:
    return Verdict(fate=Fate.UNDECIDABLE, because=because, confidence="possible")


def _answered(time: int, syns: Sequence[int], synacks: Sequence[int]) -> bool:
    """Whether an answer came back before the next SYN: then it was delivered, whatever was recorded."""
    following = min((syn for syn in syns if syn > time), default=None)
    return any(time < answer and (following is None or answer < following) for answer in synacks)


def _recording(times: Sequence[int], entered: dict[str, Any], uplinks: Uplinks) -> tuple[str, Any]:
    """The bundle in which these SYNs should be, and its clock's offset; the first one where none covers them."""
    for bundle, offset in entered.items():
        if not pd.isna(offset) and _covers(uplinks[bundle], times, int(offset)):
            return bundle, offset
    return next(iter(entered.items()))


def _covers(uplinks: Sequence[Recorded], times: Sequence[int], offset: int) -> bool:
    """Whether every uplink of a node was recording so many ns after these times."""
    return bool(uplinks) and all(
        point.first is not None and point.last is not None and point.first <= time + offset <= point.last
        for point in uplinks
        for time in times
    )


def _uplinks(results: Iterable[Result]) -> Uplinks:
    return {result.path: [p for p in result.points if p.role == "uplink"] for result in results}


def _judged(rows: pd.DataFrame, verdicts: Sequence[Verdict]) -> pd.DataFrame:
    return rows.assign(
        **{
            name: [str(v.fate) if name == "fate" else getattr(v, name) for v in verdicts]
            for name in ("fate", "vanished", "because", "confidence")
        }
    )
