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
) -> Outcomes:
    """Say what became of every connection.

    Args:
        chains: All connections.
        refused: Which of them an ICMP error refused.
        lost: Which of them lost a packet in this node.
        open_: Of which of them nobody can tell whether they lost one.
        delivered: Which of them had a reply that got further towards the opener, perhaps not as the same flow.
    """
    n = len(chains)
    seen, high, acked = np.zeros((n, 2), np.uint16), np.zeros((n, 2), np.uint32), np.zeros((n, 2), np.uint32)
    again, repeated = np.zeros((n, 2), np.int32), np.full((n, 2), NONE, np.int32)
    syn, reset, last = (
        np.full((n, 3), NONE, np.int32),
        np.full((n, 2), NONE, np.int32),
        np.full(n, NONE, np.int32),
    )
    history = np.zeros((n, 12), np.uint8)
    unheard = np.zeros(n, bool)
    stopped = np.full(n, NONE, np.int32)
    proto, ended, dport = np.zeros(n, np.uint8), np.zeros(n, np.int64), np.zeros(n, np.int32)
    sent = np.zeros((n, 2), np.int64)
    time = _Times(n)
    for number, point in enumerate(chains.points):
        # An answer would have shown at any of its points.
        mine = chains.of[number][chains.of[number] >= 0]
        ended[mine] = np.maximum(ended[mine], point.recording_span[1])
        here = np.flatnonzero(chains.point == number)
        if not len(here):
            continue
        p, flow = point.packets, chains.flow[here]
        columns = views(p.flow, p.bits, p.flags, p.window, p.seq, p.ack, p.length, point.flows.proto)
        tally.tally(
            chains.slots(number).data, *columns, seen, high, acked, again, repeated, syn, reset, last, history
        )
        proto[here] = point.flows.proto[flow]
        dport[here] = point.flows.ports[flow] & 0xFFFF
        starts = point.starts
        both = 2 * flow.astype(np.int64)
        sent[here, 0] = starts[both + 1] - starts[both]
        sent[here, 1] = starts[both + 2] - starts[both + 1]
        _copies(point, syn, here)
        unheard[here] = _unheard(point, flow, seen[here], syn[here, 2])
        stopped[here] = _stopped(point, flow, ended[here])
        time.take(point, here, flow, syn, reset, last)
    code, by, deciding, side = _decide(
        proto, sent, seen, high, acked, repeated, syn, reset, refused, unheard, delivered, time, ended
    )
    late = (stopped >= 0) & (code == OK)
    code[late], deciding[late] = UNANSWERED, stopped[late]
    unasked = (code == UNANSWERED) & ~lost & (proto == UDP) & ~np.isin(dport, ASKING)
    unasked &= ~np.isin(dport, dport[(proto == UDP) & (sent > 0).all(1)])
    # What may have been lost passes for such only where others to that port demonstrably got away.
    unasked &= ~open_ | np.isin(dport, dport[unasked & ~open_])
    code[unasked] = ONE_WAY
    return Outcomes(
        code=code,
        by=by,
        proto=proto,
        first=time.first,
        last=time.last,
        delay=np.where(code == DELAYED, time.last_syn - time.first_syn, 0),
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


def _copies(point: Point, syn: NDArray[np.int32], here: NDArray[np.int64]) -> None:
    """Take a SYN that is the first one once more for no repetition; in place.

    A bridge with br_netfilter hands a packet on twice. One that was sent again has another IP ID or TSval.
    """
    packets = point.packets
    some = here[(syn[here, 0] >= 0) & (syn[here, 1] != syn[here, 0])]
    first, last = syn[some, 0], syn[some, 1]
    same = (packets.print[first] == packets.print[last]) & (packets.ip_id[first] == packets.ip_id[last])
    same &= (packets.ip_id[first] != 0) | (packets.time[last] - packets.time[first] <= FLOODED)
    syn[some[same], 1] = first[same]


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


def _stopped(point: Point, flow: NDArray[np.int32], ended: NDArray[np.int64]) -> NDArray[np.int32]:
    """Of UDP flows that were answered until then, the first of the last requests, which nobody answered; else -1."""
    found = np.full(len(flow), NONE, np.int32)
    flows, packets, starts = point.flows, point.packets, point.starts
    both = 2 * flow.astype(np.int64)
    begin, middle, end = starts[both], starts[both + 1], starts[both + 2]
    some = (flows.proto[flow] == UDP) & np.isin(flows.ports[flow] & 0xFFFF, ANSWERING)
    some &= (middle - begin >= ENOUGH) & (end > middle)
    some = np.flatnonzero(some)
    some = some[point.order[middle[some] - 1] > point.order[end[some] - 1]]
    for i in some[:MOST].tolist():
        asked = point.order[begin[i] : middle[i]]
        asked = asked[asked > point.order[end[i] - 1]]
        # A bridge with br_netfilter hands one packet on twice.
        often = (np.diff(packets.time[asked]) > FLOODED).sum() + 1
        if often >= ENOUGH and ended[i] - packets.time[asked[0]] >= FIRST_TIMEOUT:
            found[i] = asked[0]
    return found


class _Times:
    """When the packets were sent that decide; ns, -1 where there is none."""

    def __init__(self, n: int) -> None:
        self.first, self.last = np.full(n, NONE, np.int64), np.full(n, NONE, np.int64)
        self.first_syn, self.last_syn, self.answer = (np.full(n, NONE, np.int64) for _ in range(3))
        self.reset = np.full((n, 2), NONE, np.int64)
        self.first_row = np.full(n, NONE, np.int32)

    def take(self, point, here, flow, syn, reset, last) -> None:  # type: ignore[no-untyped-def]
        times = point.packets.time
        both = 2 * flow.astype(np.int64)
        order = point.order
        for side in (0, 1):
            some = point.starts[both + side + 1] > point.starts[both + side]
            rows = order[point.starts[both + side][some]]
            at = here[some]
            earlier = (self.first[at] < 0) | (times[rows] < self.first[at])
            self.first[at[earlier]], self.first_row[at[earlier]] = times[rows[earlier]], rows[earlier]
        self.last[here] = times[last[here]]
        for column, rows in (
            (self.first_syn, syn[here, 0]),
            (self.last_syn, syn[here, 1]),
            (self.answer, syn[here, 2]),
        ):
            column[here] = np.where(rows >= 0, times[rows], NONE)
        for side in (0, 1):
            rows = reset[here, side]
            self.reset[here, side] = np.where(rows >= 0, times[rows], NONE)


def _decide(  # type: ignore[no-untyped-def]
    proto, sent, seen, high, acked, repeated, syn, reset, refused, unheard, delivered, time, ended
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.int32], NDArray[np.int8]]:
    n = len(proto)
    tcp = proto == TCP
    opened, answered = syn[:, 0] >= 0, (syn[:, 2] >= 0) & ~unheard
    spoke = (seen & (tally.ACK | tally.DATA | tally.FIN)) != 0
    # An opener that goes on had its answer, whether or not the capture has it (`tcpdump -Q in`).
    went_on = seen[:, 0] & (tally.ACK | tally.DATA) != 0
    established = answered | (~opened & spoke.all(1)) | (opened & went_on & (seen[:, 1] & tally.STRANGE == 0))
    rst_first = np.where(
        (time.reset[:, 0] >= 0) & ((time.reset[:, 1] < 0) | (time.reset[:, 0] <= time.reset[:, 1])), 0, 1
    )
    any_reset = (reset >= 0).any(1)
    by_opener = any_reset & (rst_first == 0)
    fin = (seen & tally.FIN != 0).any(1)
    # An opener that aborts when all that both sent is acknowledged ends the connection and loses nothing.
    owed = np.zeros((n, 2), bool)
    for side in (0, 1):
        unacked = (acked[:, side] - high[:, side]).view(np.int32) < 0
        owed[:, side] = (seen[:, side] & tally.HELD != 0) & (unacked | (seen[:, side] & tally.ACKED == 0))
    stuck = owed & (seen & tally.STUCK != 0)
    reset_ = established & any_reset & ~fin & ~(by_opener & spoke.all(1) & ~owed.any(1))
    stalled = established & ~any_reset & stuck.any(1)
    short = (syn[:, 0] == syn[:, 1]) & (ended - time.first_syn < FIRST_TIMEOUT)
    # Nearer to the last SYN than to the first one: the times of a capture may be out of order by a little.
    again = time.last_syn > time.first_syn
    delayed = answered & opened & again & (2 * time.answer >= time.first_syn + time.last_syn)
    delayed |= opened & (syn[:, 2] < 0) & went_on & again
    # A challenge ACK is an answer: the peer knows another connection of these ends, and will have none beside it.
    challenged = seen[:, 1] & tally.STRANGE != 0
    refused_tcp = opened & ~established & ((reset[:, 1] >= 0) | refused | challenged)
    waiting = (opened | unheard) & ~established & ~refused_tcp
    code = np.select(
        [~tcp & ((sent[:, 1] > 0) | delivered), ~tcp & refused, ~tcp & (sent[:, 0] > 0), ~tcp,
         refused_tcp, waiting & short & ~any_reset & ~unheard, waiting, reset_, stalled, delayed],
        [OK, REFUSED, UNANSWERED, OK,
         REFUSED, UNFINISHED, TIMED_OUT, RESET, STALLED, DELAYED],
        OK,
    ).astype(np.int8)  # fmt: skip
    by = np.where(code == RESET, np.where(by_opener, 0, 1), NONE).astype(np.int8)
    sender = np.zeros(n, np.int8)
    deciding = np.full(n, NONE, np.int32)
    asks = np.isin(code, (REFUSED, TIMED_OUT, DELAYED)) & tcp
    deciding[asks] = syn[asks, 0]
    deciding[unheard & asks] = syn[unheard & asks, 2]
    sender[unheard & asks] = 1
    silent = np.isin(code, (UNANSWERED, REFUSED)) & ~tcp
    deciding[silent] = time.first_row[silent]
    sat = code == STALLED
    sender[sat] = np.where(stuck[sat, 0], 0, 1)
    deciding[sat] = np.where(stuck[sat, 0], repeated[sat, 0], repeated[sat, 1])
    cut = code == RESET
    sender[cut] = rst_first[cut]
    deciding[cut] = reset[cut, rst_first[cut]]
    return code, by, deciding, sender


