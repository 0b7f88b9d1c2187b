"""Connections whose conntrack entry went while they lived: their next packet got another outer port, or address.

The pod's packet makes a new entry, in the middle of the connection, and SNAT gives that another port. The server knows no such
connection and resets it. See the causes `entry-deleted` and `entry-expired`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import SYN_X, SYN_Y, SYNACK_X, SYNACK_Y, TCP_FIN, TCP_RST
from analyzer.connection.passages import addresses, ends, flow_name
from analyzer.conntrack import generation_of
from analyzer.conntrack.timeouts import PREFIX, SECOND, STREAM, Timeouts
from analyzer.evidence.events import lives
from analyzer.flow.point import TCP, UDP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Finding, Remedy
from analyzer.incident.wording import seconds, wait
from analyzer.nat.tuples import DST, SRC
from analyzer.node.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

MOST = 1000
"""Connections that are told."""
DAY = 86_400
ALIVE = Remedy(
    do="Send keepalives more often than the entry's lifetime",
    command="sysctl -w net.ipv4.tcp_keepalive_time=300",
    effect="Connections that ask for keepalives renew their entry every five minutes.",
    risk="In the pod's network namespace, and only for sockets with SO_KEEPALIVE; a little traffic.",
)
LONGER = Remedy(
    do="Raise the timeout of established connections",
    command=f"sysctl -w {PREFIX}tcp_timeout_established={DAY}",
    effect="A connection may be idle for a day.",
    risk="Node-wide: entries of dead connections stay as long, so the table can fill.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Why a connection's entry was not there any more."""

    cause: str
    confidence: Confidence
    evidence: tuple[Evidence, ...]
    facts: dict[str, object]
    remedies: tuple[Remedy, ...] = ()


def gone(
    scene: Scene, point: Point, flow: int, last: int, until: int, *, replied: bool = True
) -> Gone | None:
    """Say why the entry of a connection was gone at some time: deleted, or expired; None where nothing tells.

    Args:
        scene: The bundle.
        point: That saw the connection as it was before translation.
        flow: The connection there.
        last: Row of the last packet that its entry was there for.
        until: When it was not there any more, ns.
        replied: Whether it was ever answered.
    """
    packets = point.packets
    tcp = point.flows.proto[flow] == TCP
    pause = (until - int(packets.time[last])) / SECOND
    name, lifetime = _lifetime(scene, point, flow, last, tcp=bool(tcp), replied=replied)
    told = name in scene.evidence.sysctls
    facts: dict[str, object] = {"pause_s": pause, "lifetime_s": lifetime}
    ended = _destroyed(scene, point.flows, flow, int(packets.time[last]), until)
    if ended is not None:
        deleted = ended[2] or (ended[0] - int(packets.time[last])) / SECOND < lifetime - 1
        return Gone(
            cause="entry-deleted" if deleted else "entry-expired",
            confidence="proven",
            evidence=(ended[1],),
            facts=facts,
            remedies=() if deleted else longer(name, lifetime, pause, tcp=bool(tcp)),
        )
    if pause >= lifetime:
        says = (
            f"it was idle for {wait(pause)}, and an entry lives {lifetime} s after its last packet ({name})"
        )
        source = "sysctl" if told else "the kernel's default"
        return Gone(
            cause="entry-expired",
            confidence="proven" if told else "likely",
            evidence=(Evidence(says=says, source=source),),
            facts=facts,
            remedies=longer(name, lifetime, pause, tcp=bool(tcp)),
        )
    return None


