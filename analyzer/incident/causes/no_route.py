"""The node has no route for the packets, or one that leads nowhere.

What happens
    The route lookup finds no route, or one of type `unreachable`, `prohibit` or `blackhole`, and the packet is dropped before
    any FORWARD rule. The sender gets an ICMP error. Without a route it is network unreachable (3/0, `no route` in IPv6).
    Type `unreachable` sends host unreachable (3/1), `prohibit` sends prohibited (3/13). A blackhole is silent. ICMP errors
    are rate-limited.

How it is recognised
    This node sent an ICMP network unreachable that quotes the packet: the point beyond was recording and did not see it. Or
    the node's rules and routes, walked for this destination, end in no route or in one that leads nowhere, and nothing gets
    through to it. `IpExtInNoRoutes` rises.

What is ruled out
    A rule that rejects with `icmp-net-unreachable` (it would be found in the rules), a refusal by a router on the way (it
    would have come in), an unresolved next hop (there is none to ask for).

Remedies and their risks
    Add the route, or repair what should have added it: the CNI's agent, BGP, the network manager.

References
    net/ipv4/route.c `ip_error`; ip-route(8) types; https://github.com/flannel-io/flannel/blob/master/Documentation/troubleshooting.md
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.connection.refusals import NO_ROUTE
from analyzer.incident.causes import link_down
from analyzer.incident.causes.policy_drop import dropped_by
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded, risen
from analyzer.incident.routing import (
    NOWHERE,
    beyond,
    ends,
    entered,
    error_told,
    senders,
    targets,
    way,
    went_on,
    written,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analyzer.evidence.drops import Kind
    from analyzer.evidence.network import Route
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.model import Confidence
    from analyzer.incident.routing import Way
    from analyzer.incident.scene import Scene

CODE = "no-route"
TITLE = "no route"
RANK = 24
COUNTED = False
RECORDS: tuple[Kind, ...] = ("no-route", "reverse-path")
OF_KIND = {"unreachable": frozenset({(3, 1), (101, 0), (101, 3)}), "prohibit": frozenset({(3, 13), (101, 1)})}
"""Errors that belong to a kind of route (`fib_props`)."""

REMEDIES = (
    Remedy(
        do="See which route the node has for the destination",
        command="ip route get DESTINATION from SOURCE iif INTERFACE; ip rule; ip route show table all",
        effect="Shows the route that this very packet takes, or that there is none.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Add the route, or restart the component that owns it",
        command="ip route replace DESTINATION via GATEWAY dev INTERFACE",
        effect="The next attempt gets through.",
        risk="A wrong route takes traffic elsewhere; a route added by hand is gone after a reboot.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return f"{loss.fared}: it has no route to the destination."


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the error that only this gives, or by the routes."""
    device = entered(case)
    if device is None:
        return None
    record = (
        None
        if case.refused
        else recorded(case, scene, reason="IP_INNOROUTES") or recorded(case, scene, reason="IP_OUTNOROUTES")
    )
    told = error_told(case, scene)
    found = _nowhere(case, device, scene)
    if record is None and told is None and found is None:
        return None
    if case.refused and told is None:
        return None
    if told is not None and (rule := dropped_by(case, scene)) is not None and rule[2] == "reject":
        return None
    if told is not None and link_down.explain(case, scene) is not None:
        return None  # its routes went with it
    kind = found.kind if found else ""
    if told is not None and told[0] not in NO_ROUTE and told[0] not in OF_KIND.get(kind, ()):
        return None
    target = _target(case, scene)
    if record is None and told is None and target in _reached(case, found, scene):
        return None
    evidence = [record] if record else []
    if told is not None:
        evidence.append(Evidence(says=told[1], source=told[2]))
    if found is not None:
        where = found.route.file if found.route else next((r.file for r in scene.evidence.routes), "ip rule")
        evidence.append(
            Evidence(
                says=f"its routes have {'only a ' + kind + ' route' if kind else 'none'} for {target}",
                source=where,
            )
        )
    removed = _removed(case, device, scene) if found is None else None
    if removed is not None:
        evidence.append(
            Evidence(
                says=f"its route {written(removed)} was listed before, and is not any more",
                source=removed.file,
            )
        )
    evidence += risen(scene, "IpExt.InNoRoutes")
    sure = record or (told and (found or removed)) or (found and found.sure)
    confidence: Confidence = "proven" if sure else "likely"
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts={"destination": target, "interface": device, "route": kind or "none"},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(cause="next-hop-unresolved", because="there is no next hop to resolve"),
            *(
                (
                    Exclusion(
                        cause="refused by a router on the way",
                        because=f"the error never was on {_beyond(case)}: this node made it",
                    ),
                )
                if told
                else ()
            ),
        ),
        remedies=_remedies(case, target, device, removed),
    )


