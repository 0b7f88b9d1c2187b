"""The hot loop of decoding: records in, one row per frame out, each row already in its flow.

Link, network and transport headers are read in one pass; a frame either becomes a row or is counted under
a reason, never dropped silently. Every length is checked against the captured bytes before a field is read.
Compiled by the package build; runs uncompiled with the same results (`tests/capture/test_scan.py`). What every frame needs
is in this one loop, so that the compiler sees it whole: functions of other modules are called, and never inlined. What
few frames need, and the table of flows, whose methods are calls anyway, are modules of their own (`scan.pxd`).

Integer constants of 2**31 and more are module variables because Cython takes such literals for Python
objects, which a loop without the GIL cannot hold; products are kept under 2**64, or cut to that, so that both modes agree.
"""

# Annotations here name C types for Cython's pure mode; see setup.py.
try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

from analyzer.capture import layout

if not cython.compiled:  # compiled, scan.pxd imports them
    from analyzer.capture.encapsulation import link_header, tunnel, unwrap
    from analyzer.capture.flowtable import FlowTable

COMPILED = cython.compiled

M32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
MULTIPLIER = cython.declare(cython.ulonglong, 0x9E3779B1)  # 2**32 / golden ratio, as Knuth's hash
V4_PREFIX = cython.declare(cython.ulonglong, 0xFFFF00000000)  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2

