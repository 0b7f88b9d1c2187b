"""Answers that reach a client from another address than it asked: bridged past the NAT that should have translated them."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analyzer.capture.layout import REPLY, SYN_X, TCP_ACK, TCP_RST, TCP_SYN
from analyzer.capture.transport import flow_ends, turned
from analyzer.connection.asking import answered
from analyzer.connection.passages import ends, flow_name
from analyzer.connection.refusals import UNHEARD
from analyzer.flow.keys import among
from analyzer.flow.point import TCP, UDP
from analyzer.flow.selecting import ANSWER
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.node.ways import EXITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

MOST = 1000
"""Connections that are told."""
M32 = 0xFFFFFFFF


class Crossed(NamedTuple):
    """Rows of one point."""

    request: int
    answer: int
    refusal: int | None
    """The client's RST or ICMP error."""
    sure: bool
    """Whether that is certain: the client refused the answer, or the point saw the node send the request to who answered."""


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection, by the innermost point that shows it."""
    found: dict[tuple[int, int, int], Finding] = {}
    for point, crossed in crossings(scene):
        if not crossed.sure:
            continue
        gap = next(gap.names for gap in scene.gaps if point in (gap.inner, gap.outer))
        flow = int(point.packets.flow[crossed.request])
        client = int(point.src[flow]), int(point.flows.ports[flow] >> 16)
        key = (*client, int(point.packets.seq[crossed.request]) if _tcp(point, flow) else -1)
        if key not in found and len(found) < MOST:
            found[key] = _finding(point, gap, crossed, scene)
    return list(found.values())


def crossings(scene: Scene) -> list[tuple[Point, Crossed]]:
    """What each pod's and bridge's point shows of such connections, the pods' first."""

    def look() -> list[tuple[Point, Crossed]]:
        inside = [
            point
            for role in ("pod", "bridge")
            for point in scene.points
            if point.role == role and any(point in (gap.inner, gap.outer) for gap in scene.gaps)
        ]
        return [
            (point, one)
            for point in inside
            for one in chain(_segments(point, scene), _datagrams(point, scene))
        ]

    return scene.once("answers from elsewhere", look)


def answers(scene: Scene) -> Iterator[tuple[Point, int, int]]:
    """Flows of datagrams at a point, each with the flow of what certainly answered it; of TCP the numbers tell."""
    for point, crossed in crossings(scene):
        asked, answering = (int(point.packets.flow[row]) for row in crossed[:2])
        if crossed.sure and not _tcp(point, asked):
            yield point, asked, answering


def _tcp(point: Point, flow: int) -> bool:
    return bool(point.flows.proto[flow] == TCP)


def answered_otherwise(scene: Scene) -> Iterator[tuple[Point, int, str, str]]:
    """Connections that were answered from outside by another address than was asked, and that the client reset for it.

    Returns: Point, its flow, the end that was asked and the one that answered.
    """
    for point in scene.points:
        if point.role not in ("pod", "bridge"):
            continue
        for syn, answer, _, sure in _segments(point, scene, bridged=False):
            if sure and any(one.role in EXITS for one, _ in scene.trails.sightings(point, answer)):
                asked, answering = int(point.packets.flow[syn]), int(point.packets.flow[answer])
                yield point, asked, ends(point.flows, asked)[1], ends(point.flows, answering)[1]


