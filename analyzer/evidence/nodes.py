"""Side evidence of several nodes in one bundle: each file is the node's whose folder, or whose prefix, its path has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from analyzer.capture.files import EvidenceFile
from analyzer.capture.link import Link
from analyzer.capture.naming import owner
from analyzer.evidence.collecting import SideEvidence, collect
from analyzer.evidence.links import by_index, merge

NAMED = 5
"""Files that a caveat names."""
_COMMON = frozenset({"manifest", "tcpdump", "cluster_names", "cluster_documents"})
"""Sources that hold for all nodes: they name files, or addresses of the cluster."""


def of_each(files: Sequence[EvidenceFile], nodes: Iterable[str]) -> tuple[dict[str, SideEvidence], list[str]]:
    """Read every node's own files; what is nobody's only tells whose addresses are, and how files were recorded.

    Args:
        files: All side evidence of the bundle.
        nodes: Folders, or prefixes of names, as `analyzer.capture.naming.owner` has them.

    Returns: The evidence by node, and caveats about files that are of no node.
    """
    nodes = list(nodes)
    owned: dict[str, list[EvidenceFile]] = {node: [] for node in filter(None, nodes)}
    others: list[EvidenceFile] = []
    for file in files:
        owned.get(_whose(file.label, nodes) or "", others).append(file)
    common = collect(others)
    told = {node: _with(collect(owned.get(node, ())), common) for node in nodes}
    unused = [one.file for one in common.read if one.source and one.source not in _COMMON]
    more = f" and {len(unused) - NAMED} more" if len(unused) > NAMED else ""
    caveats = [
        f"not used, since the bundle has several nodes and nothing tells whose they are: {', '.join(unused[:NAMED])}{more}"
    ]
    return told, [*common.caveats, *(caveats if unused else ())]


def interfaces_for(capture: str, evidence: SideEvidence) -> dict[int, Link]:
    """The interfaces by number, for a `tcpdump -i any`: where files contradict each other, as the nearest to it list them."""
    if not evidence.contradicting:
        return evidence.interfaces
    node = owner(capture)[0]
    near = {
        link.file: (_begins(link.file, node), _shared(link.file, node)) for link in evidence.contradicting
    }
    nearest = max(near.values())
    return by_index(merge(link for link in evidence.contradicting if near[link.file] == nearest)[0])


def joined(sides: Mapping[str, SideEvidence]) -> SideEvidence:
    """Put together what holds beyond the node that tells it; each node's interfaces are `node/interface` then."""
    told = list(sides.values())
    kernels = {side.kernel for side in told}
    return SideEvidence(
        interfaces={},
        kernel=kernels.pop() if len(kernels) == 1 else None,
        capture_drops=_counted({node: side.capture_drops for node, side in sides.items()}),
        captured=_counted({node: side.captured for node, side in sides.items()}),
        recordings=tuple(dict.fromkeys(one for side in told for one in side.recordings)),
        names={address: name for side in told for address, name in side.names.items()},
        read=tuple(dict.fromkeys(one for side in told for one in side.read)),
        caveats=tuple(dict.fromkeys(one for side in told for one in side.caveats)),
    )


def _counted(told: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """By interface, which becomes its node's, or by file."""
    each = [(node, at, count) for node, counts in told.items() for at, count in counts.items()]
    return {at: count for _, at, count in each if "." in at} | {
        f"{node}/{at}": count for node, at, count in each
    }


def _with(own: SideEvidence, common: SideEvidence) -> SideEvidence:
    return replace(
        own,
        capture_drops=common.capture_drops | own.capture_drops,
        captured=common.captured | own.captured,
        recordings=(*own.recordings, *common.recordings),
        names=common.names | own.names,
    )


def _whose(label: str, nodes: Sequence[str]) -> str | None:
    """The node whose prefix a path has, else the only one that it shares most folders with; None where it is nobody's."""
    if begun := [node for node in nodes if _begins(label, node)]:
        return max(begun, key=len)
    shared = {node: _shared(label, node) for node in nodes}
    most = max(shared.values())
    nearest = [node for node, count in shared.items() if count == most]
    return nearest[0] if len(nearest) == 1 else None


def _begins(label: str, node: str) -> bool:
    return label.startswith(node) and label[len(node) :][:1] in ("/", ".", "-", "_")


def _shared(label: str, node: str) -> int:
    """How many folders two paths have in common."""
    count = 0
    for one, other in zip(label.split("/")[:-1], node.split("/"), strict=False):
        if one != other:
            break
        count += 1
    return count
