"""The hot loop of decoding: records in, one row per frame out, each row already in its flow.

Link, network and transport headers are read in one pass; a frame either becomes a row or is counted under
a reason, never dropped silently. Every length is checked against the captured bytes before a field is read.
Compiled by the package build; runs uncompiled with the same results (`tests/capture/test_scan.py`).

Integer constants of 2**31 and more are module variables because Cython takes such literals for Python
objects, which a loop without the GIL cannot hold; products are kept under 2**64, or cut to that, so that both modes agree.
"""

# Annotations here name C types for Cython's pure mode; see setup.py.
try:
    import cython
except ImportError:
    from analyzer.uncompiled import cython

from analyzer.capture import layout

COMPILED = cython.compiled

M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
MULTIPLIER = cython.declare(cython.ulonglong, 0x9E3779B1)  # 2**32 / golden ratio, as Knuth's hash
M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)  # compiled, products wrap by themselves
ODD = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)  # 2**64 / golden ratio
V4_PREFIX = cython.declare(cython.ulonglong, 0xFFFF00000000)  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2

FRAGMENT = cython.declare(cython.int, layout.FRAGMENT)
CUT = cython.declare(cython.int, layout.CUT)
QUOTES = cython.declare(cython.int, layout.QUOTES)
TUNNEL_SHIFT = cython.declare(cython.int, layout.TUNNEL_SHIFT)
ARP = cython.declare(cython.int, layout.ARP)
SLL2_LANE = cython.declare(cython.int, layout.SLL2_LANE)
SYN_X = cython.declare(cython.int, layout.SYN_X)
SYN_Y = cython.declare(cython.int, layout.SYN_Y)
SYNACK_X = cython.declare(cython.int, layout.SYNACK_X)
SYNACK_Y = cython.declare(cython.int, layout.SYNACK_Y)
DATA = cython.declare(cython.int, layout.DATA)
TCP_SYN = cython.declare(cython.int, layout.TCP_SYN)
TCP_ACK = cython.declare(cython.int, layout.TCP_ACK)
LINK_UNKNOWN = cython.declare(cython.int, layout.REASONS.index("unknown link type"))
LINK_SHORT = cython.declare(cython.int, layout.REASONS.index("link header cut short"))
NOT_IP = cython.declare(cython.int, layout.REASONS.index("not IP or ARP"))
NETWORK_SHORT = cython.declare(cython.int, layout.REASONS.index("network header cut short"))
SLACK = 4096
"""Bytes that a block must have behind its last record."""
C_SLACK = cython.declare(cython.Py_ssize_t, SLACK)
NETWORK_BAD = cython.declare(cython.int, layout.REASONS.index("network header malformed"))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def mix(x: cython.ulonglong, y: cython.ulonglong) -> cython.ulonglong:
    """Fold 32 bits of *y* into the 32-bit hash *x*."""
    x = x & M32
    x = ((x ^ (y & M32)) * MULTIPLIER) ^ (x << 7)
    return (x ^ (x >> 29)) & M32


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def end_hash(
    hi: cython.ulonglong,
    lo: cython.ulonglong,
    port: cython.ulonglong,
    one: cython.ulonglong,
    other: cython.ulonglong,
) -> cython.ulonglong:
    """32 bits of one end of a flow, by two secret odd factors."""
    x: cython.ulonglong = (((lo ^ (port << 40)) * one) & M64) ^ ((hi * other) & M64)
    x = ((x ^ (x >> 29)) * ODD) & M64
    return x >> 32