def _states(proto, sent, seen, syn) -> NDArray[np.int8]:  # type: ignore[no-untyped-def]
    """Zeek's `conn_state`."""
    number = {name: n for n, name in enumerate(STATES)}
    tcp = proto == TCP
    opened, answered = syn[:, 0] >= 0, syn[:, 2] >= 0
    half = seen[:, 0] & tally.FIN != 0, seen[:, 1] & tally.FIN != 0
    rst = seen[:, 0] & tally.RST != 0, seen[:, 1] & tally.RST != 0
    up = opened & answered
    pairs = [
        (~tcp & (proto == UDP) & (sent > 0).all(1), "SF"),
        (~tcp & (proto == UDP) & (sent[:, 0] > 0), "S0"),
        (~tcp & (proto == UDP), "SHR"),
        (~tcp, "OTH"),
        (up & rst[0], "RSTO"),
        (up & rst[1], "RSTR"),
        (opened & ~answered & rst[1], "REJ"),
        (opened & ~answered & rst[0], "RSTOS0"),
        (~opened & answered & rst[1], "RSTRH"),
        (opened & ~answered & half[0], "SH"),
        (~opened & answered & half[1], "SHR"),
        (opened & ~answered, "S0"),
        (up & half[0] & half[1], "SF"),
        (up & half[0], "S2"),
        (up & half[1], "S3"),
        (up, "S1"),
    ]
    return np.select([mask for mask, _ in pairs], [number[name] for _, name in pairs], number["OTH"]).astype(
        np.int8
    )
