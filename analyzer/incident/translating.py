"""Whether the node's rules translate the destination of what comes in, and where that leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.connection.passages import address
from analyzer.evidence.rules.packet import Packet
from analyzer.evidence.rules.view import endpoint
from analyzer.evidence.rules.walk import translations, walk
from analyzer.flow.keys import halves
from analyzer.flow.point import TCP

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.evidence import SideEvidence
    from analyzer.evidence.rules.packet import Steps
    from analyzer.flow.point import Point
    from analyzer.node.ways import Node


def translating(evidence: SideEvidence) -> Callable[[Point, int, bool], bool]:
    """Whether the rules translate the destination of a flow that comes in; False where no rules are known."""

    def asked(point: Point, flow: int, own: bool) -> bool:
        flows = point.flows
        proto, ports = int(flows.proto[flow]), int(flows.ports[flow])
        packet = Packet(
            proto="tcp" if proto == TCP else "udp",
            src=address(int(flows.src_hi[flow]), int(flows.src_lo[flow])),
            dst=address(int(flows.dst_hi[flow]), int(flows.dst_lo[flow])),
            dport=ports & 0xFFFF,
            iif=point.name,
        )
        local = frozenset(text for link in evidence.links for text in link.addresses)
        if own:
            local |= {packet.dst}
        return walk(evidence.rules[-1], packet, local=local or None).destination_nat is not None

    return asked if evidence.rules else lambda *_: False


def leads(packet: Packet, steps: Steps, node: Node) -> str | None:
    """By which device a packet leaves whose destination the rules translate; None where that is the node itself.

    Args:
        packet: With the devices that it has without translation.
        steps: Its way through the rules.
        node: For its addresses and routes.
    """
    devices: set[str | None] = set()
    for step in (steps.destination_nat, *steps.nat_doubts):
        for action in translations(step) if step is not None else ():
            to = endpoint(action.target)[0] if action.kind == "dnat" else None
            if action.kind == "redirect" or (to and node.owns(to)):
                devices.add(None)
            elif to and packet.iif is not None and packet.oif is not None:
                devices.update(node.routes.devices(*halves(to)) or (packet.oif,))
    return devices.pop() if len(devices) == 1 else packet.oif
