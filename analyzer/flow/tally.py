"""The hot loop that sums up connections: which packets each had, and which of them had to be sent again.

Compiled by the package build; runs uncompiled with the same results (`tests/flow/test_tally.py`).
"""

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

LETTERS = cython.declare(cython.int, 12)  # of a history at most
M32 = cython.declare(cython.uint, 0xFFFFFFFF)  # compiled, sums and differences wrap by themselves
HALF = cython.declare(cython.uint, 0x80000000)  # ahead by less than that is ahead (RFC 9293 section 3.4)
# Bits of a side's `seen`, in the order of Zeek's letters below.
SYN = 1
SYN_ACK = 2
ACK = 4
DATA = 8
FIN = 16
RST = 32
HELD = 256  # `high` is known
ACKED = 512  # `acked` is known
STRANGE = 1024  # an ACK came before any SYN-ACK: it acknowledges another connection
STUCK = 2048  # the first byte (or FIN) that is not acknowledged was sent again, and still is not
WENT_ON = 4096  # after its SYN the opener sent an ACK or data, so it had the SYN-ACK


@cython.boundscheck(False)  # every index is a row, a flow or a connection of ours
def tally(
    slot: cython.int[::1],
    flow: cython.int[::1],
    bits: cython.uchar[::1],
    flags: cython.ushort[::1],
    window: cython.ushort[::1],
    seq: cython.uint[::1],
    ack: cython.uint[::1],
    length: cython.int[::1],
    proto: cython.uchar[::1],
    seen: cython.ushort[:, ::1],
    high: cython.uint[:, ::1],
    acked: cython.uint[:, ::1],
    again: cython.int[:, ::1],
    repeated: cython.int[:, ::1],
    syn: cython.int[:, ::1],
    reset: cython.int[:, ::1],
    begun: cython.int[:, ::1],
    last: cython.int[::1],
    history: cython.uchar[:, ::1],
) -> None:
    """Sum up the packets of one point.

    Args:
        slot: Each flow's connection, -1 for flows that are not summed up here.
        flow: Each row's flow.
        bits: Each row's bits, 1 meaning "sent by the responder".
        flags: Each row's TCP flags.
        window: Each row's window.
        seq: Each row's sequence number.
        ack: Each row's acknowledgement number.
        length: Each row's payload.
        proto: Each flow's protocol.
        seen: Per connection and side the bits above.
        high: Per connection and side the end of the highest byte sent, a FIN counting as one.
        acked: Per connection and side the highest of its bytes that the other side acknowledged.
        again: Per connection and side how many segments with data were sent again.
        repeated: Per connection and side the row of the last repetition that began to be stuck: -1 without.
        syn: Per connection the rows of its first SYN, its last SYN before an answer, and the first SYN-ACK; -1 without.
        reset: Per connection and side the row of its first RST; -1 without.
        begun: Per connection and side the first row; -1 without.
        last: Per connection the last row.
        history: Per connection Zeek's letters, 0 where there is none; the originator's in capitals.
    """
    row: cython.Py_ssize_t
    c: cython.int
    side: cython.int
    some: cython.int
    new: cython.int
    n: cython.int
    bit: cython.int
    end: cython.uint
    ahead: cython.uint
    beyond: cython.uint
    with cython.nogil:
        for row in range(flow.shape[0]):
            c = slot[flow[row]]
            if c < 0:
                continue
            side = bits[row] & 1
            last[c] = cython.cast(cython.int, row)
            if begun[c, side] < 0:
                begun[c, side] = cython.cast(cython.int, row)
            new = 0
            if proto[flow[row]] == 6:
                some = flags[row]
                if some & 4:
                    new = 32
                    if reset[c, side] < 0:
                        reset[c, side] = cython.cast(cython.int, row)
                elif some & 2:
                    new = 2 if some & 16 else 1
                    if new == 1 and side == 0:
                        if syn[c, 0] < 0:
                            syn[c, 0] = cython.cast(cython.int, row)
                        if syn[c, 2] < 0:
                            syn[c, 1] = cython.cast(cython.int, row)
                    elif new == 2 and side == 1 and syn[c, 2] < 0:
                        syn[c, 2] = cython.cast(cython.int, row)
                else:
                    if some & 1:
                        new = 16
                    if length[row] > 0:
                        new |= 8
                    elif some & 16 and not some & 1:
                        new = 4
                        if side == 1 and syn[c, 0] >= 0 and syn[c, 2] < 0:
                            new |= 1024
                    if side == 0 and syn[c, 0] >= 0 and new & 12:
                        new |= 4096
                    if not window[row]:
                        new |= 128
                    if length[row] > 0 or some & 1:
                        end = (seq[row] + cython.cast(cython.uint, length[row]) + (some & 1)) & M32
                        ahead = (end - high[c, side]) & M32
                        # One byte of old data is a keepalive's (RFC 9293 section 3.8.4): nothing had to be repeated.
                        if not seen[c, side] & 256 or (ahead != 0 and ahead < HALF):
                            high[c, side] = end
                            new |= 256
                        elif length[row] > 1 or some & 1:
                            if not seen[c, side] & 2048:
                                ahead = (acked[c, side] - seq[row]) & M32
                                beyond = (end - acked[c, side] - 1) & M32
                                if not seen[c, side] & 512 or (ahead < HALF and beyond < HALF):
                                    seen[c, side] |= 2048
                                    repeated[c, side] = cython.cast(cython.int, row)
                            if length[row] > 1:
                                again[c, side] += 1
                                new |= 64
                if some & 16 and not some & 4:
                    ahead = (ack[row] - acked[c, 1 - side]) & M32
                    if not seen[c, 1 - side] & 512 or (ahead != 0 and ahead < HALF):
                        acked[c, 1 - side] = ack[row]
                        seen[c, 1 - side] = (seen[c, 1 - side] | 512) & 0xF7FF  # what was stuck arrived
            else:
                new = 8
            some = new & ~seen[c, side]
            seen[c, side] |= cython.cast(cython.ushort, new)
            if some & 255:
                n = 0
                while n < LETTERS and history[c, n]:
                    n += 1
                for bit in range(8):
                    if some & (1 << bit) and n < LETTERS:
                        if bit == 0:
                            history[c, n] = 115  # s
                        elif bit == 1:
                            history[c, n] = 104  # h
                        elif bit == 2:
                            history[c, n] = 97  # a
                        elif bit == 3:
                            history[c, n] = 100  # d
                        elif bit == 4:
                            history[c, n] = 102  # f
                        elif bit == 5:
                            history[c, n] = 114  # r
                        elif bit == 6:
                            history[c, n] = 116  # t
                        else:
                            history[c, n] = 119  # w
                        if side == 0:
                            history[c, n] -= 32
                        n += 1
