"""Where the node's routing takes a lost packet: by which device it came, by which it was to leave, by which route."""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import REPLY
from analyzer.connection.passages import address, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.evidence.facts import Route, RoutingRule
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.scene import Scene

NOWHERE = ("blackhole", "unreachable", "prohibit")
"""Kinds of routes, and actions of rules, that lead nowhere."""
_MORE = re.compile(r"\b(?:fwmark|ipproto|[sd]port|tos|dsfield|uidrange|l3mdev|suppress_\w+|tun_id|realms)\b")
"""Conditions of a rule that the packet does not show, or that are not compared here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What routing answers for one destination."""

    route: Route | None
    """None where no route fits."""
    action: str = ""
    """Where a rule itself decided: one of `NOWHERE`."""
    sure: bool
    """Whether every rule and table that was asked is listed and understood."""

    @property
    def kind(self) -> str:
        """`unicast`, one of `NOWHERE`, or empty without a route."""
        return self.action or (self.route.kind if self.route else "")

    @property
    def devices(self) -> tuple[str, ...]:
        """By which it leads."""
        return tuple(dict.fromkeys(hop.dev for hop in self.route.hops if hop.dev)) if self.route else ()

    @property
    def gateways(self) -> tuple[str, ...]:
        """Over which it leads; empty where the destination is on the link itself."""
        return (
            tuple(dict.fromkeys(hop.gateway for hop in self.route.hops if hop.gateway)) if self.route else ()
        )


def last_seen(case: Case) -> tuple[Point, int]:
    """Where the first lost packet was last seen: point and row."""
    return case.lost[0].seen[-1]


def conf(device: str, setting: str) -> str:
    """Return the name of an interface's setting in sysctl's form, in which a dot of the interface's name is a slash."""
    return f"net.ipv4.conf.{device.replace('.', '/')}.{setting}"


def ends(case: Case) -> tuple[str, str]:
    """The first lost packet's sender and destination, as it was last seen."""
    point, row = last_seen(case)
    src, dst = addresses(point.flows, int(point.packets.flow[row]))
    return (dst, src) if point.packets.bits[row] & REPLY else (src, dst)


def targets(case: Case, scene: Scene) -> set[str]:
    """Where it may have been routed to: its destination as seen, and what translation makes of it before it is routed."""
    point, row = last_seen(case)
    found = {ends(case)[1]}
    beyond = case.gap.outer if case.outward else case.gap.inner
    flow = scene.trails.flows_of(point, int(point.packets.flow[row])).get(beyond.name)
    if flow is not None:
        src, dst = addresses(beyond.flows, flow)
        if case.replies:
            return {src}  # translated back before it is routed: its entry is the request's
        found.add(src if point.packets.bits[row] & REPLY else dst)
    walked = scene.walk(point, row, case.gap, outward=case.outward)
    step = walked[0].destination_nat if walked else None
    for action in step.rule.actions if step and step.rule else ():
        if action.kind == "dnat" and (text := _single(action.target)):
            found.add(text)
    return found


def _single(target: str) -> str:
    """The address of a DNAT target, where it is one: `10.0.1.77:8080`, `[2001:db8::1]:80`; else empty."""
    found = re.fullmatch(
        r"\[([\da-fA-F:.]+)\](?::\d+)?|(\d+(?:\.\d+){3})(?::\d+(?:-\d+)?)?|([\da-fA-F]*:[\da-fA-F:.]+)",
        target,
    )
    try:
        return str(ipaddress.ip_address(next(filter(None, found.groups())))) if found else ""
    except ValueError:
        return ""


def entered(case: Case) -> str | None:
    """By which device the packet came to be routed; None where it was bridged from there on, not routed."""
    gap = case.gap
    if {gap.inner.role, gap.outer.role} == {"pod", "bridge"}:
        return None
    return (gap.inner if case.outward else gap.outer).name


def beyond(case: Case) -> Point:
    """The point that should have seen it next: the device that it was to leave by."""
    return case.gap.outer if case.outward else case.gap.inner


def went_on(case: Case, scene: Scene) -> tuple[Point, NDArray[np.int64]]:
    """Requests and replies that got through the case's gap, in its direction, from its first loss on: rows of the near point."""
    gap = case.gap
    here, partner = (gap.inner, gap.in_outer) if case.outward else (gap.outer, gap.in_inner)

    def look() -> NDArray[np.int64]:
        def rows(at: Followed) -> NDArray[np.int64]:
            gone: NDArray[np.int64] = at.rows[(partner[at.rows] >= 0) & (at.outward == case.outward)]
            return gone

        return np.concatenate(
            [np.zeros(0, np.int64), *(rows(at) for at in scene.followed if at.point is here)]
        )

    rows = scene.once(("went on", gap.names, case.outward), look)
    return here, rows[here.packets.time[rows] >= case.lost[0].time]


