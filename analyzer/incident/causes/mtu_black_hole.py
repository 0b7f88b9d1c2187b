"""Large packets are dropped on the way and the sender gets no error: path MTU discovery is broken.

What happens
    A link on the path has a smaller MTU than the sender. The router before it drops packets that are too large and returns
    an ICMP error, fragmentation needed or packet too big. If this node does not pass that error on, the sender never learns.
    The handshake and small packets get through; the first full segment is retransmitted until the connection times out.

How it is recognised
    The error, quoting a pod's connection, arrived at the uplink but was never seen inside, although the points there were
    recording. Segments of that connection, larger than the error allows, are retransmitted. Or the segments exceed the MTU
    of this node's own uplink, and the node's own error is not seen inside: an OUTPUT rule stops it.

What is ruled out
    Loss of all packets: small ones of the same connection arrive. An error that reached the pod: it would have sent smaller ones.

Remedies and their risks
    Let the error through. To conntrack it is RELATED traffic and is translated, so no rule may drop it first and the uplink
    must track the connection. Or make the segments small enough: clamp the MSS, or lower the pods' MTU.

References
    RFC 1191; RFC 4459; RFC 8201; net/netfilter/nf_nat_core.c `nf_nat_icmp_reply_translation`
    https://github.com/cilium/cilium/issues/33844; https://github.com/moby/moby/issues/12565
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.incident.model import Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.incident.explanation import Loss

CODE = "mtu-black-hole"
TITLE = "path MTU black hole"

REMEDIES = (
    Remedy(
        do="Clamp the segments of forwarded connections to the path MTU",
        command="iptables -t mangle -I FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
        effect="New connections agree on segments that fit; what is running is not changed.",
        risk="Helps TCP only, and only where the node itself knows the smaller MTU; else give a size: --set-mss.",
    ),
    Remedy(
        do="Let ICMP errors of known connections pass",
        command="iptables -I FORWARD -m conntrack --ctstate RELATED -p icmp -j ACCEPT",
        effect="The sender learns the path's MTU and sends smaller segments at once.",
        risk="Forged errors can shrink segments; conntrack checks that they quote a known connection.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    stalled = f"{count(loss.connections, 'connection')} stall{'s' * (loss.connections == 1)}"
    where = f"between {loss.gap[0]} and {loss.gap[1]}"
    if loss.kind == "data-vanished":
        return (
            f"{stalled} on large packets, which do not fit the next interface, {where}: this node's own ICMP error that says "
            "so never reached the pod."
        )
    return (
        f"{stalled} on large packets: a router on the path reported {count(loss.packets, 'time')} that they "
        f"are too large, and this node did not pass the ICMP error on {where}."
    )
