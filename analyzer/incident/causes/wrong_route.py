"""The routes lead the packets by another device than the one that they belong to.

What happens
    A network is claimed twice: docker's bridge has the network of a VPN's clients, so that answers to them are sought on the
    bridge. Or a rule of the routing (`ip rule from ADDRESS lookup TABLE`) asks a table that lacks the pods' network, so that
    what the node answers a pod leaves by the uplink. Or the route to a pod's network was removed, and the default route
    takes its answers out again.

How it is recognised
    Answers vanish on their way back to the device that their requests came by, and the node's rules and routes, walked for
    these very addresses, lead by another one. It is proven if the answers were seen leaving by it, if the node asked for the
    address there in vain, or if the right route was listed before and is not any more.

What is ruled out
    A rule, a setting or a next hop in the packet's right way: it does not take that way.

Remedies and their risks
    Correct the route: put back the one that is missing, also into the table that a rule asks, or give the bridge that claims
    somebody else's network another one (docker's `bip` and `default-address-pools`).

References
    ip-rule(8); https://github.com/kubernetes/kops/issues/710; https://docs.docker.com/engine/network/drivers/bridge/
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.incident import bridging
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.routing import beyond, ends, last_seen, senders, targets, way, went_on, written
from analyzer.incident.unheard import asked_in_vain, failed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.evidence.drops import Kind
    from analyzer.evidence.facts import Route
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "wrong-route"
TITLE = "route by another device"
RANK = 41
COUNTED = False
DEFAULT = ("0.0.0.0/0", "::/0")
RECORDS: tuple[Kind, ...] = ("no-neighbour",)

REMEDIES = (
    Remedy(
        do="See which route these very packets take",
        command="ip route get DESTINATION from SOURCE iif INTERFACE; ip rule; ip route show table all",
        effect="Shows the device, and the table that it is from.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Add the route by the right device",
        command="ip route replace DESTINATION dev INTERFACE",
        effect="The next attempt gets through.",
        risk="A wrong route takes traffic elsewhere; a route added by hand is gone after a reboot.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return f"{loss.fared}: its routes lead by another device."


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the routes, walked for the packet's own addresses."""
    if case.gap.stacked or not scene.evidence.routes or not case.replies:
        return None
    (source, seen_as), both = ends(case), targets(case, scene)
    target = both.pop() if len(both) == 1 else seen_as
    itself = scene.node.owns(source)
    near, right = (bridging.device(one, scene.evidence) for one in (_near(case), beyond(case)))
    now = scene.once("routes now", lambda: _now(scene))
    found = way(now, target, src=source, iif=None if itself else near)
    if not (found.sure or not scene.evidence.routing_rules) or found.route is None or found.kind != "unicast":
        return None
    if len(found.devices) != 1 or right in ("", *found.devices):
        return None
    if target in senders(beyond(case), _got_back(case, scene, alike=found.route.table != "main"), to=True):
        return None
    device = found.devices[0]
    at = next((one for one in scene.points if bridging.device(one, scene.evidence) == device), None)
    says = f"for {source} its routes lead to {target} by {device} ({written(found.route)}), not by {right}"
    proof = [
        *_left(case, scene, device, itself=itself),
        *_removed(right, target, scene),
        *filter(
            None, [(asked_in_vain(at, target, scene) if at is not None else None) or failed(target, scene)]
        ),
    ]
    return Explanation(
        cause=CODE,
        confidence="proven" if proof else "likely",
        facts={"destination": target, "interface": right, "route": written(found.route)},
        evidence=(Evidence(says=says, source=found.route.file), *proof),
        excluded=(Exclusion(cause="policy-drop", because=f"the packets were not on their way to {right}"),),
        remedies=_remedies(found.route, target, source, right, "" if itself else near, scene),
    )


def _near(case: Case) -> Point:
    return case.gap.inner if case.outward else case.gap.outer


def _now(scene: Scene) -> Scene:
    """The same without the routes that are gone."""
    left = tuple(route for route in scene.evidence.routes if route not in scene.evidence.removed_routes)
    return replace(scene, evidence=replace(scene.evidence, routes=left))


def _got_back(case: Case, scene: Scene, *, alike: bool) -> NDArray[np.int64]:
    """Later packets that got to where these should have got, all or those *alike* in their sender: rows there."""
    here, rows = went_on(case, scene)
    if alike:
        point, row = last_seen(case)
        sender = (point.dst if point.packets.bits[row] & REPLY else point.src)[point.packets.flow[row]]
        flow, back = here.packets.flow[rows], here.packets.bits[rows] & REPLY != 0
        rows = rows[np.where(back, here.dst[flow], here.src[flow]) == sender]
    partner = case.gap.in_outer if case.outward else case.gap.in_inner
    return np.asarray(partner[rows], np.int64)


def _left(case: Case, scene: Scene, device: str, *, itself: bool) -> list[Evidence]:
    """That what the node itself sends was seen at the device that the routes name."""
    point, row = last_seen(case)
    if not itself or bridging.device(point, scene.evidence) != device:
        return []
    seen = scene.trails.sighting(point, row)
    return [Evidence(says=f"it left by {device}", source=f"{seen.file} frame {seen.frame}")]


def _gone(right: str, target: str, scene: Scene) -> Route | None:
    """The route by the right device, where it was listed before only."""
    address = ipaddress.ip_address(target)
    fitting = [
        route
        for route in scene.evidence.removed_routes
        if right in {hop.dev for hop in route.hops}
        and address in ipaddress.ip_network(route.dst, strict=False)
    ]
    return max(fitting, key=lambda route: int(route.dst.rpartition("/")[2] or 128), default=None)


def _removed(right: str, target: str, scene: Scene) -> list[Evidence]:
    gone = _gone(right, target, scene)
    if gone is None:
        return []
    return [
        Evidence(says=f"its route {written(gone)} was listed before, and is not any more", source=gone.file)
    ]


def _remedies(
    route: Route, target: str, source: str, right: str, iif: str, scene: Scene
) -> tuple[Remedy, ...]:
    """Put the right route where the wrong one was found: the one that was removed, the main table's, or over a gateway there."""
    look, add = REMEDIES
    from_ = f" from {source}" + (f" iif {iif}" if iif else "")
    look = replace(look, command=f"ip route get {target}{from_}; ip rule; ip route show table all")
    better = _gone(right, target, scene)
    main = way(scene, target, table="main").route
    if better is None and main is not None and right in {hop.dev for hop in main.hops}:
        better = replace(main, table=route.table)
    if better is None:
        better = next(
            (r for r in scene.evidence.routes if r.dst == DEFAULT[":" in target] and r.dev == right), None
        )
    if better is not None and better.dst in DEFAULT:  # for this address alone: others shall go on
        better = replace(
            better, dst=f"{target}/{128 if ':' in target else 32}", table=route.table, metric=None
        )
    if better is None:
        return look, replace(add, command="")
    return replace(add, command=f"ip route replace {written(better)}"), look
