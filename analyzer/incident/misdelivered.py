"""Answers that reach a client from another address than it asked: bridged past the NAT that should have translated them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.layout import SYN_X, TCP_ACK, TCP_RST, TCP_SYN
from analyzer.connection.asking import answered
from analyzer.connection.passages import ends, flow_name
from analyzer.flow.keys import among
from analyzer.flow.point import TCP
from analyzer.flow.selecting import ANSWER
from analyzer.incident.model import Evidence, Exclusion, Finding
from analyzer.node.ways import EXITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

MOST = 1000
"""Connections that are told."""
M32 = 0xFFFFFFFF


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection, by the innermost point that shows it."""
    found: dict[tuple[int, int], Finding] = {}
    for point in sorted(
        scene.points, key=lambda p: ("pod", "bridge").index(p.role) if p.role in ("pod", "bridge") else 2
    ):
        gap = next((gap.names for gap in scene.gaps if point in (gap.inner, gap.outer)), None)
        if point.role not in ("pod", "bridge") or gap is None:
            continue
        for syn, answer, reset in _crossed(point, scene):
            key = int(point.packets.seq[syn]), int(point.flows.ports[point.packets.flow[syn]] >> 16)
            if key not in found and len(found) < MOST:
                found[key] = _finding(point, gap, syn, answer, reset, scene)
    return list(found.values())


def answered_otherwise(scene: Scene) -> Iterator[tuple[Point, int, str, str]]:
    """Connections that were answered from outside by another address than was asked, and that the client reset for it.

    Returns: Point, its flow, the end that was asked and the one that answered.
    """
    for point in scene.points:
        if point.role not in ("pod", "bridge"):
            continue
        for syn, answer, _ in _crossed(point, scene, bridged=False):
            if any(one.role in EXITS for one, _ in scene.trails.sightings(point, answer)):
                asked, answering = int(point.packets.flow[syn]), int(point.packets.flow[answer])
                yield point, asked, ends(point.flows, asked)[1], ends(point.flows, answering)[1]


def _crossed(point: Point, scene: Scene, *, bridged: bool = True) -> Iterator[tuple[int, int, int]]:
    """SYN, SYN-ACK and RST of each connection that was answered from another address: rows of the point."""
    packets, flows = point.packets, point.flows
    rows = point.events.of(ANSWER)
    flow = packets.flow[rows]
    handed = flows.mac_dst[flow]
    answers = (flows.proto[flow] == TCP) & (
        packets.flags[rows] & (TCP_SYN | TCP_ACK | TCP_RST) == TCP_SYN | TCP_ACK
    )
    # A frame that the endpoint itself sent, not the node, was bridged, never routed.
    answers &= ((handed != 0) & ~among(handed, scene.node.routers)) == bridged
    if not bridged:
        answers &= flows.marks[flow] & SYN_X == 0  # nobody asked that address, so there are few
    candidates = [
        (int(row), reset) for row in rows[answers] if (reset := _reset(point, int(row))) is not None
    ]
    if not candidates:
        return
    asked = _asked(point)
    for row, reset in candidates:
        f = int(packets.flow[row])
        syn = asked.get((int(point.src[f]), int(flows.ports[f] >> 16), (int(packets.ack[row]) - 1) & M32))
        if (
            syn is not None
            and int(point.dst[packets.flow[syn]]) != int(point.dst[f])
            and packets.time[syn] <= packets.time[row]
        ):
            yield syn, row, reset


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


def _finding(point: Point, gap: tuple[str, str], syn: int, answer: int, reset: int, scene: Scene) -> Finding:
    packets, flows = point.packets, point.flows
    asked, answering = int(packets.flow[syn]), int(packets.flow[answer])
    service, endpoint = ends(flows, asked)[1], ends(flows, answering)[1]
    seen, said = scene.trails.sighting(point, answer), scene.trails.sighting(point, reset)
    off, told = _setting(scene, v6=":" in ends(flows, asked)[0].rpartition(":")[0])
    rows = point.rows(answering, 1)
    return Finding(
        kind="misdelivered",
        cause="bridge-netfilter-off",
        confidence="proven" if off else "possible" if off is False else "likely",
        gap=gap,
        point=point.name,
        flow=asked,
        time=int(packets.time[syn]),
        inner=flow_name(flows, asked),
        outer=flow_name(flows, answering),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(point, row, outward=outward, role=role, note=note)
            for row, outward, role, note in (
                (syn, True, "attempt", f"to {service}"),
                (answer, False, "offender", f"from {endpoint} instead"),
                (reset, True, "context", "the client knows no such connection"),
            )
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
                says=f"the SYN to {service} was answered by a SYN-ACK from {endpoint}, which acknowledges it, in a frame of "
                "the endpoint's own",
                source=f"{seen.file} frame {seen.frame}",
            ),
            Evidence(
                says="the client, which asked another address, reset it",
                source=f"{said.file} frame {said.frame}",
            ),
            *told,
        ),
        excluded=(
            Exclusion(cause="lost inside the node", because="request and answer both arrived"),
            Exclusion(cause="a reset by the service", because="the RST is the client's own"),
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
