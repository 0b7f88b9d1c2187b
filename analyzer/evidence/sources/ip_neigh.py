"""`ip neigh`, as text (with `-s` or without) and as JSON: ARP and neighbour discovery."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Fact, Neighbour, begins, unread

PURPOSE = "neighbours that did not answer"

_STATES = "INCOMPLETE|REACHABLE|STALE|DELAY|PROBE|FAILED|NOARP|PERMANENT|NONE"
_LINE = re.compile(
    r"(?P<address>[\da-fA-F.:]{3,45}) dev (?P<dev>\S{1,64})(?: +lladdr (?P<mac>[\da-f:]{2,60}))?"
    rf"(?: .{{0,200}}?)? (?P<state>{_STATES})(?: proto \w+)?"
)
_LIKE = re.compile(r"\s*[\da-fA-F.:]{3,45} dev \S{1,64} +(?:lladdr|ref \d|used \d|probes \d) ?")


def recognises(head: str) -> bool:
    return begins(head, rf"{_LINE.pattern} *$") or json_lists.holds(head, "dst", "dev", "state")


def parse(text: str, file: str) -> Iterator[Fact]:
    lost: list[str] = []
    for line in text.splitlines():
        if said := _LINE.fullmatch(line.strip()):
            yield Neighbour(
                address=said["address"],
                dev=printable(said["dev"]),
                mac=said["mac"],
                state=said["state"],
                file=file,
            )
        elif _LIKE.match(line):
            lost.append(line)
    yield from unread(lost, file, "neighbours")
    for item in json_lists.objects(text, file, "dst", "state"):
        if isinstance(item, Caveat):
            yield item
        elif "state" in item and isinstance(item.get("dst"), str) and isinstance(item.get("dev"), str):
            states = item["state"] if isinstance(item["state"], list) else []
            mac = item.get("lladdr")
            yield Neighbour(
                address=printable(item["dst"][:45]),
                dev=printable(item["dev"][:64]),
                mac=mac[:60] if isinstance(mac, str) else None,
                state=next((state for state in states if state in _STATES.split("|")), ""),
                file=file,
            )
