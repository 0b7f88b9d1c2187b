"""What may lie between a frame's first header and the packet that matters: rare link types, tags, labels, tunnels.

Each function takes one header off and says where the next one begins and what it is: `place << 16 | EtherType`, EtherType 0
for "its first nibble tells the IP version". A negative number is `-1 - reason`, an index into `layout.REASONS`. Called by
the loop of `scan` for what is not plain Ethernet with IP, so that the loop stays short, and by `analyzer.report.headers`;
every length is checked before a field is read.

Compiled by the package build, with `encapsulation.pxd` for that loop; runs uncompiled with the same results.
"""

# Annotations here name C types for Cython's pure mode; see setup.py.
try:
    import cython
except ImportError:
    from analyzer.compute.uncompiled import cython

from analyzer.capture import layout

UNKNOWN = cython.declare(cython.int, -1 - layout.REASONS.index("unknown link type"))
SHORT = cython.declare(cython.int, -1 - layout.REASONS.index("link header cut short"))
NOT_IP = cython.declare(cython.int, -1 - layout.REASONS.index("not IP or ARP"))

IPV4 = cython.declare(cython.int, 0x0800)
IPV6 = cython.declare(cython.int, 0x86DD)
ETHERNET = cython.declare(cython.int, 0x6558)  # transparent Ethernet bridging, RFC 1701

IPIP = cython.declare(cython.int, layout.TUNNELS.index("ipip"))
GRE = cython.declare(cython.int, layout.TUNNELS.index("gre"))
VXLAN = cython.declare(cython.int, layout.TUNNELS.index("vxlan"))
GENEVE = cython.declare(cython.int, layout.TUNNELS.index("geneve"))
L2TP = cython.declare(cython.int, layout.TUNNELS.index("l2tp"))
GTP = cython.declare(cython.int, layout.TUNNELS.index("gtp"))
ERSPAN = cython.declare(cython.int, layout.TUNNELS.index("erspan"))


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
@cython.exceptval(check=False)
def found(at: cython.Py_ssize_t, kind: cython.int) -> cython.longlong:
    """Say where the next header begins, and its EtherType."""
    return (cython.cast(cython.longlong, at) << 16) | kind


