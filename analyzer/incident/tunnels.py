"""ICMP errors about a tunnel's own packets: one of the two nodes does not take them, so no pod reaches another there.

They quote the outer packet, so they belong to none of the connections inside.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from analyzer.connection.passages import address
from analyzer.evidence.rules.packet import Packet
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.incident.scene import Scene

PORTS = {
    4789: "VXLAN",
    8472: "VXLAN",
    6081: "Geneve",
    8285: "flannel",
    51820: "WireGuard",
    51821: "WireGuard",
}
"""UDP ports of tunnels, as flannel, Calico, Cilium and Antrea have them by default."""


def refused(scene: Scene) -> list[str]:
    """One sentence for each end that refuses a tunnel's packets."""
    found = []
    for point in (point for point in scene.points if point.role == "uplink"):
        groups: Counter[tuple[str, str, int, str, str]] = Counter()
        for ends, errors in scene.refusals.at(point).items():
            port = int.from_bytes(ends[34:36], "big")
            if port not in PORTS:
                continue
            src, dst = (
                address(*(int.from_bytes(ends[at + n : at + n + 8], "big") for n in (0, 8))) for at in (0, 16)
            )
            for one in errors:
                if not one.harmless:
                    sender = scene.trails.sighting(point, one.row).src
                    groups[src, dst, port, one.words, sender] += 1
        for (src, dst, port, words, sender), number in groups.items():
            own = scene.node.owns(sender)
            found.append(
                f"{point.name}: {count(number, 'ICMP error')} of {sender} ({words}) refuse{'s' * (number == 1)} "
                f"{PORTS[port]} packets from {src} to {dst}, UDP port {port}: no pod reaches another that way; "
                + (_rule(scene, src, dst, port, point.name) if own else f"look for a firewall on {sender}")
            )
    return found


def _rule(scene: Scene, src: str, dst: str, port: int, uplink: str) -> str:
    """Which rule of this node refuses them."""
    packet = Packet(proto="udp", src=src, dst=dst, dport=port, iif=scene.evidence.device(uplink), oif=None)
    walked = scene.through(packet)
    if walked is not None and walked[0].verdict in ("drop", "reject") and walked[0].end is not None:
        return f"this node's rule does: {walked[0].end.text} [{walked[1]}]"
    return "look for a rule of this node's INPUT that rejects them"
