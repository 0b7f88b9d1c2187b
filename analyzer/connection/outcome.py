"""What became of each connection, for the side that opened it.

One pass over the packets of the point that its opener's packets reach first; the rest is columns. Zeek's `conn_state` and
`history` come out of the same pass (https://docs.zeek.org/en/master/scripts/base/protocols/conn/main.zeek.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.columns import views
from analyzer.capture.layout import TCP_ACK, TCP_SYN
from analyzer.compute.thresholds import FIRST_TIMEOUT, FLOODED
from analyzer.connection import elsewhere
from analyzer.connection.equals import handed_on
from analyzer.flow import tally
from analyzer.flow.point import TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.connection.chain import Chains
    from analyzer.flow.point import Point

OUTCOMES = (
    "ok",
    "delayed",
    "refused",
    "timed-out",
    "reset",
    "stalled",
    "unfinished",
    "unanswered",
    "one-way",
)
OK, DELAYED, REFUSED, TIMED_OUT, RESET, STALLED, UNFINISHED, UNANSWERED, ONE_WAY = range(9)
ASKING = (53, 67, 69, 88, 123, 161, 389, 443, 500, 4500, 5060)
"""UDP ports whose services answer what they are asked: DNS, DHCP, TFTP, Kerberos, NTP, SNMP, LDAP, QUIC, IKE, SIP. To others,
such as syslog and statsd, a flow without an answer is one-way where none to that port is ever answered."""
ANSWERING = (53, 88, 123, 161, 389)
"""Of these the ones that answer each request; what follows the last answer of others may be its receipt (QUIC, IKE)."""
ENOUGH = 3
"""Requests in a row that must be without answer before a flow that was answered earlier is called unanswered."""
MOST = 100_000
"""Half-open connections of one point that are looked at."""
NONE = -1


@dataclass(slots=True, kw_only=True)
class Outcomes:
    """One row per connection, as `Chains` has them."""

    code: NDArray[np.int8]
    """Index into `OUTCOMES`."""
    by: NDArray[np.int8]
    """Of `reset`: 0 the opener, 1 the responder; else -1."""
    proto: NDArray[np.uint8]
    first: NDArray[np.int64]
    """ns of the first packet."""
    last: NDArray[np.int64]
    delay: NDArray[np.int64]
    """ns that a request had to be repeated for before it was answered; 0 where the first one was."""
    packets: NDArray[np.int64]
    """Both directions, at the connection's point."""
    deciding: NDArray[np.int32]
    """Row, at the connection's point, of the packet whose loss or refusal explains an outcome other than success; -1."""
    side: NDArray[np.int8]
    """Who sent that packet: 0 the opener, 1 the responder."""
    strange: NDArray[np.bool_]
    """Whether an ACK that fits no SYN of its came before any SYN-ACK: a challenge ACK (RFC 5961 section 4.2)."""
    unheard: NDArray[np.bool_]
    """Whether it timed out although its SYN-ACK came: sent again and again, since the opener acknowledged none."""
    reset: NDArray[np.int32]
    """Row, at the connection's point, of the responder's first RST; -1 without one."""
    repeated: NDArray[np.int32]
    """Segments with data that were sent again, both sides."""
    state: NDArray[np.int8]
    """Index into `STATES`."""
    history: NDArray[np.uint8]
    """Letters, 0 where there is none; one row of them per connection."""

    def letters(self, index: int) -> str:
        """Zeek's `history` of a connection."""
        return bytes(self.history[index]).rstrip(b"\0").decode("ascii")


