"""Data beyond the receiver's window was marked INVALID.

What happens
    As far as conntrack knows, the server sent more than the pod's advertised window allows. From kernel 6.1 on, a small
    overshoot is tolerated. A large one is INVALID on every generation.

How it is recognised
    A reply of a translated connection is on the uplink but not inside. Within about a millisecond the host sends a RST
    that mirrors it exactly: window 0, no options, never seen inside. Replaying the connection through conntrack's window
    tracking shows that this test failed, and by how many bytes. `invalid` rises by two each time: the reply and the
    host's own RST.

What is ruled out
    A RST from the server (it would come from outside), from the container (it would be seen inside first), from a closed
    port (it would answer a SYN).

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