def _segments(point: Point, scene: Scene, *, bridged: bool = True) -> Iterator[Crossed]:
    """Each connection whose SYN was acknowledged from another address."""
    packets, flows = point.packets, point.flows
    rows = point.events.of(ANSWER)
    flow = packets.flow[rows]
    answers = (flows.proto[flow] == TCP) & (
        packets.flags[rows] & (TCP_SYN | TCP_ACK | TCP_RST) == TCP_SYN | TCP_ACK
    )
    # A frame that the endpoint itself sent, not the node, was bridged, never routed.
    answers &= _own(flows.mac_dst[flow], scene) == bridged
    if not bridged:
        answers &= flows.marks[flow] & SYN_X == 0  # nobody asked that address, so there are few
    if not answers.any():
        return
    asked = _asked(point)
    for row in rows[answers].tolist():
        f = int(packets.flow[row])
        syn = asked.get((int(point.src[f]), int(flows.ports[f] >> 16), (int(packets.ack[row]) - 1) & M32))
        if (
            syn is not None
            and int(point.dst[packets.flow[syn]]) != int(point.dst[f])
            and packets.time[syn] <= packets.time[row]
        ):
            reset = _reset(point, row)
            yield Crossed(syn, row, reset, sure=reset is not None)


def _reset(point: Point, answer: int) -> int | None:
    """The RST by which the client answers an unexpected SYN-ACK: its number is the one acknowledged (RFC 9293 3.10.7.2)."""
    packets = point.packets
    mine = point.rows(int(packets.flow[answer]), 0)
    fits = (
        (packets.flags[mine] & TCP_RST != 0)
        & (packets.seq[mine] == packets.ack[answer])
        & (packets.time[mine] >= packets.time[answer])
    )
    found = mine[fits]
    return int(found[0]) if len(found) else None


def _asked(point: Point) -> Mapping[tuple[int, int, int], int]:
    """Unanswered SYNs by sender, port and number: their rows."""
    rows, _, soon = answered(point, TCP)
    rows = rows[~soon]
    flow = point.packets.flow[rows]
    rows, flow = (one[point.flows.marks[flow] & SYN_X != 0] for one in (rows, flow))
    keys = zip(
        point.src[flow].tolist(),
        (point.flows.ports[flow] >> 16).tolist(),
        point.packets.seq[rows].tolist(),
        strict=True,
    )
    found: dict[tuple[int, int, int], int] = {}
    for key, row in zip(keys, rows.tolist(), strict=True):
        found.setdefault(key, row)
    return found


def _datagrams(point: Point, scene: Scene) -> Iterator[Crossed]:
    """Requests whose client's port got datagrams from another address, both in frames of their own, none of the node's."""
    flows, packets = point.flows, point.packets
    rows, first, _ = answered(point, UDP)
    rows = rows[(first < 0) & _own(flows.mac_src[packets.flow[rows]], scene)]
    if not len(rows):
        return
    keys = _ends(point, packets.flow[rows], 0)
    asked = dict(zip(keys.tolist(), rows.tolist(), strict=True))  # the last of each
    udp = np.flatnonzero(flows.proto == UDP)
    for side in (0, 1):  # the client's: of what the node sent on, and of what begins with the answer
        ours = _ends(point, udp, side)
        bridged = _own((flows.mac_dst, flows.mac_src)[side][udp], scene)
        for i in np.flatnonzero(bridged & np.isin(ours, keys)).tolist():
            flow, request = int(udp[i]), asked[int(ours[i])]
            answers, mine = point.rows(flow, 1 - side), point.rows(int(packets.flow[request]), 0)
            if not len(answers) or point.dst[packets.flow[request]] == (point.dst, point.src)[side][flow]:
                continue
            says = flow_ends(flows, flow)
            errors = scene.refusals.at(point).get(turned(says) if side == 0 else says, ())
            refusal = next((one.row for one in errors if one.kind in UNHEARD), None)
            if refusal is None and side == 0 and not _sent_on(point, mine, point.rows(flow, 0)):
                continue  # it answers something else
            answer = int(answers[0])
            before = mine[packets.time[mine] <= packets.time[answer]]
            if len(before):
                yield Crossed(int(before[-1]), answer, refusal, sure=refusal is not None or side == 0)


def _own(macs: NDArray[np.uint64], scene: Scene) -> NDArray[np.bool_]:
    """Whether frames are of the station that sent the packet, not of the node."""
    found: NDArray[np.bool_] = (macs != 0) & ~among(macs, scene.node.routers)
    return found


