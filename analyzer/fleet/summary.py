"""What the fleet report tells, chosen and counted: renderers compute nothing.

Every list has a limit, so thousands of bundles make a page that opens; what is beyond it is counted, and in the dataset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analyzer.connection.model import Account
from analyzer.fleet import dataset
from analyzer.fleet.dataset import Result
from analyzer.fleet.over_time import DATED, OverTime, over_time
from analyzer.fleet.places import Place
from analyzer.incident.wording import count
from analyzer.report.page import Folded, fold

RANKED = 200
"""Nodes, destinations, pods, bundles and pairs of nodes that are listed."""
TOLD = 100
"""Single connections that were lost between nodes, bad bundles, inconclusive ones."""
_COLUMNS = ["node", "bundle", "pod", "destination", "time", "cause", "vanished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loser:
    """A node, a destination, a pod or a bundle, and what it lost."""

    name: str
    node: str
    """Of a pod; else empty."""
    lost: int
    """Packets that vanished, of all kinds, and one for each connection that lost otherwise."""
    connections: int
    """Connections that lost something."""
    nodes: int
    """Nodes at which they did."""
    causes: tuple[tuple[str, int], ...]
    """The causes with the packets that each took, the worst first; three at most."""
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node: how much was recorded there, and how much was lost."""

    node: str
    bundles: int
    connections: int
    requests: int
    """SYNs and UDP requests."""
    vanished: int
    """How many of them vanished in the node."""
    unanswered: int
    """SYNs that left the node and got no answer."""
    invalid: int
    """Packets that conntrack called INVALID."""
    loser: Loser | None
    """None where nothing was lost."""

    @property
    def share(self) -> float:
        """Of the requests, those that vanished."""
        return self.vanished / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """What went from one node to another."""

    left: str
    entered: str
    connections: int
    """That both nodes saw, or should have."""
    syns: int
    vanished: int
    """SYNs that left and did not enter."""
    undecidable: int
    """Connections of which nothing can be said."""
    round_trip: int | None
    """ns between the uplinks and back, median."""
    transit: int | None
    """ns from one uplink to the other, median; as good as the estimate of the clocks."""
    clock_offset: int | None
    """ns that the second node's clock is ahead, median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostBetween:
    """A connection with SYNs that left one node and did not enter the other."""

    time: int
    left_node: str
    entered_node: str
    pod: str
    left: str
    vanished: int
    confidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A bundle, and one sentence about it."""

    bundle: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """Everything that the fleet report tells."""

    root: str
    bundles: int
    """With a result, from this run or earlier ones."""
    analysed: int
    """In this run."""
    done_before: int
    """Found unchanged, so not analysed again."""
    period: tuple[int, int] | None
    requests: int
    account: Account = field(default_factory=Account)
    """Of all bundles together."""
    lost: int
    losing: int
    """Nodes that lost something."""
    nodes: Folded[NodeRow]
    destinations: Folded[Loser]
    pods: Folded[Loser]
    by_bundle: Folded[Loser]
    causes: tuple[tuple[str, int], ...]
    over_time: OverTime | None
    between: Folded[Between]
    vanished_between: int
    """SYNs that left one node and did not enter another."""
    lost_between: Folded[LostBetween]
    bad: Folded[Problem]
    inconclusive: Folded[Problem]

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        counted = count(self.bundles, "bundle")
        nodes = count(len(self.nodes.shown) + self.nodes.hidden, "node")
        if not self.bundles:
            return "No bundle could be analysed"
        told = []
        if self.lost:
            told.append(f"{count(self.lost, 'packet')} lost at {self.losing:,} of {nodes}")
        if self.vanished_between:
            told.append(f"{count(self.vanished_between, 'SYN')} lost between nodes")
        if self.account.open:
            told.append(f"{count(self.account.open, 'connection')} failed, cannot tell where")
        elif not told and self.account.outside:
            told.append(
                f"Nothing was lost in {counted} of {nodes}; {self.account.outside:,} connections failed outside them"
            )
        return "; ".join(told) or f"Nothing was lost in {counted} of {nodes}"


def summarise(
    root: str,
    kept: Sequence[Result],
    joined: pd.DataFrame,
    target: Place,
    *,
    bad: Sequence[Result],
    analysed: int,
    done_before: int,
) -> FleetReport:
    """Count what is told.

    Args:
        root: What was analysed, as the user named it.
        kept: The results of all bundles that were analysed, now or before.
        joined: See `analyzer.fleet.joining`.
        target: Where the dataset is.
        bad: The bundles that could not be analysed.
        analysed: How many were analysed now.
        done_before: How many were not analysed again.
    """
    findings = dataset.read("findings", kept, target, _COLUMNS).to_pandas()
    findings["lost"] = findings["vanished"].where(findings["vanished"] > 0, 1)
    findings["ns"] = findings["time"].astype("int64")
    findings["cause"] = findings["cause"].astype(object)
    losers = {loser.name: loser for loser in _losers(findings, ["node"])}
    nodes = _nodes(kept, losers)
    times = [time for r in kept for p in r.points for time in (p.first, p.last) if time is not None]
    dates = [time for time in times if time >= DATED] or times
    return FleetReport(
        root=root,
        bundles=len(kept),
        analysed=analysed,
        done_before=done_before,
        period=(min(dates), max(dates)) if dates else None,
        requests=sum(row.requests for row in nodes),
        account=_account(kept),
        lost=int(findings["lost"].sum()),
        losing=len(losers),
        nodes=fold(nodes, RANKED),
        destinations=fold(_losers(findings, ["destination"]), RANKED),
        pods=fold(_losers(findings, ["pod", "node"]), RANKED),
        by_bundle=fold(_losers(findings, ["bundle"]), RANKED),
        causes=_causes(findings),
        over_time=over_time(findings),
        between=fold(_between(joined), RANKED),
        vanished_between=int(joined["vanished"].sum()),
        lost_between=fold(_lost_between(joined), TOLD),
        bad=fold([Problem(bundle=r.path, says=r.problem or "") for r in bad], TOLD),
        inconclusive=fold(
            [Problem(bundle=r.path, says=r.inconclusive) for r in kept if r.inconclusive], TOLD
        ),
    )


