"""`conntrack -S`: one line per CPU, `cpu=0   <tab>found=57 invalid=0 ... `.

The set of counters depends on the kernel. An older tool prints those of a newer kernel as `unknown1`, ...
Several outputs in a row are several snapshots; a date before one is its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.dates import moment
from analyzer.evidence.facts import Caveat, CounterSnapshot, Fact, begins

PURPOSE = "insert_failed, drop and invalid, compared with the losses"

_LINE = re.compile(r"^cpu=(\d{1,5})[ \t]+((?:(?:\w+|\(null\))=\d{1,20}(?:[ \t]+|$))+)$")


def recognises(head: str) -> bool:
    return begins(head, r"cpu=\d+[ \t]+(?:searched|found)=\d")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the snapshots; one with a line that is cut short is left out."""
    cpus: dict[int, dict[str, int]] = {}
    whole = True
    time = later = None
    for line in text.splitlines():
        if not line.startswith("cpu="):
            if when := moment(line):
                later = when.time
            continue
        if later is not None and cpus and whole:
            yield CounterSnapshot(file=file, source="conntrack -S", cpus=cpus, time=time)
        if later is not None:
            cpus, whole, time, later = {}, True, later, None
        match = _LINE.match(line)
        cpu = int(match[1]) if match else -1
        if cpu in cpus:
            if whole:
                yield CounterSnapshot(file=file, source="conntrack -S", cpus=cpus, time=time)
            cpus, whole, time = {}, True, None
        counters = (
            {
                name: int(value)
                for name, _, value in (p.partition("=") for p in match[2].split())
                if name != "(null)"  # what 1.4.4 has no name for
            }
            if match
            else {}
        )
        if not counters or (cpus and counters.keys() != next(iter(cpus.values())).keys()):
            yield Caveat(says=f"{file}: not understood, its snapshot was left out: {line[:80]!r}")
            whole = False
        cpus[cpu] = counters
    if cpus and whole:
        yield CounterSnapshot(file=file, source="conntrack -S", cpus=cpus, time=time)
