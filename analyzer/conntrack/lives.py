"""From when to when each flow of a capture point has an entry in conntrack's table; all columns, no loop over flows.

An approximation of what `tcp.Connection` and `udp.UdpEntry` tell packet by packet: of TCP the flags of both sides and the
last packet decide, of everything else the pauses. Where it differs is said at the function.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP, FRAGMENT, QUOTES, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.conntrack.states import State
from analyzer.conntrack.udp import SECOND, STREAM
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.conntrack.generation import Generation
    from analyzer.conntrack.timeouts import Timeouts
    from analyzer.flow.point import Point

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
    point: Point, chosen: NDArray[np.bool_], generation: Generation, timeouts: Timeouts
) -> tuple[Lives, ...]:
    """Tell the entries that a point's flows made.

    Left out is what makes no entry: ARP, multicast, ICMP errors (they belong to the connection that they quote), neighbour
    discovery, further fragments, and RSTs that belong to nothing.

    Args:
        point: The packets and flows.
        chosen: Which packets made it through conntrack; a flow of which none did has no entry.
        generation: The kernel's rules.
        timeouts: The node's settings.
    """
    packets, flows = point.packets, point.flows
    rows = np.flatnonzero(chosen & (packets.bits & (FRAGMENT | QUOTES) == 0))
    first_v4 = (flows.dst_lo >> np.uint64(28)) & np.uint64(0xF)
    multicast = np.where(flows.dst_hi == 0, first_v4 >= 0xE, flows.dst_hi >> np.uint64(56) == 0xFF)
    echo = flows.ports >> 16 == flows.ports & 0xFFFF  # the identifier twice; else type and code
    tracked = (flows.proto != ARP) & ~multicast & (echo | ((flows.proto != ICMP) & (flows.proto != ICMP6)))
    rows = rows[tracked[packets.flow[rows]]]
    is_tcp = (flows.proto == TCP)[packets.flow[rows]]
    return _tcp(point, rows[is_tcp], timeouts), _others(point, rows[~is_tcp], generation, timeouts)


@dataclass(slots=True, kw_only=True)
class _Groups:
    """Rows put together by something, each group's in order of time."""

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    """Where each group begins in `rows`."""

    @property
    def ends(self) -> NDArray[np.int64]:
        return np.append(self.starts, len(self.rows))[1:]

    def any(self, true: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a group has a row for which this is true."""
        counts = np.concatenate([[0], np.cumsum(true)])
        some: NDArray[np.bool_] = counts[self.ends] > counts[self.starts]
        return some

    def before(self, true: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Per row, for how many rows of its group before it this is true."""
        counts: NDArray[np.int64] = np.cumsum(true) - true
        return counts - np.repeat(counts[self.starts], self.ends - self.starts)

    def all(self, true: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether it is true for all of a group."""
        return ~self.any(~true)


def _by_flow(point: Point, rows: NDArray[np.int64]) -> _Groups:
    flow = point.packets.flow[rows]
    rows = rows[np.argsort(flow, kind="stable")]
    flow = point.packets.flow[rows]
    return _Groups(rows=rows, starts=np.flatnonzero(np.diff(flow, prepend=-1)))


def _tcp(point: Point, rows: NDArray[np.int64], timeouts: Timeouts) -> Lives:
    """TCP: one entry for each incarnation, unless it outlives one.

    Other than the kernel it takes a FIN for one that the other side has not sent yet, repeated SYNs for ones within the
    first's timeout, and every byte for acknowledged at the end.
    """
    packets = point.packets
    flows = _by_flow(point, rows)
    rows = flows.rows
    flags, time = packets.flags[rows], packets.time[rows]
    reply = packets.bits[rows] & 1 != 0
    syn, ack, fin, rst = (flags & bit != 0 for bit in (TCP_SYN, TCP_ACK, TCP_FIN, TCP_RST))
    # An idle connection that was established outlives its entry; what it sends then is met mid-stream.
    idle = np.diff(time, prepend=time[:1]) >= timeouts.tcp[State.ESTABLISHED] * SECOND
    idle &= (flows.before(reply & ~rst) > 0) & (flows.before(fin | rst) == 0)
    idle[flows.starts] = False
    groups = _Groups(rows=rows, starts=np.union1d(flows.starts, np.flatnonzero(idle)))
    again = idle[groups.starts]
    opened, answered = groups.any(syn & ~ack & ~reply), groups.any(reply & ~rst)
    accepted = answered & (groups.any(~reply & ack & ~rst) | ~groups.any(syn))
    closing = groups.any(fin & ~reply).astype(int) + groups.any(fin & reply)
    ends_in_fin = fin[groups.ends - 1]
    reset = groups.any(rst)
    talking = np.select(
        [accepted, answered, opened],
        [_CODE[State.ESTABLISHED], _CODE[State.SYN_RECV], _CODE[State.SYN_SENT]],
        _CODE[State.ESTABLISHED],
    )
    settled = np.select(
        [reset, (closing == 2) & ends_in_fin, closing == 2, (closing == 1) & ends_in_fin, closing == 1],
        [_CODE[s] for s in (State.CLOSE, State.LAST_ACK, State.TIME_WAIT, State.FIN_WAIT, State.CLOSE_WAIT)],
        talking,
    )
    seconds = np.array([0, *(timeouts.tcp[state] for state in STATES[1:])], np.int64)[settled]
    one_sided = ~answered & (settled == _CODE[State.ESTABLISHED])
    seconds[one_sided] = np.minimum(seconds[one_sided], timeouts.tcp_unacknowledged)
    seconds[reset & ~answered] = 0  # refused, or given up, before any answer: deleted at once
    last = time[groups.ends - 1]
    fresh = flows.any(syn & ~ack & ~reply)[np.searchsorted(flows.starts, groups.starts, "right") - 1]
    begin = np.where(fresh | again, time[groups.starts], BEFORE)
    # The timeout of a SYN that nobody answers runs from the first one (`syn_sent_expires`).
    unanswered = settled == _CODE[State.SYN_SENT]
    end = np.where(
        unanswered, np.maximum(time[groups.starts] + seconds * SECOND, last), last + seconds * SECOND
    )
    found = Lives(
        flow=packets.flow[rows[groups.starts]].astype(np.int64),
        begin=begin,
        last=last,
        end=end,
        talking=talking,
        settled=settled,
    )
    may_begin = ~again | groups.any(ack & ~syn & ~fin & ~rst)
    return _replaced(point, found.take(may_begin & ~groups.all(rst)))


def _replaced(point: Point, found: Lives) -> Lives:
    """End each entry at the latest when its addresses and ports begin another connection."""
    flows = point.flows
    # Few five-tuples come twice: only those whose hash does are put in order.
    hashes = flows.hash[found.flow]
    ordered = np.sort(hashes)
    again = np.flatnonzero(np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]]))
    flow = found.flow[again]
    columns = [getattr(flows, name)[flow] for name in ("src_hi", "src_lo", "dst_hi", "dst_lo", "ports")]
    order = np.lexsort((found.begin[again], *columns))
    columns = [column[order] for column in columns]
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    before, after = again[order[:-1][same]], again[order[1:][same]]
    found.end[before] = np.minimum(found.end[before], found.begin[after])
    found.last[before] = np.minimum(found.last[before], found.end[before])
    return found


def _others(point: Point, rows: NDArray[np.int64], generation: Generation, timeouts: Timeouts) -> Lives:
    """UDP, ICMP echo and protocols without states: an entry ends in a pause that is longer than its timeout.

    A stretch is what the short timeout holds together. The life of a stream bridges the pause to the next
    stretch, which is part of the stream then: from the first stretch on that is one, to the first pause that is too long.
    """
    packets, proto = point.packets, point.flows.proto
    groups = _by_flow(point, rows)
    rows = groups.rows
    flow, time, reply = packets.flow[rows], packets.time[rows], packets.bits[rows] & 1 != 0
    single = {ICMP: timeouts.icmp, ICMP6: timeouts.icmpv6, UDP: timeouts.udp}
    by_proto = np.array([single.get(number, timeouts.generic) for number in range(256)], np.int64)
    short = by_proto[proto[flow]] * SECOND
    long = np.where(proto[flow] == UDP, timeouts.udp_stream * SECOND, short)
    pause = np.diff(time, prepend=time[:1])
    new = np.diff(flow, prepend=-1) != 0

    cut = np.flatnonzero(new | (pause >= short))
    stretch = _Groups(rows=rows, starts=cut)
    number = np.cumsum(np.isin(np.arange(len(rows)), cut)) - 1
    makes_stream = (stretch.before(reply != reply[cut][number]) > 0) & (proto[flow] == UDP)
    if generation.udp_stream_waits:
        makes_stream &= time - time[cut][number] > STREAM
    own = stretch.any(makes_stream)

    block = np.cumsum(new[cut] | (pause[cut] >= long[cut])) - 1
    begin_of_block = np.flatnonzero(np.diff(block, prepend=-1))
    seen = np.cumsum(own)
    stream = seen > (seen - own)[begin_of_block][block]
    bridged = np.append(False, stream[:-1] & (block[1:] == block[:-1])) if len(cut) else stream
    begins = np.flatnonzero(~bridged)
    ends = np.append(begins, len(cut))[1:] - 1
    last_row = stretch.ends[ends] - 1
    last = time[last_row]
    nothing = np.zeros(len(begins), np.uint8)
    return Lives(
        flow=flow[cut[begins]].astype(np.int64),
        begin=time[cut[begins]],
        last=last,
        end=last + np.where(stream[ends], long[last_row], short[last_row]),
        talking=nothing,
        settled=nothing,
    )