def _account(kept: Iterable[Result]) -> Account:
    """The four numbers of all bundles; those of results that an earlier version kept are not known."""
    sums = Counter[str]()
    for result in kept:
        sums.update(result.account)
    return Account(
        connections=sums["connections"],
        worked=sums["worked"],
        node=sums["node"],
        outside=sums["outside"],
        unknown=sums["unknown"],
        why_unknown={"unfinished": sums["unknown"] - sums["open"]} if sums["unknown"] > sums["open"] else {},
    )


def _losers(findings: pd.DataFrame, by: list[str]) -> list[Loser]:
    """Rank what the findings are of, the worst first."""
    table = findings.groupby(by, sort=True).agg(
        lost=("lost", "sum"),
        connections=("lost", "size"),
        nodes=("node", "nunique"),
        first=("ns", "min"),
        last=("ns", "max"),
    )
    table = table.sort_values("lost", ascending=False, kind="stable")
    keys: list[Any] = [key if isinstance(key, tuple) else (key,) for key in table.index]
    causes: dict[object, list[tuple[str, int]]] = {}
    by_cause = (
        findings.groupby([*by, "cause"], sort=True)["lost"].sum().sort_values(ascending=False, kind="stable")
    )
    for (*name, cause), lost in zip(by_cause.index, by_cause, strict=True):
        causes.setdefault(tuple(name), []).append((str(cause), int(lost)))
    return [
        Loser(
            name=str(key[0]),
            node=str(key[1]) if len(key) > 1 else "",
            lost=int(lost),
            connections=int(connections),
            nodes=int(nodes),
            causes=tuple(causes[key][:3]),
            first=int(first),
            last=int(last),
        )
        for key, (lost, connections, nodes, first, last) in zip(keys, table.to_numpy(), strict=True)
    ]


def _nodes(kept: Iterable[Result], losers: dict[str, Loser]) -> list[NodeRow]:
    by_node: dict[str, list[dict[str, int]]] = {}
    for result in kept:
        by_node.setdefault(result.node, []).append(result.counts)
    rows = [
        NodeRow(
            node=node,
            bundles=len(counts),
            connections=sum(c["connections"] for c in counts),
            requests=sum(c["syn_attempts"] + c["udp_requests"] for c in counts),
            vanished=sum(c["syn_vanished"] + c["udp_vanished"] for c in counts),
            unanswered=sum(c["syn_unanswered"] for c in counts),
            invalid=sum(c["invalid_packets"] for c in counts),
            loser=losers.get(node),
        )
        for node, counts in by_node.items()
    ]
    return sorted(rows, key=lambda row: (-(row.loser.lost if row.loser else 0), row.node))


def _causes(findings: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    lost = findings.groupby("cause")["lost"].sum().sort_values(ascending=False, kind="stable")
    return tuple((str(cause), int(count)) for cause, count in lost.items())


def _between(joined: pd.DataFrame) -> list[Between]:
    known = joined[joined["entered_node"].notna()]
    rows = [
        Between(
            left=str(left),
            entered=str(entered),
            connections=len(rows),
            syns=int(rows["syns_left"].sum()),
            vanished=int(rows["vanished"].sum()),
            undecidable=int((rows["fate"] == "undecidable").sum()),
            round_trip=_median(rows["round_trip_ns"]),
            transit=_median(rows["transit_ns"]),
            clock_offset=_median(rows["clock_offset_ns"]),
        )
        for (left, entered), rows in known.groupby(["left_node", "entered_node"], observed=True)
    ]
    return sorted(rows, key=lambda row: (-row.vanished, -row.connections, row.left, row.entered))


def _lost_between(joined: pd.DataFrame) -> list[LostBetween]:
    return [
        LostBetween(
            time=row["time"].value,
            left_node=row["left_node"],
            entered_node=row["entered_node"],
            pod=row["pod"] if isinstance(row["pod"], str) else "",
            left=row["left"],
            vanished=row["vanished"],
            confidence=row["confidence"],
        )
        for row in joined[joined["vanished"] > 0].to_dict("records")
    ]


def _median(values: pd.Series[int]) -> int | None:
    known = values.dropna()
    return round(float(known.astype("float64").median())) if len(known) else None
