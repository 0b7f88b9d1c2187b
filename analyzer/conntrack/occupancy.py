"""How full conntrack's table was, estimated from the captures alone, and who filled it.

Each flow is counted once, at the point that its packets meet first, for as long as its entry lives (`lives`).
The result is a lower bound of what the node's table held: `unknown` says what the captures cannot show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzer.compute.threads import side_by_side
from analyzer.connection.fates import VANISHED, Followed
from analyzer.connection.passages import address
from analyzer.conntrack.generation import Generation
from analyzer.conntrack.lives import BEFORE, STATES, Lives, lives
from analyzer.conntrack.timeouts import Timeouts
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP, Point
from analyzer.nat.gap import Gap
from analyzer.nat.tuples import SRC
from analyzer.node.ways import IN, OUT

MOMENTS = 500
"""Points of the curve, at most."""
NAMED = 10
"""Sources and destinations that are named; the rest is one number."""
OTHER = "other"
_PROTOCOLS = {
    ICMP: "icmp",
    TCP: "tcp",
    UDP: "udp",
    47: "gre",
    ICMP6: "icmpv6",
    132: "sctp",
}  # as `conntrack -L` does
_Found = list[tuple["Point", Lives]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Occupancy:
    """Entries of the table over time, and what they were when there were most."""

    time: NDArray[np.int64]
    """ns on the bundle's clock, ascending, the first of `peak_time` among them; from the first packet to the last."""
    entries: NDArray[np.int64]
    """As long as `time`."""
    peak: int
    """The most entries at one moment."""
    peak_time: int
    by_protocol: Mapping[str, int]
    """Entries at the peak: `tcp`, `udp`, ...; the most frequent first, as in the following."""
    by_state: Mapping[str, int]
    """The TCP ones, by state as `conntrack -L` names it."""
    by_source: Mapping[str, int]
    """By the address that opened the connection, before NAT: `NAMED` of them, then `other`."""
    by_destination: Mapping[str, int]
    """By the address that was asked for, before NAT."""
    unknown: tuple[str, ...]
    """What the estimate cannot know, in sentences."""


def estimate(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    generation: Generation,
    timeouts: Timeouts,
    requests: Iterable[Followed] = (),
) -> Occupancy | None:
    """Replay the lives of all entries.

    Args:
        points: All points of the bundle.
        gaps: All gaps between them.
        generation: The kernel's rules.
        timeouts: The node's settings.
        requests: What became of the requests: those that vanished in the node made no entry. Without it, all did.

    Returns:
        None if there is no packet at all.
    """
    recorded = [point for point in points if len(point.packets)]
    if not recorded:
        return None
    begin = min(point.span[0] for point in recorded)
    end = max(point.span[1] for point in recorded)
    lost = _lost(points, gaps, requests)
    each = side_by_side(
        lambda point: lives(point, _met_first(point, gaps), lost[point.name], generation, timeouts), recorded
    )
    found = [(point, some) for point, both in zip(recorded, each, strict=True) for some in both]
    begins = np.sort(np.maximum(np.concatenate([some.begin for _, some in found]), begin))
    ends = np.sort(np.concatenate([some.end for _, some in found]))
    # Right after a new entry is when there can be most.
    after = np.arange(1, len(begins) + 1) - np.searchsorted(ends, begins, "right")
    place = int(np.argmax(after)) if len(after) else 0
    peak_time = int(begins[place]) if len(begins) else begin
    peak_time = int(np.clip(peak_time, begin, end))
    time = distinct(np.append(np.linspace(begin, end, MOMENTS - 1).astype(np.int64), peak_time))
    entries = np.searchsorted(begins, time, "right") - np.searchsorted(ends, time, "right")
    alive = [(point, some.take((some.begin <= peak_time) & (some.end > peak_time))) for point, some in found]
    return Occupancy(
        time=time,
        entries=entries,
        peak=int(entries.max()),
        peak_time=peak_time,
        by_protocol=_protocols(alive),
        by_state=_states(alive, peak_time),
        by_source=_addresses(alive, "src"),
        by_destination=_addresses(alive, "dst"),
        unknown=_unknown(recorded, found),
    )


