"""The hot loops of joining: keys from fields, and which keys occur exactly once on each of two sides.

Compiled by the package build; runs uncompiled with the same results (`tests/flow/test_joining.py`). One hash table
with linear probing, so the cost is linear in the number of keys, however often one of them repeats.
"""

try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

NOBODY = cython.declare(cython.int, -1)  # of `partner`: no key of B is equal
SEVERAL = cython.declare(cython.int, -2)  # several are, on either side
M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)  # compiled, sums and products wrap by themselves
SALT = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
ONE = cython.declare(cython.ulonglong, 0xBF58476D1CE4E5B9)
OTHER = cython.declare(cython.ulonglong, 0x94D049BB133111EB)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def mixed(value: cython.ulonglong, salt: cython.ulonglong) -> cython.ulonglong:
    """The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators)."""
    h: cython.ulonglong = (value + ((salt * SALT) & M64)) & M64
    h = ((h ^ (h >> 30)) * ONE) & M64
    h = ((h ^ (h >> 27)) * OTHER) & M64
    return h ^ (h >> 31)


@cython.boundscheck(False)
def scramble(
    values: cython.const[cython.ulonglong][::1], salt: cython.ulonglong, hashes: cython.ulonglong[::1]
) -> None:
    """Hash each value.

    Args:
        values: What is hashed.
        salt: Small; different ones give unrelated hashes.
        hashes: Filled; as long as *values*.
    """
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(values.shape[0]):
            hashes[i] = mixed(values[i], salt)


@cython.boundscheck(False)  # every index is a flow of ours
def identify(
    flow: cython.int[::1],
    reply: cython.uchar[::1],
    proto: cython.uchar[::1],
    src_hi: cython.ulonglong[::1],
    src_lo: cython.ulonglong[::1],
    dst_hi: cython.ulonglong[::1],
    dst_lo: cython.ulonglong[::1],
    ports: cython.uint[::1],
    src: cython.bint,
    sport: cython.bint,
    dst: cython.bint,
    dport: cython.bint,
    keys: cython.ulonglong[::1],
) -> None:
    """Add to each key the protocol of its flow, and those of its ends that are asked for.

    Args:
        flow: Of each key.
        reply: Of each key, 1 if source and destination are the flow's the other way round.
        proto: Each flow's protocol.
        src_hi: Each flow's addresses and ports, as `analyzer.capture.columns.Flows` has them.
        src_lo: See there.
        dst_hi: See there.
        dst_lo: See there.
        ports: See there.
        src: Whether the source's address is asked for.
        sport: Whether its port is.
        dst: Whether the destination's address is.
        dport: Whether its port is.
        keys: As long as *flow*; what else they shall stand for.
    """
    i: cython.Py_ssize_t
    f: cython.int
    key: cython.ulonglong
    port: cython.uint
    with cython.nogil:
        for i in range(flow.shape[0]):
            f = flow[i]
            key = keys[i] ^ mixed(proto[f], 1)
            if src:
                key ^= mixed(dst_hi[f] if reply[i] else src_hi[f], 2)
                key ^= mixed(dst_lo[f] if reply[i] else src_lo[f], 3)
            if dst:
                key ^= mixed(src_hi[f] if reply[i] else dst_hi[f], 5)
                key ^= mixed(src_lo[f] if reply[i] else dst_lo[f], 6)
            port = ports[f]
            if sport:
                key ^= mixed(port & 0xFFFF if reply[i] else port >> 16, 4)
            if dport:
                key ^= mixed(port >> 16 if reply[i] else port & 0xFFFF, 7)
            keys[i] = key


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def place(key: cython.ulonglong, factor: cython.ulonglong, mask: cython.ulonglong) -> cython.ulonglong:
    """Where in the table a key is looked for first: of the product's high half, which every bit of the key has a part in."""
    return (((key * factor) & M64) >> 32) & mask


@cython.boundscheck(False)  # every index is a row number of ours, or masked
def join(
    a: cython.ulonglong[::1],
    b: cython.ulonglong[::1],
    factor: cython.ulonglong,
    slots: cython.int[::1],
    partner: cython.int[::1],
) -> None:
    """Find the keys that occur once in A and once in B.

    Args:
        a: Keys.
        b: As *a*.
        factor: Odd, and secret, so that no keys can be made that meet in one place of the table.
        slots: Filled with -1; a power of two, more than twice as long as *a*.
        partner: Filled with -1, as long as *a*; set to the index in B of the one equal key where both are unique, else
            to a negative number.
    """
    i: cython.Py_ssize_t
    j: cython.int
    at: cython.ulonglong
    mask: cython.ulonglong = cython.cast(cython.ulonglong, slots.shape[0] - 1)
    with cython.nogil:
        for i in range(a.shape[0]):
            at = place(a[i], factor, mask)
            while slots[at] >= 0 and a[slots[at]] != a[i]:
                at = (at + 1) & mask
            if slots[at] < 0:
                slots[at] = cython.cast(cython.int, i)
            else:
                partner[i] = SEVERAL
                partner[slots[at]] = SEVERAL
        for i in range(b.shape[0]):
            at = place(b[i], factor, mask)
            while slots[at] >= 0 and a[slots[at]] != b[i]:
                at = (at + 1) & mask
            if slots[at] >= 0:
                j = slots[at]
                partner[j] = cython.cast(cython.int, i) if partner[j] == NOBODY else SEVERAL