STATES = ("OTH", "S0", "S1", "SF", "REJ", "S2", "S3", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR")


def outcomes(
    chains: Chains,
    refused: NDArray[np.bool_],
    lost: NDArray[np.bool_],
    open_: NDArray[np.bool_],
    delivered: NDArray[np.bool_],
    own: NDArray[np.bool_],
    undelivered: int,
) -> Outcomes:
    """Say what became of every connection.

    Args:
        chains: All connections.
        refused: Which of them an ICMP error refused.
        lost: Which of them lost a packet in this node.
        open_: Of which of them nobody can tell whether they lost one.
        delivered: Which of them had a reply that got further towards the opener, perhaps not as the same flow.
        own: Which of them are for the node itself.
        undelivered: Datagrams that found no socket on the node, or no room at one, as the kernel counted.
    """
    n = len(chains)
    seen, high, acked = np.zeros((n, 2), np.uint16), np.zeros((n, 2), np.uint32), np.zeros((n, 2), np.uint32)
    again, repeated = np.zeros((n, 2), np.int32), np.full((n, 2), NONE, np.int32)
    syn, last = np.full((n, 3), NONE, np.int32), np.full(n, NONE, np.int32)
    reset, begun = np.full((n, 2), NONE, np.int32), np.full((n, 2), NONE, np.int32)
    history = np.zeros((n, 12), np.uint8)
    unheard, mute, watched = np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, bool)
    stopped = np.full(n, NONE, np.int32)
    proto, ended, dport = np.zeros(n, np.uint8), np.zeros(n, np.int64), np.zeros(n, np.int32)
    sent = np.zeros((n, 2), np.int64)
    first, final = np.full(n, NONE, np.int64), np.full(n, NONE, np.int64)
    for number, point in enumerate(chains.points):
        # An answer would have shown at any of its points.
        mine = chains.met(number)
        ended[mine] = np.maximum(ended[mine], point.recording_span[1])
        watched[mine] |= point.both_ways
        here = slice(*np.searchsorted(chains.point, (number, number + 1)).tolist())
        p, flow = point.packets, chains.flow[here]
        if not len(flow):
            continue
        columns = views(p.flow, p.bits, p.flags, p.window, p.seq, p.ack, p.length, point.flows.proto)
        tally.tally(
            chains.slots(number).data, *columns, seen, high, acked, again, repeated, syn, reset, begun, last, history
        )  # fmt: skip
        proto[here] = point.flows.proto.take(flow)
        dport[here] = point.flows.ports.take(flow) & 0xFFFF
        sent[here] = np.diff(point.starts).reshape(-1, 2).take(flow, axis=0)
        twice = here.start + np.flatnonzero((syn[here, 0] != syn[here, 1]) & (syn[here, 1] >= 0))
        copied = twice[handed_on(point, *syn[twice, :2].T)]
        syn[copied, 1] = syn[copied, 0]
        unheard[here] = _unheard(point, flow, seen[here], syn[here, 2])
        mute[here] = _mute(point, flow, begun[here], repeated[here])
        stopped[here] = np.maximum(_stopped(point, flow, ended[here]), _shut(point, flow, syn[here, 2]))
        first[here], final[here] = _earlier(p.time, begun[here]), p.time.take(last[here])
    code, by, side = np.zeros(n, np.int8), np.full(n, NONE, np.int8), np.zeros(n, np.int8)
    deciding, delay = np.full(n, NONE, np.int32), np.zeros(n, np.int64)
    # What was answered at once, and ended in peace, is most of all.
    plain = (syn[:, 2] >= 0) & (syn[:, 0] == syn[:, 1]) & (reset < 0).all(1) & ~unheard
    plain &= ((seen[:, 0] | seen[:, 1]) & tally.STUCK) == 0
    seen[:, 0] |= elsewhere.opener(chains, ~plain)
    some = np.flatnonzero(~np.where(proto == TCP, plain, sent[:, 1] > 0))
    columns = (
        proto,
        sent,
        seen,
        high,
        acked,
        repeated,
        syn,
        reset,
        begun,
        refused,
        unheard,
        mute & watched,
        delivered,
        ended,
    )
    part = [
        column.take(some, axis=0) for column in columns
    ]  # of two dimensions ten times as fast as `[some]`
    part.append(_times(chains, some, np.hstack([syn, reset]).take(some, axis=0)))
    code[some], by[some], deciding[some], side[some], delay[some] = _decide(*part)
    waited = elsewhere.repeated(chains, code == OK)
    slow = waited > 0
    code[slow], delay[slow], deciding[slow] = DELAYED, waited[slow], syn[slow, 0]
    late = (stopped >= 0) & (code == OK)
    code[late], deciding[late] = np.where(proto[late] == TCP, STALLED, UNANSWERED), stopped[late]
    unasked = np.flatnonzero((code == UNANSWERED) & ~lost & (proto == UDP))
    unasked = unasked[~np.isin(dport[unasked], ASKING, kind="table")]
    answering = (proto == UDP) & (sent[:, 0] > 0) & (sent[:, 1] > 0)
    unasked = unasked[~np.isin(dport[unasked], dport[answering])]
    # Nor does what may have found no socket: the error that says so may have been dropped, or not sent (`icmp_ratelimit`).
    undelivered -= int(sent[own & (code == REFUSED) & (proto == UDP), 0].sum())
    unasked = unasked[~own[unasked] | (sent[unasked, 0] > undelivered)]
    # What may have been lost passes for such only where others to that port demonstrably got away.
    away = dport[unasked[~open_[unasked]]]
    code[unasked[~open_[unasked] | np.isin(dport[unasked], away)]] = ONE_WAY
    return Outcomes(
        code=code,
        by=by,
        proto=proto,
        first=first,
        last=final,
        delay=delay,
        packets=sent.sum(1),
        deciding=deciding,
        side=side,
        unheard=unheard & (code == TIMED_OUT),
        strange=(seen[:, 1] & tally.STRANGE != 0) & (proto == TCP),
        reset=reset[:, 1],
        repeated=again.sum(1).astype(np.int32),
        state=_states(proto, sent, seen, syn),
        history=history,
    )


