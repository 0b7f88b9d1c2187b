"""Fleet reports to render: a usual one, one of nothing, one that is large and hostile."""

from __future__ import annotations

import pandas as pd

from analyzer.fleet.over_time import DATED, over_time
from analyzer.fleet.summary import Between, FleetReport, Loser, LostBetween, NodeRow, Problem
from analyzer.report.page import Folded, fold

HOSTILE = '<script>alert(1)</script>\x1b[31m\u202e\' onload="x" ' + "w" * 300


def loser(name: str, lost: int = 5, node: str = "") -> Loser:
    """Something that lost packets."""
    return Loser(
        name=name,
        node=node,
        lost=lost,
        connections=2,
        nodes=1,
        causes=(("snat-port-race", lost - 1), ("unknown", 1)),
        first=DATED,
        last=DATED + 3600 * 10**9,
    )


def report(names: list[str], limit: int = 200) -> FleetReport:
    """A fleet whose nodes, pods and so on bear these names."""
    losers = [loser(name, 5 + number) for number, name in enumerate(names)]
    findings = pd.DataFrame(
        [(name, DATED + number * 10**11, 5) for number, name in enumerate(names)],
        columns=["node", "ns", "lost"],
    )
    nodes = [
        NodeRow(
            node=name, bundles=3, connections=1200, requests=1300, vanished=4, unanswered=1, invalid=0,
            loser=loser if number else None,
        )
        for number, (name, loser) in enumerate(zip(names, losers, strict=True))
    ]  # fmt: skip
    between = [
        Between(
            left=name, entered="node-z", connections=9, syns=10, vanished=1, undecidable=2, round_trip=680_000,
            transit=None, clock_offset=-2_500_000_000,
        )
        for name in names
    ]  # fmt: skip
    lost = [
        LostBetween(
            time=DATED,
            left_node=name,
            entered_node="node-z",
            pod=name,
            left=name,
            vanished=2,
            confidence="possible",
        )
        for name in names
    ]
    return FleetReport(
        root="s3://captures/november",
        bundles=3 * len(names),
        analysed=2,
        done_before=7,
        period=(DATED, DATED + 86400 * 10**9),
        requests=1300 * len(names),
        lost=5 * len(names),
        losing=len(names),
        nodes=fold(nodes, limit),
        destinations=fold(losers, limit),
        pods=fold([loser(name, node=name) for name in names], limit),
        by_bundle=fold(losers, limit),
        causes=(("snat-port-race", 4), ("unknown", 1)),
        over_time=over_time(findings),
        between=fold(between, limit),
        vanished_between=len(names),
        lost_between=fold(lost, limit),
        bad=fold([Problem(bundle=name, says=f"{name}: no capture found") for name in names], limit),
        inconclusive=fold([Problem(bundle=name, says=name) for name in names], limit),
    )


def usual() -> FleetReport:
    """Three nodes."""
    return report(["node-a", "node-b", "node-c"])


def large() -> FleetReport:
    """Thousands of hostile names."""
    return report([f"{number}{HOSTILE}" for number in range(2000)])


def nothing() -> FleetReport:
    """No bundle could be analysed."""
    empty: Folded[object] = fold([], 1)
    return FleetReport(
        root="captures", bundles=0, analysed=0, done_before=0, period=None, requests=0, lost=0, losing=0,
        nodes=empty, destinations=empty, pods=empty, by_bundle=empty, causes=(), over_time=None, between=empty,
        vanished_between=0, lost_between=empty, bad=fold([Problem(bundle="a/x", says="it is broken")], 9),
        inconclusive=empty,
    )  # type: ignore[arg-type]  # fmt: skip
