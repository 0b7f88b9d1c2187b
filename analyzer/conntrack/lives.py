"""From when to when each flow of a capture point has an entry in conntrack's table; all columns, no loop over flows.

An approximation of what conntrack does packet by packet (`tcp.Connection`): of TCP the flags of both sides and the last packet
decide, of everything else the pauses. Where it differs is said at the function.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.columns import views
from analyzer.capture.layout import ARP
from analyzer.conntrack import ageing
from analyzer.conntrack.generation import Generation
from analyzer.conntrack.states import State
from analyzer.conntrack.timeouts import SECOND, STREAM, Timeouts
from analyzer.flow.keys import is_v4
from analyzer.flow.point import ICMP, ICMP6, SLICE, TCP, UDP, Point, slices

STATES = tuple(State)
"""What `Lives.talking` and `Lives.settled` index; 0, `NONE`, where the protocol has no states."""
BEFORE = int(np.iinfo(np.int64).min)
"""When a connection began that was there before the capture."""
_CODE = {state: np.uint8(number) for number, state in enumerate(STATES)}


@dataclass(slots=True, kw_only=True)
class Lives:
    """Entries of the table, one row each; all arrays have one length."""

    flow: NDArray[np.int64]
    """Row in the point's flows."""
    begin: NDArray[np.int64]
    """ns, or `BEFORE`."""
    last: NDArray[np.int64]
    """ns: the last packet's time."""
    end: NDArray[np.int64]
    """ns: from then on the table has it no more."""
    talking: NDArray[np.uint8]
    """State until the last packet: index into `STATES`."""
    settled: NDArray[np.uint8]
    """State after it."""

    def take(self, keep: NDArray[np.bool_]) -> Lives:
        """The entries for which *keep* is true."""
        return Lives(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})


def lives(
    point: Point,
    chosen: NDArray[np.bool_],
    lost: NDArray[np.int64],
    generation: Generation,
    timeouts: Timeouts,
) -> tuple[Lives, ...]:
    """Tell the entries that a point's flows made.

    Left out is what makes no entry: ARP, multicast, ICMP errors (they belong to the connection that they quote), neighbour
    discovery, further fragments, and RSTs that belong to nothing.

    Args:
        point: The packets and flows.
        chosen: Which flows are counted here.
        lost: Rows of packets that did not make it through conntrack, ascending; a flow of which none did has no entry.
        generation: The kernel's rules.
        timeouts: The node's settings.

    Returns: Those of TCP, and all others.
    """
    packets, flows = point.packets, point.flows
    first_v4 = (flows.dst_lo >> np.uint64(28)) & np.uint64(0xF)
    multicast = np.where(
        is_v4(flows.dst_hi, flows.dst_lo), first_v4 >= 0xE, flows.dst_hi >> np.uint64(56) == 0xFF
    )
    echo = flows.ports >> 16 == flows.ports & 0xFFFF  # the identifier twice; else type and code
    tracked = (flows.proto != ARP) & ~multicast & (echo | ((flows.proto != ICMP) & (flows.proto != ICMP6)))
    short = np.full(256, timeouts.generic * SECOND, np.int64)
    short[[ICMP, ICMP6, UDP]] = np.array([timeouts.icmp, timeouts.icmpv6, timeouts.udp]) * SECOND
    long = short.copy()
    long[UDP] = timeouts.udp_stream * SECOND
    found = _follow(
        point,
        tracked & chosen,
        np.append(lost, len(packets)),
        [*views(short, long), timeouts.tcp[State.ESTABLISHED] * SECOND],
        STREAM if generation.udp_stream_waits else -1,
    )
    is_tcp = flows.proto[found.flow] == TCP
    rest = found.take(~is_tcp)
    proto, stream = flows.proto[rest.flow], rest.seen & ageing.STREAM != 0
    nothing = np.zeros(len(rest.flow), np.uint8)
    others = Lives(
        flow=rest.flow,
        begin=rest.first,
        last=rest.last,
        end=rest.last + np.where(stream, long[proto], short[proto]),
        talking=nothing,
        settled=nothing,
    )
    return _tcp(point, found.take(is_tcp), timeouts), others


@dataclass(slots=True, kw_only=True)
class _Entries:
    """What `ageing.age` tells, one row an entry."""

    flow: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    seen: NDArray[np.uint16]
    fresh: NDArray[np.bool_]
    """Whether the flow's SYN was captured."""

    def take(self, keep: NDArray[np.bool_]) -> _Entries:
        return _Entries(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})


