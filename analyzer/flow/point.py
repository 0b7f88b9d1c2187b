"""A capture point with its flows set right: who opened each, and which rows are whose."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.layout import ARP, SYN_X, SYN_Y, SYNACK_X, SYNACK_Y, TUNNEL_SHIFT
from analyzer.capture.pauses import pauses
from analyzer.capture.storage import Memory
from analyzer.flow.grouping import group
from analyzer.flow.keys import address_key, is_v4
from analyzer.flow.ordering import exchange, settle
from analyzer.flow.selecting import select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows, Packets
    from analyzer.capture.points import Recording

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
TUNNEL_PORTS = (4789, 6081, 8472, 51820, 51821, 51871)
"""UDP ports of VXLAN (IANA's and Linux's), Geneve and WireGuard (its own, Calico's for IPv6, Cilium's)."""
ESP = 50
CARRIERS = (4, 41, 47, ESP)
"""IP in IP, IPv6 in IP, GRE, ESP."""
FOLLOWED = (TCP, UDP, ICMP, ICMP6)
"""Protocols whose requests and replies are followed."""
NEIGHBOURS = tuple(range(133, 138))
"""Types of ICMPv6 by which routers and neighbours are asked for, and answer."""
SLICE = 1 << 20
"""Rows that a loop over all packets takes at a time: what it needs beside the columns stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The packets that tell what happened; the arrays have one length."""

    rows: NDArray[np.int32]
    """Ascending."""
    kinds: NDArray[np.uint8]
    """See `analyzer.flow.selecting`."""

    def of(self, kind: int) -> NDArray[np.int64]:
        """Rows of the packets that are of this kind."""
        return self.rows[self.kinds & kind != 0].astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """When a point was recording, beyond what its own packets show."""

    first: int
    """ns, on the bundle's common clock."""
    last: int
    why: str
    """What shows it: `other interfaces of node.pcapng`."""


