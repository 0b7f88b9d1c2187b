"""The node's own answers, which no capture shows where a rule drops them: the way of a request, and then of its answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.capture.layout import TCP_ACK, TCP_SYN

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.evidence.rules.packet import Packet, Steps
    from analyzer.node.ways import Node


def answered(
    packet: Packet,
    walked: tuple[Steps, str],
    node: Node,
    through: Callable[[Packet], tuple[Steps, str] | None],
) -> tuple[Steps, str] | None:
    """The way of the node's own answer, where the rules let a request for the node in and then drop that.

    A datagram need not be answered, so only what a rule counted tells that it was.

    Args:
        packet: The request.
        walked: Its way, which no rule ended.
        node: For its addresses.
        through: Leads a packet through the rules.
    """
    tracked = walked[0].untracked is False
    if (
        packet.state != "new"
        or walked[0].destination_nat
        or walked[0].nat_doubts
        or walked[0].untracked is None
    ):
        return None
    if not packet.dst or not node.owns(packet.dst):
        return None
    # Where a rule keeps conntrack from the request, a datagram that answers begins anew, and nothing else can.
    answer = through(
        replace(
            packet, src=packet.dst, dst=packet.src, sport=packet.dport, dport=packet.sport,
            iif=None, oif=packet.iif,
            state="established" if tracked else "new" if packet.proto == "udp" else "invalid",
            tcp_flags=None if packet.tcp_flags is None else TCP_SYN | TCP_ACK,
            icmp_type=packet.icmp_type and "echo-reply",
        )
    )  # fmt: skip
    end = answer[0].end if answer is not None and answer[0].verdict in ("drop", "reject") else None
    if answer is None or end is None:
        return None
    counted = end.rule.packets if end.rule is not None else end.chain.counted
    if counted == 0 or (packet.proto == "udp" and not counted):
        return None
    return replace(answer[0], verdict="drop"), answer[1]
