"""A neighbour table has another link-layer address than the one that the receiver has.

What happens
    A pod was created anew with its old address, an entry was set by hand, or two pods got one address. What is for the pod
    leaves the node in frames to another station. The bridge floods them, so a capture shows them even at the pod's interface,
    whose kernel ignores them; or the other pod gets them, and refuses what it does not know. Or the node's own device got
    another address, while the pod has the old one.

How it is recognised
    At the bridge, or the pod's interface, the address sends from one station, and the replies to it are in frames to another.
    Nobody was heard from that one, or it refused the replies. The pod never acknowledges a SYN-ACK. Or packets end at a device
    of this node, in frames to another address than `ip link` has for it.

What is ruled out
    A pod that answers by another interface of its own: it takes what it gets there. A new pod that took over the address
    meanwhile: its own connections get their replies.

Remedies and their risks
    Delete the entry: the node asks again. If two pods have the address, one of them must be created anew. Give the device the
    address that the others have; udev's MACAddressPolicy changed it.

References
    ip-neighbour(8); arp(7); net/ethernet/eth.c eth_type_trans (PACKET_OTHERHOST);
    https://github.com/containernetworking/plugins/issues/858; https://github.com/moby/moby/issues/36069;
    https://github.com/flatcar/Flatcar/issues/278
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY, TCP_ACK, TCP_RST
from analyzer.capture.transport import flow_ends, stations, turned
from analyzer.connection.passages import addresses, flow_name
from analyzer.flow.keys import among, distinct, distinct_rows, keys_of
from analyzer.flow.point import TCP, UDP
from analyzer.incident.explanation import Explanation
from analyzer.incident.misaddressed import heard
from analyzer.incident.model import Evidence, Exclusion, Finding, Remedy
from analyzer.incident.wording import count
from analyzer.node.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.evidence.drops import Kind
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "stale-neighbour"
TITLE = "wrong link-layer address in a neighbour table"
RANK = 33
COUNTED = False
RECORDS: tuple[Kind, ...] = ("other-host",)
MOST = 1000
"""Connections that are told."""
LOOKED_AT = 10_000
"""Connections of a point whose frames are read again."""

REMEDIES = (
    Remedy(
        do="Compare the entries with the pods' own link-layer addresses, and see behind which port each is",
        command="ip neigh; bridge fdb show",
        effect="Shows which entry is wrong, and whether two pods have one address.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'connection')} lost what was in frames to another link-layer address than its receiver's: "
        "a neighbour table is wrong."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the address of the device that should have taken the frame, and did not."""
    point, row = case.lost[0].seen[-1]
    link = next((one for one in scene.evidence.links if one.name == point.name), None)
    if case.refused or point.role != "pod" or link is None or not link.mac or link.master:
        return None  # a bridge's port hands on what is for others
    to = int(point.flows.mac_dst[point.packets.flow[row]])
    if not to or _mac(to) == link.mac or [to] != list(stations(point.recording, [row])):
        return None
    if row < scene.once(("sends", point.name, to), lambda: _last(point, to)):
        return None  # the listing is of another time
    flow, station = int(point.packets.flow[row]), _mac(to)
    seen = scene.trails.sighting(point, row)
    return Explanation(
        cause=CODE,
        kind="misdelivered",
        confidence="proven",
        facts={"packets": case.vanished, "address": addresses(point.flows, flow)[0]},
        evidence=(
            Evidence(says=f"it is in a frame to {station}", source=f"{seen.file} frame {seen.frame}"),
            Evidence(says=f"{point.name} has the address {link.mac}", source=link.file),
        ),
        excluded=(case.not_beyond,),
        remedies=(
            Remedy(
                do="Give the device the address that its neighbour has",
                command=f"ip link set dev {point.name} address {station}",
                effect="The node takes what is sent to it.",
                risk="Others that already learnt the new address ask again, which takes seconds.",
            ),
            *REMEDIES,
        ),
    )


