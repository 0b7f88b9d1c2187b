"""`/proc/net/stat/nf_conntrack`: a header, then a line of hexadecimal numbers per CPU.

`entries` is the table's size, the same on every line, so it is not a counter. Counters that a kernel no longer
maintains are printed as zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.dates import moment
from analyzer.evidence.facts import Caveat, CounterSnapshot, Fact, sections
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

_HEADER = re.compile(r"^entries[ \t]+\w+[ \t]+found[ \t]+new[ \t]+invalid[ \t]", re.MULTILINE)
# The kernel's column names to those of `conntrack -S`.
_CALLED = {"clashres": "clash_resolve", "chainlength": "chaintoolong", "icmp_error": "error"}


def recognises(head: str) -> bool:
    return _HEADER.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield a snapshot per header; one with a line that is cut short is left out."""
    for header, rest in sections(text, _HEADER):
        first, *lines = (header[0] + rest).splitlines()
        names = [_CALLED.get(name, name) for name in first.split()]
        cpus: dict[int, dict[str, int]] = {}
        for line in lines:
            cells = line.split()
            if not cells or not all(re.fullmatch(r"[0-9a-f]+", cell) for cell in cells):
                break
            if len(cells) != len(names) or any(len(cell) != 8 for cell in cells):
                yield Caveat(says=f"{file}: not understood, its snapshot was left out: {line[:80]!r}")
                cpus = {}
                break
            counters = {name: int(cell, 16) for name, cell in zip(names, cells, strict=True)}
            del counters["entries"]
            cpus[len(cpus)] = counters
        if cpus:
            date = moment(text[: header.start()].rstrip("\n").rpartition("\n")[2][:300])
            time = date.time if date else None
            yield CounterSnapshot(file=file, source="/proc/net/stat/nf_conntrack", cpus=cpus, time=time)
