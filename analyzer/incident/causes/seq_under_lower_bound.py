"""Old data, retransmitted late, was called INVALID.

What happens
    A segment arrives whose end is more than one window behind what the server has already sent. Up to kernel 6.0 it is
    INVALID and the host resets the connection; since its acknowledgement is up to date, that RST is exact and kills.
    From 6.1 on such packets are ignored by the tracking and passed on.

How it is recognised
    A reply of a translated connection is on the uplink and not inside; within about a millisecond the host sends a RST that
    is its exact mirror, window 0, without options, never seen inside. The replay of the connection through conntrack's
    window tracking says that this test failed, and by how many bytes. `invalid` rises by two for each: the
    reply, and the host's own RST.

What is ruled out
    A RST of the server (it would come from outside), of the container (it would be seen inside first), of a closed port
    (it would answer a SYN).

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