@cython.cfunc
@cython.inline
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def be16(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.int:
    """Two bytes, network order."""
    return (cython.cast(cython.int, data[at]) << 8) | data[at + 1]


@cython.cfunc
@cython.inline
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def be32(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.ulonglong:
    """Four bytes, network order; written so that the compiler makes one load of it."""
    return (
        (cython.cast(cython.uint, data[at]) << 24)
        | (cython.cast(cython.uint, data[at + 1]) << 16)
        | (cython.cast(cython.uint, data[at + 2]) << 8)
        | cython.cast(cython.uint, data[at + 3])
    )


@cython.cfunc
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def hash_bytes(
    data: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
    h: cython.ulonglong,
) -> cython.ulonglong:
    """Fold *count* bytes into *h*."""
    i: cython.Py_ssize_t
    end: cython.Py_ssize_t = at + count
    i = at
    while i + 4 <= end:
        h = mix(h, be32(data, i))
        i += 4
    while i < end:
        h = mix(h, data[i])
        i += 1
    return h


@cython.cfunc
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def hash_tcp_options(
    data: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    h: cython.ulonglong,
    is_syn: cython.bint,
) -> cython.ulonglong:
    """Fold what NAT and forwarding leave alone of the TCP options into *h*.

    Outside a SYN that is the timestamp option (RFC 7323 section 3). Of a SYN it is the kinds, and the values but the MSS,
    which a router may clamp, and the timestamp, which a retransmission changes.
    """
    kind: cython.int
    size: cython.int
    if not is_syn and at + 12 <= end and be32(data, at) == 0x0101080A:  # NOP NOP TS: what stacks send
        h = mix(h, be32(data, at + 4))
        return mix(h, be32(data, at + 8))
    while at < end:
        kind = data[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 2 > end:
            break
        size = data[at + 1]
        if size < 2 or at + size > end:
            break
        if is_syn:
            h = mix(h, cython.cast(cython.ulonglong, kind))
            if kind != 2 and kind != 8:
                h = hash_bytes(data, at + 2, size - 2, h)
        elif kind == 8 and size == 10:
            h = mix(h, be32(data, at + 2))
            h = mix(h, be32(data, at + 6))
        at += size
    return h


@cython.boundscheck(False)  # every index is a flow's number, or masked
@cython.cclass
class FlowTable:
    """Flows by five-tuple and lane: open addressing over columns that the caller owns and grows.

    Which slot a flow has depends on factors that whoever made the capture cannot know, so no capture can be made in which
    many meet in one (Dietzfelbinger et al.: A reliable randomized algorithm for the closest-pair problem, 1997, on
    multiplicative hashing). `find` never allocates; the caller grows the columns in time.
    """

    slots: cython.ulonglong[::1]
    mask: cython.ulonglong
    src_hi: cython.ulonglong[::1]
    src_lo: cython.ulonglong[::1]
    dst_hi: cython.ulonglong[::1]
    dst_lo: cython.ulonglong[::1]
    ports: cython.uint[::1]
    proto: cython.uchar[::1]
    lane: cython.int[::1]
    hashes: cython.uint[::1]
    isn_x: cython.uint[::1]
    isn_y: cython.uint[::1]
    marks: cython.uchar[::1]
    syn_print: cython.uint[::1]
    mac_src: cython.ulonglong[::1]
    mac_dst: cython.ulonglong[::1]
    count: cython.Py_ssize_t
    one: cython.ulonglong
    other: cython.ulonglong

    def __init__(self, one: int, other: int) -> None:
        """Begin without flows; the factors are odd numbers of 64 bits."""
        self.count = 0
        self.one = one
        self.other = other

    def attach(self, columns: dict, slots: object, count: int) -> None:
        """Use these buffers from now on; *slots*, all 0, is filled with the first *count* flows."""
        i: cython.Py_ssize_t
        at: cython.ulonglong
        self.slots = slots
        self.mask = len(slots) - 1
        self.src_hi = columns["src_hi"]
        self.src_lo = columns["src_lo"]
        self.dst_hi = columns["dst_hi"]
        self.dst_lo = columns["dst_lo"]
        self.ports = columns["ports"]
        self.proto = columns["proto"]
        self.lane = columns["lane"]
        self.hashes = columns["hash"]
        self.isn_x = columns["isn_x"]
        self.isn_y = columns["isn_y"]
        self.marks = columns["marks"]
        self.syn_print = columns["syn_print"]
        self.mac_src = columns["mac_src"]
        self.mac_dst = columns["mac_dst"]
        self.count = count
        # Later incarnations of a tuple come later: inserted in order, the newest one wins its slot.
        for i in range(count):
            at = self.hashes[i] & self.mask
            while self.slots[at] and not self.same_key(self.at(at), i):
                at = (at + 1) & self.mask
            self.put(at, i)

    def flow_count(self) -> cython.Py_ssize_t:
        """How many flows there are."""
        return self.count

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def at(self, slot: cython.ulonglong) -> cython.Py_ssize_t:
        """The flow in a slot; -1 in an empty one."""
        return cython.cast(cython.Py_ssize_t, self.slots[slot] & M32) - 1

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def put(self, slot: cython.ulonglong, i: cython.Py_ssize_t) -> cython.void:
        """Put a flow into a slot, with its hash, so that others are told apart without a look at the columns."""
        self.slots[slot] = cython.cast(cython.ulonglong, self.hashes[i]) << 32 | cython.cast(
            cython.ulonglong, i + 1
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(-1, check=True)
    def same_key(self, i: cython.Py_ssize_t, j: cython.Py_ssize_t) -> cython.int:
        """Whether two flows are incarnations of one five-tuple, in either direction."""
        if self.hashes[i] != self.hashes[j] or self.proto[i] != self.proto[j] or self.lane[i] != self.lane[j]:
            return 0
        if (
            self.src_lo[i] == self.src_lo[j]
            and self.dst_lo[i] == self.dst_lo[j]
            and self.ports[i] == self.ports[j]
            and self.src_hi[i] == self.src_hi[j]
            and self.dst_hi[i] == self.dst_hi[j]
        ):
            return 1
        return (
            self.src_lo[i] == self.dst_lo[j]
            and self.dst_lo[i] == self.src_lo[j]
            and self.ports[i] == (((self.ports[j] << 16) & M32) | (self.ports[j] >> 16))
            and self.src_hi[i] == self.dst_hi[j]
            and self.dst_hi[i] == self.src_hi[j]
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(-1, check=True)
    def find(
        self,
        src_hi: cython.ulonglong,
        src_lo: cython.ulonglong,
        dst_hi: cython.ulonglong,
        dst_lo: cython.ulonglong,
        ports: cython.uint,
        proto: cython.int,
        lane: cython.int,
        mac_src: cython.ulonglong,
        mac_dst: cython.ulonglong,
    ) -> cython.longlong:
        """Flow index * 2 + direction (1: sent by the side that did not send the flow's first packet)."""
        h: cython.ulonglong
        at: cython.ulonglong
        i: cython.Py_ssize_t
        # Commutative in the two ends, so that both directions meet in one slot.
        h = end_hash(src_hi, src_lo, ports >> 16, self.one, self.other) + end_hash(
            dst_hi, dst_lo, ports & 0xFFFF, self.one, self.other
        )
        h = mix(mix(h, cython.cast(cython.ulonglong, proto)), cython.cast(cython.ulonglong, lane))
        at = h & self.mask
        while self.slots[at]:
            i = self.at(at)
            if self.slots[at] >> 32 == h and self.proto[i] == proto and self.lane[i] == lane:
                if (
                    self.src_lo[i] == src_lo
                    and self.dst_lo[i] == dst_lo
                    and self.ports[i] == ports
                    and self.src_hi[i] == src_hi
                    and self.dst_hi[i] == dst_hi
                ):
                    return i * 2
                if (
                    self.dst_lo[i] == src_lo
                    and self.src_lo[i] == dst_lo
                    and self.ports[i] == (((ports << 16) & M32) | (ports >> 16))
                    and self.dst_hi[i] == src_hi
                    and self.src_hi[i] == dst_hi
                ):
                    return i * 2 + 1
            at = (at + 1) & self.mask
        i = self.count
        self.count += 1
        self.hashes[i] = cython.cast(cython.uint, h)
        self.put(at, i)
        self.src_hi[i] = src_hi
        self.src_lo[i] = src_lo
        self.dst_hi[i] = dst_hi
        self.dst_lo[i] = dst_lo
        self.ports[i] = ports
        self.proto[i] = proto
        self.lane[i] = lane
        self.isn_x[i] = 0
        self.isn_y[i] = 0
        self.marks[i] = 0
        self.syn_print[i] = 0
        self.mac_src[i] = mac_src
        self.mac_dst[i] = mac_dst
        return i * 2

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(-1, check=True)
    def again(self, old: cython.Py_ssize_t, swap: cython.bint) -> cython.longlong:
        """A new incarnation of flow *old*'s five-tuple, seen from the sender's side if *swap*."""
        i: cython.Py_ssize_t = self.count
        at: cython.ulonglong = self.hashes[old] & self.mask
        while self.at(at) != old:
            at = (at + 1) & self.mask
        self.hashes[i] = self.hashes[old]
        self.put(at, i)
        self.count += 1
        self.proto[i] = self.proto[old]
        self.lane[i] = self.lane[old]
        self.isn_x[i] = 0
        self.isn_y[i] = 0
        self.marks[i] = 0
        self.syn_print[i] = 0
        if swap:
            self.src_hi[i] = self.dst_hi[old]
            self.src_lo[i] = self.dst_lo[old]
            self.dst_hi[i] = self.src_hi[old]
            self.dst_lo[i] = self.src_lo[old]
            self.ports[i] = cython.cast(
                cython.uint, ((self.ports[old] << 16) & M32) | (self.ports[old] >> 16)
            )
            self.mac_src[i] = self.mac_dst[old]
            self.mac_dst[i] = self.mac_src[old]
        else:
            self.src_hi[i] = self.src_hi[old]
            self.src_lo[i] = self.src_lo[old]
            self.dst_hi[i] = self.dst_hi[old]
            self.dst_lo[i] = self.dst_lo[old]
            self.ports[i] = self.ports[old]
            self.mac_src[i] = self.mac_src[old]
            self.mac_dst[i] = self.mac_dst[old]
        return i * 2

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(-1, check=True)
    def segment(
        self, found: cython.longlong, flags: cython.int, seq: cython.uint, syn_print: cython.uint
    ) -> cython.longlong:
        """Note a TCP segment in its flow; a SYN with another ISN begins a new incarnation.

        Returns: As `find`.
        """
        i: cython.Py_ssize_t = cython.cast(cython.Py_ssize_t, found >> 1)
        reply: cython.int = cython.cast(cython.int, found & 1)
        marks: cython.int = self.marks[i]
        if not flags & TCP_SYN:
            self.marks[i] = marks | DATA
            return found
        if flags & TCP_ACK:
            if reply:
                self.marks[i] = marks | SYNACK_Y
                self.isn_y[i] = seq
            else:
                self.marks[i] = marks | SYNACK_X
                self.isn_x[i] = seq
            return found
        # The other side's SYN: at the same time (RFC 9293 section 3.5), or the tuple used again.
        known: cython.int = (
            (marks & SYN_Y and self.isn_y[i] == seq) if reply else (marks & SYN_X and self.isn_x[i] == seq)
        )
        only_other: cython.int = marks == (SYN_X if reply else SYN_Y)
        if (marks and not known and not only_other) or (reply and not marks):
            found = self.again(i, reply)
            i = cython.cast(cython.Py_ssize_t, found >> 1)
            reply = 0
            marks = 0
        if reply:
            self.marks[i] = marks | SYN_Y
            self.isn_y[i] = seq
        else:
            self.marks[i] = marks | SYN_X
            self.isn_x[i] = seq
        if not self.syn_print[i]:
            self.syn_print[i] = syn_print
        return found


@cython.boundscheck(False)  # rows are ours; of bytes each record is checked, with `SLACK`
def decode(
    data: cython.const[cython.uchar][::1],
    start: cython.longlong[::1],
    caplen: cython.longlong[::1],
    wirelen: cython.longlong[::1],
    time: cython.longlong[::1],
    interface: cython.int[::1],
    begin: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
    base: cython.longlong,
    first_frame: cython.longlong,
    links: cython.int[::1],
    lanes: cython.int[::1],
    flows: FlowTable,
    flow_limit: cython.Py_ssize_t,
    row: cython.Py_ssize_t,
    out_time: cython.longlong[::1],
    out_offset: cython.uint[::1],
    out_frame: cython.uint[::1],
    out_flow: cython.int[::1],
    out_seq: cython.uint[::1],
    out_ack: cython.uint[::1],
    out_length: cython.int[::1],
    out_print: cython.uint[::1],
    out_window: cython.ushort[::1],
    out_ip_id: cython.ushort[::1],
    out_flags: cython.ushort[::1],
    out_ttl: cython.uchar[::1],
    out_bits: cython.uchar[::1],
    skipped: cython.longlong[:, ::1],
) -> tuple:
    """Decode records *begin* .. *count* into rows from *row* on.

    Every header's length is checked against the record's before a field of it is read. No header is as long as `SLACK`, and
    the block must have so many bytes behind each record: if a check were wrong, what is read would be nonsense, and
    still within the block.

    Stops early when the flow table holds *flow_limit* flows, so that the caller can grow it and call again.
    `skipped[lane or 0 for any, reason]` counts the frames that become no row.

    Returns: (records consumed, next row).
    """
    i: cython.Py_ssize_t
    p: cython.Py_ssize_t
    end: cython.Py_ssize_t
    wire_end: cython.longlong
    ip_end: cython.longlong
    link: cython.int
    lane: cython.int
    kind: cython.int
    reason: cython.int
    bits: cython.int
    proto: cython.int
    ttl: cython.int
    version: cython.int
    header: cython.int
    depth: cython.int
    size: cython.int
    flags: cython.int
    fragment: cython.int
    ip_id: cython.longlong
    ports: cython.uint
    src_hi: cython.ulonglong
    src_lo: cython.ulonglong
    dst_hi: cython.ulonglong
    dst_lo: cython.ulonglong
    mac_src: cython.ulonglong
    mac_dst: cython.ulonglong
    seq: cython.ulonglong
    ack: cython.ulonglong
    window: cython.int
    length: cython.longlong
    h: cython.ulonglong
    syn_print: cython.ulonglong
    found: cython.longlong
    captured: cython.longlong

    i = begin
    with cython.nogil:
        while i < count and flows.count < flow_limit:
            p = cython.cast(cython.Py_ssize_t, start[i])
            end = p + cython.cast(cython.Py_ssize_t, caplen[i])
            if p < 0 or end < p or end + C_SLACK > len(data):
                with cython.gil:
                    raise IndexError(f"record {i} does not lie {SLACK} bytes before the block's end")
            # No packet is 1 GB long: of such a record only what was captured is known.
            wire_end = p + wirelen[i] if wirelen[i] < 0x40000000 else end
            link = links[interface[i]]
            lane = lanes[interface[i]]
            mac_src = 0
            mac_dst = 0
            kind = -1
            reason = LINK_SHORT
            # ---- link: p moves to the network header, kind is its EtherType; 0 means "look at the nibble"
            if link == 1:  # Ethernet
                if end - p >= 14:
                    mac_dst = (cython.cast(cython.ulonglong, be16(data, p)) << 32) | be32(data, p + 2)
                    mac_src = (cython.cast(cython.ulonglong, be16(data, p + 6)) << 32) | be32(data, p + 8)
                    kind = be16(data, p + 12)
                    p += 14
            elif link == 276:  # LINUX_SLL2: `tcpdump -i any`
                if end - p >= 20:
                    kind = be16(data, p)
                    lane = SLL2_LANE + cython.cast(cython.int, be32(data, p + 4) & 0xFFFFF)
                    if data[p + 11] == 6:
                        mac_src = (be32(data, p + 12) << 16) | cython.cast(
                            cython.ulonglong, be16(data, p + 16)
                        )
                    p += 20
            elif link == 113:  # LINUX_SLL
                if end - p >= 16:
                    kind = be16(data, p + 14)
                    if be16(data, p + 4) == 6:
                        mac_src = (be32(data, p + 6) << 16) | cython.cast(
                            cython.ulonglong, be16(data, p + 10)
                        )
                    p += 16
            elif link == 101 or link == 12 or link == 14:  # RAW
                if end > p:
                    kind = 0
            elif link == 228:  # IPV4
                kind = 0x0800
            elif link == 229:  # IPV6
                kind = 0x86DD
            elif link == 0 or link == 108:  # NULL (host order, 4 bytes), LOOP (network order)
                if end - p >= 4:
                    kind = 0
                    p += 4
            else:
                reason = LINK_UNKNOWN
            while kind == 0x8100 or kind == 0x88A8 or kind == 0x9100:  # VLAN, QinQ
                kind = -1
                if end - p >= 4:
                    kind = be16(data, p + 2)
                    p += 4
            # ---- network; a tunnel header leads back here with the inner packet
            bits = 0
            depth = 0
            proto = -1
            ports = 0
            ttl = 0
            ip_id = 0
            fragment = 0
            ip_end = wire_end
            src_hi = src_lo = dst_hi = dst_lo = 0
            while kind >= 0:
                version = 0
                reason = NETWORK_SHORT
                if kind == 0x0800 or kind == 0x86DD or kind == 0:
                    if end <= p:
                        break
                    version = data[p] >> 4
                    if (kind == 0x0800 and version != 4) or (kind == 0x86DD and version != 6):
                        reason = NETWORK_BAD
                        break
                    if kind == 0 and version != 4 and version != 6:
                        reason = NOT_IP
                        break
                elif kind == 0x0806:
                    if end - p < 8:
                        break
                    if be16(data, p + 2) != 0x0800 or data[p + 4] != 6 or data[p + 5] != 4:
                        reason = NOT_IP
                        break
                    if end - p < 28:
                        break
                    src_lo = V4_PREFIX | be32(data, p + 14)
                    dst_lo = V4_PREFIX | be32(data, p + 24)
                    proto = ARP
                    break
                else:
                    reason = NOT_IP
                    break
                fragment = 0
                if version == 4:
                    if end - p < 20:
                        break
                    header = (data[p] & 15) * 4
                    if header < 20:
                        reason = NETWORK_BAD
                        break
                    length = be16(data, p + 2)
                    # A TSO frame of more than 64 KB carries length 0 here; the record's length is true.
                    ip_end = p + length if length >= header else wire_end
                    ip_id = be16(data, p + 4)
                    fragment = be16(data, p + 6) & 0x1FFF
                    ttl = data[p + 8]
                    kind = data[p + 9]
                    src_hi = 0
                    dst_hi = 0
                    src_lo = V4_PREFIX | be32(data, p + 12)
                    dst_lo = V4_PREFIX | be32(data, p + 16)
                    p += header
                else:
                    if end - p < 40:
                        break
                    length = be16(data, p + 4)
                    ip_end = p + 40 + length if length else wire_end
                    ip_id = 0
                    ttl = data[p + 7]
                    kind = data[p + 6]
                    src_hi = (be32(data, p + 8) << 32) | be32(data, p + 12)
                    src_lo = (be32(data, p + 16) << 32) | be32(data, p + 20)
                    dst_hi = (be32(data, p + 24) << 32) | be32(data, p + 28)
                    dst_lo = (be32(data, p + 32) << 32) | be32(data, p + 36)
                    p += 40
                    # Extension headers (RFC 8200 section 4): each carries its own length.
                    while end - p >= 8 and (
                        kind == 0 or kind == 43 or kind == 44 or kind == 60 or kind == 51
                    ):
                        if kind == 44:
                            fragment = be16(data, p + 2) >> 3
                            ip_id = be32(data, p + 4) & 0xFFFF
                            kind = data[p]
                            p += 8
                            if fragment:
                                break
                        else:
                            header = (data[p + 1] + 2) * 4 if kind == 51 else (data[p + 1] + 1) * 8
                            kind = data[p]
                            p += header
                    if not fragment and (kind == 0 or kind == 43 or kind == 44 or kind == 60 or kind == 51):
                        break  # cut within an extension header
                if kind == 0:  # no transport, and ARP's pseudo protocol
                    reason = NETWORK_BAD
                    break
                if ip_end > wire_end:
                    ip_end = wire_end
                proto = kind
                if fragment:
                    bits |= FRAGMENT
                    break
                if depth >= 4:
                    break
                # ---- tunnels: the inner packet is the row
                if proto == 4 or proto == 41:
                    kind = 0x0800 if proto == 4 else 0x86DD
                    size = 3
                elif proto == 47 and end - p >= 4:
                    kind = be16(data, p + 2)
                    size = 4
                    if data[p + 1] & 7:  # version 1 is PPTP
                        break
                    header = 4 + ((data[p] & 0x80) >> 5) + ((data[p] & 0x20) >> 3) + ((data[p] & 0x10) >> 2)
                    if kind != 0x0800 and kind != 0x86DD and kind != 0x6558:
                        break
                    p += header
                elif (
                    proto == 17 and end - p >= 16 and (be16(data, p + 2) == 4789 or be16(data, p + 2) == 8472)
                ):
                    # VXLAN (RFC 7348 section 5), 8472 is flannel's: flags, 24 + 24 reserved bits around the VNI.
                    if data[p + 8] != 8 or data[p + 9] or data[p + 10] or data[p + 11] or data[p + 15]:
                        break
                    kind = 0x6558
                    size = 1
                    p += 16
                elif proto == 17 and end - p >= 16 and be16(data, p + 2) == 6081 and data[p + 8] >> 6 == 0:
                    kind = be16(data, p + 10)  # Geneve, RFC 8926 section 3.4
                    if kind != 0x6558 and kind != 0x0800 and kind != 0x86DD:
                        break
                    size = 2
                    p += 16 + (data[p + 8] & 63) * 4
                else:
                    break
                if kind == 0x6558:  # an Ethernet frame inside
                    if end - p < 14:
                        proto = 17 if size < 3 else 47
                        p = end
                        break
                    kind = be16(data, p + 12)
                    p += 14
                bits = (bits & 15) | (size << TUNNEL_SHIFT)
                depth += 1
                proto = -1
            if proto < 0:
                skipped[lane if lane < SLL2_LANE else 0, reason] += 1
                i += 1
                continue
            # ---- transport
            seq = 0
            ack = 0
            window = 0
            flags = 0
            syn_print = 0
            length = ip_end - p
            if length < 0:
                length = 0
                bits |= CUT
            captured = end - p
            if captured > length:
                captured = length
            if proto == ARP:
                seq = cython.cast(cython.ulonglong, be16(data, p + 6))
                h = mix(seq, dst_lo)
                length = 0
            elif bits & FRAGMENT:
                h = mix(mix(mix(77, cython.cast(cython.ulonglong, ip_id)), fragment), length)
            elif proto == 6 and captured >= 20:
                ports = cython.cast(cython.uint, be32(data, p))
                seq = be32(data, p + 4)
                ack = be32(data, p + 8)
                header = (data[p + 12] >> 4) * 4
                flags = be16(data, p + 12) & 0xFFF
                window = be16(data, p + 14)
                if header < 20 or header > length:
                    bits |= CUT
                    header = 20
                length -= header
                h = mix(mix(mix(seq, ack), (flags << 16) | window), cython.cast(cython.ulonglong, length))
                if flags & TCP_SYN and not flags & TCP_ACK:
                    syn_print = mix(mix(seq, window), 7)
                    if header > 20 and header <= captured:
                        syn_print = hash_tcp_options(data, p + 20, p + header, syn_print, True)
                    if syn_print == 0:
                        syn_print = 1
                if header > 20:
                    if header <= captured:
                        h = hash_tcp_options(data, p + 20, p + header, h, False)
                    else:
                        bits |= CUT
            elif (proto == 17 or proto == 136) and captured >= 8:
                ports = cython.cast(cython.uint, be32(data, p))
                length -= 8
                captured -= 8
                h = mix(mix(17, cython.cast(cython.ulonglong, length)), cython.cast(cython.ulonglong, ip_id))
                h = hash_bytes(data, p + 8, captured if captured < 32 else 32, h)
            elif (proto == 1 or proto == 58) and captured >= 8:
                kind = data[p]
                flags = data[p + 1]
                h = mix(mix(cython.cast(cython.ulonglong, proto), (kind << 8) | flags), length)
                length -= 8
                captured -= 8
                if kind == 8 or kind == 0 or kind == 128 or kind == 129:
                    # Echo: the identifier is the port that NAT translates; request and reply share a flow.
                    ports = cython.cast(cython.uint, be16(data, p + 4) * 65537)
                    seq = cython.cast(cython.ulonglong, be16(data, p + 6))
                    h = mix(mix(h, seq), cython.cast(cython.ulonglong, ip_id))
                    h = hash_bytes(data, p + 8, captured if captured < 32 else 32, h)
                else:
                    ports = cython.cast(cython.uint, (kind << 16) | flags)
                    if (proto == 1 and (kind == 3 or kind == 4 or kind == 5 or kind == 11 or kind == 12)) or (
                        proto == 58 and kind < 128
                    ):
                        bits |= QUOTES
                        # Of the quoted header, the part that NAT leaves alone.
                        if proto == 1 and captured >= 28:
                            h = mix(h, be32(data, p + 12))
                            h = mix(h, be32(data, p + 32))
                        elif captured >= 48:
                            h = mix(h, be32(data, p + 12))
                            h = mix(h, be32(data, p + 52))
                    else:
                        h = mix(h, cython.cast(cython.ulonglong, ip_id))
            else:
                if proto == 6 or proto == 17 or proto == 136 or proto == 1 or proto == 58:
                    bits |= CUT
                h = mix(mix(99, cython.cast(cython.ulonglong, length)), cython.cast(cython.ulonglong, ip_id))
                if captured > 0:
                    h = hash_bytes(data, p, captured if captured < 16 else 16, h)
            found = flows.find(src_hi, src_lo, dst_hi, dst_lo, ports, proto, lane, mac_src, mac_dst)
            if proto == 6 and (flags & TCP_SYN or not bits & (FRAGMENT | CUT)):
                found = flows.segment(
                    found, flags, cython.cast(cython.uint, seq), cython.cast(cython.uint, syn_print)
                )
            if length < 0:
                length = 0
            out_time[row] = time[i]
            out_offset[row] = cython.cast(cython.uint, base + p)
            out_frame[row] = cython.cast(cython.uint, first_frame + i)
            out_flow[row] = cython.cast(cython.int, found >> 1)
            out_seq[row] = cython.cast(cython.uint, seq)
            out_ack[row] = cython.cast(cython.uint, ack)
            out_length[row] = cython.cast(cython.int, length)
            out_print[row] = cython.cast(cython.uint, h)
            out_window[row] = cython.cast(cython.ushort, window)
            out_ip_id[row] = cython.cast(cython.ushort, ip_id)
            out_flags[row] = cython.cast(cython.ushort, flags)
            out_ttl[row] = cython.cast(cython.uchar, ttl)
            out_bits[row] = cython.cast(cython.uchar, bits | (found & 1))
            row += 1
            i += 1
    return i, row
