"""The flows of a group of files while it is scanned: a hash table over columns that the caller owns.

Compiled by the package build, with `flowtable.pxd` for the loop that uses it; runs uncompiled with the same results.
"""

# Annotations here name C types for Cython's pure mode; see setup.py.
try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

from analyzer.capture import layout

M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
M64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)  # compiled, products wrap by themselves
ODD = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)  # 2**64 / golden ratio

SYN_X = cython.declare(cython.int, layout.SYN_X)
SYN_Y = cython.declare(cython.int, layout.SYN_Y)
SYNACK_X = cython.declare(cython.int, layout.SYNACK_X)
SYNACK_Y = cython.declare(cython.int, layout.SYNACK_Y)
DATA = cython.declare(cython.int, layout.DATA)
SLL_IFACE = cython.declare(cython.int, layout.SLL_IFACE)
TCP_SYN = cython.declare(cython.int, layout.TCP_SYN)
TCP_ACK = cython.declare(cython.int, layout.TCP_ACK)


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


@cython.boundscheck(False)  # every index is a flow's number, or masked
@cython.cclass
class FlowTable:
    """Flows by five-tuple and interface: open addressing over columns that the caller owns and grows.

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
    iface: cython.int[::1]
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
        self.iface = columns["iface"]
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
        if (
            self.hashes[i] != self.hashes[j]
            or self.proto[i] != self.proto[j]
            or self.iface[i] != self.iface[j]
        ):
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
        iface: cython.int,
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
        h += end_hash(0, cython.cast(cython.ulonglong, iface), proto, self.other, self.one)
        h = h & M32
        at = h & self.mask
        while self.slots[at]:
            i = self.at(at)
            if self.slots[at] >> 32 == h and self.proto[i] == proto and self.iface[i] == iface:
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
                    if iface >= SLL_IFACE and self.mac_dst[i] == 0:
                        self.mac_dst[i] = (
                            mac_src  # which the link does not tell of the packets that went there
                        )
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
        self.iface[i] = iface
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
        self.iface[i] = self.iface[old]
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
