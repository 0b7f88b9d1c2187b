"""One interface captured twice at one time: `tcpdump -i any` beside `-i eth0`, a capture and its listing.

Taken for two points they would be two hops of every packet. The kernel hands a packet to all who capture at an interface, in
one order (dev_queue_xmit_nit and __netif_receive_skb_core in net/core/dev.c): the one has both requests and replies a little
later than the other, or at the same time. Of two points on the way one has the requests first, the other one the replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.columns import Flows, Packets
from analyzer.capture.files import CaptureFile
from analyzer.capture.identity import UNNAMED
from analyzer.capture.layout import REPLY

SAMPLE = 4096
"""Packets that are compared, from the beginning of the common time on."""
MOST = 128
"""Recordings with which one is compared, the first ones; a node has 110 pods (kubelet's `maxPods`), or few more."""
NEARLY_ALL = 0.9
"""Share of them that must be at both, and of these, both ways, that are no later at the same one."""
SLACK = 1_000_000_000
"""ns by which the order within a file may be wrong."""


class Recorded(Protocol):
    """What is asked of a recording."""

    name: str
    files: tuple[CaptureFile, ...]
    packets: Packets
    flows: Flows
    lacks: frozenset[str]
    copied: bool
    caveats: tuple[str, ...]


Each = TypeVar("Each", bound=Recorded)


def once(recordings: Sequence[Each]) -> list[Each]:
    """Leave out, of two recordings of one interface and time, the one that tells less; the other one says so."""
    kept: list[Each] = []
    of_name: dict[str, list[Each]] = {}
    for one in sorted(recordings, key=_order):
        label = one.files[0].label
        alike = kept if one.name.startswith(UNNAMED) else of_name.get(one.name, [])
        if (same := next((other for other in alike[:MOST] if _same(one, other)), None)) is not None:
            same.caveats += (
                f"{same.name}: {label} has the packets of the same interface and time, and is left out",
            )
        elif one.copied and _elsewhere(one, kept[:MOST]):
            kept[0].caveats += (
                f"{label}: what it has of several interfaces was captured at each of them, and is left out",
            )
        else:
            kept.append(one)
            of_name.setdefault(one.name, []).append(one)
    stays = {id(one) for one in kept}
    return [one for one in recordings if id(one) in stays]


def _order(one: Recorded) -> tuple[bool, bool, int, int, bool]:
    """What sorts first is kept: of one interface, with a name, all columns, more packets, whole frames, which SLL lacks."""
    return (
        one.copied,
        one.name.startswith(UNNAMED),
        len(one.lacks),
        -len(one.packets),
        not one.flows.mac_dst.any(),
    )


def _same(one: Recorded, other: Recorded) -> bool:
    """Whether nearly all packets that one has of the time of both are at the other, and in one order both ways."""
    both = one.packets, other.packets
    if one.files == other.files or not all(map(len, both)):
        return False  # the interfaces of one file are several
    begin, end = max(p.time[0] for p in both), min(p.time[-1] for p in both)
    parts = ((_during(r.packets, begin, end), r.flows) for r in (one, other))
    (few, flows), (many, others) = sorted(parts, key=lambda part: len(part[0]))
    if not len(few):
        return False
    few = few.between(0, SAMPLE)
    many = _during(many, few.time.min(), few.time.max())
    by_time = bool(one.lacks or other.lacks)
    keys, same = _keys(few, flows, by_time=by_time), _keys(many, others, by_time=by_time)
    if np.isin(keys, same).mean() < NEARLY_ALL:
        return False
    (keys, here), (same, there) = _single(keys), _single(same)
    _, i, j = np.intersect1d(keys, same, return_indices=True)
    here, there = here[i], there[j]
    later = np.sign(many.time[there] - few.time[here])
    ways = [later[few.bits[here] & REPLY == way] for way in (0, REPLY)]
    return any(all(len(way) and (way != sign).mean() >= NEARLY_ALL for way in ways) for sign in (1, -1))


def _elsewhere(one: Recorded, others: Sequence[Recorded]) -> bool:
    """Whether nearly all packets of an SLL capture, which may be of several interfaces, are at one of the others."""
    others = [other for other in others if len(other.packets) and not other.lacks]
    if not others or not len(one.packets) or one.lacks:
        return False  # a listing has too little to be recognised by
    begin = min(other.packets.time[0] for other in others)
    some = _during(one.packets, begin, one.packets.time[-1]).between(0, SAMPLE)
    if not len(some):
        return False
    keys, found = _keys(some, one.flows, by_time=False), np.zeros(len(some), bool)
    for other in others:
        near = _during(other.packets, some.time.min(), some.time.max())
        found |= np.isin(keys, _keys(near, other.flows, by_time=False))
    return bool(found.mean() >= NEARLY_ALL)


def _during(packets: Packets, begin: int, end: int) -> Packets:
    return packets.between(*np.searchsorted(packets.time, (begin - SLACK, end + SLACK)).tolist())


def _keys(packets: Packets, flows: Flows, *, by_time: bool) -> NDArray[np.uint64]:
    """What packets are recognised by: of a listing, which lacks the rest, the times.

    Not by their prints, which are of less where one capture has less of each frame.
    """
    if by_time:
        return packets.time.view(np.uint64) // 1_000  # files without nanoseconds cut them off
    ports = flows.ports[packets.flow]
    key = packets.seq.astype(np.uint64) << np.uint64(32) | packets.ack
    for column in ((ports >> 16 ^ ports) & 0xFFFF, packets.ip_id, packets.ttl, packets.flags, packets.window):
        key = key * np.uint64(0x9E3779B97F4A7C15) + column.astype(np.uint64)
    return key


def _single(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The keys that occur once, ascending, and where."""
    found, rows, counts = np.unique(keys, return_index=True, return_counts=True)
    return found[counts == 1], rows[counts == 1]
