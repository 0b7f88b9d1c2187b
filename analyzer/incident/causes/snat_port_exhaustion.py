"""All ports that SNAT may use towards one destination were taken.

What happens
    Among connections to one destination address and port, SNAT can only vary the source port. When live entries hold
    every port the rule allows, the kernel uses the last one it tried anyway (`nf_nat_l4proto_unique_tuple`).
    The packet is dropped when its entry is confirmed. Retries fail as well until an entry ends.

How it is recognised
    The counters look like the race: `insert_failed` and `drop` rise by the number of lost attempts. But no partner took the
    port at that moment, and live connections to the destination hold every port the rule allows. Without the rules:
    connections were moved to a few ports in a row, all live, while attempt after attempt fails.

What is ruled out
    The race (needs a partner), a full table (does not raise `insert_failed`), a policy (no conntrack counter moves).

Remedies and their risks
    A wider port range, more source addresses, fewer or shared connections to that destination, shorter TIME_WAIT.

References
    nf_nat_core.c `nf_nat_l4proto_unique_tuple`; iptables-extensions(8) MASQUERADE `--to-ports`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import SYN_X, TCP_FIN, TCP_RST
from analyzer.compute.thresholds import AGAIN
from analyzer.conntrack import State, generation_of
from analyzer.conntrack.timeouts import Timeouts
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import UDP
from analyzer.incident import rule_edits
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded
from analyzer.node.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from analyzer.evidence.drops import Kind
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "snat-port-exhaustion"
TITLE = "SNAT ports exhausted"
RANK = 80
COUNTED = True
RECORDS: tuple[Kind, ...] = ("conntrack-insertion", "nat-rule", "netfilter")
LAST = 3
"""Packets at the end of each side that are asked how the connection ended: FIN, its repetition, the last ACK."""

REMEDIES = (
    Remedy(
        do="Widen the port range of the SNAT rule",
        command="iptables -t nat -I POSTROUTING -s POD-CIDR -o DEVICE -p tcp -j MASQUERADE --to-ports 1024-65535 --random-fully",
        effect="More connections to one destination can be told apart.",
        risk="Firewalls behind the node must accept the new range.",
    ),
    Remedy(
        do="Give SNAT more source addresses",
        command="iptables -t nat -I POSTROUTING -s POD-CIDR -o DEVICE -j SNAT --to-source FIRST-LAST --random-fully",
        effect="Each address adds a full range of ports.",
        risk="The peers see several addresses; allow lists must know them.",
    ),
    Remedy(
        do="Free ports sooner",
        command="sysctl -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=30",
        effect="Closed connections hold their port for 30 s instead of 120 s; those that are open keep theirs.",
        risk="Node-wide; late segments of closed connections find no entry.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{loss.fared}: every port that the node may use towards that destination was in use, and the kernel dropped "
        f"the packets between {loss.gap[0]} and {loss.gap[1]}."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by outer ports that are all taken when the packet is lost."""
    gap, counters = case.gap, scene.counters
    failed = counters.get("insert_failed", 0)
    if not case.requests or not case.outward or gap.outer.role != "uplink":
        return None
    record = recorded(case, scene, "conntrack-insertion", "nat-rule", alone=False)
    if counters and not failed and record is None:
        return None
    allowed = _allowed(case, scene)
    if allowed is None and not failed and record is None:
        return None
    point, row = case.lost[0].seen[-1]
    wanted = frozenset(scene.translated(gap, point, int(point.packets.flow[row])))
    held = scene.once(
        ("held", gap.outer.name, wanted, case.protocol),
        lambda: _held(gap.outer, wanted, case.protocol, scene),
    )
    if not len(held.flows):
        return None
    low, high = allowed or (int(held.ports.min()), int(held.ports.max()))
    inside = (held.ports >= low) & (held.ports <= high)
    width, taken = high - low + 1, held.taken(inside, case.lost[0].time)
    if taken < width or (allowed is None and not (width > 1 and _confined(case, scene, held.flows[inside]))):
        return None
    total = scene.unexplained
    evidence = [
        Evidence(
            says=f"all {width} ports from {low} to {high} were taken towards this destination when the packet was lost",
            source="rules and captures" if allowed else "captures",
        )
    ]
    if failed:
        evidence.append(
            Evidence(
                says=f"insert_failed rose by {failed} and drop by {counters.get('drop', 0)}; {total} requests vanished",
                source="conntrack -S before and after",
            )
        )
    return Explanation(
        cause=CODE,
        confidence="proven" if allowed and (record or failed == total) else "likely",
        facts={"ports": width, "taken": taken},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(
                cause="snat-port-race",
                because="no other new connection took a port towards it at that moment",
            ),
            Exclusion(cause="conntrack-table-full", because=_not_full(failed)),
            Exclusion(cause="lost outside the node", because=f"the packet never got to {gap.outer.name}"),
        ),
        remedies=_remedies(case, scene),
    )


