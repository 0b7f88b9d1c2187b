"""The route of a live connection moved to another uplink, or the uplink got another address: MASQUERADE gives it that.

What happens
    A node has two uplinks, and the route changes while connections are open: a failover, another weight of a multipath
    route, a gateway that came back. MASQUERADE takes the address of the interface that a packet leaves by, and the
    connection's entry keeps the one of the first packet. The next packet would leave by another interface with an address
    that is not its own, so the kernel drops it and forgets the entry. No counter rises. What is sent again makes a new entry,
    with the other uplink's address. The server knows no such connection and resets it, or does not answer. If the old uplink
    goes down, or loses its address (a new lease, a reconnected PPP link), its entries are forgotten at once, and nothing is
    dropped.

How it is recognised
    From some packet on, a connection leaves with another address, by another uplink or the same. Where the other uplink was not
    captured: what the connection sent was answered past the uplink that it had left by, or the routes now lead elsewhere.

What is ruled out
    A new connection from the same port (it would begin with a SYN). A deleted entry (its connection would stay on its uplink).

Remedies and their risks
    Clients must connect again. To keep running connections where they are while both uplinks work, mark each with its uplink
    and route by the mark. With an address that both uplinks can use (SNAT instead of MASQUERADE), connections survive.

References
    net/netfilter/nf_nat_core.c nf_nat_inet_fn, nf_nat_oif_changed; net/netfilter/nf_nat_masquerade.c masq_device_event;
    iptables-extensions(8) MASQUERADE, CONNMARK
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import TCP_FIN, TCP_RST
from analyzer.connection.passages import addresses, ends, flow_name
from analyzer.flow.point import TCP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Finding, Remedy
from analyzer.incident.routing import way
from analyzer.incident.wording import count
from analyzer.nat.tuples import SRC
from analyzer.node.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.evidence.drops import Kind
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

CODE = "uplink-changed"
TITLE = "uplink, or its address, changed under a live connection"
RANK = 38
COUNTED = False
RECORDS: tuple[Kind, ...] = ("netfilter", "rule")
MOST = 1000
"""Connections that are told."""

REMEDIES = (
    Remedy(
        do="See what changed, and when",
        command="ip -ts monitor route link address",
        effect="Each line is a change, with its time: compare with the times of the incident.",
        risk="None: read-only.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A connection that left by one uplink, and then by another with another address."""

    old: Gap
    new: Gap
    flow: int
    """At the inner point of both."""
    was: int
    """Its flow at the old uplink."""
    now: int
    """And at the new one."""
    last: int
    """Row of the inner point: the last packet that left by the old uplink."""
    first: int
    """And the first that left by the new one."""

    @property
    def ends(self) -> tuple[str, str]:
        """The connection's outer ends, before and after."""
        return " to ".join(ends(self.old.outer.flows, self.was)), " to ".join(
            ends(self.new.outer.flows, self.now)
        )

    def evidence(self, scene: Scene) -> Evidence:
        """That it moved."""
        was, now = self.ends
        seen = scene.trails.sighting(self.new.outer, int(self.new.in_outer[self.first]))
        return Evidence(
            says=f"the connection left by {self.old.outer.name} from {was}, and from this packet on by {self.new.outer.name} "
            f"from {now}: another address, so another entry",
            source=f"{seen.file} frame {seen.frame}",
        )


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    one = loss.connections == 1
    return (
        f"{count(loss.connections, 'connection')} broke or waited because of this node: the uplink, or its address, changed "
        f"while {'it was' if one else 'they were'} open, and MASQUERADE gives {'it' if one else 'them'} the new address."
    )


def findings(scene: Scene) -> list[Finding]:
    """One finding per established TCP connection that moved, and was not answered any more."""
    return list(islice((_finding(move, scene) for move in _moves(scene).values() if _broke(move)), MOST))


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise the packet that the kernel drops: the last that left before it left by one uplink, the next by another."""
    if not (case.requests and case.outward and case.gap.exit):
        return None
    inner = case.gap.inner
    flow = scene.trails.flows_of(case.point, case.flow).get(inner.name)
    move = None if flow is None else _moves(scene).get((inner.name, flow))
    if (
        move is None
        or not inner.packets.time[move.last] <= case.lost[0].time <= inner.packets.time[move.first]
    ):
        return None
    was, now = move.ends
    walked = scene.walked(case)
    rule = walked[0].source_nat.rule if walked and walked[0].source_nat else None
    known = rule is not None and any(action.kind == "masquerade" for action in rule.actions)
    return Explanation(
        cause=CODE,
        confidence="proven" if known else "likely",
        facts={"old": was, "new": now},
        evidence=(move.evidence(scene),),
        excluded=(case.not_beyond,),
    )


def _moves(scene: Scene) -> dict[tuple[str, int], _Move]:
    """By inner point and flow."""
    exits = [gap for gap in scene.gaps if gap.exit]

    def look() -> Iterator[_Move]:
        for one, other in combinations(exits, 2):
            if one.inner is other.inner:
                flows = np.intersect1d(_translated(one), _translated(other))
                apart = _source(one, flows) != _source(other, flows)
                for flow in flows[apart].tolist():
                    if (move := _move(one, other, flow) or _move(other, one, flow)) is not None:
                        yield move

    return scene.once(
        "moves between uplinks", lambda: {(move.old.inner.name, move.flow): move for move in look()}
    )


def _translated(gap: Gap) -> NDArray[np.int32]:
    """Flows of the inner point that leave by this gap with another source address."""
    m = gap.matches
    flows: NDArray[np.int32] = m.a[(gap.heading == OUT) & (m.agreed & SRC == 0) & (m.flip == 0)]
    return flows


def _source(gap: Gap, flows: NDArray[np.int32]) -> NDArray[np.uint64]:
    """The outer source address of flows of the inner point, as a number."""
    found: NDArray[np.uint64] = gap.outer.src[gap.matches.b[gap.match_a[flows]]]
    return found


def _move(old: Gap, new: Gap, flow: int) -> _Move | None:
    """A flow's move from one gap to another, if all that left by the one was sent before all that left by the other."""
    sent = old.inner.rows(flow, 0)
    before, after = sent[old.in_outer[sent] >= 0], sent[new.in_outer[sent] >= 0]
    was, now = (int(gap.matches.b[gap.match_a[flow]]) for gap in (old, new))
    if not (len(before) and len(after)) or before[-1] >= after[0]:
        return None
    return _Move(old=old, new=new, flow=flow, was=was, now=now, last=int(before[-1]), first=int(after[0]))


