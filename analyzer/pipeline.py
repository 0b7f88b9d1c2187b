"""The way of the data, from recordings to incidents: `conclude` is the method section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.duplicates import leave_out
from analyzer.compute.threads import beside, side_by_side
from analyzer.connection.connections import connections
from analyzer.connection.fates import follow
from analyzer.connection.passages import Trails
from analyzer.connection.refusals import Refusals
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP, assemble
from analyzer.incident import citing, logged, named, summary
from analyzer.incident.advice import advise
from analyzer.incident.astray import doubtful
from analyzer.incident.covering import coverage, untold
from analyzer.incident.deciding import decide
from analyzer.incident.findings import find
from analyzer.incident.incidents import incidents
from analyzer.incident.misaddressed import misaddressed
from analyzer.incident.outside import outside
from analyzer.incident.reconcile import reconcile
from analyzer.incident.scene import Scene
from analyzer.incident.translating import translating
from analyzer.nat.crossing import cross
from analyzer.node.absent import absent
from analyzer.node.hosts import assign, explored, wires
from analyzer.node.recording import witness
from analyzer.node.stacks import stack
from analyzer.node.topology import contradicted, neighbours, place, rename
from analyzer.node.ways import EXITS, INSIDE
from analyzer.result.analysis import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.capture.bundle import Bundle
    from analyzer.capture.points import Recording
    from analyzer.evidence import SideEvidence
    from analyzer.incident.model import Counts, Finding


FOLLOWED = (TCP, UDP, ICMP, ICMP6)
"""Protocols whose requests and replies are followed."""


def _befallen(found: Callable[[], tuple[list[Finding], Counts]]) -> Iterator[tuple[str, int]]:
    """What findings name, when they are there: whoever asks for the first one waits."""
    for finding in found()[0]:
        yield finding.point, finding.flow
        if (answer := finding.facts.get("answer_flow")) is not None:
            yield finding.point, answer  # no connection of its own


def conclude(bundle: Bundle, evidence: SideEvidence, recordings: Sequence[Recording]) -> Result:
    """Tell what happened to the packets that were recorded."""
    twice = side_by_side(leave_out, recordings)
    captured = side_by_side(assemble, recordings)
    caveats = [*filter(None, twice), *(several := assign(captured)), *place(captured)]
    if several:
        evidence = evidence.of_no_node()
    rename(captured)
    stack(captured, evidence.links)
    captured += absent(captured, evidence)
    gaps = cross(captured, neighbours(captured))
    if swapped := contradicted(gaps):
        caveats += swapped
        gaps = cross(captured, neighbours(captured))
    with beside(lambda: [point.events for point in captured]):
        node = explored(captured, gaps, evidence.links, evidence.routes, translating(evidence))
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
    followed = [at for kind in (sent, answered) for found in kind.values() for at in found]
    # The occupancy takes as long as the findings, which seldom ask for it; only the account asks what they name.
    with beside(lambda: scene.occupancy), beside(lambda: find(scene)) as found:
        scene.connections = connections(
            captured,
            gaps,
            node,
            followed,
            _befallen(found),
            refusals,
            scene.trails,
            wires(captured, node),
            ((point.name, flow) for point, flow in doubtful(scene)),
            misaddressed(scene),
            ruled=bool(evidence.rules),
            no_port=evidence.rise("Udp.NoPorts") + evidence.rise("Udp6.NoPorts"),
        )
    findings, counts = found()
    told = named.incidents(incidents(findings), evidence.names)
    health, unknown = summary.health(scene), logged.untold(untold(scene), evidence.events)
    return Result(
        bundle=bundle.name,
        kernel=evidence.kernel,
        capture_points=summary.capture_points(scene),
        counts=counts,
        account=scene.connections.account(),
        incidents=told,
        reconciliation=reconcile(scene.counters, counts, told),
        caveats=summary.caveats(bundle, scene, caveats),
        mappings=summary.mappings(scene),
        inconclusive=summary.blind(scene),
        advice=advise(scene),
        health=health,
        occupancy=summary.occupancy(scene),
        outside=named.outside(outside(scene), evidence.names),
        coverage=coverage(scene),
        untold=named.untold(unknown, evidence.names),
        read=citing.cited(evidence.read, told, health, unknown),
        scene=scene,
    )
