"""Packets whose times do not ascend in their file: in the order of time, or in the file's, whichever the packets confirm.

Several processors hand packets to one capture, each with the moment at which it had them (`packet_rcv` keeps `skb->tstamp`, and
the ring's slots are taken later), so records may be in another order than their times. A clock that was set back, or
time stamps that are only roughly right, make the same picture, and then the file's order is the true one. What answers
something comes after it: that tells. Nearly all files ascend, which is seen at once; nothing else is done to them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.columns import PACKET_DTYPES
from analyzer.capture.layout import (
    DATA,
    REPLY,
    SYN_X,
    SYN_Y,
    SYNACK_X,
    SYNACK_Y,
    TCP_ACK,
    TCP_FIN,
    TCP_SYN,
)
from analyzer.flow.keys import address_key, scramble

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows, Packets
    from analyzer.capture.points import Recording

TCP, UDP = 6, 17
LOOKED_AT = 1 << 20
"""Packets that are asked which order is the true one, at most."""
_PAIRS = (("src_hi", "dst_hi"), ("src_lo", "dst_lo"), ("isn_x", "isn_y"), ("mac_src", "mac_dst"))


def settle(recording: Recording) -> None:
    """Put packets in the order of their times, in place, unless what they say contradicts that; of each file for itself."""
    time = recording.packets.time
    bounds = [*(stretch.first_row for stretch in recording.stretches), len(time)]
    late = [span for span in pairwise(bounds) if not _ascends(time[slice(*span)])]
    if not late:
        return
    order = np.arange(len(time))
    for begin, end in late:
        order[begin:end] = begin + np.argsort(time[begin:end], kind="stable")
    connection, upper = _connections(recording.flows)
    some = slice(late[0][0], late[0][0] + LOOKED_AT)
    if _backwards(recording, order[some], connection, upper) > _backwards(
        recording, np.arange(len(time))[some], connection, upper
    ):
        return
    for name in PACKET_DTYPES:
        column = getattr(recording.packets, name)
        column[:] = column[order]
    _reassign(recording, connection, upper)


def exchange(flows: Flows, some: NDArray[np.bool_]) -> None:
    """Let the other end be the one that spoke first, of some flows."""
    for one, other in _PAIRS:
        a, b = getattr(flows, one), getattr(flows, other)
        a[some], b[some] = b[some], a[some]
    flows.ports[some] = (flows.ports[some] << 16) | (flows.ports[some] >> 16)
    marks = flows.marks[some]
    x, y = marks & (SYN_X | SYNACK_X), marks & (SYN_Y | SYNACK_Y)
    flows.marks[some] = (x << 1) | (y >> 1) | (marks & DATA)


def _ascends(time: NDArray[np.int64]) -> bool:
    return bool((time[1:] >= time[:-1]).all())


def _connections(flows: Flows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Number each five-tuple, whichever end spoke first, and tell which end of it is each flow's source."""
    one = address_key(flows.src_hi, flows.src_lo) ^ scramble(flows.ports >> 16, 4)
    other = address_key(flows.dst_hi, flows.dst_lo) ^ scramble(flows.ports & 0xFFFF, 4)
    both = scramble(np.minimum(one, other), 5) ^ scramble(np.maximum(one, other), 6) ^ scramble(flows.proto, 1)
    _, connection = np.unique(both, return_inverse=True)
    return connection, one > other


