"""The way of the data, from recordings to incidents: `conclude` is the method section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.duplicates import leave_out
from analyzer.compute.threads import beside, side_by_side
from analyzer.connection.connections import Connections, connections
from analyzer.connection.fates import follow
from analyzer.connection.passages import Trails
from analyzer.connection.refusals import Refusals
from analyzer.evidence.nodes import joined, of_each
from analyzer.flow.point import FOLLOWED, assemble
from analyzer.incident import citing, logged, misdelivered, named, summary, unfollowed, unheard
from analyzer.incident.advice import advise
from analyzer.incident.causes import reply_source
from analyzer.incident.covering import coverage, untold
from analyzer.incident.deciding import decide
from analyzer.incident.incidents import incidents
from analyzer.incident.nodes import Found, look, reconciled, together, total
from analyzer.incident.outside import outside
from analyzer.incident.reconcile import unseen
from analyzer.incident.scene import Scene
from analyzer.incident.translating import translating
from analyzer.nat.crossing import cross
from analyzer.node import ways
from analyzer.node.absent import absent
from analyzer.node.hosts import assign, short_names, wires
from analyzer.node.recording import witness
from analyzer.node.stacks import stack
from analyzer.node.topology import contradicted, neighbours, place, rename
from analyzer.node.ways import EXITS, INSIDE
from analyzer.result.analysis import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from analyzer.capture.bundle import Bundle
    from analyzer.capture.points import Recording
    from analyzer.evidence import SideEvidence
    from analyzer.flow.point import Point


_SEVERAL = (
    "the captures are of several nodes ({}): each is judged by the side evidence in its own folder, or under its own prefix, and "
    "connections are followed from one to the other"
)


def conclude(bundle: Bundle, evidence: SideEvidence, recordings: Sequence[Recording]) -> Result:
    """Tell what happened to the packets that were recorded."""
    caveats = [*filter(None, side_by_side(leave_out, recordings))]
    captured = side_by_side(assemble, recordings)
    nodes = assign(captured)
    if len(nodes) == 1:
        scene = scene_of(captured, evidence, caveats)
        scenes = {"": scene}
        # The occupancy takes as long as the findings, which seldom ask for it; only the account asks what they name.
        with beside(lambda: scene.occupancy), beside(lambda: look(scene)) as looked:
            scene.connections = _account(scenes, scene, lambda: [looked()])
        found = {"": looked()}
    else:
        of_node, others = of_each(bundle.evidence, nodes)
        short = short_names(nodes)
        nodes = {short[node]: points for node, points in nodes.items()}
        sides = {short[node]: side for node, side in of_node.items()}
        evidence = joined(sides)
        caveats += [*others, _SEVERAL.format(", ".join(sorted(filter(None, nodes))))]
        scenes = {node: scene_of(points, sides[node], caveats) for node, points in nodes.items()}
        scene, found = together(scenes, evidence)
        scene.connections = _account(scenes, scene, found.values)
    counts = total([one.counts for one in found.values()])
    told = named.incidents(incidents(*(one.findings for one in found.values())), evidence.names)
    health = tuple(signal for one in scenes.values() for signal in summary.health(one))
    unknown = logged.untold(untold(scene), evidence.events)
    rows, account = reconciled(scenes, found, told), scene.connections.account()
    return Result(
        bundle=bundle.name,
        kernel=evidence.kernel,
        capture_points=summary.capture_points(scene),
        counts=counts,
        account=account,
        incidents=told,
        reconciliation=rows,
        caveats=summary.caveats(bundle, scene, caveats),
        mappings=summary.mappings(scene),
        inconclusive=summary.blind(scene)
        or (
            not (told or account.open)
            and (unseen(rows) or unheard.told(unheard.in_vain(scene)) or unfollowed.told(scene))
        )
        or None,
        advice=advise(scene),
        health=health,
        occupancy=summary.occupancy(scene) if len(nodes) == 1 else None,
        outside=named.outside(outside(scene), evidence.names),
        coverage=coverage(scene),
        untold=named.untold(unknown, evidence.names),
        read=citing.cited(evidence.read, told, health, unknown),
        scene=scene,
    )


def scene_of(captured: list[Point], evidence: SideEvidence, caveats: list[str]) -> Scene:
    """Follow every request and reply of one node, and decide what became of each.

    Args:
        captured: Its points.
        evidence: Its side evidence.
        caveats: Gets what limits that.
    """
    caveats += place(captured)
    rename(captured)
    stack(captured, evidence.links)
    captured += absent(captured, evidence)
    gaps = cross(captured, neighbours(captured))
    if swapped := contradicted(captured, gaps):
        caveats += swapped
        gaps = cross(captured, neighbours(captured))
    with beside(lambda: [point.events for point in captured]):
        node = ways.explore(captured, gaps, evidence.links, evidence.routes, translating(evidence))
    caveats += witness(captured, evidence)
    refusals = Refusals(
        [point for point in captured if point.role in EXITS],
        [point for point in captured if point.role in INSIDE],
    )
    sent = {protocol: follow(captured, gaps, node, refusals, protocol) for protocol in FOLLOWED}
    answered = {
        protocol: follow(captured, gaps, node, refusals, protocol, replies=True) for protocol in FOLLOWED
    }
    scene = Scene(
        points=captured,
        gaps=gaps,
        node=node,
        trails=Trails(captured, gaps),
        requests=sent,
        replies=answered,
        refusals=refusals,
        evidence=evidence,
    )
    decide(scene)
    scene.answers = [*misdelivered.answers(scene), *reply_source.answers(scene)]
    return scene


_UNDELIVERED = ("NoPorts", "RcvbufErrors", "MemErrors")
"""Counters of datagrams for the node that found no socket, or no room at one."""


def _account(scenes: Mapping[str, Scene], scene: Scene, found: Callable[[], Iterable[Found]]) -> Connections:
    """Say what became of every connection; who asks what befell the first one waits for it."""
    beside = [one.evidence for one in scenes.values()]
    return connections(
        scene.points,
        scene.gaps,
        scene.node,
        [*scene.followed],
        (named for one in found() for named in one.named()),
        scene.refusals,
        scene.trails,
        wires(scene.points, scene.node),
        scene.answers,
        (flow for one in found() for flow in one.doubtful),
        (flow for one in found() for flow in one.misaddressed),
        (flow for one in found() for flow in one.unreached),
        ruled=all(one.rules for one in beside),
        undelivered=sum(
            one.rise(f"Udp{v}.{name}") for one in beside for v in ("", "6") for name in _UNDELIVERED
        ),
    )
