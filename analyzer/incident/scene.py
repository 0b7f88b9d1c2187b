"""What a cause may look at beside the connection that it explains."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from analyzer.capture.layout import REPLY, SYN_X, TCP_SYN
from analyzer.capture.naming import role_of
from analyzer.connection.fates import VANISHED
from analyzer.connection.passages import addresses
from analyzer.conntrack import generation_of
from analyzer.conntrack.occupancy import Occupancy, estimate
from analyzer.conntrack.timeouts import Timeouts
from analyzer.evidence.rules.packet import Packet, Steps
from analyzer.evidence.rules.walk import walk
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP
from analyzer.flow.selecting import NEIGHBOUR
from analyzer.incident.answering import answered
from analyzer.incident.bridging import around, at_port, device, other_bridge, short_of_bridge
from analyzer.incident.explanation import Moments, NewMappings
from analyzer.incident.translating import leads
from analyzer.node.recording import called
from analyzer.node.ways import EXITS, LOCAL, OUT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.connection.connections import Connections
    from analyzer.connection.fates import Followed
    from analyzer.connection.passages import Trails
    from analyzer.connection.refusals import Refusals
    from analyzer.evidence import SideEvidence
    from analyzer.evidence.facts import CounterSnapshot
    from analyzer.evidence.rules.packet import Step
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.nat.gap import Gap
    from analyzer.node.ways import Node

T = TypeVar("T")
MOST_RULES = 2_000_000
"""Rules past which different packets are led, about; with thousands of rules, thousands of packets would take minutes."""
GIVEN_UP = 200_000
"""Rules past which a packet was led when its walk was given up."""


@dataclass(kw_only=True)
class Scene:
    """Everything that was found out so far about one bundle."""

    points: Sequence[Point]
    gaps: Sequence[Gap]
    node: Node
    trails: Trails
    requests: Mapping[int, Sequence[Followed]]
    """Protocol to the requests of every point."""
    replies: Mapping[int, Sequence[Followed]]
    """Protocol to what answered them."""
    refusals: Refusals
    """The ICMP errors, by what they quote."""
    evidence: SideEvidence
    answers: Sequence[tuple[Point, int, int]] = field(default=(), init=False)
    """Flows of requests at a point, each with the flow of the answer that came from elsewhere: one connection."""
    connections: Connections | None = field(default=None, init=False)
    """What became of every connection; set when the incidents are known."""
    explained: int = field(default=0, init=False)
    """Vanished requests that something else than conntrack explains."""
    unwalked: int = field(default=0, init=False)
    """Different packets that were asked about and not led through the rules."""
    _passed_rules: int = field(default=0, init=False)

    @cached_property
    def counters(self) -> Mapping[str, int]:
        """Rise of conntrack's counters between the first and the last snapshot; empty without two of one source."""
        by_source: dict[str, list[CounterSnapshot]] = {}
        for snapshot in self.evidence.counters:
            by_source.setdefault(snapshot.source, []).append(snapshot)
        return next((group[-1].since(group[0]) for group in by_source.values() if len(group) > 1), {})

    @property
    def undropped(self) -> bool:
        """Whether conntrack's counters are known, and it counted no drop."""
        return bool(self.counters) and not self.counters.get("drop")

    @property
    def followed(self) -> Iterator[Followed]:
        """All that is followed: the requests at each point, then the replies."""
        return (at for kind in (self.requests, self.replies) for some in kind.values() for at in some)

    @cached_property
    def drops(self) -> Mapping[str, int]:
        """Point to packets that its capturing program lost; only points whose files say."""
        said = {}
        for point in self.points:
            known = self.evidence.capture_drops
            drops = [known[name] for name in called(point) if name in known]
            if point.recording.dropped is not None:
                drops.append(point.recording.dropped)
            if drops:
                said[point.name] = max(drops)
        return said

    @cached_property
    def vanished(self) -> Mapping[int, int]:
        """Protocol to vanished requests."""
        return {
            of: sum(int((at.fate == VANISHED).sum()) for at in found) for of, found in self.requests.items()
        }

    @property
    def unexplained(self) -> int:
        """Vanished requests that nothing but conntrack explains so far: what its counters are compared with."""
        return sum(self.vanished.values()) - self.explained

    @property
    def clashes(self) -> bool:
        """Whether conntrack counted exactly these as failed insertions, and dropped nothing else.

        Up to 5.9, without the column clash_resolve, insert_failed also counts clashes that were resolved without loss.
        """
        lost, failed = self.unexplained, self.counters.get("insert_failed", 0)
        matched = failed == lost or (failed > lost and "clash_resolve" not in self.counters)
        return self.counters.get("drop", -1) == lost > 0 and matched

    @property
    def only_clashes(self) -> bool:
        """Whether failed insertions are all that conntrack counted."""
        return self.clashes and self.counters.get("insert_failed") == self.unexplained

    @cached_property
    def new_mappings(self) -> Mapping[str, NewMappings]:
        """Uplink's name to the connections that left it, by their first request there."""
        return {point.name: self._new_mappings(point) for point in self.points if point.role == "uplink"}

    def _new_mappings(self, point: Point) -> NewMappings:
        rows = np.concatenate([at.rows for p in (TCP, UDP) for at in self.requests[p] if at.point is point])
        flow = point.packets.flow[rows]
        # Also those of pods on bridges that nobody captured, and of the node itself.
        from_node = among(point.src, self.node.own)
        out = ((self.node.heading[point.name] == OUT) | from_node)[flow]
        _, first = np.unique(flow[out], return_index=True)
        rows = rows[out][first]
        rows = rows[np.argsort(point.packets.time[rows], kind="stable")]
        flow = point.packets.flow[rows]
        return NewMappings(
            point=point,
            rows=rows,
            time=point.packets.time[rows],
            proto=point.flows.proto[flow],
            sport=(point.flows.ports[flow] >> 16).astype(np.int64),
            dst=self.destinations[point.name][flow],
        )

    @cached_property
    def destinations(self) -> Mapping[str, NDArray[np.uint64]]:
        """Point to each flow's destination address and port, as one number."""
        return {
            point.name: point.dst + (point.flows.ports & 0xFFFF).astype(np.uint64) for point in self.points
        }

    @cached_property
    def neighbours(self) -> Mapping[str, NDArray[np.int64]]:
        """Point to its rows of ARP and ICMPv6, in which neighbours are asked for."""
        return {point.name: point.events.of(NEIGHBOUR) for point in self.points}

    def translated(self, gap: Gap, point: Point, flow: int) -> set[int]:
        """What the destination of a flow can be behind a gap: itself, or what DNAT made of others like it there."""
        inner, outer = self.destinations[gap.inner.name], self.destinations[gap.outer.name]
        asked = int(self.destinations[point.name][flow])

        def look() -> set[int]:
            alike = inner[gap.matches.a] == asked
            return {asked, *distinct(outer[gap.matches.b[alike]]).tolist()}

        return self.once(("translated", gap.names, asked), look)

    def once(self, question: Hashable, look: Callable[[], T]) -> T:
        """What many cases ask alike: looked up once, and remembered."""
        if question not in self._answers:
            self._answers[question] = look()
        answer: T = self._answers[question]
        return answer

    @cached_property
    def _answers(self) -> dict[Hashable, Any]:
        return {}

    def passed_near(self, gap: Gap, time: int, within: int, protocol: int) -> int:
        """How many requests of a protocol made it through the gap from *within* ns before to as long after *time*."""
        times = self.passed(gap, protocol).time
        begin, end = np.searchsorted(times, (time - within, time + within + 1))
        return int(end - begin)

    def passed(self, gap: Gap, protocol: int) -> Moments:
        """The requests that made it through the gap on their way out, in order of time."""

        def look() -> Moments:
            at = next(a for a in self.requests[protocol] if a.point is gap.inner)
            return self._moments((at, at.outward & (gap.in_outer[at.rows] >= 0)))

        return self.once(("passed", gap.names, protocol), look)

    @cached_property
    def lost(self) -> Mapping[int, Moments]:
        """Protocol to the requests that vanished, of all gaps, in order of time."""
        return {
            protocol: self._moments(*((at, at.fate == VANISHED) for at in followed))
            for protocol, followed in self.requests.items()
        }

    def _moments(self, *some: tuple[Followed, NDArray[np.bool_]]) -> Moments:
        time, rows, dst = [], [], []
        for at, chosen in some:
            packets = at.point.packets
            rows.append(at.rows[chosen])
            time.append(packets.time[rows[-1]])
            dst.append(self.destinations[at.point.name][packets.flow[rows[-1]]])
        times = np.concatenate(time)
        order = np.argsort(times, kind="stable")
        return Moments(time=times[order], rows=np.concatenate(rows)[order], dst=np.concatenate(dst)[order])

    @cached_property
    def occupancy(self) -> Occupancy | None:
        """The conntrack table's estimated occupancy, from the captures."""
        generation = generation_of(self.evidence.kernel)
        timeouts = Timeouts.of(generation, self.evidence.sysctls)
        requests = [at for protocol in (TCP, UDP) for at in self.requests[protocol]]
        return estimate(self.points, self.gaps, generation, timeouts, requests)

    @property
    def table_limit(self) -> int | None:
        """nf_conntrack_max, where the files say."""
        said = self.evidence.sysctls.get("net.netfilter.nf_conntrack_max", "")
        return int(said) if re.fullmatch("[0-9]{1,10}", said) else None

    @cached_property
    def local(self) -> frozenset[str]:
        """The node's own addresses, as far as the bundle has its interface table."""
        return frozenset(text for link in self.evidence.links for text in link.addresses)

    def walked(self, case: Case) -> tuple[Steps, str] | None:
        """The first lost packet's way through the node's rules, and the file they are from.

        None without rules, and for the packets after `MOST_RULES`.
        """
        return self.walk(*case.lost[0].seen[-1], case.gap, outward=case.outward)

    def without(self, end: Step) -> Scene:
        """The same where what ended a packet's way through the rules is gone."""
        rules = self.evidence.rules[-1].without(end.chain, end.rule)
        return replace(self, evidence=replace(self.evidence, rules=(rules,)))

    def walk(
        self, point: Point, row: int, gap: Gap, *, outward: bool, state: Literal["", "invalid", "new"] = ""
    ) -> tuple[Steps, str] | None:
        """The way of any packet through the rules, and the file they are from; None as in `walked`.

        Args:
            point: That saw the packet.
            row: Of the packet.
            gap: That it is about to pass.
            outward: Whether on its way out.
            state: What conntrack shall call it, whatever the captures tell; empty for what they tell.
        """
        if not self.evidence.rules or gap.stacked:
            return None
        tunnel = self._tunnel(point, row, gap, outward=outward)
        outer = around(tunnel, gap.outer.name, self.evidence, outward=outward) if tunnel else None
        if gap.inner.role == "tunnel":
            return self.through(outer) if outer else None
        packet = self._packet(point, row, gap, outward=outward)
        packet = replace(packet, state=state) if state else packet
        if gap.inner.role == "pod" and gap.outer.role in ("pod", "bridge"):
            port = at_port(packet, self.evidence, self.node, self.trails, point, row, gap, outward=outward)
            bridged = self.once(("bridged", port), lambda: self._bridged(port))
            if bridged is not None and bridged[0].verdict in ("drop", "reject"):
                return bridged
        walked = self.through(packet)
        if walked is not None and gap.inner.role == "pod" and gap.outer.role == "bridge":
            walked = short_of_bridge(walked, packet, outward=outward)
        if walked is None or walked[0].verdict != "accept":
            return walked
        return self.through(outer) if outer else answered(packet, walked, self.node, self.through) or walked

    def through(self, packet: Packet) -> tuple[Steps, str] | None:
        """A packet's way through the rules of IP, and the file they are from; None as in `walked`."""
        if not self.evidence.rules:
            return None
        return self.once(("walked", packet), lambda: self._walked(packet))

    def _bridged(self, packet: Packet) -> tuple[Steps, str] | None:
        rules = self.evidence.rules[-1]
        if not any(chain.family in ("bridge", "netdev") for chain in rules.chains):
            return None
        return walk(rules, packet, local=self.local or None, bridge=True), rules.file

    def _tunnel(self, point: Point, row: int, gap: Gap, *, outward: bool) -> str | None:
        """The tunnel device that a packet passes within the gap: an end of it, or where the route of what leaves leads."""
        if gap.inner.role == "tunnel":
            return gap.inner.name
        flow, flows = int(point.packets.flow[row]), point.flows
        if not outward or gap.outer.role != "uplink" or point.packets.bits[row] & REPLY:
            return None
        devices = self.node.routes.devices(int(flows.dst_hi[flow]), int(flows.dst_lo[flow]))
        return devices[0] if len(devices) == 1 and role_of(devices[0]) == "tunnel" else None

    def _packet(self, point: Point, row: int, gap: Gap, *, outward: bool) -> Packet:
        """The packet as the rules see it: without a source port where none asks for it, so that more packets are alike."""
        reply = bool(point.packets.bits[row] & REPLY)
        flow, flows = int(point.packets.flow[row]), point.flows
        proto = int(flows.proto[flow])
        inner, outer = device(gap.inner, self.evidence), device(gap.outer, self.evidence)
        iif, oif = (inner, outer) if outward else (outer, inner)
        if gap.inner.role == "pod" and gap.outer.role == "bridge":
            far = outer if self.node.heading[point.name][flow] == LOCAL else ""
            iif, oif = (outer, far) if outward else (far, outer)
        elif outward and not reply and gap.outer.role in EXITS:
            oif = other_bridge(self.node, flows, flow) or oif
        data = not reply and proto == TCP and not point.packets.flags[row] & TCP_SYN
        if reply:
            # Of replies the forward hook sees the pod's own address and port.
            at = self.trails.flows_of(point, flow)
            flow, flows = at.get(gap.inner.name, flow), (gap.inner if gap.inner.name in at else point).flows
        (src, dst), ports = addresses(flows, flow), int(flows.ports[flow])
        sport, dport = ports >> 16, ports & 0xFFFF
        if reply:
            src, dst, sport, dport = dst, src, dport, sport
        there = gap.outer if outward else gap.inner
        if data and (same := self.trails.flows_of(point, flow).get(there.name)) is not None:
            # It asks no nat chain any more: the forward hook sees what the first packet's translation gave.
            dst, dport = addresses(there.flows, same)[1], int(there.flows.ports[same]) & 0xFFFF
        # Where the uplink is a port of the bridge, the bridge has what the node itself sends.
        itself = outward and not reply and self.node.owns(src)
        ported = proto in (TCP, UDP)
        return Packet(
            proto={TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmpv6"}.get(proto, str(proto)),
            src=src,
            dst=dst,
            sport=sport if ported and (self._source_port_asked or reply) else None,
            dport=dport if ported and (not reply or self._source_port_asked) else None,
            iif=None if itself else iif,
            oif=oif,
            state=self.state(point, row, gap) if reply else "established" if data else "new",
            tcp_flags=int(point.packets.flags[row]) & 0xFF if proto == TCP else None,
            icmp_type=("echo-reply" if reply else "echo-request") if proto in (ICMP, ICMP6) else None,
        )

    def state(self, point: Point, row: int, gap: Gap) -> Literal["established", "invalid"] | None:
        """What conntrack calls a reply: INVALID where the request never was here, or a rule exempts it; None if nobody knows."""
        flow = int(point.packets.flow[row])
        there = gap.outer if point is gap.inner else gap.inner
        asked = self.trails.flows_of(point, flow).get(there.name)
        crossed = asked is not None and len(there.rows(asked, 0)) > 0
        own = point.flows.proto[flow] != TCP or bool(point.flows.marks[flow] & SYN_X)
        if asked is not None and crossed and self._exempting and point.flows.proto[flow] == TCP:
            request = self.walk(there, int(there.rows(asked, 0)[0]), gap, outward=there is gap.inner)
            if request is not None and request[0].untracked is not False:
                return "invalid" if request[0].untracked else None
        by_node = bool(among(point.src[[flow]], self.node.own)[0])
        return "established" if crossed or by_node or not own else "invalid"

    @cached_property
    def _exempting(self) -> bool:
        """Whether a rule takes packets from conntrack."""
        return bool(self.evidence.rules) and any(self.evidence.rules[-1].rules("notrack"))

    @cached_property
    def _source_port_asked(self) -> bool:
        """Whether a rule compares a source port."""
        return any(
            "sport" in fields
            for rule in self.evidence.rules[-1].rules()
            for fields in (*(m.fields for m in rule.matches), *(a.fields for a in rule.actions))
        )

    def _walked(self, packet: Packet) -> tuple[Steps, str] | None:
        rules = self.evidence.rules[-1]
        if self._passed_rules >= MOST_RULES:
            self.unwalked += 1
            return None
        own = bool(packet.dst) and self.node.owns(packet.dst)
        known = self.local or (frozenset({packet.dst}) if own else None)
        steps = walk(rules, replace(packet, oif=None) if own else packet, local=known)
        if steps.destination_nat or steps.nat_doubts:
            steps = walk(rules, replace(packet, oif=leads(packet, steps, self.node)), local=known)
        self._passed_rules += sum(len(chain.rules) for chain in rules.chains)
        if steps.end is not None and steps.end.action == "unknown":
            self._passed_rules += GIVEN_UP
        return steps, rules.file