def _unheard(
    point: Point, flow: NDArray[np.int32], seen: NDArray[np.uint16], first: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Whose SYN-ACK was sent again while the opener sent nothing but SYNs: it never got to the opener, or was not taken there."""
    found = np.zeros(len(flow), bool)
    more = tally.ACK | tally.DATA | tally.FIN
    some = np.flatnonzero((first >= 0) & (seen[:, 0] & (more | tally.RST) == 0) & (seen[:, 1] & more == 0))
    packets = point.packets
    for i in some[:MOST].tolist():
        rows = point.rows(int(flow[i]), 1)
        again = rows[packets.flags[rows] & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK]
        # A bridge with br_netfilter hands one packet on twice.
        found[i] = packets.time[again[-1]] - packets.time[again[0]] > FLOODED
    return found


def _mute(
    point: Point, flow: NDArray[np.int32], begun: NDArray[np.int32], repeated: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Flows of which one side sends nothing and the other repeats itself to the end: had it an answer, new data would follow."""
    found = np.zeros(len(flow), bool)
    alone = ((begun >= 0).sum(1) == 1) & (repeated >= 0).any(1)
    packets = point.packets
    for i in np.flatnonzero(alone)[:MOST].tolist():
        side = int(repeated[i, 1] >= 0)
        rows = point.rows(int(flow[i]), side)
        ends = (packets.seq[rows] + packets.length[rows].astype(np.uint32) - packets.seq[rows[0]]).view(
            np.int32
        )
        later = rows > repeated[i, side]
        found[i] = not later.any() or ends[later].max() <= ends[~later].max()
    return found


def _stopped(point: Point, flow: NDArray[np.int32], ended: NDArray[np.int64]) -> NDArray[np.int32]:
    """Of UDP flows that were answered until then, the first of the last requests, which nobody answered; else -1."""
    found = np.full(len(flow), NONE, np.int32)
    flows, packets, starts = point.flows, point.packets, point.starts
    some = np.flatnonzero(flows.proto.take(flow) == UDP)
    some = some[np.isin(flows.ports[flow[some]] & 0xFFFF, ANSWERING, kind="table")]
    middle, end = (starts[2 * flow[some].astype(np.int64) + side] for side in (1, 2))
    last = end > middle
    last[last] = point.order[middle[last] - 1] > point.order[end[last] - 1]
    for i in some[last][:MOST].tolist():
        asked = point.rows(int(flow[i]), 0)
        asked = asked[asked > point.rows(int(flow[i]), 1)[-1]]
        # A bridge with br_netfilter hands one packet on twice.
        times = (np.diff(packets.time[asked]) > FLOODED).sum() + 1
        if times >= ENOUGH and ended[i] - packets.time[asked[0]] >= FIRST_TIMEOUT:
            found[i] = asked[0]
    return found


def _shut(point: Point, flow: NDArray[np.int32], answer: NDArray[np.int32]) -> NDArray[np.int32]:
    """Of TCP flows whose window stayed 0 from the SYN-ACK on, the first of the probes of it that nobody answered; else -1.

    So SYNPROXY accepts for a server that it cannot reach (net/netfilter/nf_synproxy_core.c, `synproxy_send_client_synack`).
    """
    found = np.full(len(flow), NONE, np.int32)
    packets = point.packets
    some = np.flatnonzero(answer >= 0)
    for i in some[packets.window.take(answer[some]) == 0][:MOST].tolist():
        came, sent = point.rows(int(flow[i]), 1), point.rows(int(flow[i]), 0)
        sent = sent[sent > answer[i]]  # a listing may lack all windows
        if len(sent) >= ENOUGH and packets.window[sent].any() and not packets.window[came].any():
            found[i] = sent[1]
    return found


def _earlier(time: NDArray[np.int64], rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """The time of the earlier of both sides' first packets; a side may have none."""
    one, other = np.where(rows >= 0, time.take(rows), np.iinfo(np.int64).max).T
    earlier: NDArray[np.int64] = np.minimum(one, other)
    return earlier


def _times(chains: Chains, some: NDArray[np.int64], rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """When these packets of some connections were sent, ns; -1 where there is none."""
    times = np.full(rows.shape, NONE, np.int64)
    for number, point in enumerate(chains.points):
        mine = (chains.point[some] == number)[:, None] & (rows >= 0)
        times[mine] = point.packets.time[rows[mine]]
    return times


def _decide(  # type: ignore[no-untyped-def]
    proto,
    sent,
    seen,
    high,
    acked,
    repeated,
    syn,
    reset,
    begun,
    refused,
    unheard,
    mute,
    delivered,
    ended,
    times,
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int32], NDArray[np.int8], NDArray[np.int64]]:
    """Code, by whom, the deciding row, its sender, and the delay; of some connections, as `outcomes` has them of all."""
    n = len(proto)
    first_syn, last_syn = times[:, :2].T
    reset_by = times[:, 3:]
    tcp = proto == TCP
    opened, answered = syn[:, 0] >= 0, (syn[:, 2] >= 0) & ~unheard
    spoke = (seen & (tally.ACK | tally.DATA | tally.FIN)) != 0
    # An opener that goes on had its answer, whether or not the capture has it (`tcpdump -Q in`), or has it in this flow.
    went_on = seen[:, 0] & tally.WENT_ON != 0
    established = answered | (~opened & (spoke.all(1) | mute)) | (opened & went_on)
    rst_first = reset_by.view(np.uint64).argmin(1)  # without a RST, -1, a side comes last
    any_reset = (reset >= 0).any(1)
    fin = (seen & tally.FIN != 0).any(1)
    # An opener that aborts when all that both sent is acknowledged ends the connection and loses nothing.
    owed = np.zeros((n, 2), bool)
    for side in (0, 1):
        unacked = (acked[:, side] - high[:, side]).view(np.int32) < 0
        owed[:, side] = (seen[:, side] & tally.HELD != 0) & (unacked | (seen[:, side] & tally.ACKED == 0))
    stuck = owed & (seen & tally.STUCK != 0)
    reset_ = established & any_reset & ~fin & ~((rst_first == 0) & spoke.all(1) & ~owed.any(1))
    stalled = established & ~any_reset & stuck.any(1)
    short = (syn[:, 0] == syn[:, 1]) & (ended - first_syn < FIRST_TIMEOUT)
    delayed = opened & (answered | ((syn[:, 2] < 0) & went_on)) & (last_syn > first_syn)
    # A challenge ACK is an answer: the peer knows another connection of these ends, and will have none beside it.
    challenged = seen[:, 1] & tally.STRANGE != 0
    refused_tcp = opened & ~established & ((reset[:, 1] >= 0) | refused | challenged)
    waiting = (opened | unheard) & ~established & ~refused_tcp
    code = np.select(
        [~tcp & ((sent[:, 1] > 0) | delivered), ~tcp & refused, ~tcp,
         refused_tcp, waiting & short & ~any_reset & ~unheard, waiting, reset_, stalled, delayed],
        [OK, REFUSED, UNANSWERED,
         REFUSED, UNFINISHED, TIMED_OUT, RESET, STALLED, DELAYED],
        OK,
    ).astype(np.int8)  # fmt: skip
    by = np.where(code == RESET, rst_first, NONE).astype(np.int8)
    sender = np.zeros(n, np.int8)
    deciding = np.full(n, NONE, np.int32)
    asks = np.isin(code, (REFUSED, TIMED_OUT, DELAYED)) & tcp
    deciding[asks] = syn[asks, 0]
    deciding[unheard & asks] = syn[unheard & asks, 2]
    sender[unheard & asks] = 1
    silent = np.isin(code, (UNANSWERED, REFUSED)) & ~tcp
    deciding[silent] = begun[silent, 0]
    sat = code == STALLED
    sender[sat] = np.where(stuck[sat, 0], 0, 1)
    deciding[sat] = np.where(stuck[sat, 0], repeated[sat, 0], repeated[sat, 1])
    cut = code == RESET
    sender[cut] = rst_first[cut]
    deciding[cut] = reset[cut, rst_first[cut]]
    return code, by, deciding, sender, np.where(code == DELAYED, last_syn - first_syn, 0)


def _states(proto, sent, seen, syn) -> NDArray[np.int8]:  # type: ignore[no-untyped-def]
    """Zeek's `conn_state`; of TCP six bits decide it, so it is asked for each of their values once."""
    number = {name: n for n, name in enumerate(STATES)}
    opened, answered, half, rst, half_back, rst_back = (np.arange(64) >> bit & 1 == 1 for bit in range(6))
    up = opened & answered
    pairs = [
        (up & rst, "RSTO"),
        (up & rst_back, "RSTR"),
        (opened & ~answered & rst_back, "REJ"),
        (opened & ~answered & rst, "RSTOS0"),
        (~opened & answered & rst_back, "RSTRH"),
        (opened & ~answered & half, "SH"),
        (~opened & answered & half_back, "SHR"),
        (opened & ~answered, "S0"),
        (up & half & half_back, "SF"),
        (up & half, "S2"),
        (up & half_back, "S3"),
        (up, "S1"),
    ]
    of = np.select([mask for mask, _ in pairs], [number[name] for _, name in pairs], number["OTH"])
    # FIN and RST are bits side by side.
    ended = (seen & (tally.FIN | tally.RST)) // tally.FIN
    found: NDArray[np.int8] = of.astype(np.int8)[
        (syn[:, 0] >= 0) + 2 * (syn[:, 2] >= 0) + 4 * ended[:, 0] + 16 * ended[:, 1]
    ]
    other = np.flatnonzero(proto != TCP)
    asked, back = (sent[other] > 0).T
    of_udp = np.select([asked & back, asked], [number["SF"], number["S0"]], number["SHR"])
    found[other] = np.where(proto[other] == UDP, of_udp, number["OTH"])
    return found
