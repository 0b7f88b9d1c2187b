"""A pod asked a service that led back to the pod itself, and the bridge or the missing masquerade stopped that.

What happens
    A pod connects to a service whose endpoint, perhaps among others, is the pod itself. The node translates the SYN (DNAT),
    which has to go back by the port that it came in by. A bridge does that only for ports in hairpin mode, or while it is
    promiscuous. If it does go back, it must have got another source (MASQUERADE): to the pod a packet with its own address
    as the source is spoofed, and it drops it. Connections that are led to other endpoints work, so it looks random.

How it is recognised
    An unanswered SYN of a pod was seen again, by its number, translated to that pod's own address. If the pod's interface
    saw it come back with the pod's address as its source, that is proven. If only the bridge saw it, `hairpin off` in
    `bridge -d link` or `ip -d link` proves it. Recording a bridge without `-p` makes it promiscuous: then the packet does come
    back, yet with the pod's address as its source, whatever rules masquerade.

What is ruled out
    A loss outside, or at another pod: the SYN was for the pod that sent it.

Remedies and their risks
    Switch the port to hairpin mode, for new pods in the network plugin (`hairpinMode`). Masquerade what a pod sends to itself.

References
    https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#a-pod-fails-to-reach-itself-via-the-service-ip
    https://github.com/kubernetes/kubernetes/issues/13375; should_deliver (net/bridge/br_forward.c); fib_validate_source
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import SYN_X
from analyzer.connection.asking import answered
from analyzer.connection.fates import VANISHED
from analyzer.connection.passages import ends, flow_name
from analyzer.flow.keys import among, distinct
from analyzer.flow.point import TCP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Finding, Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "hairpin"
TITLE = "a pod's connection to itself does not come back to it"
MOST = 1000
"""Connections that are told."""

RANK = 35
COUNTED = False

REMEDIES = (
    Remedy(
        do="See which ports hand packets back, and what is masqueraded",
        command="bridge -d link; iptables -t nat -S POSTROUTING",
        effect="Shows whether the pod's port is in hairpin mode, and whether packets from a pod to itself get another source.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'connection')} of a pod to a service failed: it led back to the pod, "
        "and this node did not hand the packets back in a form that the pod takes."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise the translated SYN that vanished between the bridge and the pod that it came from."""
    if not case.requests or case.outward or case.protocol != TCP:
        return None
    point, row = case.lost[0].seen[-1]
    told = _all(scene).get((point.name, int(point.packets.flow[row])))
    if told is None:
        return None
    return Explanation(
        cause=CODE,
        confidence=told.confidence,
        facts=told.facts,
        evidence=told.evidence,
        excluded=told.excluded,
        remedies=told.remedies,
    )


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection that a pod opened to itself, but for those whose SYN is known to have vanished."""
    gone = {
        (at.point.name, int(flow))
        for at in scene.requests[TCP]
        for flow in distinct(at.point.packets.flow[at.rows[at.fate == VANISHED]])
    }
    return [told for (name, flow), told in _all(scene).items() if (name, flow) not in gone]


def _all(scene: Scene) -> dict[tuple[str, int], Finding]:
    """All of them, by the point that saw the translated SYN, and its flow there."""
    return scene.once("hairpins", lambda: dict(_look(scene)))


def _look(scene: Scene) -> list[tuple[tuple[str, int], Finding]]:
    found: list[tuple[tuple[str, int], Finding]] = []
    for point in scene.points:
        own = scene.node.pods.get(point.name)
        if own is None or not len(own):
            continue
        bridge = next(
            (gap.outer for gap in scene.gaps if gap.inner is point and gap.outer.role == "bridge"), None
        )
        back = {one.name: _to_itself(scene, one, own) for one in (point, bridge) if one is not None}
        if not any(back.values()):
            continue
        rows, _, soon = answered(point, TCP)
        flow = point.packets.flow[rows]
        mine = ~soon & among(point.src[flow], own) & ~among(point.dst[flow], own)
        for asked in distinct(flow[mine])[: MOST - len(found)].tolist():
            told = _finding(scene, point, bridge, asked, back, own)
            if told is not None:
                found.append(told)
    return found


def _to_itself(scene: Scene, point: Point, own: NDArray[np.uint64]) -> dict[int, int]:
    """Number of each SYN to the pod's own address that nobody answered: its first row."""
    flows = scene.once(("syns in vain", point.name), lambda: _in_vain(point))
    rows = [int(point.rows(flow, 0)[0]) for flow in flows[among(point.dst[flows], own)][:MOST].tolist()]
    return {int(point.packets.seq[row]): row for row in reversed(rows)}