def longer(setting: str, lifetime: int, pause: float, *, tcp: bool) -> tuple[Remedy, ...]:
    """The remedies for this entry: its own timeout, longer than it is and than the pause, s, and keepalives within it."""
    idle = max(DAY if tcp else 0, 2 * lifetime, 2 * ceil(pause))
    longer = replace(
        LONGER,
        do=f"Raise the timeout that this entry had, {lifetime:,} s",
        command=f"sysctl -w {setting}={idle}",
        effect=f"A connection may be idle for {wait(idle)}.",
    )
    often = max(1, min(300, lifetime // 2))
    alive = replace(
        ALIVE,
        command=f"sysctl -w net.ipv4.tcp_keepalive_time={often} net.ipv4.tcp_keepalive_intvl={often}",
        effect=f"Connections that ask for keepalives renew their entry every {wait(often)}.",
    )
    return (alive, longer) if tcp else (longer,)


def _lifetime(
    scene: Scene, point: Point, flow: int, last: int, *, tcp: bool, replied: bool
) -> tuple[str, int]:
    """The setting that rules how long the entry lives, and its seconds."""
    generation = generation_of(scene.evidence.kernel)
    timeouts = Timeouts.of(generation, scene.evidence.sysctls)
    rows = point.rows(flow)
    if not tcp:
        times = point.packets.time
        stream = replied and (not generation.udp_stream_waits or times[last] - times[rows[0]] > STREAM)
        return PREFIX + ("udp_timeout_stream" if stream else "udp_timeout"), (
            timeouts.udp_stream if stream else timeouts.udp
        )
    flags = np.bitwise_or.reduce(point.packets.flags[rows[rows <= last]], initial=0)
    state = "CLOSE" if flags & TCP_RST else "TIME_WAIT" if flags & TCP_FIN else "ESTABLISHED"
    seconds = next(value for key, value in timeouts.tcp.items() if key == state)
    return f"{PREFIX}tcp_timeout_{state.lower()}", seconds


def _destroyed(
    scene: Scene, flows: Flows, flow: int, since: int, until: int
) -> tuple[int, Evidence, bool] | None:
    """When conntrack's own log saw the entry go between two times, that line, and whether a program deleted it."""
    (src, dst), ports = addresses(flows, flow), int(flows.ports[flow])
    proto = "tcp" if flows.proto[flow] == TCP else "udp"
    for log in scene.evidence.events:
        for life in lives(log, proto, src, ports >> 16, dst, ports & 0xFFFF):
            event = life.destroyed
            # Clocks of the log and the captures are one node's, yet a capture's may have been moved.
            if event is not None and event.time is not None and since - SECOND < event.time < until + SECOND:
                by = " by a program" if event.by_user else ""
                quiet = (event.time - since) / SECOND
                says = f"conntrack destroyed the entry{by} {seconds(max(quiet, 0))} after the connection's last packet"
                return (
                    event.time,
                    Evidence(says=says, source=f"{event.file} line {event.line}"),
                    event.by_user,
                )
    return None


def told(case: Case, scene: Scene, cause: str) -> Explanation | None:
    """The explanation of a reply that found no entry, if that is for this cause."""
    if not case.replies or case.protocol not in (TCP, UDP):
        return None  # echoes have no ports by which an entry's life could be found
    inner, flow = (
        case.gap.inner,
        scene.trails.flows_of(case.point, case.flow).get(case.gap.inner.name),
    )
    if flow is None:
        return None
    time = case.lost[0].time
    rows = inner.rows(flow)
    before = rows[inner.packets.time[rows] < time]
    if not len(before):
        return None
    answered = len(inner.rows(flow, 1)) and int(inner.rows(flow, 1)[0]) <= int(before[-1])
    why = scene.once(
        ("gone", inner.name, flow, time),
        lambda: gone(scene, inner, flow, int(before[-1]), time, replied=bool(answered)),
    )
    if why is None or why.cause != cause:
        return None
    return Explanation(
        cause=cause,
        confidence=why.confidence,
        facts=why.facts,
        evidence=why.evidence,
        remedies=why.remedies,
        excluded=(
            Exclusion(
                cause="policy-drop",
                because="rules accept packets of known connections, and this one was no longer known",
            ),
        ),
    )


def findings(scene: Scene) -> list[Finding]:
    """One finding per TCP connection that changed its outer port in the middle."""
    found = (one for gap in scene.gaps if gap.exit for one in _changed(gap, scene))
    return list(islice(found, MOST))


def _changed(gap: Gap, scene: Scene) -> Iterator[Finding]:
    inner, outer, m = gap.inner, gap.outer, gap.matches
    begun = SYN_X | SYN_Y | SYNACK_X | SYNACK_Y
    rest = (outer.flows.proto == TCP) & (outer.flows.marks & begun == 0)
    rest[m.b] = False
    # Only those of which a packet was seen inside: the uplink may be full of what began before the capture.
    rows = outer.rows_of(np.flatnonzero(rest).astype(np.int32)).astype(np.int64)
    rows = np.sort(rows[gap.in_inner[rows] >= 0])
    _, at = np.unique(outer.packets.flow[rows], return_index=True)
    for first in rows[np.sort(at)].tolist():
        flow = int(outer.packets.flow[first])
        row = int(gap.in_inner[first])
        mine = int(inner.packets.flow[row])
        index = int(gap.match_a[mine])
        if index < 0 or gap.heading[index] != OUT or m.agreed[index] & SRC or m.flip[index]:
            continue
        old, new = ends(outer.flows, int(m.b[index])), ends(outer.flows, flow)
        new = new[::-1] if old[1] == new[0] else new
        if (old[1] != new[1] and m.agreed[index] & DST) or old == new or new[0] == ends(inner.flows, mine)[0]:
            continue  # another connection, or the packet was not translated: another story
        all_ = inner.rows(mine)
        before = all_[(all_ < row) & (gap.in_outer[all_] >= 0)]
        if len(before):
            yield _finding(gap, index, all_, before, row, first, old, new, scene)


def _finding(
    gap: Gap,
    index: int,
    rows: NDArray[np.int32],
    before: NDArray[np.int32],
    row: int,
    first: int,
    old: tuple[str, str],
    new: tuple[str, str],
    scene: Scene,
) -> Finding:
    inner, outer, m = gap.inner, gap.outer, gap.matches
    mine, packets, last = int(m.a[index]), inner.packets, int(before[-1])
    seen = scene.trails.sighting(outer, first)
    was, now = (source.rpartition(":")[0].strip("[]") for source, _ in (old, new))
    left, leaves = " to ".join(old), " to ".join(new)
    renumbered = was != now and was not in scene.local
    changed = Evidence(
        says=f"the connection left from {left}, and from this packet on, in the middle of it, from {leaves}: another outer "
        f"{'address' if renumbered else 'port'}, so another entry",
        source=f"{seen.file} frame {seen.frame}",
    )
    why = gone(scene, inner, mine, last, int(packets.time[row]))
    pause = (int(packets.time[row]) - int(packets.time[last])) / SECOND
    if renumbered and why is None:
        why = Gone(
            cause="uplink-changed",
            confidence="proven" if now in scene.local else "likely",
            evidence=(Evidence(says=f"{was} is no address of this node any more", source="ip address"),)
            if scene.local
            else (),
            facts={},
        )
    evidence = [changed, *(why.evidence if why else ())]
    told = _lifetime(scene, inner, mine, last, tcp=True, replied=True)[0] in scene.evidence.sysctls
    if why is None:
        evidence.append(
            Evidence(
                says=f"it had been idle for {wait(pause)}, less than its entry lives "
                + (
                    "here: something deleted it"
                    if told
                    else "by default: something deleted it, or the timeout is shorter here"
                ),
                source="captures",
            )
        )
    flow = int(outer.packets.flow[first])
    refused = outer.rows(flow)[outer.packets.flags[outer.rows(flow)] & TCP_RST != 0]
    if len(refused):
        rst = scene.trails.sighting(outer, int(refused[0]))
        evidence.append(
            Evidence(
                says=f"{rst.src}, which knows no connection with that {'address' if renumbered else 'port'}, reset it",
                source=f"{rst.file} frame {rst.frame}",
            )
        )
    near = [*before[-3:].tolist(), *rows[rows >= row][:6].tolist()]
    return Finding(
        kind="misdelivered",
        cause=why.cause if why else "entry-deleted",
        confidence=why.confidence if why else "likely" if told else "possible",
        gap=gap.names,
        point=inner.name,
        flow=mine,
        time=int(packets.time[row]),
        inner=flow_name(inner.flows, mine),
        outer=flow_name(outer.flows, int(m.b[index])),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(
                inner,
                int(r),
                outward=not packets.bits[r] & 1,
                role="offender" if r == row else "context",
                note=f"leaves from {leaves}" if r == row else "",
            )
            for r in near
        ),
        omitted=max(0, len(rows) - len(near)),
        facts={
            "packets": int((rows >= row).sum()),
            "old": left,
            "new": leaves,
            **(why.facts if why else {"pause_s": pause}),
        },
        evidence=tuple(evidence),
        remedies=why.remedies if why else (),
        excluded=(
            Exclusion(
                cause="lost inside the node", because=f"the packets are on {outer.name}, under another port"
            ),
            Exclusion(
                cause="snat-port-race",
                because="the race affects the first packet of a connection, not one in the middle",
            ),
        ),
    )
