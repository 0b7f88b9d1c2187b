"""First contact: what captures that lack something can tell and cannot, and which capture to take next."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from analyzer.capture.naming import role_of
from analyzer.incident.model import Advice
from analyzer.incident.summary import overlap, unmet
from analyzer.node.topology import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

MOST = 4
"""Interfaces of one role that a command names."""
USUAL = {"pod": "VETH", "bridge": "cni0", "tunnel": "flannel.1", "uplink": "eth0"}
"""What an interface is called where nothing tells; `VETH` is to be replaced."""
# An interface's name may hold anything but `/` and white space (dev_valid_name in net/core/dev.c); a command is
# copied into a root shell, so only plain ones get into it.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}")
_WORD = re.compile(r"container|pod(?!man)|host|node")
"""What files are called, and interfaces are not; the names of podman's bridges aside."""

_TELLS = {
    "pod": "Its connections, their repeated SYNs and what was answered are in the tables, as the pod saw them.",
    "bridge": "The pods' connections, their repeated SYNs and what was answered are in the tables.",
    "uplink": "What left the node and was not answered is counted, and every flow is in the tables.",
}
_ALONE = "Whether this node lost a packet: a loss shows only as what one point saw and the next did not."


def advise(scene: Scene) -> tuple[Advice, ...]:
    """Say what the captures lack, the gravest first; nothing where they lack nothing that another capture would bring."""
    seen = [point for point in scene.points if len(point.packets)]
    roles = {point.role for point in seen}
    found = [_empty(scene, point) for point in scene.points if not (point.absent or len(point.packets))]
    if len(seen) == 1:
        found.append(_single(scene, seen[0]))
    elif len(seen) > 1:
        gaps = [gap for gap in scene.gaps if len(gap.inner.packets) and len(gap.outer.packets)]
        if not gaps:
            found.append(_no_neighbours(scene, seen))
        elif not any(map(overlap, gaps)):
            found.append(_apart(scene, gaps))
        elif unmet(scene):
            found.append(_strangers(scene, gaps))
        elif "uplink" not in roles:
            found.append(_no_uplink(scene, seen))
        elif roles >= {"pod", "uplink"} and "bridge" not in roles and _may_have_bridge(scene):
            found.append(_no_bridge(scene, seen))
    return tuple(found[:MOST])


def _single(scene: Scene, point: Point) -> Advice:
    return Advice(
        situation=f"Only {point.name} was captured.",
        tells=_TELLS.get(point.role or "", "Every flow is in the tables."),
        hides=_ALONE,
        next=_record(scene, [point], _way(scene)),
        command=_command(scene, [point], _way(scene)),
    )


def _empty(scene: Scene, point: Point) -> Advice:
    skipped = point.recording.skipped
    why = ", ".join(f"{number} frames: {reason}" for reason, number in skipped.items()) or "no frame at all"
    return Advice(
        situation=f"{point.name} holds no packet that can be followed ({why}).",
        tells="The other capture points are analysed without it.",
        hides="What this point saw. It may be the wrong interface or the wrong file, or a filter matched nothing: "
        "SNAT and DNAT change addresses, so a filter on an address matches nothing after them.",
        next=_record(scene, [point], _way(scene), "without a filter"),
        command=_command(scene, [point], _way(scene)),
    )


def _no_neighbours(scene: Scene, seen: Sequence[Point]) -> Advice:
    names = _list(point.name for point in seen)
    unplaced = [point.name for point in seen if point.role not in LAYERS]
    if unplaced:
        were = "were" if len(unplaced) > 1 else "was"
        situation = f"It is not known where {_list(unplaced)} {were} captured, so {names} cannot be compared."
    else:
        situation = f"{names} are all captures of one kind, the {seen[0].role}, so none shows what came out of another."
    return Advice(
        situation=situation,
        tells="Every flow is in the tables, and traffic within the node is seen at both of its ends.",
        hides="Whether a packet was lost inside the node.",
        next=_record(scene, seen, _way(scene)),
        command=_command(scene, seen, _way(scene)),
    )


def _apart(scene: Scene, gaps: Sequence[Gap]) -> Advice:
    points = list({point.name: point for gap in gaps for point in (gap.inner, gap.outer)}.values())
    spans = _list(
        f"{point.name} from {_clock(int(point.packets.time.min()))} to {_clock(int(point.packets.time.max()))}"
        for point in points
    )
    return Advice(
        situation=f"The captures do not overlap in time: {spans} UTC.",
        tells="Each capture alone is in the tables.",
        hides="Any loss: the next point never recorded at the same time. If it did, one clock is wrong, and no shared "
        "packet allows correcting it.",
        next=_record(scene, points, ()),
        command=_command(scene, points, ()),
    )


