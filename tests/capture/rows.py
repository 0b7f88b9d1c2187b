"""The rows of a capture file, in a form that other programs' readings can be compared with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analyzer.capture.bundle import Bundle
from analyzer.capture.points import record
from analyzer.capture.storage import Memory
from analyzer.flow.point import assemble
from analyzer.result import tables


class Row(NamedTuple):
    """One packet; ports and TCP's fields are None where it has none."""

    frame: int
    time: int
    """ns."""
    src: str
    dst: str
    proto: int
    """0 for ARP."""
    ttl: int
    ip_id: int | None
    """None for IPv6 and ARP."""
    sport: int | None = None
    dport: int | None = None
    seq: int | None = None
    ack: int | None = None
    flags: int | None = None
    window: int | None = None
    length: int | None = None
    """Of TCP and UDP: payload."""


def rows(path: Path) -> tuple[list[Row], int]:
    """Read a file with Lostsyn: its rows in the order of the file, and how many frames are not among them."""
    recordings = record(Bundle.open([path]).captures, lambda _: {}, {}, lambda _: None, Memory())
    table = pd.concat([tables.packets(assemble(recording)) for recording in recordings])
    found = []
    for p in table.sort_values("frame").itertuples():
        row = Row(
            frame=p.frame,
            time=p.time.value,
            src=str(p.src),
            dst=str(p.dst),
            proto=p.proto,
            ttl=p.ttl,
            ip_id=None if ":" in p.src or p.proto == 0 else p.ip_id,
        )
        has_header = not p.fragment and not p.cut
        if has_header and p.proto in (6, 17):
            row = row._replace(sport=p.sport, dport=p.dport, length=p.length)
        if has_header and p.proto == 6:
            row = row._replace(seq=p.seq, ack=p.ack, flags=p.flags, window=p.window)
        found.append(row)
    return found, sum(sum(recording.skipped.values()) for recording in recordings)