FRAGMENT = cython.declare(cython.int, layout.FRAGMENT)
CUT = cython.declare(cython.int, layout.CUT)
QUOTES = cython.declare(cython.int, layout.QUOTES)
TUNNEL_SHIFT = cython.declare(cython.int, layout.TUNNEL_SHIFT)
ARP = cython.declare(cython.int, layout.ARP)
SLL2_IFACE = cython.declare(cython.int, layout.SLL2_IFACE)
SLL_IFACE = cython.declare(cython.int, layout.SLL_IFACE)
BEYOND = cython.declare(cython.int, layout.BEYOND)
MAX_IFINDEX = cython.declare(cython.ulonglong, layout.MAX_IFINDEX)
TCP_SYN = cython.declare(cython.int, layout.TCP_SYN)
TCP_ACK = cython.declare(cython.int, layout.TCP_ACK)
LINK_SHORT = cython.declare(cython.int, layout.REASONS.index("link header cut short"))
NOT_IP = cython.declare(cython.int, layout.REASONS.index("not IP or ARP"))
NETWORK_SHORT = cython.declare(cython.int, layout.REASONS.index("network header cut short"))
SLACK = 4096
"""Bytes that a block must have behind its last record."""
PLACE = cython.declare(cython.longlong, (1 << 40) - 1)  # of what `tunnel` returns
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
@cython.inline
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def tunnelled(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.bint:
    """Whether a UDP datagram's ports are a tunnel's: VXLAN (8472 is flannel's), Geneve, GTP-U, L2TP."""
    port: cython.int
    if end - p < 16:
        return False
    port = be16(data, p + 2)
    if port == 4789 or port == 8472 or port == 6081 or port == 2152 or port == 1701:
        return True
    return be16(data, p) == 1701  # L2TP answers from its port, whatever port asked


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
    ifaces: cython.int[::1],
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
    foreign: cython.longlong[::1],
    unread: cython.longlong[:, ::1],
) -> tuple:
    """Decode records *begin* .. *count* into rows from *row* on.

    Every header's length is checked against the record's before a field of it is read. No header is as long as `SLACK`, and
    the block must have so many bytes behind each record: if a check were wrong, what is read would be nonsense, and
    still within the block.

    Stops early when the flow table holds *flow_limit* flows, so that the caller can grow it and call again.
    `skipped[iface or 0 for any, reason]` counts the frames that become no row, `foreign[EtherType]` those of them that are
    neither IP nor ARP, and `unread[iface or 0]` is when the first and the last of an interface were seen.

    Returns: (records consumed, next row).
    """
    i: cython.Py_ssize_t
    p: cython.Py_ssize_t
    end: cython.Py_ssize_t
    wire_end: cython.longlong
    ip_end: cython.longlong
    link: cython.int
    iface: cython.int
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
            iface = ifaces[interface[i]]
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
                    h = be32(data, p + 4)
                    # Cut to fit, a number that no interface has would be that of another interface.
                    iface = SLL2_IFACE + cython.cast(cython.int, h) if h <= MAX_IFINDEX else BEYOND
                    if data[p + 11] == 6:
                        mac_src = (be32(data, p + 12) << 16) | cython.cast(
                            cython.ulonglong, be16(data, p + 16)
                        )
                    p += 20
            elif link == 113:  # LINUX_SLL
                if end - p >= 16:
                    kind = be16(data, p + 14)
                    iface = SLL_IFACE + (be16(data, p) == 4)  # PACKET_OUTGOING
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
                found = link_header(data, p, end, link)
                if found < 0:
                    reason = cython.cast(cython.int, -1 - found)
                else:
                    kind = cython.cast(cython.int, found & 0xFFFF)
                    p = cython.cast(cython.Py_ssize_t, found >> 16)
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
                    found = unwrap(data, p, end, kind)
                    if found < 0:
                        reason = cython.cast(cython.int, -1 - found)
                        if reason == NOT_IP:
                            foreign[kind] += 1
                        break
                    kind = cython.cast(cython.int, found & 0xFFFF)
                    p = cython.cast(cython.Py_ssize_t, found >> 16)
                    continue
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
                if proto == 6 or proto == 1 or (proto == 17 and not tunnelled(data, p, end)):
                    break
                if proto != 4 and proto != 41 and proto != 47 and proto != 17:
                    break
                found = tunnel(data, p, end, proto)
                if found < 0:
                    break
                size = cython.cast(cython.int, found >> 56)
                kind = cython.cast(cython.int, found & 0xFFFF)
                p = cython.cast(cython.Py_ssize_t, (found >> 16) & PLACE)
                if kind == 0x6558:  # an Ethernet frame inside
                    if end - p < 14:
                        p = end
                        break
                    kind = be16(data, p + 12)
                    p += 14
                bits = (bits & 15) | (size << TUNNEL_SHIFT)
                depth += 1
                proto = -1
            if proto < 0:
                iface = iface if iface < SLL2_IFACE else 0
                skipped[iface, reason] += 1
                if time[i] < unread[iface, 0]:
                    unread[iface, 0] = time[i]
                if time[i] > unread[iface, 1]:
                    unread[iface, 1] = time[i]
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
                # The datagram's own length: a first fragment is the whole that it becomes again (nf_defrag_ipv4).
                size = be16(data, p + 4)
                length = size - 8 if size >= 8 else length - 8
                captured -= 8
                h = mix(mix(17, cython.cast(cython.ulonglong, length)), cython.cast(cython.ulonglong, ip_id))
                h = hash_bytes(data, p + 8, captured if captured < 32 else 32, h)
            elif (proto == 1 or proto == 58) and captured >= 8:
                kind = data[p]
                flags = data[p + 1]
                h = mix(cython.cast(cython.ulonglong, proto), (kind << 8) | flags)
                length -= 8
                captured -= 8
                if kind == 8 or kind == 0 or kind == 128 or kind == 129:
                    # Echo: the identifier is the port that NAT translates; request and reply share a flow.
                    ports = cython.cast(cython.uint, be16(data, p + 4)) * 65537
                    seq = cython.cast(cython.ulonglong, be16(data, p + 6))
                    h = mix(mix(h, seq), cython.cast(cython.ulonglong, ip_id))
                    h = hash_bytes(data, p + 8, captured if captured < 32 else 32, h)
                else:
                    h = mix(h, length)
                    ports = cython.cast(cython.uint, (kind << 16) | flags)
                    if (proto == 1 and (kind == 3 or kind == 4 or kind == 5 or kind == 11 or kind == 12)) or (
                        proto == 58 and kind < 128
                    ):
                        bits |= QUOTES
                        # It quotes a header and 8 bytes (RFC 792), or more.
                        if captured < (48 if proto == 58 else 28) or (
                            proto == 1 and captured < (data[p + 8] & 15) * 4 + 8
                        ):
                            bits |= CUT
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
            if iface >= SLL_IFACE and (
                src_hi > dst_hi
                or (
                    src_hi == dst_hi
                    and (src_lo > dst_lo or (src_lo == dst_lo and ports >> 16 > ports & 0xFFFF))
                )
            ):
                iface ^= 1
            found = flows.find(src_hi, src_lo, dst_hi, dst_lo, ports, proto, iface, mac_src, mac_dst)
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
