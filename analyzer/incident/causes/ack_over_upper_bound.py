"""Conntrack marked a reply INVALID for acknowledging data it had not seen.

What happens
    The reply acknowledges more than this node has seen the pod send. Every kernel generation marks that INVALID. Data that
    took another path, a connection that conntrack picked up late, or a forged packet look like this.

How it is recognised
    A reply of a translated connection is seen on the uplink but not inside. Within about a millisecond the host sends a RST
    that is its exact mirror, with window 0 and no options, never seen inside. Replaying the connection through conntrack's
    window tracking shows that this test failed, and by how many bytes. `invalid` rises by two for each: the reply, and the
    host's own RST.

What is ruled out
    A RST from the server (it would come from outside), from the container (it would be seen inside first), or from a closed
    port (it would answer a SYN).

Remedies and their risks
    Find the path that the data took. Drop INVALID in INPUT (breaks asymmetric routing). nf_conntrack_tcp_be_liberal
    (node-wide).

References
    nf_conntrack_proto_tcp.c `tcp_in_window`; RFC 9293 section 3.10.7.4
"""

from __future__ import annotations

from analyzer.incident.causes import _invalid as invalid

CODE = "ack-over-upper-bound"
TITLE = "ACK of unseen data rejected by conntrack"
WHAT = "an ACK of data that this node never saw"
REMEDIES = (invalid.DROP, invalid.LIBERAL)
