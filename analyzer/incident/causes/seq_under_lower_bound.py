"""Old data, retransmitted late, was marked INVALID.

What happens
    A segment arrives that ends more than one window behind what the server has already sent. Up to kernel 6.0 it is
    INVALID and the host resets the connection. Because its acknowledgement is up to date, that RST is exact and kills.
    From 6.1 on, conntrack ignores such packets and passes them on.

How it is recognised
    A reply of a translated connection is on the uplink but not inside. Within about a millisecond the host sends a RST
    that mirrors it exactly: window 0, no options, never seen inside. Replaying the connection through conntrack's window
    tracking shows that this test failed, and by how many bytes. `invalid` rises by two each time: the reply and the
    host's own RST.

What is ruled out
    A RST from the server (it would come from outside), from the container (it would be seen inside first), from a closed
    port (it would answer a SYN).

Remedies and their risks
    A newer kernel; dropping INVALID in INPUT (breaks asymmetric routing); nf_conntrack_tcp_be_liberal (node-wide).

References
    nf_conntrack_proto_tcp.c `tcp_in_window`; https://github.com/moby/libnetwork/issues/1090
"""

from __future__ import annotations

from analyzer.incident.causes import _invalid as invalid

CODE = "seq-under-lower-bound"
TITLE = "old data rejected by conntrack"
WHAT = "old data that arrived again"
REMEDIES = (invalid.UPGRADE, invalid.DROP, invalid.LIBERAL)