def _backwards(
    recording: Recording,
    order: NDArray[np.int64],
    connection: NDArray[np.int64],
    upper: NDArray[np.bool_],
) -> int:
    """Count what comes before what it follows: data before earlier data, an acknowledgement before its data, an answer first."""
    p, flows = recording.packets, recording.flows
    order = order[np.argsort(connection[p.flow[order]], kind="stable")]
    flow = p.flow[order]
    first, then = order[:-1], order[1:]
    together = connection[flow[:-1]] == connection[flow[1:]]
    sender = upper[flow] ^ (p.bits[order] & REPLY != 0)
    same = sender[:-1] == sender[1:]
    tcp = (flows.proto[flow] == TCP)[:-1] & together
    older = (p.seq[then] - p.seq[first]).view(np.int32) < 0
    carries = (p.length[then] > 0) | (p.flags[then] & (TCP_SYN | TCP_FIN) != 0)
    known = carries & (p.flags[first] & TCP_ACK != 0) & ((p.ack[first] - p.seq[then]).view(np.int32) > 0)
    wrong = int((tcp & np.where(same, older, known)).sum())
    begins = np.append(True, ~together)[: len(order)]
    ports = flows.ports[flow]
    turned = p.bits[order] & REPLY != 0
    source = np.where(turned, ports & 0xFFFF, ports >> 16)
    target = np.where(turned, ports >> 16, ports & 0xFFFF)
    return wrong + int(
        (begins & (flows.proto[flow] == UDP) & (source < 1024) & (target >= 1024)).sum()
    )


def _reassign(recording: Recording, connection: NDArray[np.int64], upper: NDArray[np.bool_]) -> None:
    """Give packets to the incarnation that began before them, and let the end that spoke first be the source."""
    p, flows = recording.packets, recording.flows
    sender = upper[p.flow] ^ (p.bits & REPLY != 0)
    _incarnations(p, flows, connection)
    turned = sender ^ upper[p.flow]
    first = np.full(len(flows), -1, np.int64)
    first[p.flow[::-1]] = np.arange(len(p) - 1, -1, -1)
    kept = first >= 0
    swap = kept.copy()
    swap[kept] = turned[first[kept]]
    turned ^= swap[p.flow]
    p.bits[:] = (p.bits & ~np.uint8(REPLY)) | turned * np.uint8(REPLY)
    exchange(flows, swap)
    _marks(p, flows, turned)
    if not kept.all():
        number = np.cumsum(kept, dtype=np.int32) - np.int32(1)
        p.flow[:] = number[p.flow]
        recording.flows = flows.take(np.flatnonzero(kept), recording.storage)


def _incarnations(p: Packets, flows: Flows, connection: NDArray[np.int64]) -> None:
    """Let every packet but a SYN belong to the connection's last incarnation whose SYN came before it, else to its first."""
    several = (np.bincount(connection) > 1)[connection]
    rows = np.flatnonzero(several[p.flow] & (flows.proto[p.flow] == TCP))
    if not len(rows):
        return
    bare = p.flags[rows] & (TCP_SYN | TCP_ACK) == TCP_SYN
    begun = np.full(len(flows), -1, np.int64)
    syns = rows[bare][::-1]
    begun[p.flow[syns]] = syns
    some = np.flatnonzero(several & (flows.proto == TCP))
    some = some[np.lexsort((begun[some], connection[some]))]
    # One number for connection and row: what begins at or before a packet is found by bisection.
    size = np.int64(len(p) + 1)
    places = connection[some] * size + begun[some] + 1
    others = rows[~bare]
    wanted = connection[p.flow[others]]
    at = np.searchsorted(places, wanted * size + others + 1, "right") - 1
    first = np.searchsorted(connection[some], wanted)
    p.flow[others] = some[np.maximum(at, first)]


def _marks(p: Packets, flows: Flows, turned: NDArray[np.bool_]) -> None:
    """Note anew which SYNs and SYN-ACKs each TCP flow has, and their numbers."""
    tcp = flows.proto == TCP
    rows = np.flatnonzero(tcp[p.flow])
    flow = p.flow[rows]
    kind = p.flags[rows] & (TCP_SYN | TCP_ACK)
    marks = np.zeros(len(flows), np.uint8)
    marks[flow[kind & TCP_SYN == 0]] = DATA
    for wanted, of_x, of_y in ((TCP_SYN | TCP_ACK, SYNACK_X, SYNACK_Y), (TCP_SYN, SYN_X, SYN_Y)):
        for mark, isn, side in ((of_x, flows.isn_x, False), (of_y, flows.isn_y, True)):
            some = rows[(kind == wanted) & (turned[rows] == side)]
            marks[p.flow[some]] |= mark
            isn[p.flow[some]] = p.seq[some]
    flows.marks[tcp] = marks[tcp]


