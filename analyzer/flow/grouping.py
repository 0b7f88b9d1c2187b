"""The hot loop of grouping: rows by flow and direction, in one counting sort.

Compiled by the package build; runs uncompiled with the same results (`tests/flow/test_grouping.py`).
"""

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython


def group(
    flow: cython.int[::1],
    bits: cython.uchar[::1],
    swap: cython.uchar[::1],
    starts: cython.longlong[::1],
    order: cython.int[::1],
) -> None:
    """Turn directions into orig / reply and list the rows of each (flow, direction).

    Args:
        flow: Each row's flow.
        bits: Each row's bits; bit 0 becomes "sent by the responder": it is inverted where *swap* says so.
        swap: Per flow, 1 if the sender of its first packet is the responder.
        starts: Zeroed, 2 * flows + 1 long; filled so that the rows that the originator (0) or the responder (1) of
            flow f sent are `order[starts[2 * f + d] : starts[2 * f + d + 1]]`.
        order: As long as *flow*; filled with row numbers, ascending within a group.
    """
    n: cython.Py_ssize_t = len(flow)
    groups: cython.Py_ssize_t = len(starts) - 1
    i: cython.Py_ssize_t
    g: cython.Py_ssize_t
    at: cython.longlong
    with cython.nogil:
        for i in range(n):
            if swap[flow[i]]:
                bits[i] = bits[i] ^ 1
            g = 2 * flow[i] + (bits[i] & 1)
            starts[g + 1] += 1
        for g in range(groups):
            starts[g + 1] += starts[g]
        # Place from the back, moving each group's end down to its start ...
        i = n - 1
        while i >= 0:
            g = 2 * flow[i] + (bits[i] & 1)
            starts[g + 1] -= 1
            at = starts[g + 1]
            order[at] = cython.cast(cython.int, i)
            i -= 1
        # ... so that starts[g + 1] now holds the start of group g.
        for g in range(groups):
            starts[g] = starts[g + 1]
        starts[groups] = n
