"""A late acknowledgement fell below conntrack's lower bound and was marked INVALID.

What happens
    Packets are reordered, and an old acknowledgement arrives after newer ones. Up to kernel 6.0, conntrack marks an
    acknowledgement INVALID if it is further behind the sender's data than the largest window its receiver ever advertised
    (at least 66,000 bytes). It is not translated back, so the host takes it for its own, finds no connection, and resets a
    healthy one. From 6.1 on, the tracking ignores such packets and passes them on.

How it is recognised
    A reply of a translated connection is seen on the uplink but not inside. Within about a millisecond the host sends a RST
    that is its exact mirror, with window 0 and no options, never seen inside. Replaying the connection through conntrack's
    window tracking shows that this test failed, and by how many bytes. `invalid` rises by two for each: the reply, and the
    host's own RST.

What is ruled out
    A RST from the server (it would come from outside), from the container (it would be seen inside first), or from a closed
    port (it would answer a SYN).

Remedies and their risks
    Run a newer kernel. Drop INVALID in INPUT (breaks asymmetric routing). nf_conntrack_tcp_be_liberal (node-wide).

References
    nf_conntrack_proto_tcp.c `tcp_in_window`; https://github.com/moby/libnetwork/issues/1090; https://github.com/kubernetes/kubernetes/issues/74839
"""

from __future__ import annotations

from analyzer.incident.causes import _invalid as invalid

CODE = "ack-under-lower-bound"
TITLE = "late ACK rejected by conntrack"
WHAT = "a late ACK"
REMEDIES = (invalid.DROP, invalid.UPGRADE, invalid.LIBERAL)
