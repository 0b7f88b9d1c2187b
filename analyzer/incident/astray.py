"""Connections whose entry outlived its endpoint, as the captures show them: their packets leave, for where nobody answers.

Nothing of them was lost in this node, but it is this node's entry that leads them astray. Where such packets are lost, the
cause `stale-entry` (`analyzer.incident.causes.stale_entry`) explains the loss; its page tells of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.passages import addresses, ends, flow_name
from analyzer.evidence.stale import delete
from analyzer.evidence.translation import Known
from analyzer.flow.keys import address_key, distinct
from analyzer.flow.point import UDP
from analyzer.incident.causes import stale_entry
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.node.ways import EXITS, OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows
    from analyzer.evidence.stale import StaleEntry
    from analyzer.evidence.table import Entry
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

ENOUGH = 3
"""Requests without answer, and answered connections that got another endpoint since, before anything is said."""
MOST = 1000
"""Connections that are told."""
DRAWN = 6
"""Packets of one connection that the ladder draws."""
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaving:
    """Connections that leave by one gap; the arrays have one length."""

    gap: Gap
    index: NDArray[np.int64]
    """Of each, into the gap's matches."""
    service: NDArray[np.uint64]
    endpoint: NDArray[np.uint64]
    begun: NDArray[np.int64]
    """When each began."""
    last: NDArray[np.int64]
    """Row of the last reply; -1 without one."""
    waiting: NDArray[np.bool_]
    """Whether it sent `ENOUGH` requests since."""

    def left_for(self, i: int) -> str:
        """The endpoint that it got."""
        return ends(self.gap.outer.flows, int(self.gap.matches.b[self.index[i]]))[1]

    def vain(self, i: int) -> NDArray[np.int32]:
        """The rows of what was sent since the last reply."""
        requests = self.gap.inner.rows(int(self.gap.matches.a[self.index[i]]), 0)
        return requests[np.searchsorted(requests, self.last[i], "right") :]


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection that a stale entry leads astray: the rules contradict its entry, or newer connections do."""
    told = scene.once("leaving connections", lambda: _all(scene))
    if told is None:
        return []
    parts, whose, place, (service, endpoint, begun, last), some, since = told
    stale, others = astray(service, endpoint, begun, last >= 0, some, since)
    newer = dict(zip(stale.tolist(), others, strict=True))
    found = []
    for i in some.tolist() if stale_entry.known(scene) else stale.tolist():
        part, k = parts[whose[i]], int(place[i])
        flows, flow = part.gap.inner.flows, int(part.gap.matches.a[part.index[k]])
        entry = stale_entry.contradicted(flows, flow, scene)
        if entry is not None and entry.target != part.left_for(k):
            entry = None
        if i in newer:
            other = parts[whose[newer[i][0]]].left_for(int(place[newer[i][0]]))
            found.append(_finding(part, k, entry, len(newer[i]), other, scene))
        elif entry is not None and (flows.proto[flow] == UDP or part.last[k] < 0):
            # An open connection of TCP cannot be led elsewhere: its peer went away.
            found.append(_finding(part, k, entry, 0, "", scene))
    return found[:MOST]


def doubtful(scene: Scene) -> list[tuple[Point, int]]:
    """UDP flows that may be led astray: their endpoint is silent, and nothing shows that any rule still leads there.

    A rule of the bundle does, or a connection that began since and got the same endpoint.
    """
    told = scene.once("leaving connections", lambda: _all(scene))
    if told is None:
        return []
    parts, whose, place, (service, endpoint, begun, _), some, since = told
    last_given: dict[tuple[int, int], int] = {}
    for pair, time in zip(zip(service.tolist(), endpoint.tolist(), strict=True), begun.tolist(), strict=True):
        last_given[pair] = max(time, last_given.get(pair, _NEVER))
    found = []
    for i, time in zip(some.tolist()[:MOST], since.tolist(), strict=False):
        part, k = parts[whose[i]], int(place[i])
        if (
            part.service[k] == part.endpoint[k]
            or part.gap.inner.flows.proto[part.gap.matches.a[part.index[k]]] != UDP
        ):
            continue
        led = _led(scene, part.gap.outer.flows, int(part.gap.matches.b[part.index[k]]))
        if not led and last_given[int(service[i]), int(endpoint[i])] <= time:
            found.append((part.gap.inner, int(part.gap.matches.a[part.index[k]])))
    return found


def _led(scene: Scene, flows: Flows, flow: int) -> bool:
    """Whether a rule of the bundle leads to a flow's destination."""
    if not scene.evidence.rules:
        return False
    known = scene.once("targets of rules", lambda: Known(scene.evidence.rules[-1]))
    number = known.address(addresses(flows, flow)[1])
    return (number, int(flows.ports[flow]) & 0xFFFF) in known.targets or (number, None) in known.targets


