"""What failed outside the node: to whom, from whom, when, and what the unanswered have in common.

The node did its part, so nothing here is an incident. Yet this is the likeliest report of all, and it should say more than
"not here": a firewall that knows the usual port range only, a server that compares timestamps (PAWS), a router that
drops large packets and a source address that nobody can answer all show in what left the uplink.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import TCP_ACK, TCP_SYN
from analyzer.capture.transport import tcp_options, transports
from analyzer.compute.thresholds import CHANCE, FEW, NEARLY_ALL
from analyzer.connection.account import DIRECTIONS, OUTSIDE, WORKED
from analyzer.connection.outcome import DELAYED, OUTCOMES, STALLED, TIMED_OUT, UNANSWERED
from analyzer.connection.passages import address, ends
from analyzer.flow.keys import among, distinct, distinct_rows
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.incident import arrived
from analyzer.incident.following import follow
from analyzer.incident.model import Outside, OutsideDestination, Trait
from analyzer.node.topology import depth
from analyzer.node.ways import EXITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from analyzer.connection.connections import Connections
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

DESTINATIONS = 50
"""Destinations that are listed; of more the number is told."""
REFUSALS = 4
"""Ways in which one destination refused that are told."""
SOURCES = 8
"""Sources that are named of one destination."""
MOST = 2_000
"""SYNs whose timestamp is read, at most."""
USUAL_PORT = 32_768
"""Lowest source port that Linux picks by itself: net.ipv4.ip_local_port_range's default since 2.4."""
LARGE = 1_200
"""Bytes of payload from which a segment counts as full; every IPv6 link passes packets of 1,280 bytes (RFC 8200 section 5)."""
_PRIVATE = tuple(
    map(ip_network, ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"])
)
_SUFFIX = {UDP: "/udp", ICMP: "/icmp", ICMP6: "/icmp6"}
_SILENT = (DELAYED, TIMED_OUT, UNANSWERED, STALLED)


def outside(scene: Scene) -> Outside | None:
    """Tell what failed outside the node; None where nothing did."""
    told = scene.connections
    if told is None:
        return None
    failed = np.flatnonzero(told.told == OUTSIDE)
    if not len(failed):
        return None
    silent = failed[np.isin(told.outcomes.code[failed], _SILENT) & ~told.outcomes.strange[failed]]
    chosen = int((silent if len(silent) else failed)[0])
    destinations, more = _destinations(told, failed)
    first, last = told.outcomes.first[failed], told.outcomes.last[failed]
    return Outside(
        connections=len(failed),
        unanswered=len(silent),
        first=int(first.min()),
        last=int(last.max()),
        destinations=tuple(destinations),
        hidden=more,
        sources=_sources(told, failed),
        traits=tuple(_traits(scene, told, failed, silent)),
        example=follow(scene, *_at(told, chosen)),
        advice=arrived.advice(scene, told, chosen, *_left(told, chosen)) if len(silent) else None,
    )


def _at(told: Connections, number: int) -> tuple[Point, int]:
    chains = told.chains
    return chains.points[int(chains.point[number])], int(chains.flow[number])


def _names(told: Connections, some: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Of each connection source and destination as numbers: source's halves, destination's halves, port, protocol."""
    chains = told.chains
    found = np.zeros((len(some), 6), np.uint64)
    for number, point in enumerate(chains.points):
        here = np.flatnonzero(chains.point[some] == number)
        flows, flow = point.flows, chains.flow[some[here]]
        for column, name in enumerate(("src_hi", "src_lo", "dst_hi", "dst_lo")):
            found[here, column] = getattr(flows, name)[flow]
        found[here, 4], found[here, 5] = flows.ports[flow] & 0xFFFF, flows.proto[flow]
    return found


def _sources(told: Connections, some: NDArray[np.int64]) -> tuple[tuple[str, int], ...]:
    """The openers' addresses with their connections, the busiest first."""
    unique, of = distinct_rows(_names(told, some)[:, :2])
    counts = np.bincount(of)
    order = np.argsort(-counts, kind="stable")[:SOURCES]
    return tuple((address(int(unique[i, 0]), int(unique[i, 1])), int(counts[i])) for i in order)


def _destinations(told: Connections, failed: NDArray[np.int64]) -> tuple[list[OutsideDestination], int]:
    """The destinations with the most failed connections, and how many more there are."""
    worked = np.flatnonzero(told.told == WORKED)
    unique, of = distinct_rows(_names(told, np.concatenate([failed, worked]))[:, 2:])
    mine, theirs = np.split(of, [len(failed)])
    counts = np.bincount(mine, minlength=len(unique))
    by_group = np.argsort(mine, kind="stable")
    begins = np.searchsorted(mine[by_group], np.arange(len(unique) + 1))
    found = []
    for group in np.argsort(-counts, kind="stable")[:DESTINATIONS].tolist():
        some = failed[by_group[begins[group] : begins[group + 1]]]
        if not len(some):
            break
        point, flow = _at(told, int(some[0]))
        codes = Counter(told.outcomes.code[some].tolist())
        found.append(
            OutsideDestination(
                name=ends(point.flows, flow)[1] + _SUFFIX.get(int(unique[group, 3]), ""),
                connections=len(some),
                worked=int(np.count_nonzero(theirs == group)),
                outcomes={OUTCOMES[code]: n for code, n in codes.most_common()},
                refusals=tuple(
                    Counter(told.refused[i].words for i in some.tolist() if i in told.refused).most_common(
                        REFUSALS
                    )
                ),
                sources=_sources(told, some),
                first=int(told.outcomes.first[some].min()),
                last=int(told.outcomes.last[some].max()),
            )
        )
    return found, int(np.count_nonzero(counts)) - len(found)


def _outermost(told: Connections) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Of each connection the point at which it left, an index into the points, and its flow there; -1 where none saw it."""
    chains = told.chains
    at, flow = np.full(len(chains), -1, np.int16), np.full(len(chains), -1, np.int32)
    for number in sorted(range(len(chains.points)), key=lambda n: depth(chains.points[n])):
        if chains.points[number].role in EXITS:
            known = np.flatnonzero(chains.of[number] >= 0)
            at[chains.of[number][known]], flow[chains.of[number][known]] = number, known
    return at, flow


def _traits(
    scene: Scene, told: Connections, failed: NDArray[np.int64], silent: NDArray[np.int64]
) -> Iterable[Trait]:
    """What the unanswered have in common, and those that worked have not."""
    strange = failed[told.outcomes.strange[failed]]
    if len(strange):
        yield Trait(
            code="challenge-ack",
            connections=len(strange),
            says=f"{len(strange):,} were answered by an ACK that fits no SYN of theirs (challenge ACK): the server still knows "
            "an older connection from the same address and port",
            next="See whose connection that was: lostsyn explain challenge-ack. On the server, `ss -tan` shows it.",
        )
    if not len(silent):
        return
    worked = np.flatnonzero(told.told == WORKED)
    at, flow = _outermost(told)
    unanswered, answered = silent[flow[silent] >= 0], worked[flow[worked] >= 0]
    points = told.chains.points

    def of(name: str, some: NDArray[np.int64]) -> NDArray[np.uint64]:
        """A column of these connections' flows where they left; without a name whether that was in a tunnel."""
        found = np.zeros(len(some), np.uint64)
        for number, point in enumerate(points):
            here = at[some] == number
            values = getattr(point if name == "src" else point.flows, name) if name else point.encapsulated
            found[here] = values[flow[some[here]]]
        return found

    low, source = _lowest(scene)
    ports = [(of("ports", some) >> np.uint64(16)).astype(np.int64) for some in (unanswered, answered)]
    transport = [np.isin(told.outcomes.proto[some], (TCP, UDP)) for some in (unanswered, answered)]
    below = [(port < low) & known for port, known in zip(ports, transport, strict=True)]
    if _common(*below):
        yield Trait(
            code="low-source-port",
            connections=int(below[0].sum()),
            says=f"{_shares(below)} left with a source port below {low:,} ({source})",
            next="Ask whether a firewall on the way, or the peer, lets only the usual range of source ports pass.",
        )
    own = [_foreign(of, scene, some) for some in (unanswered, answered)]
    certain = len(own[0]) and own[0].all() and not own[1].any() and _private(of, unanswered)
    if _common(*own) or certain:
        yield Trait(
            code="unroutable-source",
            connections=int(own[0].sum()),
            says=f"{_shares(own)} left with the pod's own or a unique-local address as the source: "
            + (
                "no public network leads back to a private one"
                if certain
                else "perhaps nobody outside knows a way back"
            ),
            next="Does the SNAT rule cover these pods and this destination, or does the network route the pods' addresses?",
        )
    yield from arrived.traits(scene, told, silent)
    yield from _timestamps(told, points, at, flow, unanswered, answered)
    yield from _sizes(told, silent, worked)
    names = _names(told, silent)[:, 2:4]
    if (
        len(silent) > 1
        and (told.direction[silent] != DIRECTIONS.index("in")).any()
        and (names == names[0]).all()
        and (_names(told, worked)[:, 2:4] != names[0]).any(1).any()
    ):
        yield Trait(
            code="one-destination",
            connections=len(silent),
            says=f"all go to {address(int(names[0, 0]), int(names[0, 1]))}, while connections to other destinations worked",
            next="Record at that destination, or at the last router before it.",
        )


def _lowest(scene: Scene) -> tuple[int, str]:
    """The lowest source port that the node picks by itself, and where that is from."""
    said = re.match(r"\s*(\d{1,5})\s+\d", scene.evidence.sysctls.get("net.ipv4.ip_local_port_range", ""))
    return (
        (int(said[1]), "net.ipv4.ip_local_port_range")
        if said
        else (USUAL_PORT, "where Linux' usual range begins")
    )


def _foreign(of, scene: Scene, some: NDArray[np.int64]) -> NDArray[np.bool_]:  # type: ignore[no-untyped-def]
    """Which left, in no tunnel, with a pod's own address, or with a unique-local one (RFC 4193) towards one that is none."""
    local = [of(f"{side}_hi", some) >> np.uint64(57) == 0xFC >> 1 for side in ("src", "dst")]
    found: NDArray[np.bool_] = among(of("src", some), scene.node.inside) | (local[0] & ~local[1])
    found &= of("", some) == 0
    return found


def _private(of, some: NDArray[np.int64]) -> bool:  # type: ignore[no-untyped-def]
    """Whether all of these have a private source and a public destination (RFC 1918, 6598, 4193): such an answer finds no way."""
    halves = ((of(f"{side}_hi", some).tolist(), of(f"{side}_lo", some).tolist()) for side in ("src", "dst"))
    ends = [{address(*pair) for pair in zip(*both, strict=True)} for both in halves]
    inside, outside = ([any(ip_address(one) in net for net in _PRIVATE) for one in texts] for texts in ends)
    return all(inside) and not any(outside)


def _common(mine: NDArray[np.bool_], others: NDArray[np.bool_]) -> bool:
    """Whether nearly all of the unanswered have it, and of the others less than half, so that it is hardly so by chance.

    Two of two that share what half of the others have are a coin's work: `masquerade fully-random` gives every second
    connection such a port.
    """
    if not len(mine) or mine.mean() < NEARLY_ALL or (len(others) and others.mean() >= FEW):
        return False
    usual = (others.sum() + 1) / (len(others) + 2)  # Laplace's rule of succession
    return bool(len(mine) * math.log(usual) <= math.log(CHANCE))


def _shares(found: list[NDArray[np.bool_]]) -> str:
    mine, others = found
    worked = f" (and {int(others.sum()):,} of {len(others):,} that worked)" if len(others) else ""
    return f"{int(mine.sum()):,} of {len(mine):,} unanswered{worked}"


def _timestamps(  # type: ignore[no-untyped-def]
    told: Connections, points, at, flow, unanswered: NDArray[np.int64], answered: NDArray[np.int64]
) -> Iterable[Trait]:
    """TSvals lower than what the same outer address had sent to the same destination before (PAWS, RFC 7323 section 5)."""
    lower, of, others, of_others = 0, 0, 0, 0
    tcp = told.outcomes.proto == TCP
    for number, point in enumerate(points):
        mine = unanswered[(at[unanswered] == number) & tcp[unanswered]][:MOST]
        if not len(mine):
            continue
        there = point.dst[flow[mine]]
        near = answered[(at[answered] == number) & tcp[answered]]
        near = near[among(point.dst[flow[near]], distinct(there))][:MOST]
        values = _tsvals(point, flow[np.concatenate([mine, near])])
        newest: dict[tuple[int, int, int], int] = {}
        accepted = set(flow[near].tolist())
        for _, each, value in sorted((time, each, value) for each, (time, value) in values.items()):
            key = (int(point.src[each]), int(point.dst[each]), int(point.flows.ports[each]) & 0xFFFF)
            before = newest.get(key)
            back = before is not None and 0 < (before - value) & 0xFFFFFFFF < 1 << 31
            if each in accepted:
                others, of_others = others + back, of_others + 1
                if not back:
                    newest[key] = value
            else:
                lower, of = lower + back, of + 1
    if lower and lower / of >= NEARLY_ALL and others / of_others < FEW:
        yield Trait(
            code="older-timestamp",
            connections=lower,
            says=f"{lower:,} of {of:,} unanswered SYNs carry a lower TCP timestamp than an earlier one of the same address to "
            f"the same destination, {others:,} of {of_others:,} that worked: the server may discard them as old (PAWS)",
            next="Look at the server for net.ipv4.tcp_tw_recycle (up to Linux 4.11) and at `nstat -az TcpExtPAWSPassive`; "
            "several pods behind one address need net.ipv4.tcp_timestamps=1 with random offsets (Linux 4.10).",
        )


def _tsvals(point: Point, flows: NDArray[np.int32]) -> dict[int, tuple[int, int]]:
    """Of these flows the time and TSval of the first SYN; those without the option are left out."""
    rows = {}
    for each in flows.tolist():
        sent = point.rows(each, 0)
        if len(sent) and point.packets.flags[sent[0]] & (TCP_SYN | TCP_ACK) == TCP_SYN:
            rows[int(sent[0])] = each
    found = {}
    for row, header in transports(point.recording, sorted(rows)):
        value = tcp_options(header).tsval
        if value is not None:
            found[rows[row]] = int(point.packets.time[row]), value
    return found


def _sizes(told: Connections, silent: NDArray[np.int64], worked: NDArray[np.int64]) -> Iterable[Trait]:
    """Only large packets get no answer: what a path MTU black hole beyond the node looks like."""
    lengths = _lengths(told, silent)
    stalled = told.outcomes.code[silent] == STALLED
    if stalled.all() and (lengths >= LARGE).mean() >= NEARLY_ALL:
        says = (
            f"all stalled at a full segment ({int(lengths.min()):,} to {int(lengths.max()):,} bytes), after smaller ones "
            "were acknowledged"
        )
    elif (
        not stalled.any()
        and (told.outcomes.proto[silent] != TCP).all()
        and (others := _first_lengths(told, worked)).size
    ):
        if int(lengths.min()) <= int(others.max()) or int(lengths.min()) < LARGE:
            return
        says = (
            f"the unanswered have {int(lengths.min()):,} bytes or more, and none with more than {int(others.max()):,} bytes "
            "was answered"
        )
    else:
        return
    yield Trait(
        code="large-only",
        connections=len(silent),
        says=says,
        next="Look for the path MTU: `tracepath -n` towards the destination, and ICMP `need to frag` (type 3 code 4) or `packet "
        "too big` (ICMPv6 type 2) on the way back, which a firewall may drop.",
    )


def _lengths(told: Connections, some: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of each connection's deciding packet."""
    found = np.zeros(len(some), np.int64)
    for number, point in enumerate(told.chains.points):
        here = np.flatnonzero((told.chains.point[some] == number) & (told.outcomes.deciding[some] >= 0))
        found[here] = point.packets.length[told.outcomes.deciding[some[here]]]
    return found


def _first_lengths(told: Connections, some: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the first packet of each that is not TCP."""
    some = some[told.outcomes.proto[some] != TCP]
    found = np.zeros(len(some), np.int64)
    for number, point in enumerate(told.chains.points):
        here = np.flatnonzero(told.chains.point[some] == number)
        first = 2 * told.chains.flow[some[here]].astype(np.int64)
        has = point.starts[first + 1] > point.starts[first]
        found[here[has]] = point.packets.length[point.order[point.starts[first[has]]]]
    return found


def _left(told: Connections, number: int) -> tuple[Point, int] | tuple[None, int]:
    """Where a connection left the node, and its flow there."""
    points, flows = _outermost(told)
    return (told.chains.points[int(points[number])], int(flows[number])) if flows[number] >= 0 else (None, -1)
