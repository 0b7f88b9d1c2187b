"""`ethtool -k`, as text and as JSON: an interface's offloads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Fact, Features, alike, begins, unread

PURPOSE = "offloads: checksums and sizes that a capture shows before the interface makes them"

MOST = 1000
"""Lines of one interface; a kernel has about sixty."""
_HEAD = re.compile(r"(?:Features|Offload parameters) for (\S{1,64}):")
_LINE = re.compile(r"\s*([a-z][\w -]{1,60}): (on|off)( \[fixed\]| \[requested \w+\]| \[not requested\])?")
_LIKE = re.compile(r"[a-z][\w-]{2,60}:? ?\S{0,3}\b(?:on|off)\b|(?:rx|tx)-[\w-]{2,60}(?::|$)")
_KNOWN = r"(?:[rt]x-checksumming|generic-(?:segmentation|receive)-offload): (?:on|off)"


def recognises(head: str) -> bool:
    return begins(head, _HEAD.pattern, _KNOWN) or json_lists.holds(head, "ifname", "rx-checksumming")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the features of each interface that is listed."""
    yield from unread(alike(text, _LIKE, _LINE), file, "features")
    dev, on, fixed = "", dict[str, bool](), set[str]()
    for line in text.splitlines():
        if head := _HEAD.match(line):
            if on:
                yield Features(dev=dev, on=on, fixed=frozenset(fixed), file=file)
            dev, on, fixed = printable(head[1]), {}, set()
        elif len(on) < MOST and (said := _LINE.fullmatch(line.rstrip())):
            on[said[1]] = said[2] == "on"
            if said[3] == " [fixed]":
                fixed.add(said[1])
    if on:
        yield Features(dev=dev, on=on, fixed=frozenset(fixed), file=file)
    for item in json_lists.objects(text, file, "ifname", "rx-checksumming"):
        if isinstance(item, Caveat):
            yield item
        elif isinstance(name := item.get("ifname"), str):
            told = {key: value for key, value in list(item.items())[:MOST] if isinstance(value, dict)}
            yield Features(
                dev=printable(name[:64]),
                on={printable(key[:60]): bool(value.get("active")) for key, value in told.items()},
                fixed=frozenset(printable(key[:60]) for key, value in told.items() if value.get("fixed")),
                file=file,
            )
