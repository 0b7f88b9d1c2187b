"""`ethtool -S`: what an interface's driver counts; the command above it or the file name must say which interface."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Fact, unread
from analyzer.evidence.sources import COUNTERS
from analyzer.evidence.unwrapping import without_commands

PURPOSE = COUNTERS

MOST = 20_000
"""Counters of one interface; a card with many queues has thousands."""
_BEGIN = re.compile(r"^NIC statistics:\s*$", re.MULTILINE)
_LINE = re.compile(r"[ \t]+(\S[^:\n]{0,60}): (\d{1,20})\s*")
_PART = re.compile(r"\s*\n?(?: {1,6}[a-z][\w.\[\]:-]{1,60}: \d{1,20}\s*?(?:\n|$))+\s*")
_COMMAND = re.compile(r"ethtool (?:-S|--statistics) (\S{1,64})")
_FILE = re.compile(
    r"ethtool[-_ ]+S[-_ ]+([\w.@-]{1,64}?)(?:[-_.](?:before|after|start|end|\d+))?(?:\.\w{1,4})?$"
)


def recognises(head: str) -> bool:
    return _BEGIN.search(head) is not None or bool(_PART.fullmatch(without_commands(head)))


def parse(text: str, file: str) -> Iterator[Fact]:
    before, *listings = _BEGIN.split(text)
    if not listings:
        listings = [without_commands(text)]
    named = _FILE.search(file)
    for listing in listings:
        commands = _COMMAND.findall(before[-300:])
        dev = commands[-1] if commands else named[1] if named else ""
        values: dict[str, int] = {}
        for line in listing.lstrip("\r\n").splitlines()[:MOST]:
            if not (said := _LINE.fullmatch(line)):
                yield from unread(
                    [line] if line.startswith((" ", "\t")) and line.strip() else [], file, "counters"
                )
                break
            values[printable(said[1])] = int(said[2])
        if values:
            yield Counters(group="driver", of=printable(dev), values=values, source="ethtool -S", file=file)
        before = listing
