"""`tc -s qdisc`, as text and as JSON: what queues dropped, and their backlog.

`tc -s qdisc show dev eth0` leaves the interface out: the command above it or the file name must say which one it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.counting import UNTOLD, Counters
from analyzer.evidence.facts import Caveat, Fact, sections, unread
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

MOST = 50_000
"""Queueing disciplines of one file; a card with many queues has one for each."""
_BEGIN = re.compile(
    r"^qdisc (?P<kind>\S{1,32}) (?P<handle>[\da-f]{1,8}:) (?:dev (?P<dev>\S{1,64}) )?"
    r"(?P<at>root|parent \S{1,20}|ingress\S*|clsact)?",
    re.MULTILINE,
)
_ASKED = re.compile(r"\btc\b[^\n]{0,60}?\bdev[ _-](\w[\w.@:]{0,60}?)(?=\.txt|[\s_-]|$)")
_SENT = re.compile(
    r"^ Sent (?P<bytes>\d{1,20}) bytes (?P<packets>\d{1,20}) pkts? "
    r"\(dropped (?P<dropped>\d{1,20}), overlimits (?P<overlimits>\d{1,20}) requeues (?P<requeues>\d{1,20})\)", re.MULTILINE
)  # fmt: skip
_BACKLOG = re.compile(r"^ backlog (\d{1,20})([KM]?)b (\d{1,20})p", re.MULTILINE)
_JSON = {
    "bytes": "bytes", "packets": "packets", "drops": "dropped", "overlimits": "overlimits", "requeues": "requeues",
    "backlog": "backlog_bytes", "qlen": "backlog_packets",
}  # fmt: skip


def recognises(head: str) -> bool:
    shown = _BEGIN.search(head) is not None and _SENT.search(head) is not None
    return shown or json_lists.holds(head, "kind", "handle", "drops")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the counters of each queueing discipline."""
    lost: list[str] = []
    for begin, rest in sections(text, _BEGIN, MOST):
        body = rest[:2000]
        if sent := _SENT.search(body):
            values = {name: int(value) for name, value in sent.groupdict().items()}
            if backlog := _BACKLOG.search(body):
                values["backlog_bytes"] = int(backlog[1]) * {"": 1, "K": 1024, "M": 1 << 20}[backlog[2]]
                values["backlog_packets"] = int(backlog[3])
            asked = _ASKED.findall(text, max(0, begin.start() - 2000), begin.start()) or _ASKED.findall(file)
            dev = begin["dev"] or (asked[-1] if asked else UNTOLD)
            where = (dev, begin["kind"], begin["handle"], begin["at"])
            yield _counters(" ".join(filter(None, where)), values, file)
        else:
            lost.append(begin[0])
    yield from unread(lost, file, "queues")
    for item in json_lists.objects(text, file, "kind", "handle", "drops"):
        if isinstance(item, Caveat):
            yield item
        elif "kind" in item and "drops" in item:
            at = "root" if item.get("root") else f"parent {item['parent']}" if "parent" in item else ""
            where = (item.get("dev"), item["kind"], item.get("handle"), at)
            values = {name: item[key] for key, name in _JSON.items() if type(item.get(key)) is int}
            yield _counters(" ".join(part for part in where if isinstance(part, str) and part), values, file)


def _counters(of: str, values: dict[str, int], file: str) -> Counters:
    return Counters(group="qdisc", of=printable(of[:200]), values=values, source="tc -s qdisc", file=file)