def _all(scene: Scene):  # type: ignore[no-untyped-def]
    """All connections to services, those of them that are not answered any more, and since when; None without any.

    A service is what some connection's destination is translated from, or, where the rules and the table can be compared, any.
    It has clients on several pods, so all gaps are looked at together.
    """
    every = bool(scene.evidence.tables and scene.evidence.rules)
    leaving = [(gap, *_destinations(gap)) for gap in scene.gaps]
    services = distinct(np.concatenate([np.zeros(0, np.uint64)] + [of[of != to] for _, _, of, to in leaving]))
    parts = []
    for gap, index, service, endpoint in leaving:
        chosen = np.arange(len(index)) if every else np.flatnonzero(np.isin(service, services))
        if len(chosen):
            parts.append(_part(gap, index[chosen], service[chosen], endpoint[chosen]))
    if not parts:
        return None
    whose = np.concatenate([np.full(len(part.index), n) for n, part in enumerate(parts)])
    place = np.concatenate([np.arange(len(part.index)) for part in parts])
    columns = tuple(
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("service", "endpoint", "begun", "last")
    )
    some = np.flatnonzero(np.concatenate([part.waiting for part in parts]))
    if not len(some):
        return None
    since = [
        parts[whose[i]].gap.inner.packets.time[parts[whose[i]].vain(int(place[i]))[0]] for i in some.tolist()
    ]
    return parts, whose, place, columns, some, np.array(since, np.int64)


def _finding(one: _Leaving, i: int, stale: StaleEntry | None, others: int, new: str, scene: Scene) -> Finding:
    """Tell of connection *i* of one gap, whose entry the rules contradict, or all newer connections to its service."""
    outer, left, old = one.gap.outer, int(one.gap.matches.b[one.index[i]]), one.left_for(i)
    inner, flow = one.gap.inner, int(one.gap.matches.a[one.index[i]])
    entry, vain = listed(scene, inner.flows, flow, old), one.vain(i)
    first = scene.trails.sighting(inner, int(vain[0]))
    newer = (
        f", while {others} newer connections to {ends(inner.flows, flow)[1]} were, and none of them got {old}; one got {new}"
        if others
        else ""
    )
    evidence = [
        Evidence(
            says=f"its last {len(vain)} packets left for {old} and were not answered{newer}",
            source=f"{first.file} frame {first.frame}",
        )
    ]
    if stale is not None:
        evidence.append(stale_entry.told(stale))
    elif entry is not None:
        evidence.append(
            Evidence(
                says=f"conntrack's table still has its entry, which leads to {old}: stale; `{delete(entry[0])}` ends it",
                source=entry[1],
            )
        )
    slow = (
        "no connection that began since was given this endpoint"
        if stale is None
        else stale_entry.WHY[stale.kind]
    )
    return Finding(
        kind="misdelivered",
        cause="stale-entry",
        confidence="proven" if entry is not None else "likely",
        gap=one.gap.names,
        point=inner.name,
        flow=flow,
        time=first.time,
        inner=flow_name(inner.flows, flow),
        outer=flow_name(outer.flows, left),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(inner, int(row), outward=True, role="offender", note=f"leaves for {old}")
            for row in vain[:DRAWN]
        ),
        omitted=len(inner.rows(flow)) - len(vain[:DRAWN]),
        facts={
            "packets": len(vain),
            "target": old,
            "now": [new] if new else list(stale.now) if stale is not None else [],
            "command": delete(entry[0]) if entry else None,
        },
        evidence=tuple(evidence),
        remedies=stale_entry.deletion(delete(entry[0])) if entry else (),
        excluded=(
            Exclusion(cause="lost inside the node", because=f"the packets are on {outer.name}"),
            Exclusion(cause="an endpoint that is slow", because=slow),
        ),
    )