def _last(point: Point, station: int) -> int:
    """The last row that a station sent; -1 without one."""
    packets, flows = point.packets, point.flows
    by = np.where(packets.bits & REPLY, flows.mac_dst[packets.flow], flows.mac_src[packets.flow])
    return int(np.append(-1, np.flatnonzero(by == station))[-1])


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection of which what is for the pod went to another station."""
    layers = ([point for point in scene.points if point.role == role] for role in ("bridge", "pod"))
    points = next((some for some in layers if any(len(point.packets) for point in some)), [])
    known = distinct(np.concatenate([np.zeros(0, np.uint64), *(heard(point) for point in scene.points)]))
    found = (one for point in points for one in _at(point, known, scene))
    return list(islice(found, MOST))


def _at(point: Point, known: NDArray[np.uint64], scene: Scene) -> Iterator[Finding]:
    """What a point shows; *known* are the stations that were heard somewhere."""
    gap = next((gap.names for gap in scene.gaps if point in (gap.inner, gap.outer)), None)
    if gap is None:
        return
    doubtful = _doubtful(point, scene)
    flows, starts = point.flows, point.starts
    # What the node sends on has its own station.
    mine = np.isin(flows.proto, (TCP, UDP)) & (flows.mac_src != 0) & ~among(flows.mac_src, scene.node.routers)
    asked = mine & (starts[2::2] > starts[1:-1:2])
    asked &= among(point.src, doubtful) | _unestablished(point, scene)
    for flow in np.flatnonzero(asked)[:LOOKED_AT].tolist():
        asks, replies = (point.rows(flow, side)[:4].tolist() for side in (0, 1))
        if [int(flows.mac_dst[flow])] != list(stations(point.recording, asks[:1])):
            continue  # the link has other headers than Ethernet's
        to = distinct(np.array(list(stations(point.recording, replies)), np.uint64))
        if len(to) != 1 or to[0] in (0, flows.mac_src[flow]):
            continue
        errors = scene.refusals.at(point).get(turned(flow_ends(flows, flow)), ())
        if flows.proto[flow] == TCP:
            # The other pod refuses with a RST, under the same address.
            sent = point.packets.flags[point.rows(flow, 0)]
            missed = not ((sent & TCP_ACK != 0) & (sent & TCP_RST == 0)).any()
        else:
            missed = bool(errors) or not among(to, known)[0]
        if missed:
            sure = bool(errors) or flows.proto[flow] == TCP
            yield _finding(point, (flow, flow), 1, gap, int(to[0]), scene, sure=sure)
    came = (flows.proto == TCP) & among(point.dst, doubtful) & (starts[2::2] == starts[1:-1:2])
    came &= ~among(flows.mac_dst, known) & (flows.mac_dst != 0)
    for flow in np.flatnonzero(came)[:LOOKED_AT].tolist():
        own = np.flatnonzero(mine & (point.src == point.dst[flow]) & (starts[1:-1:2] > starts[:-2:2]))
        if len(own):
            yield _finding(point, (flow, int(own[0])), 0, gap, int(flows.mac_dst[flow]), scene, sure=True)


def _unestablished(point: Point, scene: Scene) -> NDArray[np.bool_]:
    """TCP flows on their way out the last packet of whose opener acknowledges nothing."""
    begin, end = point.starts[:-1:2], point.starts[1::2]
    found: NDArray[np.bool_] = (point.flows.proto == TCP) & (scene.node.heading[point.name] == OUT)
    found &= end > begin
    found[found] = point.packets.flags[point.order[end[found] - 1]] & (TCP_ACK | TCP_RST) != TCP_ACK
    return found


def _doubtful(point: Point, scene: Scene) -> NDArray[np.uint64]:
    """Pods' addresses that a point, and the node's table, have with more than one station."""
    flows = point.flows
    outward = point.src[scene.node.heading[point.name] == OUT]
    pods = distinct(np.concatenate([outward, *scene.node.pods.values()]))
    table = [one for one in scene.evidence.neighbours if one.mac]
    key = np.concatenate([point.src, point.dst, keys_of(one.address for one in table)])
    listed = np.array([int(one.mac.replace(":", ""), 16) for one in table if one.mac], np.uint64)
    mac = np.concatenate([flows.mac_src, flows.mac_dst, listed])
    some = (
        among(key, pods)
        & (mac != 0)
        & ~among(mac, scene.node.routers)
        & (mac >> np.uint64(40) & np.uint64(1) == 0)
    )
    pairs, _ = distinct_rows(np.column_stack([key[some], mac[some]]))
    again: NDArray[np.uint64] = distinct(pairs[1:, 0][pairs[1:, 0] == pairs[:-1, 0]])
    return again


def _finding(
    point: Point,
    pair: tuple[int, int],
    side: int,
    gap: tuple[str, str],
    other: int,
    scene: Scene,
    *,
    sure: bool,
) -> Finding:
    """Of a flow, one side's packets of which go to the other station; a second flow shows the pod's own."""
    flow, own = pair
    packets, flows = point.packets, point.flows
    sent, astray = point.rows(own, 0), point.rows(flow, side)
    pod, here, there = addresses(flows, own)[0], _mac(int(flows.mac_src[own])), _mac(other)
    first, back = (scene.trails.sighting(point, int(rows[0])) for rows in (sent, astray))
    outermost, row = scene.trails.sightings(point, int(astray[0]))[-1]
    entry = next((one for one in scene.evidence.neighbours if one.address == pod and one.mac == there), None)
    listed = (
        [Evidence(says=f"the node's table says so: {pod} is at {there}", source=entry.file)] if entry else []
    )
    device = entry.dev if entry else point.name
    return Finding(
        kind="misdelivered",
        cause=CODE,
        confidence="proven" if sure or (entry and entry.state == "PERMANENT") else "likely",
        gap=gap,
        point=point.name,
        flow=flow,
        time=int(packets.time[point.rows(flow, 0)[0]]),
        inner=flow_name(flows, flow),
        outer=flow_name(outermost.flows, int(outermost.packets.flow[row])),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(point, int(row), outward=False, role="offender", note=f"to {there}")
            for row in astray[:4]
        ),
        omitted=max(0, len(astray) - 4),
        facts={"packets": len(astray), "address": pod},
        evidence=(
            Evidence(says=f"{pod} sends from {here}", source=f"{first.file} frame {first.frame}"),
            Evidence(
                says=f"what is for it is in frames to {there}", source=f"{back.file} frame {back.frame}"
            ),
            *listed,
        ),
        remedies=(
            Remedy(
                do="Delete the entry",
                command=f"ip neigh del {pod} dev {device}",
                effect="The node asks who has the address, and takes the answer.",
                risk="If two pods have the address, either may answer: create one of them anew.",
            ),
            *REMEDIES,
        ),
        excluded=(
            Exclusion(cause="lost outside the node", because=f"it is at {point.name}"),
            Exclusion(cause="refused by the pod", because="the pod did not get what it should answer"),
        ),
    )


def _mac(number: int) -> str:
    return number.to_bytes(8, "big")[2:].hex(":")
