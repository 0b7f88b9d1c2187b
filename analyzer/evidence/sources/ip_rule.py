"""`ip rule` and `ip -6 rule`, as text and as JSON: which routing table is asked for which packets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Fact, RoutingRule, alike, begins, limited, unread

PURPOSE = "which routing table a packet was sent by"

MOST = 20_000
"""Rules kept of one file; a node has two for each of its pods' addresses where the cloud's CNI gives them."""
_ACTIONS = "lookup|blackhole|unreachable|prohibit|goto|nop"
_LINE = re.compile(
    rf"(\d{{1,10}}):\s+(not )?(from \S{{1,50}}\s(?:[^\n]{{0,300}}?\s)?(?:{_ACTIONS})(?!\S)[^\n]{{0,100}})"
)
_LIKE = re.compile(r"\d{1,10}:\s+(?:not )?from ")


def recognises(head: str) -> bool:
    listed = json_lists.holds(head, "priority", "src") and not json_lists.holds(head, "ifindex")
    return listed or begins(head, rf"{_LINE.pattern}$")


@limited("routing rules", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    yield from unread(alike(text, _LIKE, _LINE), file, "routing rules")
    for line in text.splitlines():
        if said := _LINE.fullmatch(line.strip()):
            words = said[3].split()
            told: dict[str, Any] = dict(pairwise(words))
            action = next(word for word in words if re.fullmatch(_ACTIONS, word))
            yield _rule(
                int(said[1]), told, action, printable(" ".join(line.split())), file, negated=bool(said[2])
            )
    for item in json_lists.objects(text, file, "priority", "src"):
        if isinstance(item, Caveat):
            yield item
        elif type(priority := item.get("priority")) is int and "src" in item and "ifindex" not in item:
            yield _of_json(priority, item, file)


def _of_json(priority: int, item: dict[str, Any], file: str) -> RoutingRule:
    told: dict[str, Any] = {"from": item["src"], "to": item.get("dst"), "lookup": item.get("table")}
    for key, length in (("from", "srclen"), ("to", "dstlen")):
        if isinstance(told[key], str) and type(bits := item.get(length)) is int:
            told[key] += f"/{bits}"
    told |= {"iif": item.get("iif"), "oif": item.get("oif"), "fwmark": item.get("fwmark")}
    if item.get("fwmask"):
        told["fwmark"] = f"{item.get('fwmark')}/{item['fwmask']}"
    action = item.get("action") or "lookup"
    words = [f"{key} {value}" for key, value in told.items() if value]
    negated = "not" in item
    text = f"{priority}: {'not ' * negated}{' '.join(words)}"
    return _rule(priority, told, str(action), printable(text[:400]), file, negated=negated)


def _rule(
    priority: int, told: dict[str, Any], action: str, text: str, file: str, *, negated: bool
) -> RoutingRule:
    src, dst, iif, oif, fwmark = (
        printable(value[:64]) if isinstance(value := told.get(key), str) and value != "all" else None
        for key in ("from", "to", "iif", "oif", "fwmark")
    )
    family: Literal["", "ipv4", "ipv6"] = ""
    if src or dst:
        family = "ipv6" if ":" in f"{src}{dst}" else "ipv4"
    return RoutingRule(
        priority=priority,
        src=src,
        dst=dst,
        iif=iif,
        oif=oif,
        fwmark=fwmark,
        table=printable(str(told.get("lookup") or "")[:64]),
        action=printable(action[:20]),
        text=text,
        negated=negated,
        family=family,
        file=file,
    )