def _follow(
    point: Point, counts: NDArray[np.bool_], lost: NDArray[np.int64], timeouts: list[Any], waits: int
) -> _Entries:
    packets, n = point.packets, len(point.flows)
    columns = views(
        packets.flow,
        packets.bits,
        packets.flags,
        packets.time,
        lost,
        point.flows.proto,
        counts.view(np.uint8),
    )
    state: list[NDArray[Any]] = [np.zeros(n, dtype) for dtype in ("i8", "i8", "u2")]
    ended: list[NDArray[Any]] = [np.empty(SLICE, dtype) for dtype in ("i4", "i8", "i8", "u2")]
    each: list[list[NDArray[Any]]] = [[] for _ in ended]
    for begin, stop in slices(len(packets)):
        count = ageing.age(begin, stop, *columns, *timeouts, waits, *views(*state, *ended))
        for column, part in zip(ended, each, strict=True):
            part.append(column[:count].copy())
    first, last, seen = state
    alive = np.flatnonzero(seen)
    for part, column in zip(each, (alive, first[alive], last[alive], seen[alive]), strict=True):
        part.append(column)
    flow, first, last, found = (np.concatenate(part) for part in each)
    flow = flow.astype(np.int64)
    return _Entries(flow=flow, first=first, last=last, seen=found, fresh=seen[flow] & ageing.FRESH != 0)


def _tcp(point: Point, found: _Entries, timeouts: Timeouts) -> Lives:
    """TCP: one entry for each incarnation, unless it outlives one.

    Other than the kernel it takes a FIN for one that the other side has not sent yet, repeated SYNs for ones within the
    first's timeout, and every byte for acknowledged at the end.
    """

    def seen(bit: int) -> NDArray[np.bool_]:
        some: NDArray[np.bool_] = found.seen & bit != 0
        return some

    answered, reset = seen(ageing.ANSWERED), seen(ageing.RESET)
    ends_in_fin = seen(ageing.ENDS_IN_FIN)
    accepted = answered & (seen(ageing.ACCEPTED) | ~seen(ageing.SYN))
    closing = seen(ageing.FIN_ORIG).astype(int) + seen(ageing.FIN_RESP)
    talking = np.select(
        [accepted, answered, seen(ageing.OPENED)],
        [_CODE[State.ESTABLISHED], _CODE[State.SYN_RECV], _CODE[State.SYN_SENT]],
        _CODE[State.ESTABLISHED],
    )
    settled = np.select(
        [reset, (closing == 2) & ends_in_fin, closing == 2, (closing == 1) & ends_in_fin, closing == 1],
        [_CODE[s] for s in (State.CLOSE, State.LAST_ACK, State.TIME_WAIT, State.FIN_WAIT, State.CLOSE_WAIT)],
        talking,
    )
    seconds = np.array([0, *(timeouts.tcp[state] for state in STATES[1:])], np.int64).take(settled)
    one_sided = ~answered & (settled == _CODE[State.ESTABLISHED])
    seconds[one_sided] = np.minimum(seconds[one_sided], timeouts.tcp_unacknowledged)
    seconds[reset & ~answered] = 0  # refused, or given up, before any answer: deleted at once
    again = seen(ageing.AGAIN)
    # The timeout of a SYN that nobody answers runs from the first one (`syn_sent_expires`).
    unanswered = settled == _CODE[State.SYN_SENT]
    told = Lives(
        flow=found.flow,
        begin=np.where(found.fresh | again, found.first, BEFORE),
        last=found.last,
        end=np.where(
            unanswered,
            np.maximum(found.first + seconds * SECOND, found.last),
            found.last + seconds * SECOND,
        ),
        talking=talking,
        settled=settled,
    )
    may_begin = ~again | seen(ageing.MIDSTREAM)
    return _replaced(point, told.take(may_begin & seen(ageing.ALIVE)))


def _replaced(point: Point, found: Lives) -> Lives:
    """End each entry at the latest when its addresses and ports begin another connection."""
    flows = point.flows
    # Few five-tuples come twice: only those whose hash does are put in order.
    hashes = flows.hash[found.flow]
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    again = np.flatnonzero(np.isin(hashes, twice)) if len(twice) else np.zeros(0, np.int64)
    flow = found.flow[again]
    columns = [getattr(flows, name)[flow] for name in ("src_hi", "src_lo", "dst_hi", "dst_lo", "ports")]
    order = np.lexsort((found.begin[again], *columns))
    columns = [column[order] for column in columns]
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    before, after = again[order[:-1][same]], again[order[1:][same]]
    found.end[before] = np.minimum(found.end[before], found.begin[after])
    found.last[before] = np.minimum(found.last[before], found.end[before])
    return found
