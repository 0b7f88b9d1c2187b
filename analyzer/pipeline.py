"""The way of the data, from captures to incidents: `analyze` is the method section."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.analysis import Analysis
from analyzer.capture.bundle import Bundle
from analyzer.capture.points import record
from analyzer.capture.storage import Memory, TemporaryFiles
from analyzer.evidence import collect
from analyzer.flow.point import TCP, UDP, assemble
from analyzer.incident.findings import find
from analyzer.incident.incidents import incidents
from analyzer.incident.reconcile import reconcile
from analyzer.incident.scene import Scene
from analyzer.nat.crossing import cross
from analyzer.nat.fates import requests
from analyzer.nat.passages import Trails
from analyzer.nat.topology import place
from analyzer.nat.ways import explore
from analyzer.threads import beside, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def analyze(
    paths: Path | str | Bundle | Sequence[Path | str],
    *,
    points: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    memory: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Analysis:
    """Analyse the captures and the side evidence of one incident on one node.

    Args:
        paths: Files, folders or archives that make one bundle, or an opened `Bundle`.
        points: File (as given, its label, or its last part) to the name of its capture point.
        roles: Capture point to role: `pod`, `bridge` or `uplink`.
        memory: Bytes of memory to get along with: the columns then lie in temporary files. The result is the same.
        progress: Called now and then with how many more stored bytes were read.

    Raises:
        UnusableInput: Nothing in *paths* can be analysed, or *points* names no capture of theirs.
    """
    bundle = _bundle(paths, points)
    evidence = collect(bundle.evidence)
    storage = TemporaryFiles(memory) if memory else Memory()
    recordings = record(bundle.captures, evidence.interfaces, roles or {}, progress, storage)
    captured = side_by_side(assemble, recordings)
    caveats = place(captured)
    gaps = cross(captured)
    with beside(lambda: [point.events for point in captured]):
        node = explore(captured, gaps, evidence.interfaces.values(), evidence.routes)
    followed = {protocol: requests(captured, gaps, node, protocol) for protocol in (TCP, UDP)}
    scene = Scene(
        points=captured,
        gaps=gaps,
        node=node,
        trails=Trails(captured, gaps),
        requests=followed,
        evidence=evidence,
    )
    with beside(lambda: scene.occupancy):  # it takes as long as the findings, which seldom ask for it
        findings, counts = find(scene)
        told = incidents(findings)
        return Analysis.of(bundle, scene, counts, told, reconcile(scene.counters, counts, told), caveats)


def _bundle(paths: Path | str | Bundle | Sequence[Path | str], points: Mapping[str, str] | None) -> Bundle:
    if isinstance(paths, Bundle):
        return paths
    return Bundle.open([paths] if isinstance(paths, str | Path) else list(paths), points=points)
