"""Neighbours that somebody asked for at a point, and who never said a word there."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP, REPLY
from analyzer.flow.keys import address_key
from analyzer.flow.point import ICMP6
from analyzer.incident.model import Evidence

if TYPE_CHECKING:
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

SOLICITATION = 135
_V4 = 0xFFFF << 32


def asked_in_vain(point: Point, target: str, scene: Scene) -> Evidence | None:
    """That a point's side of the node asked for an address twice or more, and nothing from it was ever seen there."""
    number = int(ipaddress.ip_address(target))
    hi, lo = (0, _V4 | number) if ":" not in target else (number >> 64, number & (1 << 64) - 1)
    key = address_key(np.array([hi], np.uint64), np.array([lo], np.uint64))[0]
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
