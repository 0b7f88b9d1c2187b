"""The overlay device's forwarding table has no entry for the node that hosts the packets' destination.

What happens
    A VXLAN device looks up the frame's MAC address in its forwarding table (fdb) to find the node to send it to. Overlays
    such as flannel write these entries themselves and turn learning off. Without an entry, and without a default one (all
    zeros), the frame is dropped (`vxlan_xmit`). The sender gets no error. Usually the agent that writes the entries has
    stopped, missed a change of a node, or was given another MAC address.

How it is recognised
    Requests enter the overlay device, or are routed to it, but no encapsulated packet leaves the uplink. The next hop's MAC
    address, from the frame or the node's neighbours, is not in `bridge fdb` for that device, while other nodes' are.

What is ruled out
    Loss beyond the node (nothing left the uplink), an unresolved next hop (its MAC address is known), the race (overlay
    traffic is not translated).

Remedies and their risks
    Restart the agent that writes the table. To confirm the cause, add the entry by hand.

References
    bridge(8) fdb; drivers/net/vxlan/vxlan_core.c `vxlan_xmit`; https://github.com/flannel-io/flannel backend/vxlan
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.layout import REPLY
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded, risen
from analyzer.incident.routing import beyond, last_seen, targets, way

if TYPE_CHECKING:
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "no-fdb-entry"
TITLE = "missing FDB entry of the overlay"
RANK = 45
COUNTED = False
ANYONE = "00:00:00:00:00:00"

REMEDIES = (
    Remedy(
        do="Restart the overlay's agent, so that it rewrites its entries",
        command="kubectl -n kube-flannel rollout restart daemonset/kube-flannel-ds",
        effect="It writes neighbours and forwarding entries of all nodes anew.",
        risk="A node that the agent cannot read from its store stays missing; traffic goes on meanwhile.",
    ),
    Remedy(
        do="See what the device knows of the other nodes",
        command="bridge fdb show dev flannel.1; ip neigh show dev flannel.1; ip route show dev flannel.1",
        effect="Each remote node needs a route, a neighbour with its MAC address, and a forwarding entry with its address.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{loss.fared}: the overlay's device has no forwarding entry for the destination's node, so "
        f"nothing was sent between {loss.gap[0]} and {loss.gap[1]}."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the next hop's MAC address, which the overlay's table lacks."""
    if case.refused or not case.outward or beyond(case).role != "uplink":
        return None
    record = recorded(case, scene, reason="VXLAN_NO_REMOTE")
    hop = _hop(case, scene)
    if hop is None:
        return None
    device, mac, source = hop
    mine = [entry for entry in scene.evidence.fdb if entry.dev == device]
    if record is None and (
        not scene.evidence.fdb or any(e.mac in (mac, ANYONE) and (e.dst or e.mac == mac) for e in mine)
    ):
        return None
    others = sum(bool(entry.dst) for entry in mine)
    file = (mine or scene.evidence.fdb)[0].file if scene.evidence.fdb else ""
    evidence = [record] if record else []
    evidence.append(Evidence(says=f"{device} is to send it to {mac}", source=source))
    if file:
        evidence.append(
            Evidence(
                says=f"the forwarding table of {device} has no entry for {mac}, and {others} for other nodes",
                source=file,
            )
        )
    evidence += risen(scene, "tx_dropped", device)
    return Explanation(
        cause=CODE,
        confidence="proven" if record or others else "likely",
        facts={"interface": device, "mac": mac, "entries": others},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(cause="next-hop-unresolved", because=f"its link-layer address is known: {mac}"),
            Exclusion(
                cause="lost outside the node",
                because=f"no encapsulated packet of it left {beyond(case).name}",
            ),
        ),
        remedies=tuple(remedy.on("flannel.1", device) for remedy in REMEDIES),
    )


def _overlays(scene: Scene) -> set[str]:
    """VXLAN devices that take their peers from the table alone."""
    told = {link.name: link for link in scene.evidence.links if link.kind == "vxlan"}
    named = {entry.dev for entry in scene.evidence.fdb if entry.dst} - told.keys()
    return named | {
        name
        for name, link in told.items()
        if not {"remote", "group", "remote6", "group6"} & link.settings.keys()
    }


def _hop(case: Case, scene: Scene) -> tuple[str, str, str] | None:
    """The overlay's device, the MAC address that the packet is for there, and who says so."""
    overlays = _overlays(scene)
    point, row = last_seen(case)
    if point.name in overlays:
        flow, flows = int(point.packets.flow[row]), point.flows
        number = int(flows.mac_src[flow] if point.packets.bits[row] & REPLY else flows.mac_dst[flow])
        capture, frame = point.recording.locate(row)
        return (
            (point.name, number.to_bytes(6, "big").hex(":"), f"{capture.label} frame {frame}")
            if number
            else None
        )
    for target in sorted(targets(case, scene)):
        found = way(scene, target)
        if len(found.devices) != 1 or found.devices[0] not in overlays:
            continue
        hop = found.gateways[0] if found.gateways else target
        for neighbour in scene.evidence.neighbours:
            if neighbour.address == hop and neighbour.dev == found.devices[0] and neighbour.mac:
                return found.devices[0], neighbour.mac, neighbour.file
    return None