@cython.boundscheck(False)
def contains(
    those: cython.ulonglong[::1],
    factor: cython.ulonglong,
    slots: cython.int[::1],
    values: cython.ulonglong[::1],
    found: cython.uchar[::1],
) -> None:
    """Say which values are among those.

    Args:
        those: The set; a value may be in it several times.
        factor: As of `join`.
        slots: Filled with -1; a power of two, more than twice as long as *those*.
        values: What may be in it.
        found: Zeroed, as long as *values*; set to 1.
    """
    i: cython.Py_ssize_t
    at: cython.ulonglong
    mask: cython.ulonglong = cython.cast(cython.ulonglong, slots.shape[0] - 1)
    with cython.nogil:
        for i in range(those.shape[0]):
            at = place(those[i], factor, mask)
            while slots[at] >= 0 and those[slots[at]] != those[i]:
                at = (at + 1) & mask
            slots[at] = cython.cast(cython.int, i)
        for i in range(values.shape[0]):
            at = place(values[i], factor, mask)
            while slots[at] >= 0 and those[slots[at]] != values[i]:
                at = (at + 1) & mask
            found[i] = slots[at] >= 0


@cython.boundscheck(False)  # every index is a bucket's, or a row number of ours
def bucket(
    keys: cython.ulonglong[::1],
    values: cython.int[::1],
    factor: cython.ulonglong,
    begin: cython.longlong[::1],
    keys_of: cython.ulonglong[::1],
    values_of: cython.int[::1],
) -> None:
    """Put keys, and a value of each, into buckets.

    Args:
        keys: Any may occur several times.
        values: As long as *keys*.
        factor: As of `join`.
        begin: Zeroed, a power of two and one more long; filled so that bucket i is `begin[i]` to below `begin[i + 1]`.
        keys_of: As long as *keys*; filled, bucket after bucket.
        values_of: As *keys_of*.
    """
    i: cython.Py_ssize_t
    at: cython.ulonglong
    mask: cython.ulonglong = cython.cast(cython.ulonglong, begin.shape[0] - 2)
    with cython.nogil:
        for i in range(keys.shape[0]):
            begin[place(keys[i], factor, mask) + 1] += 1
        for i in range(begin.shape[0] - 1):
            begin[i + 1] += begin[i]
        # Placed from the back, each bucket's end, which is the next one's begin, moves down to its begin ...
        i = keys.shape[0] - 1
        while i >= 0:
            at = place(keys[i], factor, mask) + 1
            begin[at] -= 1
            keys_of[begin[at]] = keys[i]
            values_of[begin[at]] = values[i]
            i -= 1
        # ... so that each is one place too far on.
        for i in range(begin.shape[0] - 1):
            begin[i] = begin[i + 1]
        begin[begin.shape[0] - 1] = keys.shape[0]


@cython.boundscheck(False)
def mark(
    wanted: cython.ulonglong[::1],
    factor: cython.ulonglong,
    begin: cython.longlong[::1],
    keys_of: cython.ulonglong[::1],
    values_of: cython.int[::1],
    found: cython.uchar[::1],
) -> None:
    """Mark the values of wanted keys, in what `bucket` filled.

    Args:
        wanted: Each once.
        factor: As of `bucket`.
        begin: See there.
        keys_of: See there.
        values_of: See there.
        found: As long as the greatest value and one; set to 1.
    """
    i: cython.Py_ssize_t
    j: cython.longlong
    at: cython.ulonglong
    mask: cython.ulonglong = cython.cast(cython.ulonglong, begin.shape[0] - 2)
    with cython.nogil:
        for i in range(wanted.shape[0]):
            at = place(wanted[i], factor, mask)
            for j in range(begin[at], begin[at + 1]):
                if keys_of[j] == wanted[i]:
                    found[values_of[j]] = 1


@cython.boundscheck(False)  # every index is a flow's or a row's, or masked
def share(
    flows: cython.int[::1],
    starts: cython.longlong[::1],
    order: cython.int[::1],
    prints: cython.uint[::1],
    seen: cython.uchar[::1],
    found: cython.uchar[::1],
    noting: cython.bint,
) -> None:
    """Note which prints some flows' packets have, or find the flows with one that was noted, and by chance a few others.

    Args:
        flows: Those that are asked.
        starts: With *order* the rows of each, see `analyzer.flow.grouping`.
        order: See *starts*.
        prints: Of each row.
        seen: A bit for each value that the lower bits of a print can have; a power of two long. Filled, or asked.
        found: Zeroed, as long as *flows*; set to 1, unless *noting*.
        noting: Whether to fill *seen*.
    """
    i: cython.Py_ssize_t
    f: cython.longlong
    at: cython.longlong
    bit: cython.uint
    mask: cython.uint = cython.cast(cython.uint, seen.shape[0] * 8 - 1)
    with cython.nogil:
        for i in range(flows.shape[0]):
            f = flows[i]
            for at in range(starts[2 * f], starts[2 * f + 2]):
                bit = prints[order[at]] & mask
                if noting:
                    seen[bit >> 3] |= cython.cast(cython.uchar, 1 << (bit & 7))
                elif seen[bit >> 3] >> (bit & 7) & 1:
                    found[i] = 1
