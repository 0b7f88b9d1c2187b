"""The packets' outgoing interface was down.

What happens
    An interface that has no carrier or was switched off takes no packets: its queue is replaced by one that drops everything
    (`dev_deactivate`, noop_qdisc). Its routes may stay, so the kernel keeps sending there. The sender gets no error. If it was
    set down, its routes are deleted, and the node answers that there is none (ICMP net unreachable).

How it is recognised
    Packets vanish before the interface, which shows no traffic at all meanwhile. `Link is Down` is logged, with no
    `Link is Up` before the loss. Or the interface's state is DOWN or NO-CARRIER, and it never showed a packet again. Routes
    marked `linkdown` are the same sign.

What is ruled out
    Anything that loses single packets: here everything that leaves by this interface is lost. An interface that shows packets
    after the loss was not down, whatever a listing from another time says.

Remedies and their risks
    Bring the link up. `ignore_routes_with_linkdown` makes the kernel use another route, if there is one.

References
    net/sched/sch_generic.c `dev_deactivate`; Documentation/networking/operstates.rst; ip-sysctl.rst ignore_routes_with_linkdown
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.compute.thresholds import DATED
from analyzer.connection.refusals import ADDRESS_UNREACHABLE, HOST_UNREACHABLE, NO_ROUTE
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Remedy
from analyzer.incident.routing import beyond, error_told, targets, way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.capture.link import Link
    from analyzer.evidence.drops import Kind
    from analyzer.evidence.facts import LogLine
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

CODE = "link-down"
TITLE = "link down"
RANK = 35
COUNTED = False
BETWEEN_DEVICES = True
RECORDS: tuple[Kind, ...] = ("queue-full", "no-route")

REMEDIES = (
    Remedy(
        do="See why the interface is down",
        command="ip -d link show eth0; ethtool eth0; dmesg -T | grep -i 'link is\\|carrier'",
        effect="Distinguishes a missing cable or switch port (NO-CARRIER) from an interface that was set down.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Bring it up, if it was set down",
        command="ip link set eth0 up",
        effect="The next attempt gets through.",
        risk="Not all routes come back with it: compare `ip route` with before.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return f"{loss.fared}: the outgoing interface was down."


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the log's account of the link, or by its state where it never carried anything again."""
    told = error_told(case, scene)
    if case.refused and (told is None or told[0] not in (HOST_UNREACHABLE, ADDRESS_UNREACHABLE, *NO_ROUTE)):
        return None
    point = beyond(case)
    silent = point.span[1] <= case.lost[0].time
    link = next((link for link in scene.evidence.links if link.name == point.name), None)
    down = _down(point.name, case.lost[0].time, scene)
    listed = link is not None and link.up is False and silent
    if down is None and not listed:
        return None
    evidence = []
    if down is not None:
        evidence.append(Evidence(says=f"before the loss the kernel logged: {down.says}", source=down.file))
    if link is not None and listed:
        state = "NO-CARRIER" if "NO-CARRIER" in link.flags else link.state or "not UP"
        evidence.append(Evidence(says=f"{link.name} is down: {state}", source=link.file))
    for target in sorted(targets(case, scene)):
        route = way(scene, target).route
        if route and any(hop.dev == point.name and {"linkdown", "dead"} & hop.flags for hop in route.hops):
            evidence.append(
                Evidence(says=f"the route to {target} by {point.name} is marked linkdown", source=route.file)
            )
            break
    if silent:
        evidence.append(Evidence(says=f"{point.name} shows no packet after this one", source="captures"))
    if told is not None:
        evidence.append(Evidence(says=told[1], source=told[2]))
    confidence: Confidence = "proven" if down is not None and (silent or _quiet(case, down)) else "likely"
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts={"interface": point.name, "state": link.state if link else None},
        evidence=tuple(evidence),
        excluded=(case.not_beyond,),
        remedies=tuple(remedy.on("eth0", point.name) for remedy in _remedies(link)),
    )


def _remedies(link: Link | None) -> Sequence[Remedy]:
    """One that is up and has no carrier was not set down; one that is not was."""
    if link is None or not link.flags:
        return REMEDIES
    return REMEDIES[:1] if "UP" in link.flags else REMEDIES[::-1]


def _events(name: str, at: int, scene: Scene) -> list[tuple[int, LogLine]]:
    """What the log says of an interface's link, with its times, in order."""
    lines = (
        line for line in scene.evidence.log if line.about in ("link-down", "link-up") and line.iif == name
    )
    return sorted(
        ((time, line) for line in lines if (time := line.near(at)) is not None), key=lambda event: event[0]
    )


def _down(name: str, at: int, scene: Scene) -> LogLine | None:
    """The line by which the link was down at a time: the last one before it says so; None without a date."""
    before = [line for time, line in _events(name, at, scene) if time <= at + DATED]
    last = before[-1] if before else None
    if last is not None and last.about == "link-up":
        # Dated in the loss's own second, it may have come after it.
        times = [time for time, line in _events(name, at, scene) if line is last]
        last = before[-2] if len(before) > 1 and times[0] // DATED >= at // DATED else None
    return last if last is not None and last.about == "link-down" else None


def _quiet(case: Case, down: LogLine) -> bool:
    """Whether the point showed nothing from the line to the loss, but for the second that its date leaves open."""
    at, time = case.lost[0].time, beyond(case).packets.time
    since = down.near(at)
    return since is not None and not bool(((time > since + DATED) & (time < at)).any())