@cython.cfunc
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def ppp(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.longlong:
    """Take off a PPP header, RFC 1661 section 2, whose address and protocol fields may be compressed (sections 6.5, 6.6)."""
    kind: cython.int
    if end - p >= 2 and data[p] == 0xFF and data[p + 1] == 3:
        p += 2
    if end - p < 2:
        return SHORT
    if data[p] & 1:
        kind = data[p]
        p += 1
    else:
        kind = be16(data, p)
        p += 2
    if kind == 0x21:
        return found(p, IPV4)
    if kind == 0x57:
        return found(p, IPV6)
    return found(p, 0x8847) if kind == 0x281 else NOT_IP  # MPLS, RFC 3032 section 4.2


@cython.ccall
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def link_header(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t, link: cython.int
) -> cython.longlong:
    """Take off the header of a LINKTYPE_ that the loop does not read itself."""
    # C_HDLC 104; PPP_HDLC 50 is either that or PPP: the first byte tells (RFC 1662 section 3.1, RFC 1547 section 4.3.1).
    if link == 104 or (link == 50 and end > p and (data[p] == 0x0F or data[p] == 0x8F)):
        return found(p + 4, be16(data, p + 2)) if end - p >= 4 else SHORT
    if link == 9 or link == 50:
        return ppp(data, p, end)
    if link == 51:  # PPP_ETHER: a PPPoE header without Ethernet's
        return unwrap(data, p, end, 0x8864)
    return UNKNOWN


@cython.ccall
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def unwrap(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t, kind: cython.int
) -> cython.longlong:
    """Take off what an EtherType that is neither IP nor ARP announces."""
    if kind == 0x8100 or kind == 0x88A8 or kind == 0x9100:  # VLAN, QinQ
        return found(p + 4, be16(data, p + 2)) if end - p >= 4 else SHORT
    if kind == 0x8864:  # PPPoE session, RFC 2516 section 4: version and type 1, code 0
        if end - p < 8:
            return SHORT
        return ppp(data, p + 6, end) if be16(data, p) == 0x1100 else NOT_IP
    if (
        kind == 0x8847 or kind == 0x8848
    ):  # MPLS: labels up to the one that says bottom of stack, RFC 3032 section 2.1
        while end - p >= 4 and not data[p + 2] & 1:
            p += 4
        p += 4
        if end <= p:
            return SHORT
        kind = data[p] >> 4
        if kind == 4 or kind == 6:
            return found(p, 0)
        # A first nibble of 0 is a pseudowire's control word (RFC 4385 section 3), and Ethernet follows (RFC 4448).
        return NOT_IP if kind or end - p < 18 else found(p + 4, ETHERNET)
    if kind == ETHERNET:
        return found(p + 14, be16(data, p + 12)) if end - p >= 14 else SHORT
    return NOT_IP


@cython.cfunc
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def gre(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.longlong:
    """Take off a GRE header, RFC 2784 and 2890, and of a mirrored frame the ERSPAN header behind it."""
    kind: cython.int = be16(data, p + 2)
    flags: cython.int = data[p]
    p += 4 + ((flags & 0x80) >> 5) + ((flags & 0x20) >> 3) + ((flags & 0x10) >> 2)
    if kind in (IPV4, IPV6, ETHERNET):
        return found(p, kind) | cython.cast(cython.longlong, GRE) << 56
    # draft-foschiano-erspan-03: type I has no sequence number and no header, II has 8 bytes, III 12 or 20.
    if kind == 0x88BE:
        p += 8 if flags & 0x10 else 0
    elif (
        kind == 0x22EB and end - p >= 12 and data[p + 10] >> 2 & 31 == 0
    ):  # what was mirrored is an Ethernet frame
        p += 20 if data[p + 11] & 1 else 12
    else:
        return -1
    return found(p, ETHERNET) | cython.cast(cython.longlong, ERSPAN) << 56


@cython.cfunc
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def l2tp(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.longlong:
    """Take off the header of an L2TPv2 data message, RFC 2661 section 3.1, and PPP's."""
    flags: cython.int = be16(data, p)
    if flags & 0x800F != 2:  # a control message, or another version
        return -1
    p += 6 + (2 if flags & 0x4000 else 0) + (4 if flags & 0x0800 else 0)
    if flags & 0x0200:
        if end - p < 2:
            return -1
        p += 2 + be16(data, p)
    return ppp(data, p, end)


@cython.cfunc
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def gtp(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.longlong:
    """Take off the header of a G-PDU and its extensions, 3GPP TS 29.281 section 5."""
    more: cython.int
    if data[p] & 0xF0 != 0x30 or data[p + 1] != 255:  # version 1, GTP; G-PDU
        return -1
    more = data[p] & 7
    p += 8
    if more:  # sequence number, N-PDU number, type of the next extension: all there if any is
        if end - p < 4:
            return -1
        more = data[p + 3] if more & 4 else 0
        p += 4
        while more:
            if end <= p or data[p] == 0 or end - p < data[p] * 4:
                return -1
            p += data[p] * 4
            more = data[p - 1]
    if end <= p or (data[p] >> 4 != 4 and data[p] >> 4 != 6):
        return -1
    return found(p, 0)


@cython.ccall
@cython.nogil
@cython.boundscheck(False)
@cython.exceptval(check=False)
def tunnel(
    data: cython.const[cython.uchar][::1], p: cython.Py_ssize_t, end: cython.Py_ssize_t, proto: cython.int
) -> cython.longlong:
    """Take off a tunnel's header that begins at *p*, behind IP.

    Returns: As the others, with the index into `layout.TUNNELS` from bit 56 on; negative if it is none.
    """
    port: cython.int
    inner: cython.longlong
    if proto == 4:
        return found(p, IPV4) | cython.cast(cython.longlong, IPIP) << 56
    if proto == 41:
        return found(p, IPV6) | cython.cast(cython.longlong, IPIP) << 56
    if proto == 47:
        return gre(data, p, end) if end - p >= 4 and not data[p + 1] & 7 else -1  # version 1 is PPTP
    if end - p < 16:
        return -1
    port = be16(data, p + 2)
    if port == 4789 or port == 8472:
        # VXLAN (RFC 7348 section 5), 8472 is flannel's: flags, 24 + 24 reserved bits around the VNI.
        if data[p + 8] != 8 or data[p + 9] or data[p + 10] or data[p + 11] or data[p + 15]:
            return -1
        return found(p + 16, ETHERNET) | cython.cast(cython.longlong, VXLAN) << 56
    if port == 6081:  # Geneve, RFC 8926 section 3.4
        if data[p + 8] >> 6 or not (
            be16(data, p + 10) == ETHERNET or be16(data, p + 10) == IPV4 or be16(data, p + 10) == IPV6
        ):
            return -1
        return found(p + 16 + (data[p + 8] & 63) * 4, be16(data, p + 10)) | (
            cython.cast(cython.longlong, GENEVE) << 56
        )
    if port == 2152:
        inner = gtp(data, p + 8, end)
        return inner | cython.cast(cython.longlong, GTP) << 56 if inner >= 0 else -1
    if port == 1701 or be16(data, p) == 1701:
        inner = l2tp(data, p + 8, end)
        return inner | cython.cast(cython.longlong, L2TP) << 56 if inner >= 0 else -1
    return -1
