"""Data beyond the receiver's window was called INVALID.

What happens
    The server sent more than the pod's advertised window allows, as far as conntrack knows. From kernel 6.1 on a small
    overshoot is tolerated; a large one is INVALID on every generation.

How it is recognised
    A reply of a translated connection is on the uplink and not inside; within about a millisecond the host sends a RST that
    is its exact mirror, window 0, without options, never seen inside. The replay of the connection through conntrack's
    window tracking says that this test failed, and by how many bytes. `invalid` rises by two for each: the
    reply, and the host's own RST.

What is ruled out
    A RST of the server (it would come from outside), of the container (it would be seen inside first), of a closed port
    (it would answer a SYN).

Remedies and their risks
    Find what hides the pod's window updates from this node; dropping INVALID in INPUT (breaks asymmetric routing);
    nf_conntrack_tcp_be_liberal (node-wide).

References
    nf_conntrack_proto_tcp.c `tcp_in_window`; RFC 9293 section 3.10.7.4
"""

from __future__ import annotations

from analyzer.incident.causes import _invalid as invalid

CODE = "seq-over-upper-bound"
TITLE = "data beyond the window rejected by conntrack"
WHAT = "data beyond the window that the pod had offered"
REMEDIES = (invalid.DROP, invalid.LIBERAL)
