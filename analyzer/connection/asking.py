"""Which packets of a point ask, which answer, and which answer is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.layout import REPLY, SYN_X, SYNACK_Y, TCP_ACK, TCP_RST, TCP_SYN
from analyzer.flow.keys import distinct
from analyzer.flow.point import TCP, UDP
from analyzer.flow.selecting import ANSWER, answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.gap import Leg

MOST_REPLIES = 100_000
"""Flows whose replies are looked at for an acknowledgement; of more, nothing is proven delivered."""


def answered(point: Point, protocol: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Tell the requests of a protocol (SYNs without ACK of TCP, datagrams of the originator of UDP) and their answers.

    Returns: Their rows, ascending; the row of the first answer after each, -1 if none came; whether it came before the
    flow's next request.
    """
    events = point.events
    # Most points have two of the protocols that are asked for.
    n = len(events.rows) if (point.flows.proto == protocol).any() else 0
    asked, first, soon = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.uint8)
    flows = [np.full(len(point.flows), -1, np.int32) for _ in range(2)]
    seen = views(events.rows[:n], events.kinds[:n], point.packets.flow, point.flows.proto)
    begin = answers(*seen, protocol, *views(*flows, asked, first, soon))
    return asked[begin:].astype(np.int64), first[begin:].astype(np.int64), soon[begin:].view(bool)


def replied(point: Point, protocol: int) -> NDArray[np.int64]:
    """Tell the replies of a protocol, their rows, ascending: what the responder sent of UDP and echoes.

    Of TCP SYN-ACKs, and the RSTs that refuse a SYN.
    """
    packets, of_protocol = point.packets, point.flows.proto == protocol
    rows = point.events.of(ANSWER) if of_protocol.any() else np.zeros(0, np.int64)
    flow = packets.flow[rows]
    keep = of_protocol[flow]
    if protocol == TCP:
        flags = packets.flags[rows] & (TCP_SYN | TCP_ACK | TCP_RST)
        refuses = (flags == TCP_RST | TCP_ACK) & (point.flows.marks[flow] & (SYN_X | SYNACK_Y) == SYN_X)
        keep &= (flags == TCP_SYN | TCP_ACK) | refuses
    replies: NDArray[np.int64] = rows[keep].astype(np.int64)
    return replies


def acknowledged(point: Point, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the originator acknowledged each SYN-ACK: its later packets with ACK here prove that it arrived."""
    packets = point.packets
    flow = packets.flow[rows]
    latest = np.full(len(point.flows), -1, np.int64)
    sent = point.rows_of(distinct(flow)[:MOST_REPLIES], 0)
    acks = sent[packets.flags.take(sent) & (TCP_ACK | TCP_SYN | TCP_RST) == TCP_ACK]
    np.maximum.at(latest, packets.flow.take(acks), packets.time.take(acks))
    known: NDArray[np.bool_] = latest[flow] >= packets.time[rows]
    return known


def _keys(point: Point, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows as flow-major numbers, which keep file order, that is time order, within a flow."""
    return (point.packets.flow[rows].astype(np.int64) << 32) | rows


def anothers(
    point: Point, rows: NDArray[np.int64], first: NDArray[np.int64], passed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether the answer after each request is owed to another one that passed: A and AAAA queries of one socket.

    A UDP answer names no request. As long as fewer answers came than requests passed, it proves nothing about one that
    was not seen to pass.
    """
    at = np.flatnonzero((first >= 0) & ~passed)
    if not len(at):
        return np.zeros(len(rows), bool)
    came = point.events.of(ANSWER)
    came = came[point.flows.proto[point.packets.flow[came]] == UDP]
    answers, gone = np.sort(_keys(point, came)), np.sort(_keys(point, rows[passed]))
    key = _keys(point, first[at])
    begin = (key >> 32) << 32
    waiting = np.searchsorted(gone, key) - np.searchsorted(gone, begin)
    earlier = np.searchsorted(answers, key) - np.searchsorted(answers, begin)
    result = np.zeros(len(rows), bool)
    result[at] = waiting > earlier
    return result


def asked_beyond(point: Point, legs: Sequence[Leg], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each leg's other point saw what each reply answers, the last packet of the opener before it.

    A point that missed that one, though it came from there, does not show that the reply was lost.
    """
    flow = point.packets.flow[rows]
    sent = point.rows_of(distinct(flow)).astype(np.int64)
    sent = np.sort(
        (point.packets.flow[sent].astype(np.int64) << 32 | sent)[point.packets.bits[sent] & REPLY == 0]
    )
    at = np.searchsorted(sent, flow.astype(np.int64) << 32 | rows) - 1
    before = sent[np.maximum(at, 0)] if len(sent) else np.zeros(len(rows), np.int64)
    known = (at >= 0) & (before >> 32 == flow)
    row = np.where(known, before & 0xFFFFFFFF, 0)
    # Where none was seen here before it, or the flow is another one there, nothing contradicts that it was recording.
    return np.column_stack([~known | (leg.partner[row] >= 0) | (leg.match[flow] < 0) for leg in legs])


def answered_beyond(point: Point, legs: Sequence[Leg], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which SYNs were answered where only the other direction was recorded: the last one before the SYN-ACK came there."""
    flow, time = point.packets.flow[rows], point.packets.time[rows]
    following = np.full(len(rows), np.iinfo(np.int64).max)
    order = np.lexsort((time, flow))
    same = flow[order[1:]] == flow[order[:-1]]
    following[order[:-1][same]] = time[order[1:][same]]
    found = np.zeros(len(rows), bool)
    for leg in legs:
        came = replied(leg.there, TCP)
        first = np.full(len(leg.there.flows), np.iinfo(np.int64).max)
        np.minimum.at(first, leg.there.packets.flow[came], leg.there.packets.time[came])
        match = leg.match[flow]
        answer = first[leg.flows_there[match]] if len(leg.flows_there) else following
        found |= (match >= 0) & (time <= answer) & (answer < following)
    return found
