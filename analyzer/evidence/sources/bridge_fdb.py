"""`bridge fdb`, as text and as JSON: where bridges and VXLANs send which MAC address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Fact, FdbEntry, alike, begins, limited, unread

PURPOSE = "where an overlay sends the frames of a MAC address"

MOST = 100_000
"""Entries kept of one file."""
_MAC = r"[\da-f]{2}(?::[\da-f]{2}){5}"
_LINE = re.compile(rf"({_MAC}) (dev \S{{1,64}}(?: [^\n]{{0,200}})?)")
_LIKE = re.compile(
    rf"{_MAC}\b.* (?:self|master|permanent|static|dst)\b|\S{{2,20}} dev \S{{1,64}} (?:self|master|dst|vlan)\b"
)
_STATES = ("permanent", "static", "self", "extern_learn", "offload", "sticky", "stale")


def recognises(head: str) -> bool:
    return begins(head, rf"{_LINE.pattern}$") or json_lists.holds(head, "mac", "ifname", "flags")


@limited("entries", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    yield from unread(alike(text, _LIKE, _LINE), file, "entries")
    for line in text.splitlines():
        if said := _LINE.fullmatch(line.strip()):
            words = said[2].split()
            yield _entry(said[1], dict(pairwise(words)), words, file)
    for item in json_lists.objects(text, file, "mac", "ifname", "flags"):
        if isinstance(item, Caveat):
            yield item
        elif isinstance(mac := item.get("mac"), str) and re.fullmatch(_MAC, mac) and "ifname" in item:
            flags = item.get("flags")
            states = [item.get("state"), *(flags if isinstance(flags, list) else ())]
            yield _entry(mac, item | {"dev": item["ifname"]}, states, file)


def _entry(mac: str, told: dict[str, Any], states: list[Any], file: str) -> FdbEntry:
    dev, master, dst = (
        printable(value[:64]) if isinstance(value := told.get(key), str) else ""
        for key in ("dev", "master", "dst")
    )
    return FdbEntry(
        mac=mac,
        dev=dev,
        master="" if master in _STATES else master,
        dst=dst,
        state=" ".join(state for state in states if state in _STATES),
        file=file,
    )
