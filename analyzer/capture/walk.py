"""The hot loops over records: where each packet of a block lies, how long it is, when it was seen.

They fill arrays that the caller owns and stop where Python must look: at the first record that is not whole,
that claims more than a packet can have, or (pcapng) is not a packet block with a time. The caller passes
`memoryview`s, so that items are `int` when this module runs uncompiled; results are the same either way.

Every length is checked before it is used, and that the block has the bytes that are said to be valid.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

# Literals of 2**31 and more would be Python objects inside `nogil`.
GIGA = cython.declare(cython.ulonglong, 1_000_000_000)
ONE = cython.declare(cython.ulonglong, 1)
M62 = cython.declare(cython.ulonglong, (1 << 62) - 1)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def u32(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t, big: cython.bint) -> cython.longlong:
    """Read 32 bits; the caller has checked that they are there."""
    a: cython.ulonglong = data[at]
    b: cython.ulonglong = data[at + 1]
    c: cython.ulonglong = data[at + 2]
    d: cython.ulonglong = data[at + 3]
    if big:
        return a << 24 | b << 16 | c << 8 | d
    return d << 24 | c << 16 | b << 8 | a


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def nanoseconds(ticks: cython.ulonglong, factor: cython.longlong, shift: cython.longlong) -> cython.longlong:
    """Give ticks of an interface's clock as ns; an absurd count wraps at 2**62 ns, in the year 2116."""
    fraction: cython.ulonglong
    if shift:
        # 34 bits of fraction are 0.06 ns, and times 10**9 they still fit 64 bits.
        fraction = ticks & ((ONE << shift) - ONE)
        ticks = (ticks >> shift) * GIGA
        if shift > 34:
            fraction >>= shift - 34
            shift = 34
        return (ticks + ((fraction * GIGA) >> shift)) & M62
    if factor < 0:
        return (ticks // cython.cast(cython.ulonglong, -factor)) & M62
    return (ticks * cython.cast(cython.ulonglong, factor)) & M62


@cython.boundscheck(False)  # rows are ours; bytes are read up to `end`, which is checked
def walk_pcap(
    data: cython.const[cython.uchar][::1],
    cursor: cython.longlong[::1],
    end: cython.Py_ssize_t,
    big: cython.bint,
    header: cython.Py_ssize_t,
    tick: cython.longlong,
    limit: cython.longlong,
    start: cython.longlong[::1],
    caplen: cython.longlong[::1],
    wirelen: cython.longlong[::1],
    time: cython.longlong[::1],
) -> cython.Py_ssize_t:
    """Walk the records of a classic pcap file.

    Args:
        data: uint8, the block.
        cursor: int64[1], where the first record's header begins; moved behind the last record taken.
        end: How many bytes of *data* are valid.
        big: Whether the file is big-endian.
        header: Bytes of a record's header: 16, or 24 in the modified format.
        tick: Nanoseconds of one unit of the time's fraction: 1000 or 1.
        limit: A record that claims more captured bytes is not taken.
        start: int64[n], filled with where the packet's bytes begin in *data*.
        caplen: int64[n], filled with the captured lengths.
        wirelen: int64[n], filled with the lengths on the wire.
        time: int64[n], filled with ns since the epoch.

    Returns:
        How many rows were filled; n when the arrays are full.
    """
    count: cython.Py_ssize_t = 0
    rows: cython.Py_ssize_t = start.shape[0]
    at: cython.Py_ssize_t = cursor[0]
    seconds: cython.longlong
    captured: cython.longlong
    giga: cython.longlong = 1_000_000_000
    if at < 0 or end > len(data):
        raise IndexError(f"{end} bytes shall be valid of a block of {len(data)}")
    with cython.nogil:
        while count < rows and end - at >= header:
            captured = u32(data, at + 8, big)
            if captured > limit or captured > end - at - header:
                break
            seconds = u32(data, at, big)
            time[count] = seconds * giga + u32(data, at + 4, big) * tick
            wirelen[count] = u32(data, at + 12, big)
            caplen[count] = captured
            start[count] = at + header
            at += header + captured
            count += 1
    cursor[0] = at
    return count


@cython.boundscheck(False)
def walk_pcapng(
    data: cython.const[cython.uchar][::1],
    cursor: cython.longlong[::1],
    end: cython.Py_ssize_t,
    big: cython.bint,
    limit: cython.longlong,
    described: cython.longlong,
    first: cython.int,
    factor: cython.longlong[::1],
    shift: cython.longlong[::1],
    offset: cython.longlong[::1],
    count: cython.Py_ssize_t,
    start: cython.longlong[::1],
    caplen: cython.longlong[::1],
    wirelen: cython.longlong[::1],
    time: cython.longlong[::1],
    interface: cython.int[::1],
) -> cython.Py_ssize_t:
    """Walk packet blocks, enhanced and obsolete, of a pcapng file up to the first that is anything else.

    Layout: draft-ietf-opsawg-pcapng section 4.3 and appendix A. A block is taken only when its two lengths
    agree, its packet fits and its interface was described in the section.

    Args:
        data: uint8, the block.
        cursor: int64[1], where the first block begins; moved behind the last one taken.
        end: How many bytes of *data* are valid.
        big: Whether the section is big-endian.
        limit: A block that claims more bytes is not taken.
        described: How many interfaces the section has described so far.
        first: Index of the section's first interface among the file's.
        factor: int64[described or more], ns of a tick; negative: ticks of a nanosecond.
        shift: int64[described or more], k where a tick is 2**-k seconds, else 0.
        offset: int64[described or more], ns to add.
        count: Rows that are filled already.
        start: int64[n], filled with where the packet's bytes begin in *data*.
        caplen: int64[n], filled with the captured lengths.
        wirelen: int64[n], filled with the lengths on the wire.
        time: int64[n], filled with ns since the epoch.
        interface: int32[n], filled with indices into the file's interfaces.

    Returns:
        How many rows are filled now; n when the arrays are full.
    """
    rows: cython.Py_ssize_t = start.shape[0]
    at: cython.Py_ssize_t = cursor[0]
    total: cython.longlong
    captured: cython.longlong
    kind: cython.longlong
    index: cython.longlong
    ticks: cython.ulonglong
    if at < 0 or end > len(data):
        raise IndexError(f"{end} bytes shall be valid of a block of {len(data)}")
    with cython.nogil:
        while count < rows and end - at >= 32:
            total = u32(data, at + 4, big)
            kind = u32(data, at, big)
            if (kind != 6 and kind != 2) or total < 32 or total & 3 or total > limit or total > end - at:
                break
            index = u32(data, at + 8, big)
            if kind == 2:  # 16 bits of interface, then 16 of drops
                index = index >> 16 if big else index & 0xFFFF
            captured = u32(data, at + 20, big)
            if index >= described or captured > total - 32 or u32(data, at + total - 4, big) != total:
                break
            ticks = cython.cast(cython.ulonglong, u32(data, at + 12, big)) << 32
            ticks |= cython.cast(cython.ulonglong, u32(data, at + 16, big))
            time[count] = nanoseconds(ticks, factor[index], shift[index]) + offset[index]
            interface[count] = first + cython.cast(cython.int, index)
            wirelen[count] = u32(data, at + 24, big)
            caplen[count] = captured
            start[count] = at + 28
            at += total
            count += 1
    cursor[0] = at
    return count
