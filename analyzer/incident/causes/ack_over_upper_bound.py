"""An acknowledgement of data that conntrack has not seen was called INVALID.

What happens
    The reply acknowledges more than the pod has sent as far as this node knows. Every kernel generation calls that INVALID.
    Data that took another way, a connection that conntrack picked up late, or a forged packet look like this.

How it is recognised
    A reply of a translated connection is on the uplink and not inside; within about a millisecond the host sends a RST that
    is its exact mirror, window 0, without options, never seen inside. The replay of the connection through conntrack's
    window tracking says that this test failed, and by how many bytes. `invalid` rises by two for each: the
    reply, and the host's own RST.

What is ruled out
    A RST of the server (it would come from outside), of the container (it would be seen inside first), of a closed port
    (it would answer a SYN).

Remedies and their risks
    Find the way that the data took; dropping INVALID in INPUT (breaks asymmetric routing); nf_conntrack_tcp_be_liberal
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