def _removed(case: Case, device: str, scene: Scene) -> Route | None:
    """The route that the packets took, where it was removed meanwhile."""
    source = ends(case)[0]
    for target in sorted(targets(case, scene)):
        route = way(scene, target, src=source, iif=device).route
        if route in scene.evidence.removed_routes:
            return route
    return None


def _target(case: Case, scene: Scene) -> str:
    """Where it was to be routed to; a reply as it is translated back."""
    both = targets(case, scene)
    return both.pop() if case.replies and len(both) == 1 else ends(case)[1]


def _reached(case: Case, found: Way | None, scene: Scene) -> set[str]:
    """Where packets got to that contradict it."""
    point, rows = _alike(case, found, scene)
    if case.replies:
        point, rows = beyond(case), (case.gap.in_outer if case.outward else case.gap.in_inner)[rows]
    return senders(point, rows, to=True)


def _alike(case: Case, found: Way | None, scene: Scene) -> tuple[Point, NDArray[np.int64]]:
    """What got through and contradicts it: where a routing rule leads nowhere, or to a table that does, only the same pod's."""
    point, rows = went_on(case, scene)
    if found is None or not (found.action or (found.route and found.route.table != "main")):
        return point, rows
    flow, own = point.packets.flow[rows], scene.trails.flows_of(case.point, case.flow).get(point.name)
    source = None if own is None else (point.dst if case.replies else point.src)[own]
    return point, rows if source is None else rows[point.src[flow] == source]


def _beyond(case: Case) -> str:
    return case.gap.names[1] if case.outward else case.gap.names[0]


def _nowhere(case: Case, device: str, scene: Scene) -> Way | None:
    """What routing answers, where that leads nowhere whatever translation makes of the destination."""
    if not scene.evidence.routes and not scene.evidence.routing_rules:
        return None
    source = ends(case)[0]
    ways = [way(scene, target, src=source, iif=device) for target in sorted(targets(case, scene))]
    if any(found.kind not in (*NOWHERE, "") for found in ways):
        return None
    # Without a route that was listed it takes a whole listing to say that there is none.
    return next(
        (found for found in ways if found.kind or found.sure or _main_listed(scene, source, device)), None
    )


def _main_listed(scene: Scene, source: str, device: str) -> bool:
    """Whether the main table was listed with what every node that forwards has: a route by another interface.

    What `grep` left of it, `ip route | grep cni0`, has none.
    """
    return any(
        route.table == "main"
        and (route.nexthops or route.dev not in (None, device))
        and (":" in route.dst) == (":" in source)
        for route in scene.evidence.routes
    )


def _remedies(case: Case, target: str, device: str, removed: Route | None) -> tuple[Remedy, ...]:
    source = ends(case)[0]
    look, add = REMEDIES
    look = replace(
        look, command=f"ip route get {target} from {source} iif {device}; ip rule; ip route show table all"
    )
    if removed is None:
        return look, replace(add, command="")
    return replace(add, command=f"ip route replace {written(removed)}"), look