def senders(point: Point, rows: NDArray[np.int64], *, to: bool = False) -> set[str]:
    """Who sent packets, or whom they were sent *to*."""
    flows, packets = point.flows, point.packets
    other = (packets.bits[rows] & REPLY != 0) ^ to
    halves = np.column_stack(
        [
            np.where(
                other,
                getattr(flows, f"dst_{half}")[packets.flow[rows]],
                getattr(flows, f"src_{half}")[packets.flow[rows]],
            )
            for half in ("hi", "lo")
        ]
    )
    return {address(int(hi), int(lo)) for hi, lo in np.unique(halves, axis=0).tolist()}


def way(scene: Scene, dst: str, *, src: str | None = None, iif: str | None = None, table: str = "") -> Way:
    """What the listed rules and routes answer for a destination.

    Args:
        scene: Everything known.
        dst: Where to.
        src: Who sends it; None for one that the node would send.
        iif: By which device it came.
        table: The one that is asked, whatever the rules say.
    """
    return scene.once(("way", dst, src, iif, table), lambda: _way(scene, dst, src, iif, table))


def _way(scene: Scene, dst: str, src: str | None, iif: str | None, only: str) -> Way:
    target = ipaddress.ip_address(dst)
    rules = (
        []
        if only
        else [rule for rule in scene.evidence.routing_rules if rule.family in ("", f"ipv{target.version}")]
    )
    rules.sort(key=lambda rule: rule.priority)
    sure = bool(rules)
    for table, action, certain in (
        _asked(rules, target, src, iif) if rules else iter([(only or "main", "", True)])
    ):
        sure &= certain
        if not certain:
            continue
        if action:
            return Way(route=None, action=action, sure=sure)
        listed = [
            route
            for route in scene.evidence.routes
            if route.table == table and _version(route) == target.version
        ]
        if not listed and table not in ("local", "default", "255", "253"):
            sure = False
        fitting = [
            route
            for route in listed
            if "dead" not in route.flags and target in ipaddress.ip_network(route.dst, strict=False)
        ]
        best = max(
            fitting, key=lambda r: (int(r.dst.rpartition("/")[2] or 128), -(r.metric or 0)), default=None
        )
        if best is not None and best.kind != "throw":
            return Way(route=best, sure=sure)
    return Way(route=None, sure=sure and bool(scene.evidence.routes))


def _version(route: Route) -> int:
    return 6 if ":" in route.dst else 4


def _asked(
    rules: list[RoutingRule],
    target: ipaddress.IPv4Address | ipaddress.IPv6Address,
    src: str | None,
    iif: str | None,
) -> Iterator[tuple[str, str, bool]]:
    """Tables that are asked in turn, or the action of a rule, and whether the rule certainly holds."""
    for rule in rules:
        holds = (
            _within(src, rule.src) and _within(str(target), rule.dst)
            and rule.iif in (None, iif) and rule.oif is None
        )  # fmt: skip
        if holds == rule.negated:
            continue
        certain = not rule.fwmark and not _MORE.search(rule.text)
        if rule.action == "lookup":
            yield rule.table, "", certain
        elif rule.action in NOWHERE:
            yield "", rule.action, certain
        else:
            yield "", "", False


def _within(text: str | None, prefix: str | None) -> bool:
    """Whether an address is in a prefix; a packet of the node itself has no address yet."""
    if prefix is None:
        return True
    try:
        return text is not None and ipaddress.ip_address(text) in ipaddress.ip_network(prefix, strict=False)
    except ValueError:
        return False


def error_told(case: Case, scene: Scene, *, lost: bool = False) -> tuple[tuple[int, int], str, str] | None:
    """The first error that this node answered with: its kind, in words, and where it was seen.

    Args:
        case: The connection.
        scene: Everything known.
        lost: Also of requests that vanished, as while a neighbour was waited for.
    """
    if not (case.refused or lost):
        return None
    for step in case.lost:
        point, row = step.seen[-1]
        one = scene.refusals.of(point, row)
        if one is not None:
            seen = scene.trails.sighting(point, one.row)
            return (
                one.kind,
                f"{seen.src} answered with an ICMP error, {one.words}",
                f"{seen.file} frame {seen.frame}",
            )
    return None


def written(route: Route) -> str:
    """A route in the words of `ip route`, for a shell: `198.51.100.0/24 via 192.0.2.1 dev eth0 table 7`."""
    words = [route.dst]
    for hop in route.hops:
        words += ["nexthop"] * (len(route.hops) > 1)
        words += ["via", hop.gateway] if hop.gateway else []
        words += ["dev", hop.dev] if hop.dev else []
        words += ["weight", str(hop.weight)] if hop.weight != 1 else []
    words += ["table", route.table] if route.table != "main" else []
    words += ["metric", str(route.metric)] if route.metric is not None else []
    return shlex.join(words)