def _sent_on(point: Point, requests: NDArray[np.int32], copies: NDArray[np.int32]) -> bool:
    """Whether one of these packets is a copy of a request: translation leaves its content and number."""
    packets = point.packets
    asked, sent = (
        packets.print[rows].astype(np.int64) << 16 | packets.ip_id[rows] for rows in (requests, copies)
    )
    return bool(np.isin(asked, sent).any())


def _ends(point: Point, flows: NDArray[Any], side: int) -> NDArray[np.uint64]:
    """One number for the address and port of a side of flows."""
    address, shift = ((point.src, 16), (point.dst, 0))[side]
    port = (point.flows.ports[flows] >> shift & 0xFFFF).astype(np.uint64)
    key: NDArray[np.uint64] = address[flows] ^ (port + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    return key


def _finding(point: Point, gap: tuple[str, str], crossed: Crossed, scene: Scene) -> Finding:
    packets, flows = point.packets, point.flows
    request, answer, refusal, _ = crossed
    asked, answering = int(packets.flow[request]), int(packets.flow[answer])
    side = int(packets.bits[answer] & REPLY)
    service, endpoint = ends(flows, asked)[1], ends(flows, answering)[side]
    tcp, seen = _tcp(point, asked), scene.trails.sighting(point, answer)
    off, told = _setting(scene, v6=":" in ends(flows, asked)[0].rpartition(":")[0])
    rows = point.rows(answering, side)
    drawn = [
        (request, True, "attempt", f"to {service}"),
        (answer, False, "offender", f"from {endpoint} instead"),
    ]
    refused = []
    if refusal is not None:
        drawn.append((refusal, True, "context", "the client knows no such connection"))
        said = scene.trails.sighting(point, refusal)
        refused = [
            Evidence(
                says=f"the client, which asked another address, {'reset' if tcp else 'refused'} it",
                source=f"{said.file} frame {said.frame}",
            )
        ]
    what, whose = ("SYN", "a SYN-ACK from ") if tcp else ("request", "")
    return Finding(
        kind="misdelivered",
        cause="bridge-netfilter-off",
        confidence="proven" if off else "possible" if off is False else "likely",
        gap=gap,
        point=point.name,
        flow=asked,
        time=int(packets.time[request]),
        inner=flow_name(flows, asked),
        outer=flow_name(flows, answering),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(point, row, outward=outward, role=role, note=note)
            for row, outward, role, note in drawn
        ),
        omitted=max(0, len(rows) - 1),
        facts={
            "packets": len(rows),
            "service": service,
            "endpoint": endpoint,
            "bridge_nf": None if off is None else not off,
        },
        evidence=(
            Evidence(
                says=f"the {what} to {service} was answered by {whose}{endpoint}{', which acknowledges it,' * tcp} in a frame of "
                "the endpoint's own",
                source=f"{seen.file} frame {seen.frame}",
            ),
            *refused,
            *told,
        ),
        excluded=(
            Exclusion(cause="lost inside the node", because="request and answer both arrived"),
            *(
                (Exclusion(cause="reset by the server", because="the RST is the client's own"),)
                if tcp
                else ()
            ),
        ),
    )


def _setting(scene: Scene, *, v6: bool) -> tuple[bool | None, tuple[Evidence, ...]]:
    """Whether bridged packets certainly pass no NAT; None where the files do not tell."""
    name = f"net.bridge.bridge-nf-call-{'ip6tables' if v6 else 'iptables'}"
    told = []
    value, modules = scene.evidence.sysctls.get(name), scene.evidence.modules
    if value is not None:
        told.append(Evidence(says=f"{name} is {value}", source="sysctl"))
    if modules is not None and "br_netfilter" not in modules:
        told.append(Evidence(says="br_netfilter is not among the loaded modules", source="lsmod"))
    if value is not None:
        return value == "0", tuple(told)
    return (True if told else None), tuple(told)
