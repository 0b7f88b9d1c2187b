"""`ipvsadm -Ln`, with `--stats` or without, and `ipvsadm -Sn`'s twin `ipvsadm-save`: virtual services and their servers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.evidence.facts import Caveat, IpvsDestination, IpvsService, unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

PURPOSE = "services of the virtual server"

MOST = 50_000
"""Services and servers kept of one file."""
_HEAD = re.compile(r"^Prot(?:ocol)? +LocalAddress:Port", re.MULTILINE)
_ENDPOINT = r"(\[?[\da-fA-F.:]{2,45}\]?:\d{1,5}|\d{1,10})"
_NUMBER = {"": 1, "K": 1000, "M": 10**6, "G": 10**9, "T": 10**12}
_SERVICE = re.compile(rf"(TCP|UDP|SCTP|FWM) +{_ENDPOINT}((?: +\S{{1,60}}){{0,12}})")
_SERVER = re.compile(rf" +-> {_ENDPOINT}((?: +\S{{1,60}}){{0,8}})")
_COUNTERS = ("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")


def recognises(head: str) -> bool:
    """Say whether the list's head is there."""
    return _HEAD.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the services."""
    kept = 0
    here: re.Match[str] | None = None
    servers: list[IpvsDestination] = []
    lost: list[str] = []
    for line in text.splitlines():
        service = _SERVICE.fullmatch(line.rstrip())
        server = None if service else _SERVER.fullmatch(line.rstrip())
        kept += bool(service or server)
        if kept > MOST:
            continue
        if not (service or server):
            lost += [line] * bool(
                re.match(r"(?:TCP|UDP|SCTP|FWM) +\S|  -> \S+:\S", line) and "RemoteAddress" not in line
            )
            here = None if re.match(r"(?:TCP|UDP|SCTP|FWM) ", line) else here
        if service:
            if here:
                yield _service(here, servers, file)
            here, servers = service, []
        elif server and here:
            servers.append(_server(server))
    if here:
        yield _service(here, servers, file)
    yield from unread(lost, file, "services and servers")
    if kept > MOST:
        yield Caveat(says=f"{file}: {kept - MOST} services and servers beyond the first {MOST} were left out")


def _service(said: re.Match[str], servers: list[IpvsDestination], file: str) -> IpvsService:
    words = said[3].split()
    counters = _counters(words)
    return IpvsService(
        proto=said[1].lower(),
        address=said[2],
        scheduler="" if counters or not words else words[0],
        destinations=tuple(servers),
        counters=counters,
        file=file,
    )


def _server(said: re.Match[str]) -> IpvsDestination:
    words = said[2].split()
    listed = (
        len(words) >= 4
        and words[0] in ("Masq", "Route", "Tunnel", "Local")
        and all(map(str.isdecimal, words[1:4]))
    )
    weight, active, inactive = (int(word[:12]) for word in words[1:4]) if listed else (None, None, None)
    return IpvsDestination(
        address=said[1],
        forward=words[0] if listed else "",
        weight=weight,
        active=active,
        inactive=inactive,
        counters={} if listed else _counters(words),
    )


def _counters(words: list[str]) -> dict[str, int]:
    """Read `--stats`, which rounds large numbers to `12K`."""
    said = [re.fullmatch(r"([0-9]{1,20})([KMGT]?)", word) for word in words]
    if len(said) != len(_COUNTERS) or not all(said):
        return {}
    numbers = (int(match[1]) * _NUMBER[match[2]] for match in said if match)
    return dict(zip(_COUNTERS, numbers, strict=True))
