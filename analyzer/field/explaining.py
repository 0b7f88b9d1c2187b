"""Which slow request waited for which connection: the log of those who waited, joined to what the captures show."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Literal, NamedTuple

from analyzer.field.slowlog import SlowRequest

MOST = 256
"""Connections that are compared with one request: those that began last in the time that comes into question."""
CANDIDATES = 8
"""Connections that come into question for one request in the end: those that fit best."""
STOOD = frozenset({"ok", "delayed"})
"""Outcomes of connections that stood in the end."""
_FINEST_NS = 1_000_000
"""Of a log; a time is noted a little before or after the packet leaves."""

Verdict = Literal["node", "network", "server", "untold", "unmatched"]
"""Where a slow request's time went: lost on this node; in a connect that was slow or failed and lost nothing here; after the
connection stood; nobody can tell; no connection of the captures fits."""
_SAYS: tuple[tuple[Verdict, str], ...] = (
    ("server", "slow at the server"),
    ("network", "slow or failed without a loss on this node"),
    ("untold", "on a connection that the captures cannot explain"),
    ("unmatched", "not among the captured connections"),
)


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
    name: str
    """`10.244.0.11:20000 > 192.0.2.100:80/tcp`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A slow request and the connection that it waited for."""

    request: SlowRequest
    connection: Connection | None
    """None where none fits."""
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowLog:
    """Slow requests, explained."""

    requests: tuple[Explained, ...] = field(repr=False)
    """In the order of the log."""
    says: str
    """`of 14 slow requests 13 are explained: 13 by snat-port-race; 1 was slow at the server`."""

    @property
    def verdicts(self) -> dict[str, int]:
        """Verdict to requests."""
        return dict(Counter(one.verdict for one in self.requests))


def explain(requests: Sequence[SlowRequest], connections: Sequence[Connection]) -> SlowLog:
    """Find the connection of each request.

    A connection fits if it has the addresses and ports that the log tells, began while the request ran, and its opener
    waited no longer than the request did. Of several the one is taken that began next to it and whose wait is most like
    its duration; each explains one request, so that there are never more explained than were lost.

    Args:
        requests: In any order.
        connections: In any order.
    """
    index = _Index(requests, connections)
    pairs: list[tuple[bool, float, int, int]] = []
    for number, request in enumerate(requests):
        fitting = nsmallest(
            CANDIDATES, ((_off(request, connections[at]), at) for at in index.fitting(request))
        )
        pairs += ((request.sport is None, off, number, at) for off, at in fitting)
    pairs.sort()
    taken: set[int] = set()
    found: dict[int, Connection] = {}
    for *_, number, at in pairs:
        if number not in found and at not in taken:
            found[number] = connections[at]
            taken.add(at)
    explained = tuple(
        Explained(request=request, connection=found.get(number), verdict=_verdict(request, found.get(number)))
        for number, request in enumerate(requests)
    )
    return SlowLog(requests=explained, says=_sentence(explained))


def _off(request: SlowRequest, connection: Connection) -> float:
    """How far a connection is from explaining a request, whose time may be that of its beginning or of its end."""
    away = min(abs(connection.first_ns - moment) for moment in (request.begin, request.latest))
    return abs(request.duration - connection.delay_s) + away / 1e9


def _verdict(request: SlowRequest, connection: Connection | None) -> Verdict:
    """Blame whatever took the larger part of the time."""
    if connection is None:
        return "unmatched"
    if connection.outcome in STOOD and connection.delay_s < request.duration - connection.delay_s:
        return "server"
    if connection.told == "unknown":
        return "untold"
    return "node" if connection.told == "node" else "network"


_Ends = tuple[str | None, int | None, str | None, int | None]


class _Index:
    """Connections by what requests tell of their ends, and time."""

    def __init__(self, requests: Sequence[SlowRequest], connections: Sequence[Connection]) -> None:
        self._connections = connections
        groups: defaultdict[_Ends, list[int]] = defaultdict(list)
        shapes = {tuple(end is not None for end in _ends(request)) for request in requests}
        for at in sorted(range(len(connections)), key=lambda at: connections[at].first_ns):
            src, sport, dst, dport = connections[at][:4]
            for a, b, c, d in shapes:
                groups[
                    src if a else None, sport if b else None, dst if c else None, dport if d else None
                ].append(at)
        self._groups = dict(groups)
        self._times = {key: [connections[at].first_ns for at in group] for key, group in groups.items()}

    def fitting(self, request: SlowRequest) -> Iterator[int]:
        """Connections that may be the request's."""
        key = _ends(request)
        times = self._times.get(key, [])
        slack = max(_FINEST_NS, _precision(request.latest))
        low = bisect_left(times, request.begin - slack)
        high = bisect_right(times, request.latest + slack)
        for at in self._groups.get(key, [])[max(low, high - MOST) : high]:
            if self._connections[at].delay_s <= request.duration + slack / 1e9:
                yield at


def _ends(request: SlowRequest) -> _Ends:
    return request.src, request.sport, request.dst, request.dport


def _precision(ns: int) -> int:
    """How exactly a time was noted, by its zeros: a second, or less."""
    return next((unit for unit in (10**9, 10**8, 10**7, 10**6) if ns % unit == 0), 1)


def _sentence(explained: Sequence[Explained]) -> str:
    counts = Counter(one.verdict for one in explained)
    causes = Counter(
        one.connection.cause or "unknown" for one in explained if one.connection and one.verdict == "node"
    )
    total, node = counts.total(), counts["node"]
    if not total:
        return "no slow request"
    told = [
        f"of {total} slow request{'s' * (total != 1)} {node or 'none'} {'are' if node > 1 else 'is'} explained"
    ]
    if causes:
        told[0] += ": " + ", ".join(f"{count} by {cause}" for cause, count in causes.most_common())
    for verdict, says in _SAYS:
        if count := counts[verdict]:
            told.append(f"{count} {'were' if count > 1 else 'was'} {says}")
    return "; ".join(told)
