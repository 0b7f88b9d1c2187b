"""The hot loop of selecting: the few packets that tell what happened, out of all.

Compiled by the package build; runs uncompiled with the same results (`tests/flow/test_selecting.py`).
"""

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

from analyzer.capture import layout

REPLY = cython.declare(cython.int, layout.REPLY)
FRAGMENT = cython.declare(cython.int, layout.FRAGMENT)
CUT = cython.declare(cython.int, layout.CUT)
QUOTES = cython.declare(cython.int, layout.QUOTES)
TCP_FIN = cython.declare(cython.int, layout.TCP_FIN)
TCP_SYN = cython.declare(cython.int, layout.TCP_SYN)
TCP_RST = cython.declare(cython.int, layout.TCP_RST)
TCP_ACK = cython.declare(cython.int, layout.TCP_ACK)

# What a selected packet is; several may apply.
REQUEST = 1
"""A SYN without ACK, a UDP datagram, or an ICMP echo, of the originator: what fates are decided for. The other side's SYN of a
simultaneous open (RFC 9293 section 3.5) goes the other way; it is none."""
ANSWER = 2
"""What the responder sent that answers a request: a SYN-ACK, a RST, a UDP datagram, an echo reply."""
BARE_RESET = 4
"""A RST with window 0 and without data, as a host answers what it does not know."""
ERROR = 8
"""An ICMP error, which quotes another packet."""
NEIGHBOUR = 16
"""ARP or ICMPv6, in which neighbours are asked for."""


@cython.boundscheck(False)  # every index is a row or a flow of ours
def select(
    begin: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    flow: cython.int[::1],
    bits: cython.uchar[::1],
    flags: cython.ushort[::1],
    window: cython.ushort[::1],
    length: cython.int[::1],
    proto: cython.uchar[::1],
    ports: cython.uint[::1],
    rows: cython.int[::1],
    kinds: cython.uchar[::1],
) -> cython.Py_ssize_t:
    """Select from a slice of rows.

    Args:
        begin: The first row.
        stop: The row behind the last one.
        flow: Each row's flow.
        bits: Each row's bits, REPLY meaning "sent by the responder".
        flags: Each row's TCP flags.
        window: Each row's window.
        length: Each row's payload.
        proto: Each flow's protocol.
        ports: Each flow's ports, an echo's identifier twice.
        rows: As long as the slice; filled with the selected rows, ascending.
        kinds: As long; filled with what they are.

    Returns:
        How many were selected.
    """
    count: cython.Py_ssize_t = 0
    row: cython.Py_ssize_t
    protocol: cython.int
    kind: cython.int
    some: cython.int
    with cython.nogil:
        for row in range(begin, stop):
            protocol = proto[flow[row]]
            kind = 0
            if protocol == 6:
                some = flags[row]
                if some & (TCP_SYN | TCP_RST):
                    if some & TCP_SYN and not some & TCP_ACK and not bits[row] & (REPLY | FRAGMENT):
                        kind = 1
                    if bits[row] & REPLY and (some & TCP_RST or some & TCP_ACK):
                        kind |= 2
                    if (
                        some & (TCP_RST | TCP_SYN | TCP_FIN) == TCP_RST
                        and not window[row]
                        and not length[row]
                    ):
                        kind |= 4
            elif protocol == 17:
                kind = 0 if bits[row] & FRAGMENT else 2 if bits[row] & REPLY else 0 if bits[row] & CUT else 1
            elif (protocol == 1 or protocol == 58) and ports[flow[row]] >> 16 == ports[flow[row]] & 0xFFFF:
                # An echo: the flow has its identifier on both sides; other types have type and code there.
                kind = 0 if bits[row] & (QUOTES | FRAGMENT | CUT) else 2 if bits[row] & REPLY else 1
            elif protocol == 58 or protocol == 0:
                kind = 16
            if bits[row] & QUOTES:
                kind |= 8
            if kind:
                rows[count] = cython.cast(cython.int, row)
                kinds[count] = cython.cast(cython.uchar, kind)
                count += 1
    return count


@cython.boundscheck(False)
def answers(
    rows: cython.int[::1],
    kinds: cython.uchar[::1],
    flow: cython.int[::1],
    proto: cython.uchar[::1],
    protocol: cython.int,
    answer: cython.int[::1],
    request: cython.int[::1],
    asked: cython.int[::1],
    first: cython.int[::1],
    soon: cython.uchar[::1],
) -> cython.Py_ssize_t:
    """List the requests of a protocol, and find what answers each: what the responder sent next.

    Args:
        rows: The selected rows, ascending.
        kinds: What they are.
        flow: Each row's flow, of all rows.
        proto: Each flow's protocol.
        protocol: Of the requests.
        answer: Filled with -1, one per flow; what it holds afterwards is of no use.
        request: As *answer*.
        asked: As long as *rows*; its end is filled with the rows of the requests, ascending.
        first: As long; its end is filled with the row of the first answer after each request, or -1.
        soon: As long; its end is filled with whether that came before the flow's next request.

    Returns:
        Where the requests begin in the last three.
    """
    at: cython.Py_ssize_t = rows.shape[0]
    i: cython.Py_ssize_t = rows.shape[0]
    f: cython.int
    with cython.nogil:
        while i > 0:
            i -= 1
            f = flow[rows[i]]
            if proto[f] != protocol:
                continue
            if kinds[i] & 1:
                at -= 1
                asked[at] = rows[i]
                first[at] = answer[f]
                soon[at] = answer[f] >= 0 and (request[f] < 0 or answer[f] < request[f])
                request[f] = rows[i]
            if kinds[i] & 2:
                answer[f] = rows[i]
    return at
