"""Packets that a point recorded twice: a bond and its slave, both directions of a mirror.

An identical packet, IP ID and options included, is no retransmission: that has another IP ID, or another time stamp. Where
nearly every packet has such a twin, the second ones are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.columns import Packets
from analyzer.capture.layout import ARP, REPLY
from analyzer.capture.points import Recording

ICMP6 = 58
SAMPLE = 4096
"""Packets, the first ones, by which a point is suspected."""
NEARLY_ALL = 0.8
"""Share of packets that must have a twin."""


def leave_out(recording: Recording) -> str | None:
    """Take the second ones out, in place; say so, or return None where there are none."""
    packets = recording.packets
    if len(packets) < 2 or not (recording.copied or _doubled(recording, min(SAMPLE, len(packets)))):
        return None
    keep = ~_second(packets, len(packets))
    before = len(packets)
    kept = np.concatenate([[0], np.cumsum(keep)])
    recording.packets = packets.take(np.flatnonzero(keep), recording.storage)
    recording.stretches = tuple(
        stretch._replace(first_row=int(kept[stretch.first_row])) for stretch in recording.stretches
    )
    if recording.copied and keep.all():
        return None
    if recording.copied:
        return (
            f"{recording.name}: {before - int(keep.sum()):,} packets that SLL shows once more, as a bridge's and its port's, "
            "are left out"
        )
    return (
        f"{recording.name}: nearly every packet was recorded twice, as by a bond and its slave or a mirror of both directions; "
        f"{before - int(keep.sum()):,} second copies are left out"
    )


def _doubled(recording: Recording, rows: int) -> bool:
    # An ARP request or neighbour solicitation that nobody answers is repeated as it was.
    telling = ~np.isin(recording.flows.proto[recording.packets.flow[:rows]], (ARP, ICMP6))
    twins = 2 * int(_second(recording.packets, rows)[telling].sum())
    return bool(telling.any()) and twins >= NEARLY_ALL * int(telling.sum())


def _second(packets: Packets, rows: int) -> NDArray[np.bool_]:
    """Which of the first rows are the second, fourth, ... of packets that are equal in all that a copy shares."""
    columns = [
        getattr(packets, name)[:rows]
        for name in ("seq", "ack", "length", "print", "ip_id", "window", "flags", "ttl", "flow")
    ]
    columns.append(packets.bits[:rows] & REPLY)
    order = np.lexsort((np.arange(rows), *columns))
    new = np.ones(rows, bool)
    new[1:] = np.logical_or.reduce([column[order[1:]] != column[order[:-1]] for column in columns])
    begins = np.maximum.accumulate(np.where(new, np.arange(rows), 0))
    second = np.zeros(rows, bool)
    second[order] = (np.arange(rows) - begins) % 2 == 1
    return second
