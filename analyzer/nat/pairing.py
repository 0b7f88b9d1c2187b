"""The hot loop of pairing: which packet at one point is which at the next, inside matched flows.

Compiled by the package build; runs uncompiled with the same results (`tests/nat/test_pairing.py`).

Both points saw the packets of one direction in nearly the same order, so a packet's partner is almost always the
next unpaired one. Where it is not, three short searches follow; none looks at more than `REACH` rows, so the
whole is linear in the number of packets whatever the captures hold.

Packets are taken in the order of time, not flow by flow, though each flow is paired for itself: what is near in time is
near in memory at both points, and a slice of time can be paired without the rest of the capture.
"""

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

from analyzer.compute import thresholds

REACH = cython.declare(cython.int, 256)  # rows that one search looks at
OVERTAKEN = cython.declare(
    cython.int, 64
)  # unpaired rows kept behind the front: reordering inside a node is short
M32 = cython.declare(cython.longlong, 0xFFFFFFFF)
NEARLY = cython.declare(cython.longlong, thresholds.NEARLY)  # ns
# Columns of `cursors`: where in its (flow, direction) of A pairing has got to, the first row behind that may still be
# unpaired, where the time says that a row should be; all from the direction's first row; and the last transit, ns.
FRONT = cython.declare(cython.int, 0)
BEHIND = cython.declare(cython.int, 1)
NEAR = cython.declare(cython.int, 2)
TRANSIT = cython.declare(cython.int, 3)
CURSORS = 4


@cython.cfunc
@cython.nogil
@cython.exceptval(-2, check=True)
def search(
    order: cython.int[::1],
    time: cython.longlong[::1],
    prints: cython.uint[::1],
    paired: cython.int[::1],
    begin: cython.longlong,
    end: cython.longlong,
    wanted: cython.uint,
    earliest: cython.longlong,
    latest: cython.longlong,
) -> cython.longlong:
    """The first place in `order[begin:end]` whose row is unpaired, in time and prints *wanted*; -1 if none."""
    at: cython.longlong = begin
    row: cython.int
    if end > begin + REACH:
        end = begin + REACH
    while at < end:
        row = order[at]
        if prints[row] == wanted and paired[row] < 0 and earliest <= time[row] <= latest:
            return at
        at += 1
    return -1


def pair(
    begin: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    match_b: cython.int[::1],
    flows_a: cython.int[::1],
    flip: cython.uchar[::1],
    cursors: cython.int[:, ::1],
    starts_a: cython.longlong[::1],
    order_a: cython.int[::1],
    time_a: cython.longlong[::1],
    print_a: cython.uint[::1],
    flow_b: cython.int[::1],
    bits_b: cython.uchar[::1],
    time_b: cython.longlong[::1],
    print_b: cython.uint[::1],
    window: cython.longlong,
    in_b: cython.int[::1],
    in_a: cython.int[::1],
) -> None:
    """Pair the packets of matched flows, a slice of B's rows at a time.

    Args:
        begin: First row of B to pair.
        stop: The row behind the last one.
        match_b: Per flow of B, its match, or -1.
        flows_a: Per match, the flow at point A.
        flip: Per match, 1 where A's originator is B's responder.
        cursors: Two rows a match, one for each direction of B; zero at first, carried from slice to slice.
        starts_a: With `order_a` the rows of each (flow, direction), see `analyzer.flow.grouping`.
        order_a: See `starts_a`.
        time_a: ns, on one clock with `time_b`.
        print_a: What NAT leaves alone of each packet.
        flow_b: Each row's flow.
        bits_b: Each row's bits, of which REPLY is the direction.
        time_b: As `time_a`.
        print_b: As `print_a`.
        window: The longest transit, ns, either way.
        in_b: Per row of A, its row in B; filled where a partner is found, else left as it is (-1).
        in_a: The same for the rows of B.
    """
    k: cython.int
    c: cython.Py_ssize_t
    first: cython.longlong
    front: cython.longlong
    behind: cython.longlong
    near: cython.longlong
    end: cython.longlong
    found: cython.longlong
    row: cython.Py_ssize_t
    other: cython.int
    t: cython.longlong
    wanted: cython.uint
    with cython.nogil:
        for row in range(begin, stop):
            k = match_b[flow_b[row]]
            if k < 0:
                continue
            c = 2 * cython.cast(cython.Py_ssize_t, k) + (bits_b[row] & 1)
            found = 2 * cython.cast(cython.longlong, flows_a[k]) + ((bits_b[row] & 1) ^ flip[k])
            first = starts_a[found]
            end = starts_a[found + 1]
            front = first + cursors[c, FRONT]
            wanted = print_b[row]
            t = time_b[row]
            if front < end:
                other = order_a[front]
                if print_a[other] == wanted and -window <= time_a[other] - t <= window:
                    in_b[other] = cython.cast(cython.int, row)
                    in_a[row] = other
                    cursors[c, TRANSIT] = cython.cast(cython.int, t - time_a[other])
                    cursors[c, BEHIND] += cursors[c, BEHIND] == cursors[c, FRONT]
                    cursors[c, FRONT] += 1
                    continue
            behind = first + cursors[c, BEHIND]
            found = search(order_a, time_a, print_a, in_b, behind, front, wanted, t - window, t + window)
            if found < 0:
                found = search(order_a, time_a, print_a, in_b, front, end, wanted, t - window, t + window)
            if found < 0:
                # A burst that one side missed: go on where the time says that this packet should be.
                near = first + cursors[c, NEAR]
                if near < front:
                    near = front
                while near < end and time_a[order_a[near]] < t - cursors[c, TRANSIT] - NEARLY:
                    near += 1
                cursors[c, NEAR] = cython.cast(cython.int, near - first)
                found = search(order_a, time_a, print_a, in_b, near, end, wanted, t - window, t + window)
            if found >= 0:
                other = order_a[found]
                in_b[other] = cython.cast(cython.int, row)
                in_a[row] = other
                cursors[c, TRANSIT] = cython.cast(cython.int, t - time_a[other])
                if found >= front:
                    front = found + 1
            while behind < front and (in_b[order_a[behind]] >= 0 or front - behind > OVERTAKEN):
                behind += 1
            cursors[c, FRONT] = cython.cast(cython.int, front - first)
            cursors[c, BEHIND] = cython.cast(cython.int, behind - first)


