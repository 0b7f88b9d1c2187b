"""The SYN was answered with the ACK of an older connection (a challenge ACK).

What happens
    The server still knows a connection from the same address and port: it did not hear of its end, or keeps it in
    TIME_WAIT. So it answers a new SYN with an ACK of that old connection (RFC 5961 section 4.2, RFC 9293 section 3.10.7.4).
    The client, which knows nothing of it, resets it and repeats its SYN; if the server accepts the RST, the next attempt
    works. Behind SNAT the older connection may be another pod's: the outer port was free on this node, and not yet
    forgotten at the server.

How it is recognised
    Before any SYN-ACK the responder sends an ACK that does not acknowledge the SYN, and the opener answers it with a RST
    whose sequence number is that acknowledgement. An earlier connection with the same outer address and port shows whose it
    was. Nothing was lost in this node, so it is no incident: a caveat names the connections.

What is ruled out
    Silence beyond the node (the SYN was answered); a loss in the node (SYN and ACK are on both sides of it).

Remedies and their risks
    Connections that are kept open, so that ports are not needed again so soon; more SNAT addresses; MASQUERADE with
    --random-fully, which makes a port's reuse within seconds unlikely. On the server, TCP timestamps let it take a port
    anew (RFC 6191), which a firewall that strips them, or several clients behind one address, defeat.

References
    RFC 5961 section 4.2; https://github.com/cilium/cilium/issues/45863; https://github.com/istio/istio/issues/38982
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import TCP_ACK, TCP_RST, TCP_SYN
from analyzer.connection.passages import ends, flow_name
from analyzer.flow.keys import distinct
from analyzer.flow.point import TCP
from analyzer.incident.wording import count, wait
from analyzer.nat.tuples import tuple_keys

if TYPE_CHECKING:
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

MOST = 5_000
"""Connections that are looked at."""
SHOWN = 3
"""Destinations that are named."""
M32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One connection whose SYN was answered so."""

    point: Point
    """The uplink."""
    flow: int
    syns: tuple[int, ...]
    """Rows of its SYNs, up to the one that was accepted."""
    in_vain: int
    """How many of them were not accepted."""
    ack: int
    """Row of the first challenge."""


def challenges(scene: Scene) -> list[Challenge]:
    """Find them at the uplinks."""
    return scene.once("challenge-acks", lambda: _look(scene))


def _look(scene: Scene) -> list[Challenge]:
    found = []
    for at in scene.requests[TCP]:
        point = at.point
        if point.role != "uplink" or point.within:
            continue
        flows = distinct(point.packets.flow[at.rows[at.outward & ~at.answered]])
        both = 2 * flows.astype(np.int64)
        flows = flows[point.starts[both + 2] > point.starts[both + 1]][:MOST]
        found += [one for flow in flows.tolist() if (one := _challenged(point, flow)) is not None]
    return found


def _challenged(point: Point, flow: int) -> Challenge | None:
    packets = point.packets
    sent, came = point.rows(flow, 0), point.rows(flow, 1)
    accepted = came[packets.flags[came] & TCP_SYN != 0]
    until = int(accepted[0]) if len(accepted) else len(packets)
    syns = sent[(packets.flags[sent] & (TCP_SYN | TCP_ACK) == TCP_SYN) & (sent < until)]
    acks = came[(packets.flags[came] & (TCP_SYN | TCP_RST | TCP_ACK) == TCP_ACK) & (came < until)]
    if not len(syns) or not len(acks):
        return None
    acks = acks[(acks > syns[0]) & (packets.ack[acks] != (int(packets.seq[syns[0]]) + 1) & M32)]
    resets = sent[packets.flags[sent] & TCP_RST != 0]
    for ack in acks[:16].tolist():
        later = resets[resets > ack]
        if (packets.seq[later] == packets.ack[ack]).any():
            in_vain = len(syns) - bool(len(accepted))
            return Challenge(point=point, flow=flow, syns=tuple(syns.tolist()), in_vain=in_vain, ack=ack)
    return None


def says(scene: Scene) -> list[str]:
    """One sentence per destination that answers SYNs so, and how many more destinations there are."""
    groups: dict[tuple[str, str], list[Challenge]] = {}
    for one in challenges(scene):
        groups.setdefault((one.point.name, ends(one.point.flows, one.flow)[1]), []).append(one)
    found = [_sentence(server, group, scene) for (_, server), group in list(groups.items())[:SHOWN]]
    more = len(groups) - len(found)
    return found + ([f"{more} further servers answer SYNs with a challenge ACK"] if more else [])


def _sentence(server: str, group: list[Challenge], scene: Scene) -> str:
    first = group[0]
    point, times = first.point, first.point.packets.time
    inside = scene.trails.flows_of(point, first.flow)
    name = next((p for p in scene.points if p.name in inside and p.role == "pod"), point)
    waited = max(int(times[one.syns[-1]] - times[one.syns[0]]) for one in group) / 1e9
    seen = scene.trails.sighting(point, first.ack)
    return (
        f"{count(len(group), 'connection')} to {server}, the first {flow_name(name.flows, inside[name.name])}: the server "
        f"answered the SYN with a challenge ACK ({seen.file} frame {seen.frame}), which belongs to an older connection that it "
        f"still knows from {seen.dst}{_before(first, scene)}; the pod reset that and repeated its SYN"
        + (f", for up to {wait(waited)}" if waited else "")
        + ". Nothing of it was lost in this node (lostsyn explain challenge-ack)"
    )


def _before(one: Challenge, scene: Scene) -> str:
    """Who had the same outer address and port before, if the captures show it."""
    point, packets = one.point, one.point.packets
    keys = scene.once(("tuples", point.name), lambda: tuple_keys(point.flows))
    same = np.flatnonzero(keys == keys[one.flow])
    begun = int(packets.time[one.syns[0]])
    older = [
        flow for flow in same.tolist() if flow != one.flow and packets.time[point.rows(flow)[-1]] < begun
    ]
    if not older:
        return ""
    last = max(older, key=lambda flow: int(packets.time[point.rows(flow)[-1]]))
    inside = scene.trails.flows_of(point, last)
    pod = next((p for p in scene.points if p.name in inside and p.role == "pod"), point)
    ago = (begun - int(packets.time[point.rows(last)[-1]])) / 1e9
    return f" ({ends(pod.flows, inside[pod.name])[0]} used that port until {wait(ago)} before)"
