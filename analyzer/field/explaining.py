"""Which slow request waited for which connection: the log of those who waited, joined to what the captures show."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from analyzer.field.slowlog import SlowRequest

MOST = 256
"""Connections that are compared with one request: those that began last in the time that comes into question."""
_FINEST_NS = 1_000_000
"""Of a log; a time is noted a little before or after the packet leaves."""

Verdict = Literal["node", "network", "server", "untold", "unmatched"]
"""Where a slow request's time went: lost on this node; in a connect that was slow or failed and lost nothing here; after the
connection stood; nobody can tell; no connection of the captures fits."""
STOOD = frozenset({"ok", "delayed"})
"""Outcomes of connections that stood in the end."""


class Connection(NamedTuple):
    """One connection of the captures, as its opener saw it."""

    src: str
    sport: int
    dst: str
    dport: int
    first_ns: int
    """When its first packet was sent."""
    delay_s: float
    """How long its opener waited beyond a handshake without loss; 0 where it never stood."""
    outcome: str
    """As in the table of connections; as the following."""
    told: str
    """Its class."""
    incident: str
    """Empty if it belongs to none."""
    cause: str
    """Of the incident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A slow request and its connection."""

    request: SlowRequest
    connection: int | None
    """Index of the connection; None where none fits."""
    verdict: Verdict


def explain(requests: Sequence[SlowRequest], connections: Sequence[Connection]) -> list[Explained]:
    """Find the connection of each request.

    A connection fits if it has the addresses and ports that the log tells, began while the request ran, and its opener
    waited no longer than the request did. Of several the one is taken that began next to it and whose wait is most like
    its duration; each explains one request, so that there are never more explained than were lost.

    Args:
        requests: In any order.
        connections: In any order.

    Returns: One for each request, in their order.
    """
    index = _Index(connections)
    pairs: list[tuple[bool, float, int, int]] = []
    for number, request in enumerate(requests):
        for at in index.fitting(request):
            connection = connections[at]
            # It may note its beginning or its end.
            away = min(abs(connection.first_ns - moment) for moment in (request.begin, request.latest))
            off = abs(request.duration - connection.delay_s) + away / 1e9
            pairs.append((request.sport is None, off, number, at))
    pairs.sort()
    taken: set[int] = set()
    found: dict[int, int] = {}
    for *_, number, at in pairs:
        if number not in found and at not in taken:
            found[number] = at
            taken.add(at)
    return [
        Explained(
            request=request,
            connection=found.get(number),
            verdict=_verdict(request, connections[found[number]]) if number in found else "unmatched",
        )
        for number, request in enumerate(requests)
    ]


def _verdict(request: SlowRequest, connection: Connection) -> Verdict:
    """Blame whatever took the larger part of the time."""
    if connection.outcome in STOOD and connection.delay_s < request.duration - connection.delay_s:
        return "server"
    if connection.told == "unknown":
        return "untold"
    return "node" if connection.told == "node" else "network"


class _Index:
    """Connections by destination and time."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections
        order = sorted(range(len(connections)), key=lambda at: connections[at].first_ns)
        groups: defaultdict[tuple[str | None, int | None], list[int]] = defaultdict(list)
        for at in order:
            connection = connections[at]
            for dst in (connection.dst, None):
                for dport in (connection.dport, None):
                    groups[dst, dport].append(at)
        self._groups = dict(groups)
        self._times = {key: [connections[at].first_ns for at in group] for key, group in groups.items()}

    def fitting(self, request: SlowRequest) -> Iterator[int]:
        """Connections that may be the request's."""
        key = (request.dst, request.dport)
        times = self._times.get(key, [])
        slack = max(_FINEST_NS, _precision(request.latest))
        low = bisect_left(times, request.begin - slack)
        high = bisect_right(times, request.latest + slack)
        for at in self._groups.get(key, [])[max(low, high - MOST) : high]:
            connection = self._connections[at]
            if (
                request.src in (None, connection.src)
                and request.sport in (None, connection.sport)
                and connection.delay_s <= request.duration + slack / 1e9
            ):
                yield at


def _precision(ns: int) -> int:
    """How exactly a time was noted, by its zeros: a second, or less."""
    return next((unit for unit in (10**9, 10**8, 10**7, 10**6) if ns % unit == 0), 1)


def summary(explained: Iterable[Explained], connections: Sequence[Connection]) -> str:
    """Say it in one sentence: `of 14 slow requests 13 are explained: 13 by snat-port-race; 1 was slow at the server`."""
    counts: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for each in explained:
        counts[each.verdict] += 1
        if each.verdict == "node" and each.connection is not None:
            causes[connections[each.connection].cause or "unknown"] += 1
    total, node = counts.total(), counts["node"]
    if not total:
        return "no slow request"
    told = [
        f"of {total} slow request{'s' * (total != 1)} {node or 'none'} {'are' if node > 1 else 'is'} explained"
    ]
    if causes:
        told[0] += ": " + ", ".join(f"{count} by {cause}" for cause, count in causes.most_common())
    for verdict, says in (
        ("server", "slow at the server"),
        ("network", "slow or failed without a loss on this node"),
        ("untold", "of a connection of which the captures cannot tell"),
        ("unmatched", "of no connection that was captured"),
    ):
        if count := counts[verdict]:
            told.append(f"{count} {'were' if count > 1 else 'was'} {says}")
    return "; ".join(told)