def cover(
    flows_a: cython.int[::1],
    flows_b: cython.int[::1],
    flip: cython.uchar[::1],
    starts_a: cython.longlong[::1],
    order_a: cython.int[::1],
    time_a: cython.longlong[::1],
    seq_a: cython.uint[::1],
    length_a: cython.int[::1],
    starts_b: cython.longlong[::1],
    order_b: cython.int[::1],
    time_b: cython.longlong[::1],
    seq_b: cython.uint[::1],
    length_b: cython.int[::1],
    window: cython.longlong,
    in_b: cython.int[::1],
    in_a: cython.int[::1],
    exact_b: cython.uchar[::1],
) -> None:
    """Pair data segments that offloads split or joined between the points (GRO, TSO), by sequence range.

    Runs after `pair`, on what it left; several rows may get one partner. Arguments as there, but *flows_a*, *flows_b* and
    *flip* of the matches in which it left data only, and *exact_b*: 1 for the rows of B that `pair` has paired.
    """
    n: cython.Py_ssize_t = len(flows_a)
    k: cython.Py_ssize_t
    direction: cython.int
    g: cython.longlong
    i: cython.longlong
    j: cython.longlong
    begin: cython.longlong
    end: cython.longlong
    stop: cython.longlong
    tried: cython.int
    row: cython.int
    other: cython.int
    ahead: cython.longlong
    t: cython.longlong
    with cython.nogil:
        for k in range(n):
            for direction in range(2):
                g = 2 * cython.cast(cython.longlong, flows_a[k]) + direction
                i = starts_a[g]
                stop = starts_a[g + 1]
                g = 2 * cython.cast(cython.longlong, flows_b[k]) + (direction ^ flip[k])
                begin = starts_b[g]
                end = starts_b[g + 1]
                while i < stop:
                    row = order_a[i]
                    i += 1
                    if in_b[row] >= 0 or length_a[row] <= 0:
                        continue
                    t = time_a[row]
                    while begin < end and time_b[order_b[begin]] < t - window:
                        begin += 1
                    j = begin
                    tried = 0
                    while j < end and tried < REACH:
                        other = order_b[j]
                        j += 1
                        tried += 1
                        if time_b[other] > t + window:
                            break
                        if length_b[other] <= 0 or exact_b[other]:
                            continue
                        # Signed distance modulo 2**32 (RFC 9293 section 3.4).
                        ahead = (cython.cast(cython.longlong, seq_b[other]) - seq_a[row]) & M32
                        if ahead > 2147483647:
                            ahead -= M32 + 1
                        if ahead < length_a[row] and -ahead < length_b[other]:
                            in_b[row] = other
                            if in_a[other] < 0:
                                in_a[other] = row


def left(
    match_a: cython.int[::1],
    flow_a: cython.int[::1],
    length_a: cython.int[::1],
    in_b: cython.int[::1],
    some: cython.uchar[::1],
) -> None:
    """Mark the matches in which `pair` left data of A unpaired.

    Args:
        match_a: Per flow of A, its match, or -1.
        flow_a: Each row's flow.
        length_a: Each row's payload, bytes.
        in_b: What `pair` filled.
        some: Zeroed, one per match; set to 1.
    """
    row: cython.Py_ssize_t
    k: cython.int
    with cython.nogil:
        for row in range(flow_a.shape[0]):
            if in_b[row] < 0 and length_a[row] > 0:
                k = match_a[flow_a[row]]
                if k >= 0:
                    some[k] = 1


def first_pairs(
    match_a: cython.int[::1],
    flow_a: cython.int[::1],
    in_b: cython.int[::1],
    first: cython.int[::1],
) -> None:
    """Find each match's first row of A that has a partner.

    Args:
        match_a: Per flow of A, its match, or -1.
        flow_a: Each row's flow.
        in_b: Each row's partner, or -1.
        first: Filled with -1, one per match; set to the row.
    """
    row: cython.Py_ssize_t
    k: cython.int
    with cython.nogil:
        for row in range(flow_a.shape[0]):
            if in_b[row] >= 0:
                k = match_a[flow_a[row]]
                if k >= 0 and first[k] < 0:
                    first[k] = cython.cast(cython.int, row)
