"""The hot loops of splitting: the rows of several interfaces, each to where its interface's rows lie.

Compiled by the package build; runs uncompiled with the same results (`tests/capture/test_splitting.py`).
"""

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

Item = cython.fused_type(cython.uchar, cython.ushort, cython.uint, cython.ulonglong)


@cython.boundscheck(False)  # the caller's flows, and what it counted
def count(flow: cython.int[::1], part_of: cython.int[::1], counts: cython.longlong[::1]) -> None:
    """Count the rows of each part.

    Args:
        flow: Each row's flow.
        part_of: Per flow, the part that it belongs to.
        counts: Added to; one per part.
    """
    row: cython.Py_ssize_t
    with cython.nogil:
        for row in range(flow.shape[0]):
            counts[part_of[flow[row]]] += 1


@cython.boundscheck(False)
def place(
    flow: cython.int[::1], part_of: cython.int[::1], cursors: cython.longlong[::1], to: cython.int[::1]
) -> None:
    """Say where each row goes to.

    Args:
        flow: Each row's flow.
        part_of: As of `count`.
        cursors: Per part, where its next row goes to; moved on.
        to: As long as *flow*; filled.
    """
    row: cython.Py_ssize_t
    part: cython.int
    with cython.nogil:
        for row in range(flow.shape[0]):
            part = part_of[flow[row]]
            to[row] = cython.cast(cython.int, cursors[part])
            cursors[part] += 1


@cython.boundscheck(False)
def scatter(column: Item[::1], to: cython.int[::1], out: Item[::1]) -> None:
    """Put each item where it goes to.

    Reads in order, and writes as many streams as there are parts; to gather part by part would read each line of memory as
    many times.

    Args:
        column: Unsigned items.
        to: Where each goes, every place once.
        out: As long as *column*; filled.
    """
    row: cython.Py_ssize_t
    with cython.nogil:
        for row in range(to.shape[0]):
            out[to[row]] = column[row]  # type: ignore[index]  # a fused type