def _broke(move: _Move) -> bool:
    """Whether a TCP connection that was answered and not closing moved, and nobody but with a RST answered what it sent since."""
    inner = move.old.inner
    before, since = (_answered(gap.outer, flow) for gap, flow in ((move.old, move.was), (move.new, move.now)))
    rows = inner.rows(move.flow)
    closing = (inner.packets.flags[rows[rows <= move.last]] & TCP_FIN).any()
    asked = (inner.packets.length[rows[rows > move.last]] > 0).any()
    return bool(inner.flows.proto[move.flow] == TCP and before and not since and (asked or not closing))


def _answered(point: Point, flow: int) -> bool:
    """Whether the other side sent anything but RSTs."""
    return bool((point.packets.flags[point.rows(flow, 1)] & TCP_RST == 0).any())


def suspected(gap: Gap, flow: int, row: int, scene: Scene) -> tuple[Evidence, int] | None:
    """What tells that a segment's way changed to an uplink that was not captured, and how many of its copies got there.

    Args:
        gap: Whose inner point saw it, and by whose uplink its connection had left.
        flow: The connection at the inner point.
        row: The segment there.
        scene: The bundle.
    """
    inner, packets = gap.inner, gap.inner.packets
    if not (gap.exit and gap.match_a[flow] >= 0 and (gap.in_outer[inner.rows(flow, 0)] >= 0).any()):
        return None
    back = inner.rows(flow, 1)
    reset = back[
        (packets.flags[back] & TCP_RST != 0) & (packets.seq[back] == packets.ack[row]) & (back > row)
    ]
    if len(reset) and gap.in_outer[int(reset[0])] < 0 and not scene.node.sent(inner, int(reset[0])):
        seen = scene.trails.sighting(inner, int(reset[0]))
        says = (
            f"{seen.src} reset the connection for it, and that RST did not come in by {gap.outer.name} either: both passed "
            "another uplink"
        )
        return Evidence(says=says, source=f"{seen.file} frame {seen.frame}"), 1
    dst = addresses(inner.flows, flow)[1]
    led = way(scene, dst, iif=inner.name)
    if not led.devices or gap.outer.name in led.devices or (scene.evidence.routing_rules and not led.sure):
        return None
    says = f"the connection had left by {gap.outer.name}, and the routes, as listed, lead to {dst} by {', '.join(led.devices)}"
    return Evidence(says=says, source="routes"), 0


def _finding(move: _Move, scene: Scene) -> Finding:
    inner, outer = move.old.inner, move.new.outer
    was, now = move.ends
    sent = inner.rows(move.flow, 0)
    dropped = sent[(sent > move.last) & (sent < move.first)]
    evidence = [move.evidence(scene)]
    if len(dropped):
        seen = scene.trails.sighting(inner, int(dropped[0]))
        evidence.append(
            Evidence(
                says=f"{count(len(dropped), 'packet')} before it left by neither: the kernel drops what would "
                "leave by another interface than the one whose address MASQUERADE gave it",
                source=f"{seen.file} frame {seen.frame}",
            )
        )
    answers = outer.rows(move.now, 1)
    if len(answers):
        rst = scene.trails.sighting(outer, int(answers[0]))
        evidence.append(
            Evidence(
                says=f"{rst.src}, which knows no connection with that address, reset it",
                source=f"{rst.file} frame {rst.frame}",
            )
        )
    rows = inner.rows(move.flow)
    near = [*rows[rows <= move.last][-3:].tolist(), *rows[rows > move.last][:6].tolist()]
    return Finding(
        kind="misdelivered",
        cause=CODE,
        confidence="proven",
        gap=move.new.names,
        point=inner.name,
        flow=move.flow,
        time=int(inner.packets.time[dropped[0] if len(dropped) else move.first]),
        inner=flow_name(inner.flows, move.flow),
        outer=flow_name(move.old.outer.flows, move.was),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(
                inner,
                row,
                outward=not inner.packets.bits[row] & 1,
                role="offender" if row == move.first else "context",
                note=f"leaves by {outer.name}" if row == move.first else "",
            )
            for row in near
        ),
        omitted=max(0, len(rows) - len(near)),
        facts={"packets": int((sent > move.last).sum()), "old": was, "new": now},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(
                cause="entry-deleted",
                because=f"the connection left by another uplink, {outer.name}, and not by its own",
            ),
        ),
    )
