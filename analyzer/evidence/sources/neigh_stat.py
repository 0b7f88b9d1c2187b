"""`/proc/net/stat/arp_cache` and `ndisc_cache`: how many neighbours the node has, and how often the table was full.

    entries  allocs   destroys hash_grows lookups  hits     res_failed rcv_probes_mcast ... unresolved_discards table_fulls
    00000405 00001f2a 00001b25 00000002 000a2b3c 0009f1aa 00000012 ...

A header, then a line of hexadecimal numbers per CPU. `entries` counts the whole table, the same on every line
(neigh_stat_seq_show). The command above it or the file name must say which of the two tables it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Fact, unread

PURPOSE = "how full the neighbour tables are, and how often they were too full"

_HEAD = re.compile(r"^entries[ ,]+allocs[ ,]+destroys[ ,]+hash_grows[ ,][\w ,]+$", re.MULTILINE)
_CELLS = re.compile(r"[\da-f]{8,16}(?: +[\da-f]{8,16}){6,15} *")
_TABLE = re.compile(r"\b(arp|ndisc)_cache\b")


def recognises(head: str) -> bool:
    return _HEAD.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the sums over the CPUs of each listing."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not _HEAD.match(line):
            continue
        names = re.split(r"[ ,]+", line.strip())
        values: dict[str, int] = {}
        for row in lines[number + 1 :]:
            if not re.match(r"[\da-f]{8}", row):
                break
            if not _CELLS.fullmatch(row) or len(cells := row.split()) != len(names):
                yield from unread([row], file, "CPUs of the neighbour table")
                break
            for name, cell in zip(names, cells, strict=True):
                values[name] = int(cell, 16) + (values.get(name, 0) if name != "entries" else 0)
        if values:
            named = _TABLE.findall("\n".join(lines[max(0, number - 3) : number])) or _TABLE.findall(file)
            of = f"{named[-1]}_cache" if named else ""
            yield Counters(group="neighbours", of=of, values=values, source="/proc/net/stat", file=file)
