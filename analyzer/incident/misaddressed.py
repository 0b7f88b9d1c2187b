"""Packets that a neighbour cannot get, or cannot answer.

They are in frames to a station that nobody heard of: a wrong entry of the neighbour table takes them astray. The packet is
recorded as it leaves, so it looks as if the far end did not answer. A captured ARP reply would have shown who has the address;
an entry that was set by hand (`nud permanent`) asks nobody. Or the address that they left with is not the node's: nobody
answers the neighbour who asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP
from analyzer.capture.transport import stations
from analyzer.flow.keys import among, distinct, keys_of
from analyzer.flow.point import UDP
from analyzer.incident.unheard import in_vain
from analyzer.node.ways import IN, INSIDE, OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

MOST_LOST = 5_000
"""Packets whose frames are read again."""
VIRTUAL = (0x00005E0001, 0x00005E0002)
"""Of virtual routers (RFC 5798), who take frames by an address that they need not send from."""
MOST = 100_000
"""Flows of a point that are told at most."""


def misaddressed(scene: Scene) -> Iterator[tuple[str, int]]:
    """Give the flows whose frames are for a station that never sent one, or whose sender is asked for in vain; with their points.

    At an uplink or a bridge only where the node's table has that station by hand: a router with a virtual address (VRRP) never
    sends from it.
    A pod's own packets show its address, so frames to another one there miss it.
    Where the node does not answer for an uplink's own address (a strict rp_filter drops ARP requests as well, arp_ignore), what
    got no answer by any uplink may have been answered that way.
    """
    deaf = any(_deaf(point, scene) for point in scene.points if point.role == "uplink")
    for point in scene.points:
        if point.role not in ("uplink", "bridge", "pod") or not len(point.packets):
            continue
        device = scene.evidence.device(point.name)
        by_hand = np.array(
            [
                int(one.mac.replace(":", ""), 16)
                for one in scene.evidence.neighbours
                if one.mac and one.state == "PERMANENT" and one.dev == device
            ],
            np.uint64,
        )
        astray = np.isin(point.flows.mac_dst, by_hand)
        pod = scene.node.pods.get(point.name)
        if (
            point.role == "pod"
            and pod is not None
            and len(pod)
            and among(point.src, pod)[_sent(point, 0)].any()
        ):
            astray |= among(point.dst, pod)
        astray &= (point.flows.mac_dst != 0) & ~np.isin(point.flows.mac_dst, heard(point))
        if point.role == "uplink":
            astray |= among(point.src, unanswered_for(point)) | (deaf & ~_sent(point, 1))
        if point.role == "pod":  # what cannot send cannot answer
            astray |= among(point.dst, np.array([one.asking for one in in_vain(scene)], np.uint64))
        yield from ((point.name, flow) for flow in np.flatnonzero(astray)[:MOST].tolist())


def unreached(scene: Scene) -> Iterator[tuple[str, int]]:
    """Give the flows of pods that do not get what is sent to their address; with their points.

    Another station sends from that address as well (two pods have it), or no entry of the node's neighbour table has the
    station that does. Of two pods, one may get what it asked for: UDP that was answered at its pod is left out.
    """
    at = [point for point in scene.points if point.role in INSIDE and len(point.packets)]
    used: dict[int, set[int]] = {int(one): set() for pod in scene.node.pods.values() for one in pod}
    pods = np.array([*used], np.uint64)
    for point in at:
        # A flow has the addresses of its first frame: they are a station's own where it sent that.
        own = scene.node.pods.get(point.name, pods if point.role == "bridge" else pods[:0])
        mac = point.flows.mac_src
        mine = _sent(point, 0) & among(point.src, own) & (mac != 0) & ~np.isin(mac, scene.node.routers)
        for address, station in set(zip(point.src[mine].tolist(), mac[mine].tolist(), strict=True)):
            used[address].add(station)
    known: dict[int, set[int]] = {}
    for one in scene.evidence.neighbours:
        if one.mac and (key := int(keys_of([one.address])[0])) in used:
            known.setdefault(key, set()).add(int(one.mac.replace(":", ""), 16))
    twice = np.array([one for one, stations in used.items() if len(stations) > 1], np.uint64)
    wrong = np.array([one for one in known if used[one] and not used[one] & known[one]], np.uint64)
    for point in at:
        shared = among(point.src, twice) | among(point.dst, twice)
        shared &= (point.flows.proto != UDP) | ((point.role == "pod") & ~_sent(point, 1))
        astray = shared | among(point.src, wrong) | among(point.dst, wrong)
        yield from ((point.name, flow) for flow in np.flatnonzero(astray)[:MOST].tolist())


def for_another(scene: Scene) -> list[tuple[Followed, int, int]]:
    """What an uplink saw in frames to a station that is not this node's, as a switch floods them, and never got further in.

    Another host has the node's address, so the node itself did not get them.

    Returns: Where each packet was followed, its place there, and the station.
    """
    return scene.once("for another station", lambda: _for_another(scene))


def _for_another(scene: Scene) -> list[tuple[Followed, int, int]]:
    bridged = distinct(
        np.concatenate([np.zeros(0, np.uint64), *(heard(one) for one in scene.points if one.role == "pod")])
    )
    listed = [int(link.mac.replace(":", ""), 16) for link in scene.evidence.links if link.mac]
    found = []
    for at in (at for some in (scene.requests, scene.replies) for one in some.values() for at in one):
        point = at.point
        bare = ~point.encapsulated[point.packets.flow[at.rows]]
        places = np.flatnonzero((at.gap >= 0) & ~at.outward & bare)[:MOST_LOST]
        if point.role != "uplink" or not len(places):
            continue
        heading = scene.node.heading[point.name]
        asking, replying = (heading == OUT) & _sent(point, 0), (heading == IN) & _sent(point, 1)
        sent = np.concatenate([point.flows.mac_src[asking], point.flows.mac_dst[replying]])
        if among(sent, bridged).any():
            continue  # a port of a bridge, on which pods have stations of their own
        own = {*listed, *sent.tolist()} - {0}
        for place, to in zip(places.tolist(), stations(point.recording, at.rows[places]), strict=True):
            if own and to and to not in own and not to >> 40 & 1 and to >> 8 not in VIRTUAL:
                found.append((at, place, to))
    return found


def _deaf(point: Point, scene: Scene) -> bool:
    """Whether an uplink's own address is asked for there in vain."""
    own = keys_of(text for link in scene.evidence.links if link.name == point.name for text in link.addresses)
    return bool(among(own, unanswered_for(point)).any())


def unanswered_for(point: Point) -> NDArray[np.uint64]:
    """Addresses that are asked for by ARP, more than once, and of which no ARP packet came."""
    flows, arp = point.flows, point.flows.proto == ARP
    told = np.concatenate([point.src[arp & _sent(point, 0)], point.dst[arp & _sent(point, 1)]])
    twice = point.starts[1::2] - point.starts[:-1:2] > 1
    # Who asks for his own address, or without one (RFC 5227), makes it known.
    asked = point.dst[arp & twice & (point.src != point.dst) & (flows.src_lo & np.uint64(0xFFFFFFFF) != 0)]
    vain: NDArray[np.uint64] = asked[~among(asked, distinct(told))]
    return vain


def heard(point: Point) -> NDArray[np.uint64]:
    """The stations that sent a frame here."""
    flows = point.flows
    return distinct(np.concatenate([flows.mac_src[_sent(point, 0)], flows.mac_dst[_sent(point, 1)]]))


def _sent(point: Point, side: int) -> NDArray[np.bool_]:
    """Which flows have a packet of one side."""
    has: NDArray[np.bool_] = point.starts[1 + side :: 2][: len(point.flows)] > point.starts[side:-1:2]
    return has