@dataclass(kw_only=True, eq=False)
class Point:
    """One capture point: packets, flows, and the rows of each flow."""

    recording: Recording
    name: str
    role: str | None
    packets: Packets
    """Bit REPLY of `bits` now says: sent by the responder."""
    flows: Flows
    """`src` is now the originator: Zeek's `orig`."""
    starts: NDArray[np.int64]
    """See `analyzer.flow.grouping`: the rows that side d of flow f sent begin at `order[starts[2 * f + d]]`."""
    order: NDArray[np.int32]
    storage: Memory = field(default_factory=Memory, repr=False)
    """Where columns as long as the packets' shall lie."""
    clock_offset: int = 0
    """ns that were added to the packets' times: see `analyzer.nat.clocks`."""
    interval: Interval | None = None
    """See `analyzer.node.recording`; None where nothing but its own packets tells."""
    host: str = ""
    """Whose it is, where the bundle has captures of several nodes: see `analyzer.node.hosts`."""
    guessed: bool = False
    """Whether neither its name nor anybody tells its role, so that its packets alone do."""
    within: tuple[str, ...] = ()
    """Points of the same place that it lies directly behind, seen from the node's inside: see `analyzer.node.stacks`."""

    @property
    def absent(self) -> bool:
        """Whether nobody captured it: see `analyzer.node.absent`."""
        return not self.recording.files

    def rows(self, flow: int, side: int | None = None) -> NDArray[np.int32]:
        """Rows of a flow, ascending; of one side (0 originator, 1 responder) if asked."""
        if side is None:
            return np.sort(self.order[self.starts[2 * flow] : self.starts[2 * flow + 2]])
        return self.order[self.starts[2 * flow + side] : self.starts[2 * flow + side + 1]]

    def rows_of(self, flows: NDArray[Any], side: int | None = None) -> NDArray[np.int32]:
        """Rows of several flows, one flow after the other, of each what the originator sent first; of one side if asked."""
        first = 2 * flows.astype(np.int64) + (side or 0)
        begin, end = self.starts[first], self.starts[first + (2 if side is None else 1)]
        count = end - begin
        before = np.cumsum(count) - count
        return self.order[np.arange(count.sum()) + np.repeat(begin - before, count)]

    @cached_property
    def src(self) -> NDArray[np.uint64]:
        """Of each flow the originator's address, as `analyzer.flow.keys.address_key`."""
        return address_key(self.flows.src_hi, self.flows.src_lo)

    @cached_property
    def dst(self) -> NDArray[np.uint64]:
        """Of each flow the responder's address, as `src`."""
        return address_key(self.flows.dst_hi, self.flows.dst_lo)

    @cached_property
    def routable(self) -> NDArray[np.int32]:
        """Flows that a router may forward: not ARP, multicast, broadcast, nor IPv6's link-local: each link has its own."""
        return routable(self.flows)

    @cached_property
    def opaque(self) -> NDArray[np.int64]:
        """Flows that are a tunnel's packets of which nobody sees what is in them: cut off by the snaplen, or encrypted."""
        flows = self.flows
        found = np.isin(flows.proto, CARRIERS)
        found |= (flows.proto == TCP) & (flows.ports == 0)  # cut within the header
        found |= (flows.proto == UDP) & np.isin(flows.ports & 0xFFFF, TUNNEL_PORTS)
        return np.flatnonzero(found)

    @cached_property
    def encapsulated(self) -> NDArray[np.bool_]:
        """Which flows were seen inside a tunnel's packets, by the first packet of each."""
        first = self.order[np.minimum(self.starts[:-1:2], max(len(self.order) - 1, 0))]
        inside: NDArray[np.bool_] = (self.packets.bits[first] >> TUNNEL_SHIFT) & 7 != 0
        return inside

    @cached_property
    def span(self) -> tuple[int, int]:
        """Times of the first and the last packet, ns; (0, -1) without packets. To be asked for when the clocks agree."""
        time = self.packets.time
        return (int(time.min()), int(time.max())) if len(time) else (0, -1)

    @property
    def recording_span(self) -> tuple[int, int]:
        """From when to when it was recording, ns, by its packets and whatever else tells; (0, -1) where nothing does."""
        first, last = self.span
        if self.interval is None:
            return first, last
        return (min(first, self.interval.first), max(last, self.interval.last)) if first <= last else (
            self.interval.first, self.interval.last
        )  # fmt: skip

    @cached_property
    def pauses(self) -> tuple[tuple[int, int], ...]:
        """When the point was not recording between its first and its last packet: from and to, ns, ascending."""
        if len(self.recording.first_rows) < 2:
            return ()
        bounds = pairwise([*self.recording.first_rows, len(self.packets)])
        times = [self.packets.time[begin:end] for begin, end in bounds if end > begin]
        return tuple(pauses(((int(time.min()), int(time.max())) for time in times), len(self.packets)))

    def recorded(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the point was recording at each time, ns: it has packets before and after, or a witness, and no pause there."""
        first, last = self.recording_span
        within = (times >= first) & (times <= last)
        if self.pauses:
            begins, ends = np.array(self.pauses).T
            before = np.searchsorted(begins, times) - 1  # the last pause that began before
            within &= (before < 0) | (times >= ends[before])
        return within

    @cached_property
    def events(self) -> Events:
        """Requests, answers, resets, ICMP errors and questions for neighbours."""
        packets = self.packets
        columns = views(
            packets.flow, packets.bits, packets.flags, packets.window, packets.length, self.flows.proto, self.flows.ports
        )  # fmt: skip
        found: list[tuple[NDArray[np.int32], NDArray[np.uint8]]] = []
        rows, kinds = np.empty(SLICE, np.int32), np.empty(SLICE, np.uint8)
        for begin, stop in slices(len(packets)):
            count = select(begin, stop, *columns, *views(rows, kinds))
            found.append((rows[:count].copy(), kinds[:count].copy()))
        empty = (np.zeros(0, np.int32), np.zeros(0, np.uint8))
        both = [np.concatenate(part) for part in zip(empty, *found, strict=True)]
        return Events(rows=both[0], kinds=both[1])

    @cached_property
    def both_ways(self) -> bool:
        """Whether any flow has packets of either side."""
        starts = self.starts
        return bool(((starts[1::2] > starts[:-1:2]) & (starts[2::2] > starts[1::2])).any())

    def part(self, flows: NDArray[np.int32]) -> tuple[Point, NDArray[np.int32]]:
        """Make a point of these flows alone, which ascend; and say which rows it has, ascending."""
        sides = (2 * flows.astype(np.int64)[:, None] + (0, 1)).reshape(-1)
        grouped = self.rows_of(flows)
        by_row = np.argsort(grouped)
        rows = grouped[by_row]
        packets = self.packets.take(rows, self.storage)
        number = np.zeros(len(self.flows), np.int32)
        number[flows] = np.arange(len(flows))
        packets.flow = number[packets.flow]
        starts = np.zeros(len(sides) + 1, np.int64)
        np.cumsum(self.starts[sides + 1] - self.starts[sides], out=starts[1:])
        order = np.empty(len(rows), np.int32)
        order[by_row] = np.arange(len(rows))
        # Not `replace`: what is remembered is the whole point's.
        return Point(
            recording=self.recording,
            name=self.name,
            role=self.role,
            packets=packets,
            flows=self.flows.take(flows, self.storage),
            starts=starts,
            order=order,
            storage=self.storage,
            clock_offset=self.clock_offset,
        ), rows

    def sizes(self) -> NDArray[np.int64]:
        """Packets of each flow."""
        sizes: NDArray[np.int64] = np.diff(self.starts[::2])
        return sizes


def slices(rows: int) -> Iterator[tuple[int, int]]:
    """First row, and the row behind the last one, of each slice of so many rows."""
    for begin in range(0, rows, SLICE):
        yield begin, min(begin + SLICE, rows)


def assemble(recording: Recording) -> Point:
    """Decide who opened each flow, and group its rows.

    The side that sent the first SYN is the originator, as in Zeek; a SYN-ACK's receiver is, too. Where the capture
    began later, the side with the higher port is taken for it in TCP, the first sender in UDP unless it spoke
    from a well-known port.
    """
    settle(recording)
    packets, flows = recording.packets, recording.flows
    swap = _responder_spoke_first(flows)
    starts: NDArray[np.int64] = recording.storage.zeros(2 * len(flows) + 1, np.int64)
    order: NDArray[np.int32] = recording.storage.empty(len(packets), np.int32)
    group(*views(packets.flow, packets.bits, swap.view(np.uint8), starts, order))
    exchange(flows, swap)
    return Point(
        recording=recording,
        name=recording.name,
        role=recording.role,
        packets=packets,
        flows=flows,
        starts=starts,
        order=order,
        storage=recording.storage,
    )


def _responder_spoke_first(flows: Flows) -> NDArray[np.bool_]:
    """Which flows' first packet came from the side that did not open them."""
    marks = flows.marks
    sport, dport = flows.ports >> 16, flows.ports & 0xFFFF
    known = (marks & (SYN_X | SYN_Y | SYNACK_X | SYNACK_Y)) != 0
    opened_by_y = (marks & SYN_X == 0) & (
        (marks & SYN_Y != 0) | ((marks & SYNACK_X != 0) & (marks & SYNACK_Y == 0))
    )
    tcp = (flows.proto == TCP) & (sport < dport)
    udp = (flows.proto == UDP) & (sport < 1024) & (dport >= 1024)
    swap: NDArray[np.bool_] = np.where(known, opened_by_y, tcp | udp)
    return swap


def routable(flows: Flows) -> NDArray[np.int32]:
    """As `Point.routable`."""
    kind, code = flows.ports >> 16, flows.ports & 0xFFFF
    # Neighbours are asked for on one link (RFC 4861 section 7.1: hop limit 255), to unicast addresses as well.
    asked = (flows.proto == ICMP6) & np.isin(kind, NEIGHBOURS) & (code == 0)
    v4, dst = is_v4(flows.src_hi, flows.src_lo), flows.dst_lo
    group = (flows.mac_dst >> np.uint64(40)) & np.uint64(1) == 1
    # 169.254.0.0/16 is link-local by RFC 3927, but Linux routes it: nodes' DNS caches and clouds' metadata have such addresses.
    v4_own = dst >> np.uint64(28) & np.uint64(15) == 14
    v4_own |= dst & np.uint64(0xFFFFFFFF) == np.uint64(0xFFFFFFFF)
    # Captures of `-i any` have no destination MAC: the last address of the sender's own /24 is taken for a broadcast.
    v4_own |= (dst & np.uint64(0xFF) == np.uint64(0xFF)) & (
        dst >> np.uint64(8) == flows.src_lo >> np.uint64(8)
    )
    v6_own = flows.dst_hi >> np.uint64(56) == 255
    v6_own |= (flows.src_hi >> np.uint64(54) == 0x3FA) | (flows.dst_hi >> np.uint64(54) == 0x3FA)
    return np.flatnonzero((flows.proto != ARP) & ~asked & ~group & ~np.where(v4, v4_own, v6_own)).astype(
        np.int32
    )