def _strangers(scene: Scene, gaps: Sequence[Gap]) -> Advice:
    points = list({point.name: point for gap in gaps for point in (gap.inner, gap.outer)}.values())
    return Advice(
        situation=f"No flow was seen at two of {_list(point.name for point in points)}, though they recorded at the "
        "same time.",
        tells="Each capture alone is in the tables. Either everything was lost between them, or they are of different "
        "nodes, or of different traffic.",
        hides="Which of these it is, so a loss reported here may be none.",
        next=_record(scene, points, (), "on one node, without a filter, with some traffic that works"),
        command=_command(scene, points, ()),
    )


def _no_uplink(scene: Scene, seen: Sequence[Point]) -> Advice:
    return Advice(
        situation="The uplink was not captured.",
        tells=f"Losses between {_list(point.name for point in seen)} are found.",
        hides="Losses after the bridge: NAT, most rules, the next hop.",
        next=_record(scene, seen, _way(scene)),
        command=_command(scene, seen, _way(scene)),
    )


def _no_bridge(scene: Scene, seen: Sequence[Point]) -> Advice:
    return Advice(
        situation="The bridge was not captured.",
        tells="Losses between the pod and the uplink are found, with NAT followed.",
        hides="Whether a packet was lost before or after the bridge, and what other pods sent: the winner of a port "
        "race is seen at the uplink only.",
        next=f"If the pod is on a bridge, record it as well. {_record(scene, seen, ('bridge',))}",
        command=_command(scene, seen, ("bridge",)),
    )


def _way(scene: Scene) -> tuple[str, ...]:
    """The roles of the points that see every packet on its way out."""
    return ("bridge", "uplink") if _may_have_bridge(scene) else ("pod", "uplink")


def _may_have_bridge(scene: Scene) -> bool:
    """False where the list of interfaces has none: then veth and uplink are neighbours."""
    known = scene.evidence.interfaces.values()
    return not known or any(role_of(link.name) == "bridge" for link in known)


def _record(scene: Scene, points: Sequence[Point], roles: tuple[str, ...], how: str = "") -> str:
    names = _interfaces(scene, points, roles)
    guessed = [name for name in names if name in USUAL.values() and not _known(scene, points, name)]
    usual = [name for name in guessed if name != USUAL["pod"]]
    says = f"Record {_list(names)} at the same time{f', {how}' if how else ''}, from before the trouble until after it."
    if usual:
        says += (
            f" {_list(usual)} {'is' if len(usual) == 1 else 'are'} named as usual: use the node's own name."
        )
    if USUAL["pod"] in guessed:
        says += " VETH stands for the pod's interface on the node: docs/capturing.md tells how to find it."
    return says


def _command(scene: Scene, points: Sequence[Point], roles: tuple[str, ...]) -> str:
    names = _interfaces(scene, points, roles)
    by_hand = [f"tcpdump -i {name} -s 256 -B 16384 -w {name}.pcap 2> tcpdump-{name}.log &" for name in names]
    return "\n".join(
        [
            f"lostsyn capture {' '.join(f'-i {name}' for name in names)}",
            "# ... until it has happened, and a few seconds more, then Ctrl-C. Or by hand:",
            *by_hand,
            "# ... until then, and then:",
            "kill $(jobs -p); wait",
        ]
    )


def _interfaces(scene: Scene, points: Sequence[Point], roles: tuple[str, ...]) -> list[str]:
    """The interfaces to record: those of *points*, and one of each further role; from the pod outwards."""
    names: list[str] = []
    for role in LAYERS:
        mine = [point for point in points if point.role == role]
        named = [point.name for point in mine if _is_interface(point.name) and role_of(point.name) == role]
        if not named and (mine or role in roles):
            links = [link.name for link in scene.evidence.interfaces.values()]
            named = [name for name in links if role_of(name) == role and _is_interface(name)]
            # Of many veths nobody knows which one is meant.
            if not named or (role == "pod" and len(named) > 1):
                named = [USUAL[role]]
        names += named[:MOST]
    return names


def _is_interface(name: str) -> bool:
    """Whether a point is called as an interface is, in a way that a shell takes as it is."""
    return bool(_PLAIN.fullmatch(name)) and not _WORD.search(name.lower())


def _known(scene: Scene, points: Iterable[Point], name: str) -> bool:
    return any(link.name == name for link in scene.evidence.interfaces.values()) or any(
        point.name == name for point in points
    )


def _clock(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 10**9, tz=UTC):%Y-%m-%d %H:%M:%S}"


def _list(names: Iterable[str]) -> str:
    """`veth-a, cni0 and eth0`; of many the first."""
    shown = list(names)
    if len(shown) > 2 * MOST:
        shown[2 * MOST - 1 :] = [f"{len(shown) - 2 * MOST + 1} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
