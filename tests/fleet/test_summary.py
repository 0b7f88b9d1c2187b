"""What the report counts: nodes, destinations, pods, pairs of nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from analyzer.fleet import joining, summary
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from analyzer.fleet.summary import FleetReport, summarise
from tests.conversation import START

Kept = tuple[list[Result], Place]
NONE = pd.DataFrame(columns=joining.SCHEMA.names)


def counted(kept: Kept, joined: pd.DataFrame | None = None, **more: Any) -> FleetReport:
    """The report on what is kept."""
    results, place = kept
    told = {"bad": [], "analysed": 3, "done_before": 0, **more}
    return summarise(
        "root", results, joining.join(results, place) if joined is None else joined, place, **told
    )


def findings(monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, str, str, str, int]) -> None:
    """Let the dataset hold findings: node, pod, destination, cause, vanished."""
    table = pd.DataFrame(rows, columns=["node", "pod", "destination", "cause", "vanished"])
    table["time"] = pd.to_datetime(START + table.index.to_numpy() * 10**9, utc=True)
    table["bundle"] = table["node"] + "/x"
    monkeypatch.setattr(summary.dataset, "read", lambda *_: pa.Table.from_pandas(table))


def test_a_real_fleet(kept: Kept) -> None:
    """One SYN vanished in node-a; nothing between the nodes."""
    report = counted(kept)
    (pod,), (destination,) = report.pods.shown, report.destinations.shown
    (pair,) = report.between.shown

    assert "1 packet lost at 1 of 2 nodes" == report.headline
    assert ("10.244.1.5", "node-a", 1, 1, START + 3 * 10**9) == (
        pod.name, pod.node, pod.lost, pod.connections, pod.first,
    )  # fmt: skip
    assert ("192.0.2.100:80/tcp", 1, (("unknown", 1),)) == (
        destination.name, destination.nodes, destination.causes,
    )  # fmt: skip
    assert ("node-a", "node-b", 1, 1, 0) == (
        pair.left, pair.entered, pair.connections, pair.syns, pair.vanished,
    )  # fmt: skip
    assert ["node-a", "node-b"] == [row.node for row in report.nodes.shown]
    assert (2, 1, None) == (
        report.nodes.shown[0].bundles, report.nodes.shown[0].vanished, report.nodes.shown[1].loser,
    )  # fmt: skip


def test_who_loses_most(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets decide, not connections; a connection that lost none but was reset counts one; equals go by name."""
    findings(
        monkeypatch,
        ("node-a", "10.0.0.1", "x:80/tcp", "snat-port-race", 1),
        ("node-a", "10.0.0.1", "y:80/tcp", "ack-under-lower-bound", 0),
        ("node-b", "10.0.0.1", "y:80/tcp", "snat-port-race", 5),
        ("node-b", "10.0.0.2", "z:80/tcp", "policy-drop", 2),
    )
    report = counted(kept, NONE)

    assert (9, 2) == (report.lost, report.losing)
    assert [("y:80/tcp", 6, 2, 2), ("z:80/tcp", 2, 1, 1), ("x:80/tcp", 1, 1, 1)] == [
        (row.name, row.lost, row.connections, row.nodes) for row in report.destinations.shown
    ]
    assert (("snat-port-race", 5), ("ack-under-lower-bound", 1)) == report.destinations.shown[0].causes
    # The same address at two nodes is two pods.
    assert [("10.0.0.1", "node-b", 5), ("10.0.0.1", "node-a", 2), ("10.0.0.2", "node-b", 2)] == [
        (row.name, row.node, row.lost) for row in report.pods.shown
    ]
    assert ["node-b", "node-a"] == [row.node for row in report.nodes.shown]
    assert (("snat-port-race", 6), ("policy-drop", 2), ("ack-under-lower-bound", 1)) == report.causes


def test_lists_are_cut(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond a limit is counted."""
    findings(
        monkeypatch,
        *[("node-a", f"10.0.{n // 250}.{n % 250}", f"h{n}:80/tcp", "unknown", 1) for n in range(300)],
    )
    report = counted(kept, NONE, bad=[replace(kept[0][0], path=f"n/{n}", problem="bad") for n in range(150)])

    assert (summary.RANKED, 100) == (len(report.pods.shown), report.pods.hidden)
    assert (summary.TOLD, 50) == (len(report.bad.shown), report.bad.hidden)
    assert 300 == report.lost


def test_between_nodes(kept: Kept) -> None:
    """Losses first; medians of what is known."""
    row = {
        "time": pd.Timestamp(START, tz="UTC"), "left_node": "a", "entered_node": "b", "pod": "p", "left": "x",
        "syns_left": 1, "vanished": 0, "fate": "passed", "confidence": "proven",
    }  # fmt: skip
    table = pd.DataFrame(
        [
            row | {"round_trip_ns": 100, "transit_ns": 40},
            row | {"round_trip_ns": 300, "transit_ns": None},
            row | {"round_trip_ns": None, "transit_ns": None, "fate": "undecidable"},
            row
            | {
                "entered_node": "c",
                "vanished": 2,
                "syns_left": 2,
                "fate": "vanished",
                "confidence": "likely",
            },
            row | {"entered_node": None, "fate": "undecidable"},
        ],
        columns=joining.SCHEMA.names,
    ).astype(dict.fromkeys(["round_trip_ns", "transit_ns", "clock_offset_ns"], "Int64"))
    report = counted(kept, table)
    first, second = report.between.shown

    assert ("a", "c", 2, None) == (first.left, first.entered, first.vanished, first.round_trip)
    assert (3, 1, 200, 40, None) == (
        second.connections, second.undecidable, second.round_trip, second.transit, second.clock_offset,
    )  # fmt: skip
    assert [("a", "c", 2, "likely")] == [
        (lost.left_node, lost.entered_node, lost.vanished, lost.confidence)
        for lost in report.lost_between.shown
    ]
    assert report.headline.endswith("; 2 SYNs lost between nodes")


def test_nothing_lost(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The headline says of how much."""
    findings(monkeypatch)

    assert "Nothing was lost in 3 bundles of 2 nodes" == counted(kept, NONE).headline


def test_nothing_at_all(kept: Kept) -> None:
    """Every bundle is bad."""
    report = counted(([], kept[1]), NONE)

    assert ("No bundle could be analysed", None, 0) == (report.headline, report.period, report.requests)


def test_what_proves_nothing(kept: Kept) -> None:
    """A bundle of a single point is told of: that it shows no loss says nothing."""
    results, place = kept
    blind = replace(results[0], inconclusive="only eth0 was captured")

    assert [("node-a/monday", "only eth0 was captured")] == [
        (problem.bundle, problem.says) for problem in counted(([blind], place), NONE).inconclusive.shown
    ]
