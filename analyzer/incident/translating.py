"""Whether the node's rules translate the destination of what comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.connection.passages import address
from analyzer.evidence.rules.packet import Packet
from analyzer.evidence.rules.walk import walk
from analyzer.flow.point import TCP

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.evidence import SideEvidence
    from analyzer.flow.point import Point


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