def _in_vain(point: Point) -> NDArray[np.int64]:
    """The TCP flows of a point that begin with a SYN and have no packet of the other side: few, whatever the bridge carries."""
    starts = point.starts
    alone = (point.flows.proto == TCP) & (point.flows.marks & SYN_X != 0) & (starts[2::2] == starts[1:-1:2])
    return np.flatnonzero(alone)


def _finding(
    scene: Scene,
    point: Point,
    bridge: Point | None,
    asked: int,
    back: dict[str, dict[int, int]],
    own: NDArray[np.uint64],
) -> tuple[tuple[str, int], Finding] | None:
    first = int(point.rows(asked, 0)[0])
    number, at = int(point.packets.seq[first]), point
    came = back[point.name].get(number)
    link = next((one for one in scene.evidence.links if one.name == scene.evidence.device(point.name)), None)
    setting = link.settings.get("hairpin") if link is not None else None
    if came is not None:
        if not among(point.src[point.packets.flow[[came]]], own)[0]:
            return None  # it came back masqueraded, and the pod did not answer
        off = "it came back with the pod's own address as its source: nothing masqueraded it, and a pod drops such packets"
        confidence = "proven"
    else:
        if bridge is None or (came := back[bridge.name].get(number)) is None or setting == "on":
            return None
        if not point.recorded(bridge.packets.time[came : came + 1])[0]:
            return None
        at, off = bridge, f"the bridge did not hand it back to {point.name}, the port that it came in by"
        confidence = "proven" if setting == "off" else "likely"
    seen, sent = scene.trails.sighting(at, came), scene.trails.sighting(point, first)
    wanted = ends(point.flows, asked)[1]
    evidence = [
        Evidence(
            says=f"the SYN to {wanted} was translated to {seen.dst}, the pod's own address; {off}",
            source=f"{seen.file} frame {seen.frame}",
        )
    ]
    if setting is not None and link is not None:
        evidence.append(Evidence(says=f"{link.name}: hairpin {setting}", source="bridge -d link"))
    pod = sent.src.rpartition(":")[0].strip("[]")
    return (at.name, int(at.packets.flow[came])), Finding(
        kind="misdelivered",
        cause=CODE,
        confidence=confidence,  # type: ignore[arg-type]
        gap=(point.name, bridge.name) if bridge is not None else None,
        point=point.name,
        flow=asked,
        time=int(point.packets.time[first]),
        inner=flow_name(point.flows, asked),
        outer=flow_name(at.flows, int(at.packets.flow[came])),
        delay_s=None,
        passages=(
            scene.trails.passage(point, first, outward=True, role="attempt", note=f"to {wanted}"),
            scene.trails.passage(
                at, came, outward=False, role="offender", note="the same, translated to the pod itself"
            ),
        ),
        omitted=max(0, len(point.rows(asked, 0)) - 1),
        facts={"packets": len(point.rows(asked, 0)), "hairpin": setting},
        evidence=tuple(evidence),
        excluded=(Exclusion(cause="lost outside the node", because="it was for the pod that sent it"),),
        remedies=(
            _mode(point.name) if at is not point or setting == "off" else _masquerade(pod),
            *REMEDIES,
        ),
    )


def _mode(port: str) -> Remedy:
    return Remedy(
        do="Let the bridge hand packets back by the port that they came in by",
        command=f"bridge link set dev {shlex.quote(port)} hairpin on",
        effect="The next attempt gets back to the pod.",
        risk="Until the pod is made anew: set hairpinMode in the network plugin as well. Broadcasts of the pod come back to it.",
    )


def _masquerade(pod: str) -> Remedy:
    return Remedy(
        do="Masquerade what a pod sends to itself",
        command=f"{'ip6tables' if ':' in pod else 'iptables'} -t nat -I POSTROUTING -s {pod} -d {pod} -j MASQUERADE",
        effect="The pod gets its packets back with the node's address as their source, and answers.",
        risk="For this pod alone, until the network plugin writes its rules anew; kube-proxy marks such packets itself "
        "(KUBE-MARK-MASQ).",
    )
