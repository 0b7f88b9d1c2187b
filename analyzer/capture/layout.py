"""The numbers that rows and flows are written in: bits, reasons, pseudo protocols."""

from __future__ import annotations

# Row bits. The scan sets REPLY for the side that did not send the flow's first packet; `analyzer.flow` turns it
# into "sent by the responder".
REPLY = 1
FRAGMENT = 2  # not the first fragment: no ports
CUT = 4  # the transport header, or what an ICMP error quotes, was not captured whole, or contradicts the IP length
QUOTES = 8  # ICMP error: quotes another packet's header
TUNNEL_SHIFT = 4  # 3 bits, an index into TUNNELS
TUNNELS = ("", "vxlan", "geneve", "ipip", "gre", "l2tp", "gtp", "erspan")

# Why a frame became no row: index into the scan's `skipped` counters.
REASONS = (
    "unknown link type",
    "link header cut short",
    "not IP or ARP",
    "network header cut short",
    "network header malformed",
)

ARP = 0  # pseudo protocol of ARP rows: 0 is HOPOPT, which is never a transport
MAX_IFACES = 4096  # interfaces of one group of files
BEYOND = MAX_IFACES - 1  # the number of whatever is not told apart
SLL2_IFACE = MAX_IFACES  # from here on, the interface numbers of `tcpdump -i any`
SLL_IFACE = (1 << 31) - 4  # and the next: the two faces of a flow in SLL, see `analyzer.capture.cooked`
MAX_IFINDEX = (
    SLL_IFACE - 1 - SLL2_IFACE
)  # an ifindex is a C int, and so is an interface's number here; none comes near

# Flow marks. X is the sender of the flow's first packet, Y the other side.
SYN_X = 1  # a SYN without ACK came from X
SYN_Y = 2
SYNACK_X = 4
SYNACK_Y = 8
DATA = 16  # a segment that is not part of a handshake

TCP_FIN = 0x01
TCP_SYN = 0x02
TCP_RST = 0x04
TCP_ACK = 0x10

SLL = 113
# Link types that the scan reads: LINKTYPE_ numbers of Ethernet, SLL, SLL2, RAW (and its old numbers), IPV4, IPV6, NULL, LOOP,
# PPP, PPP_HDLC, PPP_ETHER, C_HDLC.
LINKS = frozenset({1, SLL, 276, 101, 12, 14, 228, 229, 0, 108, 9, 50, 51, 104})

# EtherTypes whose frames are no rows, by the names that people know.
ETHERTYPES = {
    0x8035: "RARP",
    0x8137: "IPX",
    0x8809: "LACP and other slow protocols",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE sessions",
    0x888E: "802.1X",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x88E7: "provider backbone bridging",
    0x88F7: "PTP",
    0x8906: "FCoE",
}
