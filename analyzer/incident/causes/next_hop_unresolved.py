"""The next hop's link-layer address could not be resolved, so the packets never left.

What happens
    After SNAT the packet waits in the neighbour table while the kernel asks the network for the next hop's address (ARP or
    neighbour solicitation). Nobody answers. After three requests, about three seconds, the packet is dropped and an
    ICMP host unreachable goes back to the pod.

How it is recognised
    Requests, or replies, vanish between bridge and uplink. Meanwhile the uplink shows unanswered ARP requests or neighbour
    solicitations from the node itself, for the destination or for its gateway. About three seconds later an ICMP host
    unreachable reaches the pod. No conntrack counter moves. A tunnel device looks the same. So does the way in, where the
    bridge shows unanswered requests for a pod. Where this node refuses requests as unreachable, its own table (`ip neigh`) tells,
    also of a device that was not captured (a bridge may claim the network of somebody else), or of a neighbour whose answers
    a rule for ARP drops.

What is ruled out
    A policy (nobody would ask for the next hop), the race and a full table (conntrack would have counted them).

Remedies and their risks
    Find out why the next hop is silent: it is down, the address or route is wrong, or the link is in another VLAN.

References
    net/core/neighbour.c `neigh_probe`; RFC 826; RFC 4861 section 7.2
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP, QUOTES, REPLY
from analyzer.capture.transport import flow_ends, quoted_ends, transports
from analyzer.compute.thresholds import NEIGHBOUR_ANSWER, NEIGHBOUR_WAIT
from analyzer.connection.passages import address
from analyzer.flow.keys import distinct, halves
from analyzer.flow.point import ICMP, ICMP6
from analyzer.incident.causes.policy_drop import dropped_by
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.routing import beyond, ends, error_told, targets, way, written
from analyzer.incident.unheard import failed
from analyzer.incident.wording import seconds
from analyzer.node.ways import EXITS, OUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows
    from analyzer.evidence.drops import Kind
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

    Address = tuple[int, int]
    """The high and the low 64 bits, IPv4 mapped."""

CODE = "next-hop-unresolved"
TITLE = "next hop unresolved"
RANK = 40
COUNTED = False
RECORDS: tuple[Kind, ...] = ("no-neighbour",)
SOLICITATION, ADVERTISEMENT = 135, 136
# ICMP type << 8 | code: host unreachable (RFC 792), address unreachable (RFC 4443 section 3.1).
UNREACHABLE, UNREACHABLE6 = 3 << 8 | 1, 1 << 8 | 3
HOST, HOST6 = (3, 1), (101, 3)
LAST_BITS = 0xFFFFFF
UNHEEDED = Remedy(
    do="Look for a rule that drops ARP, or neighbour advertisements",
    command="nft list ruleset; arptables-save; ip6tables-save | grep -i icmpv6",
    effect="Shows why the node does not take what its neighbour answers.",
    risk="None: read-only.",
)
MOST = 64
"""Errors that are read for one connection."""

REMEDIES = (
    Remedy(
        do="Look at the neighbour and at the route that leads to it",
        command="ip neigh show nud failed; ip route get DESTINATION",
        effect="Shows which address does not answer, and which route needs it.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Correct the route or bring the gateway back",
        command="ip route replace DESTINATION via GATEWAY dev eth0",
        effect="The next attempt of every connection gets through.",
        risk="A wrong route takes traffic elsewhere; note the old one first.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    if loss.kind != "refused" and (loss.way == "in") != (loss.kind == "reply-vanished"):
        return f"{loss.fared}: the pod that they are for does not answer on {loss.gap[0]}."
    return f"{loss.fared}: the node does not reach the next hop."


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by requests of the node for this packet's next hop that nobody answers."""
    told = error_told(case, scene, lost=True)
    said = told is not None and told[0] in (HOST, HOST6)
    if told is not None and said and (by_table := _by_table(case, scene, told)) is not None:
        return by_table
    if case.refused and not said:
        return None
    uplink = beyond(case)
    roles = EXITS if case.outward else ("bridge", "pod")
    if case.gap.stacked or uplink.role not in roles:
        return None
    destination = _destination(case)
    # Into the node the destination may be translated before it is looked for.
    sought = [destination, *(halves(text) for text in targets(case, scene))]
    vain = _vain(case, scene, sought)
    if not vain:
        return None
    unreachable = _unreachable(case)
    found = next((one for one in sought if one in vain), None)
    if found is not None:
        hop = found
    elif unreachable is None or not (case.outward or (said and len(vain) == 1)):
        return None  # they were asked for another packet's sake
    else:
        hop = _gateway(case, vain, scene)
    rows = vain[hop]
    target = address(*hop)
    capture, frame = uplink.recording.locate(rows[0])
    evidence = [
        Evidence(
            says=f"{uplink.name} sent {len(rows)} ARP/ND requests for {target}, no reply",
            source=f"{capture.label} frame {frame}",
        )
    ]
    if unreachable is not None:
        inner = _near(case)
        capture, frame = inner.recording.locate(unreachable)
        after = (int(inner.packets.time[unreachable]) - case.lost[0].time) / 1e9
        evidence.append(
            Evidence(
                says=f"{seconds(after)} after the first lost attempt an ICMP error said that {address(*destination)} cannot "
                "be reached",
                source=f"{capture.label} frame {frame}",
            )
        )
    return Explanation(
        cause=CODE,
        confidence="proven" if unreachable is not None else "likely",
        facts={"next_hop": target, "requests": len(rows)},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(
                cause="policy-drop", because="the kernel asked for the next hop on behalf of these packets"
            ),
            Exclusion(
                cause="conntrack-table-full",
                because="conntrack counted no drop" if scene.undropped else "the packet got beyond conntrack",
            ),
            Exclusion(cause="lost outside the node", because=f"the packet itself never got to {uplink.name}"),
        ),
    )


