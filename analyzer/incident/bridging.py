"""A packet as the rules of a bridge see it: with the ports that it comes in by and goes out by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.capture.naming import role_of
from analyzer.evidence.rules.packet import Packet
from analyzer.flow.keys import among
from analyzer.node.ways import LOCAL

if TYPE_CHECKING:
    from analyzer.capture.columns import Flows
    from analyzer.connection.passages import Trails
    from analyzer.evidence import SideEvidence
    from analyzer.evidence.rules.packet import Steps
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap
    from analyzer.node.ways import Node

VXLAN_PORTS = {"flannel.": 8472, "flannel-v6.": 8472, "vxlan.calico": 4789, "cilium_vxlan": 8472}
"""UDP port by the beginning of a device's name, where the bundle lacks its own settings: what flannel, Calico and Cilium use."""


def at_port(
    packet: Packet,
    evidence: SideEvidence,
    node: Node,
    trails: Trails,
    point: Point,
    row: int,
    gap: Gap,
    *,
    outward: bool,
) -> Packet:
    """The packet between a pod's port and the bridge: from port to port, up to the bridge itself, or down from it.

    Args:
        packet: As the rules of IP see it.
        evidence: For the names of the ports.
        node: What is known of the node.
        trails: Where else it was seen.
        point: That saw it.
        row: Of the packet.
        gap: Between a pod's point and the bridge, or another pod's.
        outward: Whether it came from the pod.
    """
    iif, oif = (evidence.device(one.name) for one in (gap.inner, gap.outer)[:: 1 if outward else -1])
    packet = replace(packet, iif=iif, oif=oif)
    if gap.abreast:
        return packet
    stays = node.heading[point.name][point.packets.flow[row]] == LOCAL
    if outward:
        return replace(packet, oif=_to_pod(node, point, row) or ("" if stays else None))
    seen = (one.name for one, _ in trails.sightings(point, row) if one.role == "pod")
    return replace(packet, iif=next(seen, "" if stays else None))


def device(point: Point, evidence: SideEvidence) -> str:
    """What rules call a point's device: of a bridge's port the bridge, empty where it is not known whether it is one."""
    name = evidence.device(point.name)
    if point.role != "pod" or not name:
        return name
    link = next((link for link in evidence.links if link.name == name), None)
    if link is not None:
        return link.master or name
    routed = any(hop.dev == name for route in evidence.routes for hop in route.hops)
    return name if routed or not name.startswith("veth") else ""


def short_of_bridge(walked: tuple[Steps, str], packet: Packet, *, outward: bool) -> tuple[Steps, str]:
    """What rules of IP do to a packet between a port and the bridge.

    With br_netfilter what comes from a port passes PREROUTING; the other hooks lie behind the bridge, but for what is bridged
    on to another port.
    """
    steps, file = walked
    if "" not in (packet.iif, packet.oif) or steps.end is None:
        return walked
    if outward and steps.end.hook in ("ingress", "prerouting"):
        return walked
    return replace(steps, verdict="accept", end=None, doubts=()), file


def other_bridge(node: Node, flows: Flows, flow: int) -> str | None:
    """The bridge of this node that the routes lead a flow's requests to: they leave by it, whether or not it was captured."""
    devices = node.routes.devices(int(flows.dst_hi[flow]), int(flows.dst_lo[flow]))
    return devices[0] if len(devices) == 1 and role_of(devices[0]) == "bridge" else None


def _to_pod(node: Node, point: Point, row: int) -> str:
    """The port of the pod that a packet is addressed to; empty where it is none whose port was captured."""
    flow = point.packets.flow[[row]]
    to = (point.src if point.packets.bits[row] & REPLY else point.dst)[flow]
    return next((name for name, own in node.pods.items() if bool(np.any(among(to, own)))), "")


def around(tunnel: str, uplink: str, evidence: SideEvidence, *, outward: bool) -> Packet | None:
    """What carries the packets of a tunnel device: the node itself sends and receives it, so OUTPUT and INPUT are asked.

    None where it is not known how the device encapsulates, or which address the uplink has.
    """
    links = {link.name: link for link in evidence.links}
    inner, outer = links.get(tunnel), links.get(uplink)
    port = (inner.settings.get("port") if inner else None) or next(
        (port for begin, port in VXLAN_PORTS.items() if tunnel.startswith(begin)), None
    )
    own = next((text for text in (outer.addresses if outer else ()) if "." in text), None)
    if port is None or own is None or not str(port).isdecimal():
        return None
    if outward:
        return Packet(proto="udp", src=own, dst="", dport=int(port), iif=None, oif=uplink)
    return Packet(proto="udp", src="", dst=own, dport=int(port), iif=uplink, oif=None, state=None)
