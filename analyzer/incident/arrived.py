"""Unanswered requests that did arrive: nothing came back from the pod, or its answers left another way or came from elsewhere.

"No reply" is what the opener sees. Where the pod's own interface saw the request and nothing came back, the pod is to be asked;
where answers left this node by another interface than the requests came in by, the network behind that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.compute.thresholds import NEARLY_ALL
from analyzer.connection.account import DIRECTIONS
from analyzer.connection.passages import address, ends
from analyzer.flow.point import TCP, UDP
from analyzer.incident.misaddressed import for_another
from analyzer.incident.misdelivered import answered_otherwise
from analyzer.incident.model import Advice, Trait
from analyzer.node.ways import EXITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from analyzer.connection.connections import Connections
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

MOST = 2_000
"""Connections that are looked at."""
LISTENING = "ss -lnt; nstat -az TcpExtListenOverflows TcpExtListenDrops TcpExtPAWSPassive"


def traits(scene: Scene, told: Connections, silent: NDArray[np.int64]) -> Iterable[Trait]:
    """What became of unanswered requests that came in, where nearly all of them share it."""
    silent = silent[:MOST]
    ways = [_way(scene, told, number) for number in silent.tolist()]
    pods = [way[0] for way in ways if way is not None and way[1] == ""]
    if pods and len(pods) / len(ways) >= NEARLY_ALL:
        at = ", ".join(sorted(set(pods))[:3])
        yield Trait(
            code="reached-pod",
            connections=len(pods),
            says=f"{len(pods):,} of {len(ways):,} unanswered were seen at the pod's own interface ({at}), which sent nothing back"
            + "".join(f"; {one}" for one in _queues(scene, told, silent)),
            next="Look inside the pod: does it listen, is its accept queue full (Recv-Q above Send-Q), has it rules of its own, "
            "does its route back lead out of this interface?",
        )
    away = [way for way in ways if way is not None and way[1] not in ("", way[0])]
    if away and len(away) / len(ways) >= NEARLY_ALL:
        came, left, _ = away[0]
        yield Trait(
            code="answers-other-way",
            connections=len(away),
            says=f"{len(away):,} of {len(ways):,} came in at {came}, and their answers left by {left}: a network that compares "
            "both directions, or the address that answers came from, discards them",
            next="Compare `ip rule` and `ip route show table all`: answers of these addresses have to leave where the requests "
            "came in.",
        )
    yield from _elsewhere(scene, told, silent)
    astray = {
        number: to
        for at, place, to in for_another(scene)
        if (number := told.of(at.point.name, int(at.point.packets.flow[at.rows[place]]))) is not None
    }
    if len(astray) and (share := np.isin(silent, [*astray])).mean() >= NEARLY_ALL:
        yield Trait(
            code="another-station",
            connections=int(share.sum()),
            says=f"{int(share.sum()):,} of {len(silent):,} were seen here in frames to another station "
            f"({next(iter(astray.values())).to_bytes(6, 'big').hex(':')}): somebody else has this node's address, or had",
            next="Which station answers for the address? `arping -D` from another host of the network tells, and the router's "
            "neighbour table.",
        )


def advice(scene: Scene, told: Connections, number: int, point: Point | None, flow: int) -> Advice | None:
    """Which capture tells next; None where the request never left the node, and did not come in.

    Args:
        scene: Everything that was found out.
        told: What became of every connection.
        number: Of the connection.
        point: Where it left the node, if it did.
        flow: Its flow there.
    """
    way = _way(scene, told, number)
    if way is None:
        return _beyond(point, flow) if point is not None else None
    if way[1]:
        return Advice(
            situation=f"Requests came in at {way[0]}, and their answers left by {way[1]}.",
            tells="That this node and the pod did their part.",
            hides="Whether the answers reached the opener.",
            next="Record at the opener, or at the last router before it, and compare.",
            command=f"tcpdump -ni any -s 256 -w opener.pcap 'host {way[2]}'",
        )
    return Advice(
        situation=f"What failed was seen at {way[0]}, the pod's own interface.",
        tells="That this node delivered the requests.",
        hides="What the pod did with them.",
        next="Run this in the network namespace of the pod (nsenter -t PID -n), twice while it fails.",
        command=LISTENING,
    )


def _beyond(point: Point, flow: int) -> Advice:
    """The same connection at its other end."""
    src, dst = map(_bare, ends(point.flows, flow))
    port = (
        f" and port {int(point.flows.ports[flow]) & 0xFFFF}"
        if int(point.flows.proto[flow]) in (TCP, UDP)
        else ""
    )
    return Advice(
        situation=f"What failed was seen at {point.name}, the last point that was captured.",
        tells="To whom, from where and when it happened, and what the failed connections have in common.",
        hides="Whether the packets reached the other end, and whether it answered.",
        next=f"Record on {dst}, or on the last router before it, while {point.name} is recorded here, and compare.",
        command=f"tcpdump -ni any -s 256 -w far-end.pcap 'host {src}{port}'",
    )


def _bare(end: str) -> str:
    """An end without its port: `192.0.2.1:80` or `[2001:db8::1]:80`."""
    if end.startswith("["):
        return end[1:].partition("]")[0]
    return end if end.count(":") > 1 else end.partition(":")[0]


def _way(scene: Scene, told: Connections, number: int) -> tuple[str, str, str] | None:
    """Of a connection that came in: where it came in, where its answers left, and to whom.

    Without answers the pod's interface that saw the request, and nothing; None for others, and where neither is seen.
    """
    if told.direction[number] not in (DIRECTIONS.index("in"), DIRECTIONS.index("local")):
        return None
    chains = told.chains
    point, flow = chains.points[int(chains.point[number])], int(chains.flow[number])
    rows = point.rows(flow, 0)
    if not len(rows):
        return None
    seen = [one for one, _ in scene.trails.sightings(point, int(rows[0]))]
    flows = scene.trails.flows_of(point, flow)
    inside = next((one for one in seen if one.role == "pod" and not one.within), None)
    if inside is None or inside.name not in flows:
        return None
    answers = inside.rows(flows[inside.name], 1)
    if not len(answers):
        # It is the pod that is asked, not one that asks: its address is the destination there.
        own = scene.node.pods.get(inside.name)
        if own is None or not np.isin(inside.dst[flows[inside.name]], own):
            return None
        return inside.name, "", ""
    came = next((one.name for one in seen if one.role in EXITS), None)
    left = [one.name for one, _ in scene.trails.sightings(inside, int(answers[0])) if one.role in EXITS]
    opener = address(
        int(inside.flows.src_hi[flows[inside.name]]), int(inside.flows.src_lo[flows[inside.name]])
    )
    return (came, left[0], opener) if came and left else None


def _queues(scene: Scene, told: Connections, silent: NDArray[np.int64]) -> Iterator[str]:
    """Whether an accept queue is full, or was: what `ss` and the protocols' counters say."""
    full = [one for one in scene.evidence.sockets if one.state == "LISTEN" and one.received > one.sent > 0]
    for one in full[:1]:
        yield f"the accept queue of {one.local} is full, {one.received:,} wait where {one.sent:,} may ({one.file})"
    if not (told.outcomes.proto[silent] == TCP).any():
        return
    for name, means in (
        ("TcpExt.ListenOverflows", "accept queues overflowed"),
        ("TcpExt.PAWSPassive", "SYNs were discarded for their timestamps"),
    ):
        for reading in scene.evidence.readings(name):
            if reading.rose:
                yield f"{means}: {name} rose by {reading.rose:,} ({reading.files[-1]})"


def _elsewhere(scene: Scene, told: Connections, silent: NDArray[np.int64]) -> Iterator[Trait]:
    """SYNs that somebody else answered, from outside: what translated them does not see the answers."""
    chosen = set(silent.tolist())
    found: dict[int, tuple[str, str]] = {}
    for point, asked, wanted, got in answered_otherwise(scene):
        number = told.of(point.name, asked)
        if number is not None and number in chosen:
            found[number] = wanted, got
    if found and len(found) / len(silent) >= NEARLY_ALL:
        wanted, got = next(iter(found.values()))
        yield Trait(
            code="answered-elsewhere",
            connections=len(found),
            says=f"{len(found):,} of {len(silent):,} were answered, but from another address ({got} for {wanted}), which the "
            "client reset: what translated the request was passed by on the way back",
            next="Where the service is translated (the node that was asked), does it masquerade requests of these clients? "
            "kube-proxy does so for sources outside of --cluster-cidr only.",
        )