def _by_table(case: Case, scene: Scene, told: tuple[tuple[int, int], str, str]) -> Explanation | None:
    """Recognise it where this node *told* so itself, and its own table which neighbour it does not reach, on whichever device."""
    target = ends(case)[1]
    if (rule := dropped_by(case, scene)) is not None and rule[2] == "reject":
        return None
    route = way(scene, target, src=ends(case)[0], iif=case.gap.inner.name)
    hop = route.gateways[0] if len(route.gateways) == 1 else target
    missing = failed(hop, scene)
    if missing is None or (route.route is not None and len(route.devices) != 1):
        return None
    evidence = [Evidence(says=told[1], source=told[2]), missing]
    if route.route is not None:
        evidence.append(
            Evidence(says=f"it is sought by this route: {written(route.route)}", source=route.route.file)
        )
    device = next((one for one in scene.points if one.name in route.devices), None)
    at = case.lost[0].time
    answers = (
        [one for one in _heard(device, halves(hop), at, asking=True).tolist() if one > at] if device else []
    )
    if device and answers:
        capture, frame = device.recording.locate(int(np.searchsorted(device.packets.time, answers[0])))
        evidence.append(
            Evidence(
                says=f"{hop} does answer, and the node does not take it",
                source=f"{capture.label} frame {frame}",
            )
        )
    look = f"ip neigh show {hop}; ip route get {target} from {ends(case)[0]} iif {case.gap.inner.name}"
    return Explanation(
        cause=CODE,
        confidence="proven",
        facts={"next_hop": hop, "requests": None},
        remedies=((UNHEEDED,) if answers else ()) + (replace(REMEDIES[0], command=look), REMEDIES[1]),
        evidence=tuple(evidence),
        excluded=(
            Exclusion(
                cause="policy-reject",
                because="no rule rejects it, and the node has its reason in its own table",
            ),
        ),
    )


def _near(case: Case) -> Point:
    return case.gap.inner if case.outward else case.gap.outer


def _destination(case: Case) -> Address:
    return _end(case.point.flows, case.flow, "src" if case.replies else "dst")


def _vain(case: Case, scene: Scene, sought: Sequence[Address]) -> dict[Address, list[int]]:
    """Whom the node asked for in vain around the loss: address to the rows of the requests, at least two.

    Of a neighbour solicitation only the group is read that it is sent to, with the last 24 bits of the target (RFC 4291
    section 2.7.1): it counts for the destination that is sought if they agree.
    """
    uplink, at = beyond(case), case.lost[0].time
    packets, flows = uplink.packets, uplink.flows
    rows = scene.neighbours[uplink.name]
    rows = rows[slice(*np.searchsorted(packets.time[rows], (at - NEIGHBOUR_WAIT, at + NEIGHBOUR_WAIT)))]
    if not len(rows):
        return {}
    flow, reply = packets.flow[rows], packets.bits[rows] & REPLY != 0
    asks = (flows.proto[flow] == ARP) & (packets.seq[rows] == 1) | _icmp6(flows, flow, SOLICITATION)
    own = scene.once(("macs", uplink.name), lambda: _macs(uplink, scene))
    asks &= np.isin(np.where(reply, flows.mac_dst[flow], flows.mac_src[flow]), own)
    asked: dict[Address, list[int]] = {}
    for row in rows[asks]:
        who = _end(flows, int(packets.flow[row]), "src" if packets.bits[row] & REPLY else "dst")
        if who[0] >> 56 == 0xFF:
            who = next((one for one in sought if one[0] and (who[1] ^ one[1]) & LAST_BITS == 0), who)
        asked.setdefault(who, []).append(int(row))
    vain = {}
    for who, requests in asked.items():
        heard = _heard(uplink, who, at, asking=case.replies)
        unheard = [
            row
            for row in requests
            if not ((heard >= packets.time[row]) & (heard <= packets.time[row] + NEIGHBOUR_ANSWER)).any()
        ]
        if len(unheard) >= (3 if len(heard) else 2):
            vain[who] = unheard
    return vain


