"""`ip route`, as text and as JSON, of one table or all (`show table all`)."""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

MOST = 100_000
"""Routes kept of one file; a node with full tables has a million, none of which leads to a pod."""
_KINDS = "unicast|local|broadcast|multicast|anycast|blackhole|unreachable|prohibit|throw"
_LINE = re.compile(rf"(?:({_KINDS}) )?(default|[\da-fA-F.:]{{3,45}}(?:/\d{{1,3}})?)(?: ([^\n]{{1,300}}?))?")
_SAYS = re.compile(
    rf"^(?:(?:{_KINDS}) )?(?:default|[\da-f.:]{{3,45}}(?:/\d+)?) (?:via \S+ )?dev \S+ (?!lladdr)", re.M
)
_NEIGHBOUR = re.compile(r" (?:INCOMPLETE|REACHABLE|STALE|DELAY|PROBE|FAILED|NOARP|PERMANENT)\b")


def recognises(head: str) -> bool:
    """Say whether a route is told, in either form."""
    text = any(not _NEIGHBOUR.search(line) for line in head.splitlines() if _SAYS.match(f"{line.strip()} "))
    return text or json_lists.holds(head, "dst", "flags")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the routes."""
    kept = 0
    for route in _routes(text, file):
        kept += isinstance(route, Route)
        if kept <= MOST:
            yield route
    if kept > MOST:
        yield Caveat(says=f"{file}: {kept - MOST} routes beyond the first {MOST} were left out")


def _routes(text: str, file: str) -> Iterator[Route | Caveat]:
    for line in text.splitlines():
        said = _LINE.fullmatch(line.strip())
        if not said or _NEIGHBOUR.search(line):
            continue
        words = (said[3] or "").split()
        told = dict(pairwise(words))
        if "dev" not in told and "via" not in told and not said[1] and told.get("proto") is None:
            continue
        ipv6 = ":" in told.get("via", "") or "pref" in told
        if route := _route(said[2], said[1], told.get("via"), told.get("dev"), told.get("table"), file, ipv6):
            yield route
    if not json_lists.holds(text, "dst", "flags"):
        return
    for item in json_lists.objects(text, file):
        if isinstance(item, Caveat):
            yield item
        elif "flags" in item and "state" not in item and isinstance(item.get("dst"), str):
            kind, gateway, dev, table = (
                value if isinstance(value := item.get(key), str) else None
                for key in ("type", "gateway", "dev", "table")
            )
            ipv6 = ":" in (gateway or "") or "pref" in item
            if route := _route(item["dst"], kind, gateway, dev, table, file, ipv6):
                yield route


def _route(
    dst: str, kind: str | None, gateway: str | None, dev: str | None, table: str | None, file: str, ipv6: bool
) -> Route | None:
    """Make a route; None where the destination is none."""
    if dst == "default":
        dst = "::/0" if ipv6 else "0.0.0.0/0"
    try:
        network = ipaddress.ip_network(dst, strict=False)
    except ValueError:
        return None
    return Route(
        dst=str(network),
        kind=(kind or "unicast")[:16],
        gateway=printable(gateway[:45]) if gateway else None,
        dev=printable(dev[:64]) if dev else None,
        table=printable((table or "main")[:64]),
        file=file,
    )
