"""A packet's way through all points, and how its addresses read."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import QUOTES, REPLY, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.connection.model import Fate, Passage, Sighting
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.nat.gap import by_point
from analyzer.node.topology import depth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.capture.columns import Flows
    from analyzer.connection.model import GapNames
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap

MEASURED = 4096
"""Packets of a gap whose transits are looked at, at most."""
_V4_MAPPED = 0xFFFF
_PROTOCOLS = {0: "arp", ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMP6: "icmp6", 132: "sctp"}


@lru_cache(1 << 16)
def address(hi: int, lo: int) -> str:
    """An address as text, from its 128 bits."""
    if hi == 0 and lo >> 32 == _V4_MAPPED:
        return str(ipaddress.IPv4Address(lo & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address((hi << 64) | lo))


def addresses(flows: Flows, flow: int) -> tuple[str, str]:
    """Both addresses of a flow, originator's first."""
    src, dst = (
        address(int(getattr(flows, f"{side}_hi")[flow]), int(getattr(flows, f"{side}_lo")[flow]))
        for side in ("src", "dst")
    )
    return src, dst


def ends(flows: Flows, flow: int) -> tuple[str, str]:
    """Both ends of a flow, originator first: `10.244.0.11:20000`, `[2001:db8::1]:443`; no port where there is none."""
    ports = int(flows.ports[flow])
    texts = []
    for text, port in zip(addresses(flows, flow), (ports >> 16, ports & 0xFFFF), strict=True):
        if int(flows.proto[flow]) in (TCP, UDP, 132):
            texts.append(f"[{text}]:{port}" if ":" in text else f"{text}:{port}")
        else:
            texts.append(text)
    return texts[0], texts[1]


def flow_name(flows: Flows, flow: int) -> str:
    """`10.244.0.11:20000 > 192.0.2.100:80/tcp`."""
    src, dst = ends(flows, flow)
    proto = int(flows.proto[flow])
    return f"{src} > {dst}/{_PROTOCOLS.get(proto, proto)}"


def label(point: Point, row: int) -> str:
    """What a packet is, in a few words."""
    packets = point.packets
    flags, length = int(packets.flags[row]), int(packets.length[row])
    proto = int(point.flows.proto[packets.flow[row]])
    if proto == UDP:
        return f"UDP {length:,} bytes"
    if proto in (ICMP, ICMP6):
        return "ICMP error" if packets.bits[row] & QUOTES else f"ICMP {packets.seq[row]}"
    if proto != TCP:
        return _PROTOCOLS.get(proto, f"protocol {proto}")
    if flags & TCP_SYN:
        return "SYN-ACK" if flags & TCP_ACK else "SYN"
    if flags & TCP_RST:
        return "RST"
    name = "FIN" if flags & TCP_FIN else "ACK"
    return f"{name} {packets.ack[row]}" + (f", {length:,} bytes" if length else "")


class Trails:
    """Follows single packets and flows across the gaps; for the few that are told of."""

    def __init__(self, points: Sequence[Point], gaps: Sequence[Gap]) -> None:
        self.points = {point.name: point for point in points}
        self._near = by_point(gaps)
        self._gaps = {gap.names: gap for gap in gaps}
        self._disorder: dict[GapNames, int] = {}

    def disorder(self, names: GapNames) -> int:
        """By how many ns packets seem to have crossed a gap before they were sent: so far its times are wrong."""
        if names not in self._gaps:
            return 0
        if names not in self._disorder:
            gap = self._gaps[names]
            a, b = gap.inner.packets, gap.outer.packets
            rows = np.flatnonzero(gap.in_outer[: 16 * MEASURED] >= 0)[:MEASURED]
            match = gap.match_a[a.flow[rows]]
            rows, match = rows[match >= 0], match[match >= 0]
            way = gap.heading[match] * np.where(a.bits[rows] & REPLY != 0, -1, 1)
            transit = (b.time[gap.in_outer[rows]] - a.time[rows]) * way
            self._disorder[names] = max(0, -int(transit.min(initial=0)))
        return self._disorder[names]

    def sightings(self, point: Point, row: int) -> list[tuple[Point, int]]:
        """Every (point, row) at which this packet was seen, from the inside out."""
        found = {point.name: (point, row)}
        pending = [(point, row)]
        for here, at in pending:
            for gap in self._near.get(here.name, {}).values():
                for one, other, partner in (
                    (gap.inner, gap.outer, gap.in_outer),
                    (gap.outer, gap.inner, gap.in_inner),
                ):
                    if one is here and other.name not in found and (met := int(partner[at])) >= 0:
                        found[other.name] = (other, met)
                        pending.append(found[other.name])
        return sorted(found.values(), key=lambda s: (depth(s[0]), int(s[0].packets.time[s[1]])))

    def sighting(self, point: Point, row: int) -> Sighting:
        """How one point saw a packet."""
        capture, frame = point.recording.locate(row)
        src, dst = ends(point.flows, int(point.packets.flow[row]))
        if point.packets.bits[row] & REPLY:
            src, dst = dst, src
        return Sighting(
            point=point.name,
            file=capture.label,
            frame=frame,
            time=int(point.packets.time[row]),
            src=src,
            dst=dst,
        )

    def passage(
        self,
        point: Point,
        row: int,
        *,
        outward: bool,
        fate: Fate = Fate.PASSED,
        gap: tuple[str, str] | None = None,
        role: str = "",
        note: str = "",
    ) -> Passage:
        """The whole way of the packet that *point* has in *row*."""
        seen = self.sightings(point, row)
        return Passage(
            sightings=tuple(self.sighting(p, r) for p, r in (seen if outward else reversed(seen))),
            outward=outward,
            label=label(point, row),
            fate=fate,
            gap=gap,
            role=role,  # type: ignore[arg-type]
            note=note,
        )

    def flows_of(self, point: Point, flow: int) -> dict[str, int]:
        """The same connection's flow at every point that saw it, by the point's name."""
        found = {point.name: flow}
        pending = [(point, flow)]
        for here, at in pending:
            for gap in self._near.get(here.name, {}).values():
                for one, other, match, theirs in (
                    (gap.inner, gap.outer, gap.match_a, gap.matches.b),
                    (gap.outer, gap.inner, gap.match_b, gap.matches.a),
                ):
                    if one is here and other.name not in found and (known := int(match[at])) >= 0:
                        found[other.name] = int(theirs[known])
                        pending.append((other, found[other.name]))
        return found
