"""A late acknowledgement fell under conntrack's lower bound and was called INVALID.

What happens
    Packets overtake each other on the way: an old acknowledgement arrives after newer ones. Conntrack, up to kernel 6.0, calls
    an acknowledgement INVALID that is further behind the sender's data than the largest window its receiver ever
    advertised (at least 66,000 bytes). It is not translated back, the host takes it for its own, knows no such
    connection, and resets a healthy one. From 6.1 on such packets are ignored by the tracking and passed on.

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
    nf_conntrack_proto_tcp.c `tcp_in_window`; https://github.com/moby/libnetwork/issues/1090; https://github.com/kubernetes/kubernetes/issues/74839
"""

from __future__ import annotations

from analyzer.incident.causes import _invalid as invalid

CODE = "ack-under-lower-bound"
TITLE = "late ACK rejected by conntrack"
WHAT = "a late ACK"
REMEDIES = (invalid.DROP, invalid.UPGRADE, invalid.LIBERAL)
