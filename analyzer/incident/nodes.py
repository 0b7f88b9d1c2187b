"""What was found on several nodes of one bundle, put together: each was looked at alone, with its own side evidence."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from analyzer.connection.passages import Trails
from analyzer.connection.refusals import Refusals
from analyzer.incident.astray import doubtful
from analyzer.incident.findings import find
from analyzer.incident.misaddressed import misaddressed, unreached
from analyzer.incident.model import Counts
from analyzer.incident.reconcile import reconcile
from analyzer.incident.scene import Scene
from analyzer.node.hosts import name_all
from analyzer.node.ways import EXITS, INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analyzer.evidence import SideEvidence
    from analyzer.incident.model import Finding, Incident, Reconciled


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What befell the connections of one node; flows are a point's name and a number there."""

    findings: list[Finding]
    counts: Counts
    doubtful: list[tuple[str, int]]
    """See `analyzer.incident.astray.doubtful`."""
    misaddressed: list[tuple[str, int]]
    """See `analyzer.incident.misaddressed.misaddressed`."""
    unreached: list[tuple[str, int]]
    """See `analyzer.incident.misaddressed.unreached`."""

    def named(self) -> Iterable[tuple[str, int]]:
        """What the findings name."""
        return ((finding.point, finding.flow) for finding in self.findings)


def look(scene: Scene) -> Found:
    """Find what befell the connections of one node."""
    findings, counts = find(scene)
    return Found(
        findings=findings,
        counts=counts,
        doubtful=[(point.name, flow) for point, flow in doubtful(scene)],
        misaddressed=list(misaddressed(scene)),
        unreached=list(unreached(scene)),
    )


def together(scenes: Mapping[str, Scene], evidence: SideEvidence) -> tuple[Scene, dict[str, Found]]:
    """Look at each node, then give all points names of their own.

    Args:
        scenes: Node to what is known of it; they hold no longer.
        evidence: What holds beyond the node that tells it.

    Returns: One scene of all, and by node what was found, in the new names.
    """
    found = {node: look(scene) for node, scene in scenes.items()}
    before = 0
    for scene in scenes.values():
        for at in scene.followed:
            at.gap[at.gap >= 0] += before
        before += len(scene.gaps)
    whole, names = name_all(
        {node: scene.node for node, scene in scenes.items()},
        {node: scene.points for node, scene in scenes.items()},
    )
    points = [point for scene in scenes.values() for point in scene.points]
    gaps = [gap for scene in scenes.values() for gap in scene.gaps]
    each = list(scenes.values())
    scene = Scene(
        points=points,
        gaps=gaps,
        node=whole,
        trails=Trails(points, gaps),
        requests={kind: [at for scene in each for at in scene.requests[kind]] for kind in each[0].requests},
        replies={kind: [at for scene in each for at in scene.replies[kind]] for kind in each[0].replies},
        refusals=Refusals([p for p in points if p.role in EXITS], [p for p in points if p.role in INSIDE]),
        evidence=evidence,
    )
    scene.answers = [answer for scene in each for answer in scene.answers]
    return scene, {node: renamed(told, names[node]) for node, told in found.items()}


def total(each: Sequence[Counts]) -> Counts:
    """Add the nodes' numbers."""
    return Counts(**{one.name: sum(getattr(counts, one.name) for counts in each) for one in fields(Counts)})


def reconciled(
    scenes: Mapping[str, Scene], found: Mapping[str, Found], incidents: Sequence[Incident]
) -> tuple[Reconciled, ...]:
    """Compare each node's counters with what was found there."""
    told = []
    for node, scene in scenes.items():
        mine = tuple(
            one for one in incidents if len(scenes) == 1 or one.findings[0].point.startswith(f"{node}/")
        )
        told += [
            replace(row, counter=f"{node}: {row.counter}" if node else row.counter)
            for row in reconcile(scene.counters, found[node].counts, mine)
        ]
    return tuple(told)


def renamed(told: Any, names: Mapping[str, str]) -> Any:
    """What is told, with points' new names; a text that says more than a name stays, since the node calls them so."""
    if isinstance(told, str):
        return names.get(told, told)
    if isinstance(told, dict):
        return {key: renamed(value, names) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return type(told)(renamed(one, names) for one in told)
    if is_dataclass(told) and not isinstance(told, type):
        return replace(
            told, **{one.name: renamed(getattr(told, one.name), names) for one in fields(told) if one.init}
        )
    return told