def _icmp6(flows: Flows, flow: NDArray[np.int32], kind: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (flows.proto[flow] == ICMP6) & (flows.ports[flow] >> 16 == kind)
    return found


def _end(flows: Flows, flow: int, side: str) -> Address:
    return int(getattr(flows, f"{side}_hi")[flow]), int(getattr(flows, f"{side}_lo")[flow])


def _heard(uplink: Point, who: Address, at: int, *, asking: bool) -> NDArray[np.int64]:
    """When a neighbour said anything around a time, ns: whoever speaks is there. Of a group, when one like it advertised.

    Of one that is *asking* itself, only what tells its link-layer address.
    """
    packets, flows = uplink.packets, uplink.flows
    near = slice(*np.searchsorted(packets.time, (at - NEIGHBOUR_WAIT, at + NEIGHBOUR_WAIT)))
    flow, reply = packets.flow[near], packets.bits[near] & REPLY != 0
    hi = np.where(reply, flows.dst_hi[flow], flows.src_hi[flow])
    lo = np.where(reply, flows.dst_lo[flow], flows.src_lo[flow])
    if who[0] >> 56 == 0xFF:
        spoke = _icmp6(flows, flow, ADVERTISEMENT) & ((lo ^ np.uint64(who[1])) & np.uint64(LAST_BITS) == 0)
    else:
        spoke = (hi == who[0]) & (lo == who[1])
        if asking:
            told = (flows.proto[flow] == ARP) | _icmp6(flows, flow, ADVERTISEMENT)
            spoke &= told | _icmp6(flows, flow, SOLICITATION)
    times: NDArray[np.int64] = packets.time[near][spoke]
    return times


def _macs(uplink: Point, scene: Scene) -> NDArray[np.uint64]:
    """Link-layer addresses of the uplink's own interface: others ask for their neighbours as well."""
    links = scene.evidence.interfaces.values()
    told = [int(link.mac.replace(":", ""), 16) for link in links if link.mac and link.name == uplink.name]
    sent = [
        uplink.flows.mac_src[gap.matches.b[gap.heading == OUT]] for gap in scene.gaps if gap.outer is uplink
    ]
    if uplink.role not in EXITS:
        sent.append(scene.node.routers)  # a bridge asks with the address that its pods send to
    return distinct(np.concatenate([*sent, np.array(told, np.uint64)]))


def _gateway(case: Case, vain: dict[Address, list[int]], scene: Scene) -> Address:
    """Which of the silent neighbours leads to the destination: by the routes, else one that nobody here connects to."""
    target = ipaddress.ip_address(address(*_destination(case)))
    nets = [(ipaddress.ip_network(route.dst, strict=False), route.gateway) for route in scene.evidence.routes]
    fitting = sorted((net.prefixlen, gateway) for net, gateway in nets if gateway and target in net)
    by_name = {address(*who): who for who in vain}
    named = [by_name[gateway] for _, gateway in fitting if gateway in by_name]
    if named:
        return named[-1]
    flows = case.gap.inner.flows
    idle = [who for who in vain if not ((flows.dst_hi == who[0]) & (flows.dst_lo == who[1])).any()]
    return max(idle or vain, key=lambda who: len(vain[who]))


def _unreachable(case: Case) -> int | None:
    """The first error that says, after the case's first loss, that its destination cannot be reached: row at the inner point.

    The kernel sends few of them (`net.ipv4.icmp_ratelimit`), so it may quote another connection there.
    """
    point, at = _near(case), case.lost[0].time
    packets, flows = point.packets, point.flows
    begin, end = np.searchsorted(packets.time, (at, at + NEIGHBOUR_WAIT))
    flow = packets.flow[begin:end]
    kind = flows.ports[flow] >> 16 << 8 | packets.flags[begin:end]
    told = (flows.proto[flow] == ICMP) & (kind == UNREACHABLE) | (flows.proto[flow] == ICMP6) & (
        kind == UNREACHABLE6
    )
    told &= packets.bits[begin:end] & QUOTES != 0
    rows = (begin + np.flatnonzero(told))[:MOST]
    wanted = flow_ends(case.point.flows, case.flow)[16:32]
    quotes = transports(point.recording, (int(row) for row in rows))
    return min((row for row, header in quotes if quoted_ends(header)[16:32] == wanted), default=None)
