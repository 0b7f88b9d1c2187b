"""Neighbours that somebody asked for at a point, and who never said a word there, or no more."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analyzer.capture.layout import ARP, REPLY
from analyzer.capture.transport import transports
from analyzer.connection.passages import addresses
from analyzer.flow.keys import address_key, among, distinct, keys_of
from analyzer.flow.point import ICMP6
from analyzer.incident.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

SOLICITATION, ADVERTISEMENT = 135, 136
MOST = 10_000
"""Solicitations of a point that are read."""
_LEAST = 3
"""Requests one after another that are no accident: Linux asks as often for one packet (`mcast_solicit`)."""
UNANSWERED = "and gets no answer"
"""How the sentence of `told` ends."""


class Vain(NamedTuple):
    """A pod that asked the node, or somebody who is known to be there, for a link-layer address in vain."""

    point: Point
    asking: np.uint64
    """Address of the pod, as `analyzer.flow.keys.address_key`."""
    row: int
    """Of its first request without an answer."""
    requests: int


def in_vain(scene: Scene) -> list[Vain]:
    """Give the pods that nothing can leave any more, since nobody answers their requests for a link-layer address.

    Whoever is not answered sends no other packet, so that there is no connection that could be told of. The one who is asked
    for is the node, a captured pod, or answers others. If anybody else is, who may never have been there, the pod must send
    nothing else.
    """

    def look() -> list[Vain]:
        heard = (_asked(point, scene) for point in scene.points)
        there = [scene.node.own, *scene.node.pods.values(), *(by[replies] for _, by, _, replies in heard)]
        known = distinct(np.concatenate(there))
        return [one for point in scene.points if point.role == "pod" for one in _in_vain(point, scene, known)]

    return scene.once("asked in vain", look)


def _asked(
    point: Point, scene: Scene
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
    """A point's ARP packets, neighbour solicitations and advertisements.

    Returns: Their rows, who sends each, whom it is for, and whether it is a reply; without those for an own new address.
    """
    packets, flows = point.packets, point.flows
    rows = scene.neighbours[point.name]
    flow, kind = packets.flow[rows], flows.ports[packets.flow[rows]] >> 16
    keep = (flows.proto[flow] == ARP) | np.isin(kind, (SOLICITATION, ADVERTISEMENT))
    keep &= flows.src_lo[flow] & np.uint64(0xFFFFFFFF) != 0
    rows, flow, kind = rows[keep], flow[keep], kind[keep]
    back, six = packets.bits[rows] & REPLY != 0, flows.proto[flow] == ICMP6
    by, to = np.where(back, [point.dst[flow], point.src[flow]], [point.src[flow], point.dst[flow]])
    replies = np.where(six, kind == ADVERTISEMENT, packets.seq[rows] == 2)
    # Whom a solicitation is about is not in its header.
    about = dict(transports(point.recording, rows[six][:MOST].tolist()))
    targets = b"".join(about.get(row, b"")[8:24].ljust(16, b"\0") for row in rows[six].tolist())
    key = address_key(*np.frombuffer(targets, ">u8").astype(np.uint64).reshape(-1, 2).T)
    by[six], to[six] = np.where(replies[six], [key, to[six]], [by[six], key])
    return rows, by, to, replies


def _in_vain(point: Point, scene: Scene, known: NDArray[np.uint64]) -> list[Vain]:
    rows, by, to, replies = _asked(point, scene)
    asks = ~replies & (by != to) & ~among(by, scene.node.own)
    found, there = [], {*known.tolist()}
    for who, whom in sorted({*zip(by[asks].tolist(), to[asks].tolist(), strict=True)}):
        heard = np.flatnonzero(by == whom)
        mine = np.flatnonzero(asks & (by == who) & (to == whom))
        mine = mine[mine > heard[-1]] if len(heard) else mine
        sent = distinct(point.packets.time[rows[mine]])
        if len(sent) >= _LEAST and (whom in there or _mute(point, int(rows[mine[0]]))):
            found.append(Vain(point, np.uint64(who), int(rows[mine[0]]), len(mine)))
    return found


def _mute(point: Point, row: int) -> bool:
    """Whether the sender of a packet sends nothing later that could leave the link."""
    flow, back = point.packets.flow[row:], point.packets.bits[row:] & REPLY != 0
    station = np.where(back, point.flows.mac_dst[flow], point.flows.mac_src[flow])
    return not np.isin(flow[station == station[0]], point.routable).any()


def told(found: Sequence[Vain]) -> str:
    """What is to be said of it, in one sentence; empty without any."""
    if not found:
        return ""
    one, more = found[0], len(found) - 1
    flows, flow = one.point.flows, int(one.point.packets.flow[one.row])
    who, whom = addresses(flows, flow)
    if one.point.packets.bits[one.row] & REPLY:
        who, whom = whom, who
    if flows.proto[flow] == ICMP6:
        ((_, data),) = transports(one.point.recording, [one.row])
        whom = str(ipaddress.IPv6Address(data[8:24]))
    others = f", as {'does another pod' if more == 1 else f'do {more} more pods'}" if more else ""
    frame = one.point.recording.locate(one.row)[1]
    return (
        f"{who} can send nothing to {whom}{others}: from frame {frame} of {one.point.name} on it asks for its link-layer address "
        f"{UNANSWERED}"
    )


def asked_in_vain(point: Point, target: str, scene: Scene) -> Evidence | None:
    """That a point's side of the node asked for an address twice or more, and nothing from it was ever seen there."""
    key = keys_of([target])[0]
    packets, flows = point.packets, point.flows
    rows = scene.neighbours[point.name]
    flow = packets.flow[rows]
    solicited = (flows.proto[flow] == ICMP6) & (flows.ports[flow] >> 16 == SOLICITATION)
    wanted = np.where(packets.bits[rows] & REPLY != 0, point.src[flow], point.dst[flow])
    asks = rows[((flows.proto[flow] == ARP) & (packets.seq[rows] == 1) | solicited) & (wanted == key)]
    if len(asks) < 2 or _spoke(point, key):
        return None
    seen = scene.trails.sighting(point, int(asks[0]))
    return Evidence(
        says=f"{point.name} sent {len(asks)} ARP/ND requests for {target}, no reply",
        source=f"{seen.file} frame {seen.frame}",
    )


def _spoke(point: Point, key: np.uint64) -> bool:
    """Whether an address ever sent anything."""
    starts = point.starts
    sent, answered = starts[1::2] > starts[:-1:2], starts[2::2] > starts[1::2]
    return bool((sent & (point.src == key)).any() or (answered & (point.dst == key)).any())


def failed(target: str, scene: Scene) -> Evidence | None:
    """The node's own word that it does not reach a neighbour."""
    failed = next(
        (n for n in scene.evidence.neighbours if n.address == target and n.state in ("FAILED", "INCOMPLETE")),
        None,
    )
    if failed is None:
        return None
    return Evidence(
        says=f"the node cannot reach {target} on {failed.dev}: {failed.state}", source=failed.file
    )