def listed(scene: Scene, flows: Flows, flow: int, target: str) -> tuple[Entry, str] | None:
    """The entry of a flow that leads to a target, in the last listing of conntrack's table, and the listing's file."""
    both, ports = addresses(flows, flow), int(flows.ports[flow])
    for table in scene.evidence.tables[-1:]:
        for entry in table.only(orig_sport=ports >> 16, orig_dport=ports & 0xFFFF):
            if (entry.orig_src, entry.orig_dst) == both:
                host = f"[{entry.reply_src}]" if ":" in entry.reply_src else entry.reply_src
                if f"{host}:{entry.reply_sport}" == target:
                    return entry, table.file
    return None


def _destinations(gap: Gap) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
    """What left by a gap: its index into the matches, and its destination inside and outside."""
    inner, outer, m = gap.inner, gap.outer, gap.matches
    chosen = np.flatnonzero((gap.heading == OUT) & (m.flip == 0))
    service, endpoint = _target(inner.flows, m.a[chosen]), _target(outer.flows, m.b[chosen])
    # What one gap leaves as it is the next one may translate.
    kept = np.flatnonzero((service != endpoint) | (gap.outer.role in EXITS))
    return chosen[kept], service[kept], endpoint[kept]


def _part(
    gap: Gap, index: NDArray[np.int64], service: NDArray[np.uint64], endpoint: NDArray[np.uint64]
) -> _Leaving:
    inner, m = gap.inner, gap.matches
    flows = m.a[index]
    order, time = inner.order, inner.packets.time
    begin, middle, end = (inner.starts[2 * flows + side] for side in (0, 1, 2))
    replied, asked = end > middle, middle > begin
    # Rows: the last reply, and the last request but `ENOUGH` - 1.
    last = np.where(replied, order[np.where(replied, end, 1) - 1], -1)
    enough = middle - begin >= ENOUGH
    enough &= order[np.where(enough, middle - ENOUGH, 0)] > last
    first = np.minimum(
        np.where(asked, order[np.where(asked, begin, 0)], len(time) - 1),
        np.where(replied, order[np.where(replied, middle, 0)], len(time) - 1),
    )
    return _Leaving(
        gap=gap,
        index=index,
        service=service,
        endpoint=endpoint,
        begun=time[first],
        last=last.astype(np.int64),
        waiting=enough,
    )


def astray(
    service: NDArray[np.uint64],
    endpoint: NDArray[np.uint64],
    begun: NDArray[np.int64],
    answered: NDArray[np.bool_],
    some: NDArray[np.int64],
    since: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Iterator[NDArray[np.int64]]]:
    """Which of *some* connections are alone with their endpoint; the others of their service say so.

    Args:
        service: Of each connection.
        endpoint: Of each connection.
        begun: When each began.
        answered: Whether each ever was.
        some: Indices of connections that are not answered any more.
        since: Since when those are not.

    Returns: Those of *some* with at least `ENOUGH` answered connections to their service that began later, and none, be
    it answered or not, that got their endpoint; and of each, those others, ascending.
    """
    n = len(service)
    group = np.unique(service, return_inverse=True)[1]
    latest = np.full(n, _NEVER)
    pairs = np.unique(group * n + np.unique(endpoint, return_inverse=True)[1], return_inverse=True)[1]
    np.maximum.at(latest, pairs, begun)
    # One ascending number per answered connection: its service, then how many of all had begun by then.
    moments = np.sort(begun)
    keys = group * (n + 1) + np.searchsorted(moments, begun, "right")
    order = np.flatnonzero(answered)
    order = order[np.argsort(keys[order], kind="stable")]
    asked = group[some] * (n + 1)
    begin = np.searchsorted(keys[order], asked + np.searchsorted(moments, since, "right"), "right")
    end = np.searchsorted(keys[order], asked + n, "right")
    lone = (latest[pairs[some]] <= since) & (end - begin >= ENOUGH)
    return some[lone], (np.sort(order[i:j]) for i, j in zip(begin[lone], end[lone], strict=True))


def _target(flows: Flows, chosen: NDArray[np.int32]) -> NDArray[np.uint64]:
    """One number per destination: address, port and protocol."""
    address = address_key(flows.dst_hi[chosen], flows.dst_lo[chosen])
    port = (flows.ports[chosen] & 0xFFFF).astype(np.uint64) << np.uint64(8)
    key: NDArray[np.uint64] = address ^ (port | flows.proto[chosen].astype(np.uint64)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    return key
