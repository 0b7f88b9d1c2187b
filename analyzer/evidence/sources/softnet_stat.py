"""`/proc/net/softnet_stat`: per CPU, packets received, dropped because the queue was full, and deferred.

A line of hexadecimal numbers per CPU, without a header (softnet_seq_show). It is recognised by nine or more numbers of eight
digits in a line: hex dumps have four or eight, and other tables have a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Fact, unread
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

_LINE = r"(?:[\da-f]{8} ){8,15}[\da-f]{8} *"
_NAMES = {0: "processed", 1: "dropped", 2: "time_squeeze", 9: "received_rps", 10: "flow_limit_count"}


def _rows(text: str, lost: list[str] | None = None) -> Iterator[list[str]]:
    headed = begun = False
    for line in text.splitlines():
        if not re.fullmatch(_LINE, line):
            # What follows a CPU's line, and begins like one, is damaged.
            if lost is not None and begun and re.match(r"(?:[\da-f]{8} ){2}", line):
                lost.append(line)
            headed = line.startswith("entries")
        elif not headed:
            begun = True
            yield line.split()


def recognises(head: str) -> bool:
    # The whole at once first: line by line it takes ten times as long.
    return bool(re.search(_LINE, head)) and next(_rows(head), None) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    values: dict[str, int] = {}
    lost: list[str] = []
    for cells in _rows(text, lost):
        for column, name in _NAMES.items():
            if column < len(cells):
                values[name] = values.get(name, 0) + int(cells[column], 16)
    yield from unread([line for line in lost if line], file, "CPUs")
    if values:
        yield Counters(group="softnet", values=values, source="/proc/net/softnet_stat", file=file)
