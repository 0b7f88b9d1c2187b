"""A packet as the rules of a bridge see it: with the ports that it comes in by and goes out by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.flow.keys import among
from analyzer.node.ways import LOCAL

if TYPE_CHECKING:
    from analyzer.connection.passages import Trails
    from analyzer.evidence.rules.packet import Packet
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap
    from analyzer.node.ways import Node


def at_port(
    packet: Packet, node: Node, trails: Trails, point: Point, row: int, gap: Gap, *, outward: bool
) -> Packet:
    """The packet between a pod's port and the bridge: from port to port, up to the bridge itself, or down from it.

    Args:
        packet: As the rules of IP see it.
        node: What is known of the node.
        trails: Where else it was seen.
        point: That saw it.
        row: Of the packet.
        gap: Between a pod's point and the bridge, or another pod's.
        outward: Whether it came from the pod.
    """
    if gap.abreast:
        return packet
    stays = node.heading[point.name][point.packets.flow[row]] == LOCAL
    if outward:
        return replace(packet, oif=_to_pod(node, point, row) or ("" if stays else None))
    seen = (one.name for one, _ in trails.sightings(point, row) if one.role == "pod")
    return replace(packet, iif=next(seen, "" if stays else None))


def _to_pod(node: Node, point: Point, row: int) -> str:
    """The port of the pod that a packet is addressed to; empty where it is none whose port was captured."""
    flow = point.packets.flow[[row]]
    to = (point.src if point.packets.bits[row] & REPLY else point.dst)[flow]
    return next((name for name, own in node.pods.items() if bool(np.any(among(to, own)))), "")
