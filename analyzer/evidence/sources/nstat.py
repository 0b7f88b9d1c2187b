"""`nstat`, as text and as JSON: the protocols' counters. Without `-a` it may print only the increase since its last run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence import json_lists
from analyzer.evidence.counting import Counters, dotted
from analyzer.evidence.facts import Caveat, Fact, alike, begins, unread
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

MOST = 10_000
"""Counters of one listing; a kernel has about five hundred."""
_HEAD = re.compile(r"^#kernel\s*$", re.MULTILINE)
_LINE = re.compile(r"([A-Z]\w{2,60}) +(-?\d{1,20}) +-?\d{1,12}\.\d+(?:\s.*)?")
_LIKE = re.compile(r"(?:Ip|Icmp|Tcp|Udp|Sctp|MPTcp)[A-Za-z\d]{2,60}(?: {2,}|\S* *$)")
_JSON = re.compile(r'^\s*(\{)\s*"kernel"\s*:\s*\{', re.MULTILINE)


def recognises(head: str) -> bool:
    listed = _HEAD.search(head) or _JSON.search(head)
    return listed is not None or begins(head, r"(?:Ip|Tcp|Udp|Icmp)\w+ +\d+ +\d+\.\d\s*$")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield a snapshot for each listing."""
    yield from unread(alike(text, _LIKE, _LINE), file, "counters")
    for listing in _HEAD.split(text):
        said = (match for line in listing.splitlines() if (match := _LINE.fullmatch(line.strip())))
        values = {dotted(match[1]): int(match[2]) for match, _ in zip(said, range(MOST), strict=False)}
        if values:
            yield Counters(group="nstat", values=values, source="nstat", file=file)
    for told in json_lists.documents(text, file, _JSON):
        if isinstance(told, Caveat):
            yield told
            return
        values = {dotted(name): value for name, value in told["kernel"].items() if type(value) is int}
        if values:
            yield Counters(group="nstat", values=values, source="nstat", file=file)
