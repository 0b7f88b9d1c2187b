"""What looks like a loss in this node, or like the race, and is neither.

What happens
    The user waits a second, three, five, or gives up, as with a lost first packet. The packet did leave the node, or never
    was to leave it, or only a capture missed it.

How it is recognised
    Lost beyond the node: the SYN is on the uplink and nobody answers; counted as unanswered. With VXLAN and broken checksum
    offload it is the same, after 1 s or 63 s.
    Refused: a RST or an ICMP error answers it.
    Missed by the capture: an answer proves that it was delivered; the capture dropped packets, began later or ended
    earlier.
    Not routed there: bridged to another pod, addressed to the node itself, or out by another interface.
    IPVS takes a client's port anew while the old connection is in TIME_WAIT: the first SYN is dropped before any partner
    could be, and exactly one second later all is well.
    A stale entry: see there.
    A firewall beyond the node that admits few source ports: the SYN is on the uplink, from a low port, without answer.
    Without br_netfilter the SYN-ACK of a pod on the same bridge comes from the pod's own address, not the service's, and
    the client resets it.
    rp_filter, or ip_forward = 0: all connections of that way vanish, and no counter of conntrack moves.

What is ruled out
    The race has a partner: another new connection to the same destination that left with the contested port at the same
    moment. No look-alike has one. Retry times tell nothing: from kernel 6.5 on the first SYNs repeat a second apart.

Remedies and their risks
    Capture at the uplink as well as inside, with a buffer that loses nothing (`tcpdump -B 16384`), and collect the
    counters before and after: then each of these is told apart. `sysctl net.ipv4.vs.conn_reuse_mode` for IPVS changes how
    all virtual services take ports anew; `ethtool -K flannel.1 tx-checksum-ip-generic off` costs CPU time.

References
    https://github.com/cloudnativelabs/kube-router/issues/544; https://github.com/kubernetes/kubernetes/issues/88986;
    https://github.com/docker/for-linux/issues/1552; Documentation/networking/ip-sysctl.rst
"""
