"""The hot loop of entries: what each flow's entry in conntrack's table has come to, packet by packet.

Compiled by the package build; runs uncompiled with the same results (`tests/conntrack/test_ageing.py`). One row of
`state` per flow is carried from slice to slice; an entry that ends before its flow does is written to `ended`.
"""

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

from analyzer.capture import layout

REPLY = cython.declare(cython.int, layout.REPLY)
UNTRACKED = cython.declare(cython.int, layout.FRAGMENT | layout.QUOTES)
TCP_FIN = cython.declare(cython.int, layout.TCP_FIN)
TCP_SYN = cython.declare(cython.int, layout.TCP_SYN)
TCP_RST = cython.declare(cython.int, layout.TCP_RST)
TCP_ACK = cython.declare(cython.int, layout.TCP_ACK)

# What an entry has seen. Of its flow, whatever entries it had:
EXISTS, FRESH, HEARD, CLOSED = 1, 2, 4, 8  # a packet; the originator's SYN; an answer; a FIN or RST
# Of TCP:
OPENED, ANSWERED, ACCEPTED, SYN = 16, 32, 64, 128  # the originator's SYN, an answer, its ACK, any SYN
FIN_ORIG, FIN_RESP, RESET, ENDS_IN_FIN = 256, 512, 1024, 2048
ALIVE, MIDSTREAM, AGAIN = (
    4096,
    8192,
    16384,
)  # anything but a RST; a bare ACK; it follows an entry that expired
# Of everything else:
FIRST_REPLY, OTHER_WAY, STREAM = 16, 32, 64  # who began; the other side spoke; UDP that counts as a stream

C_EXISTS = cython.declare(cython.int, EXISTS)
C_FRESH = cython.declare(cython.int, FRESH)
C_HEARD = cython.declare(cython.int, HEARD)
C_CLOSED = cython.declare(cython.int, CLOSED)
C_OF_FLOW = cython.declare(cython.int, EXISTS | FRESH | HEARD | CLOSED)
C_OPENED = cython.declare(cython.int, OPENED)
C_ANSWERED = cython.declare(cython.int, ANSWERED)
C_ACCEPTED = cython.declare(cython.int, ACCEPTED)
C_SYN = cython.declare(cython.int, SYN)
C_FIN_ORIG = cython.declare(cython.int, FIN_ORIG)
C_FIN_RESP = cython.declare(cython.int, FIN_RESP)
C_RESET = cython.declare(cython.int, RESET)
C_ENDS_IN_FIN = cython.declare(cython.int, ENDS_IN_FIN)
C_ALIVE = cython.declare(cython.int, ALIVE)
C_MIDSTREAM = cython.declare(cython.int, MIDSTREAM)
C_AGAIN = cython.declare(cython.int, AGAIN)
C_FIRST_REPLY = cython.declare(cython.int, FIRST_REPLY)
C_OTHER_WAY = cython.declare(cython.int, OTHER_WAY)
C_STREAM = cython.declare(cython.int, STREAM)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def told(flags: cython.int, reply: cython.int) -> cython.int:
    """What one TCP segment adds to what its entry has seen."""
    bits: cython.int = C_EXISTS
    ack: cython.int = flags & TCP_ACK
    if flags & TCP_RST:
        bits |= C_RESET | C_CLOSED
    else:
        bits |= C_ALIVE
        if reply:
            bits |= C_ANSWERED | C_HEARD
        elif ack:
            bits |= C_ACCEPTED
    if flags & TCP_FIN:
        bits |= (C_FIN_RESP if reply else C_FIN_ORIG) | C_ENDS_IN_FIN | C_CLOSED
    if flags & TCP_SYN:
        bits |= C_SYN
        if not ack and not reply:
            bits |= C_OPENED | C_FRESH
    elif ack and not flags & (TCP_FIN | TCP_RST):
        bits |= C_MIDSTREAM
    return bits


@cython.boundscheck(False)  # every index is a row or a flow of ours
def age(
    begin: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    flow: cython.int[::1],
    bits: cython.uchar[::1],
    flags: cython.ushort[::1],
    time: cython.longlong[::1],
    lost: cython.longlong[::1],
    proto: cython.uchar[::1],
    counts: cython.uchar[::1],
    short: cython.longlong[::1],
    long: cython.longlong[::1],
    idle: cython.longlong,
    waits: cython.longlong,
    first: cython.longlong[::1],
    last: cython.longlong[::1],
    state: cython.ushort[::1],
    ended_flow: cython.int[::1],
    ended_first: cython.longlong[::1],
    ended_last: cython.longlong[::1],
    ended_state: cython.ushort[::1],
) -> cython.Py_ssize_t:
    """Let the entries age through a slice of rows.

    Args:
        begin: The first row.
        stop: The row behind the last one.
        flow: Each row's flow.
        bits: Each row's bits.
        flags: Each row's TCP flags.
        time: Each row's time, ns.
        lost: Rows that made no entry, ascending, and one number behind all rows.
        proto: Each flow's protocol.
        counts: Per flow, 1 if it has an entry of its own.
        short: int64[256], per protocol the ns after which an entry without a state expires.
        long: int64[256], the same of a stream.
        idle: ns after which an established TCP connection's entry expires.
        waits: ns from an entry's first packet within which it does not become a stream; -1 if it does at once.
        first: Per flow, its entry's first packet's time, ns.
        last: Per flow, its entry's last packet's time.
        state: Per flow, what its entry has seen; zero at first.
        ended_flow: As long as the slice; filled with the flows whose entry expired before this packet.
        ended_first: As long; their `first`, and so on.
        ended_last: See there.
        ended_state: See there.

    Returns:
        How many entries expired.
    """
    count: cython.Py_ssize_t = 0
    row: cython.Py_ssize_t
    gone: cython.Py_ssize_t = 0
    f: cython.int
    p: cython.int
    seen: cython.int
    reply: cython.int
    expired: cython.bint
    pause: cython.longlong
    with cython.nogil:
        while lost[gone] < begin:
            gone += 1
        for row in range(begin, stop):
            if lost[gone] == row:
                gone += 1
                continue
            f = flow[row]
            if not counts[f] or bits[row] & UNTRACKED:
                continue
            p = proto[f]
            reply = bits[row] & REPLY
            seen = state[f]
            pause = time[row] - last[f]
            if p == 6:
                # An idle connection that was established outlives its entry; what it sends then is met mid-stream.
                expired = pause >= idle and seen & C_HEARD and not seen & C_CLOSED
            else:
                expired = pause >= short[p] and (not seen & C_STREAM or pause >= long[p])
            if seen and expired:
                ended_flow[count] = f
                ended_first[count] = first[f]
                ended_last[count] = last[f]
                ended_state[count] = cython.cast(cython.ushort, seen)
                count += 1
                seen = seen & C_OF_FLOW | C_AGAIN if p == 6 else 0
            if not seen or expired:
                first[f] = time[row]
                if p != 6:
                    seen = C_EXISTS | (C_FIRST_REPLY if reply else 0)
            if p == 6:
                seen = seen & ~C_ENDS_IN_FIN | told(flags[row], reply)
            else:
                if p == 17 and seen & C_OTHER_WAY and time[row] - first[f] > waits:
                    seen |= C_STREAM
                if (seen & C_FIRST_REPLY != 0) != (reply != 0):
                    seen |= C_OTHER_WAY
            last[f] = time[row]
            state[f] = cython.cast(cython.ushort, seen)
    return count