def _met_first(point: Point, gaps: Sequence[Gap]) -> NDArray[np.bool_]:
    """The point's flows whose originator's packets no other point met before."""
    first = np.ones(len(point.flows), bool)
    for gap in gaps:
        if gap.outer is point:
            leg = gap.inward()
            first[leg.flows_here[leg.heading != IN]] = False
            first[leg.unclear] = False  # the same as some flow inside, whichever that is
            first &= ~_untranslated(gap)
        elif gap.inner is point:
            first[gap.matches.a[gap.heading == IN]] = False
    return first


def _untranslated(gap: Gap) -> NDArray[np.bool_]:
    """Uplink flows with the address of a pod whose connections are translated: INVALID, so they make no entry."""
    m = gap.matches
    translated = m.a[(m.agreed & SRC == 0) & (gap.heading == OUT)]
    return among(gap.outer.src, distinct(gap.inner.src[translated]))


def _lost(
    points: Sequence[Point], gaps: Sequence[Gap], requests: Iterable[Followed]
) -> dict[str, NDArray[np.int64]]:
    """Point to which of its packets vanished in the node, here or at a point further along; rows, ascending."""
    lost: dict[str, NDArray[np.int64]] = {point.name: np.zeros(0, np.int64) for point in points}
    for at in requests:
        rows = at.rows[at.fate == VANISHED]
        lost[at.point.name] = distinct(np.concatenate([lost[at.point.name], rows]))
    # Innermost gaps come first: against the way out, then against the way in.
    back = [(gap.outer, gap.in_inner, gap.inner) for gap in reversed(gaps)]
    for there, partner, here in back + [(gap.inner, gap.in_outer, gap.outer) for gap in gaps]:
        rows = lost[there.name][partner.having(lost[there.name])]
        lost[here.name] = distinct(np.concatenate([lost[here.name], partner[rows]]))
    return lost


def _protocols(alive: _Found) -> dict[str, int]:
    proto = np.concatenate([point.flows.proto[some.flow] for point, some in alive])
    counts = np.bincount(proto, minlength=1)
    return _descending(
        {_PROTOCOLS.get(int(n), f"protocol {n}"): int(counts[n]) for n in np.flatnonzero(counts)}
    )


def _states(alive: _Found, time: int) -> dict[str, int]:
    state = np.concatenate([np.where(some.last > time, some.talking, some.settled) for _, some in alive])
    counts = np.bincount(state, minlength=1)
    return _descending({STATES[n]: int(counts[n]) for n in np.flatnonzero(counts) if n})


def _addresses(alive: _Found, side: str) -> dict[str, int]:
    """Count by one end's address; only those that are named become text."""
    keys = [getattr(point, side)[some.flow] for point, some in alive]
    ordered = np.sort(np.concatenate(keys))
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    counts = np.diff(np.append(begins, len(ordered)))
    most = np.argsort(-counts, kind="stable")
    named = {}
    for n in most[:NAMED]:
        found = (
            (*one, at)
            for one, key in zip(alive, keys, strict=True)
            for at in np.flatnonzero(key == ordered[begins[n]])
        )
        point, some, at = next(found)
        hi, lo = (int(getattr(point.flows, f"{side}_{half}")[some.flow[at]]) for half in ("hi", "lo"))
        named[address(hi, lo)] = int(counts[n])
    rest = int(counts[most[NAMED:]].sum())
    return named | ({OTHER: rest} if rest else {})


def _descending(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _unknown(recorded: Sequence[Point], found: _Found) -> tuple[str, ...]:
    running = sum(int((some.begin == BEFORE).sum()) for _, some in found)
    names = ", ".join(sorted(point.name for point in recorded))
    return (
        "entries of connections that ended, or fell silent, before the captures began are not counted",
        *(
            [
                f"{running} connection{'s' * (running != 1)} of which the captures show no SYN "
                f"{'are' if running != 1 else 'is'} counted from the captures' first moment on"
            ]
            * bool(running)
        ),
        f"connections that never passed {names} are not counted",
        "requests that vanished in the node are taken to have made no entry; those that wait for a neighbour do make one",
        "whether bridged traffic takes entries depends on br_netfilter; it is counted",
    )