def _remedies(case: Case, scene: Scene) -> tuple[Remedy, ...]:
    """The range of the packet's SNAT rule, widened in place; none where no rule is known, or it has every port."""
    walked = scene.walked(case)
    step = walked[0].source_nat if walked is not None else None
    own = rule_edits.widen(step) if step is not None else ()
    return (*own, *REMEDIES[1:]) if own else ()


def _allowed(case: Case, scene: Scene) -> tuple[int, int] | None:
    """The ports that the SNAT rule of this packet allows; None without a rule that says so."""
    walked = scene.walked(case)
    if walked is None or walked[0].source_nat is None or walked[0].source_nat.rule is None:
        return None
    for action in walked[0].source_nat.rule.actions:
        found = re.search(r":(\d+)-(\d+)$", action.target)
        if found:
            return int(found[1]), int(found[2])
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The uplink's flows from this node to one destination, whenever they began; the arrays have one length."""

    flows: NDArray[np.int64]
    ports: NDArray[np.uint32]
    """The outer ones."""
    sources: NDArray[np.uint64]
    begun: NDArray[np.int64]
    """ns; 0 where the connection may have been there before its first packet here."""
    until: NDArray[np.int64]
    """ns, when its entry is gone at the earliest."""

    def taken(self, chosen: NDArray[np.bool_], at: int) -> int:
        """How many ports those chosen hold at a time; of several source addresses the one that has the most free."""
        held = chosen & (self.begun <= at) & (self.until > at)
        each = distinct(self.sources[chosen])
        return min((len(distinct(self.ports[held & (self.sources == one)])) for one in each), default=0)


def _held(outer: Point, wanted: Collection[int], protocol: int, scene: Scene) -> Held:
    ours = (scene.node.heading[outer.name] == OUT) | among(outer.src, scene.node.own)
    there = among(scene.destinations[outer.name], np.array(list(wanted), np.uint64))
    flows = np.flatnonzero(there & ours & (outer.flows.proto == protocol))
    packets, last = outer.packets, np.zeros(len(flows), np.int64)
    flags = np.zeros((2, len(flows)), np.uint16)
    for side in (0, 1):
        begin, end = outer.starts[2 * flows + side], outer.starts[2 * flows + side + 1]
        for back in range(1, LAST + 1):
            there = end - back >= begin
            rows = outer.order[np.where(there, end - back, 0)]
            flags[side] |= np.where(there, packets.flags[rows], 0)
            last = np.maximum(last, np.where(there, packets.time[rows], 0))
        if side == 0:
            first = packets.time[outer.order[np.minimum(begin, len(outer.order) - 1)]]
    # Only of TCP is it known that a connection was there before its first packet here.
    opened = (outer.flows.marks[flows] & SYN_X != 0) | (outer.flows.proto[flows] == UDP)
    timeouts = Timeouts.of(generation_of(scene.evidence.kernel), scene.evidence.sysctls)
    seconds = np.select(
        [
            outer.flows.proto[flows] == UDP,
            (flags[0] | flags[1]) & TCP_RST != 0,
            flags[0] & flags[1] & TCP_FIN != 0,
            flags[1] == 0,
        ],
        [timeouts.udp, *(timeouts.tcp[state] for state in (State.CLOSE, State.TIME_WAIT, State.SYN_SENT))],
        timeouts.tcp[State.ESTABLISHED],
    )
    return Held(
        flows=flows,
        ports=(outer.flows.ports[flows] >> 16).astype(np.uint32),
        sources=outer.src[flows],
        begun=np.where(opened, first, 0),
        until=last + seconds * 1_000_000_000,
    )


def _confined(case: Case, scene: Scene, flows: NDArray[np.int64]) -> bool:
    """Whether captures and counters show without a rule that SNAT had but these ports: it keeps a connection's own if it may.

    And whether further attempts failed as well: those of a race pass.
    """
    moved = known = 0
    for gap in scene.gaps:
        if gap.outer is case.gap.outer:
            of = np.isin(gap.matches.b, flows)
            own, given = gap.inner.flows.ports[gap.matches.a[of]], gap.outer.flows.ports[gap.matches.b[of]]
            moved, known = moved + int((own >> 16 != given >> 16).sum()), known + int(of.sum())
    point, row = case.lost[0].seen[-1]
    lost = scene.lost[case.protocol]
    times = lost.time[lost.dst == scene.destinations[point.name][point.packets.flow[row]]]
    return 2 * moved > known and int(times.max() - times.min()) >= AGAIN


def _not_full(failed: int) -> str:
    return (
        "insert_failed rose; a full table does not increment it"
        if failed
        else "only this destination is affected"
    )
