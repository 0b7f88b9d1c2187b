"""Large packets vanish on the way and nobody tells the sender: path MTU discovery is broken.

What happens
    A link on the way carries smaller packets than the sender's. The router before it drops what is too large and says so
    with an ICMP error, fragmentation needed or packet too big. Where this node does not pass that error on, the sender never
    learns: the handshake and small packets are fine, and the first full segment is sent again until the connection times out.

How it is recognised
    The error arrived at the uplink, quoting a connection of a pod, and never was seen inside, although the points there were
    recording; segments of that connection, larger than the error allows, are sent again. Or the segments are larger than this
    node's own uplink takes, and its own error is not seen inside: a rule of OUTPUT stops it.

What is ruled out
    Loss of all packets: small ones of the same connection arrive. An error that reached the pod: it would have sent smaller ones.

Remedies and their risks
    Let the error through: it is RELATED traffic for conntrack and is translated by it, so no rule may drop it before, and the
    uplink must track the connection. Or make the segments small enough: clamp the MSS, or lower the MTU of the pods.

References
    RFC 1191; RFC 4459; RFC 8201; net/netfilter/nf_nat_core.c `nf_nat_icmp_reply_translation`
    https://github.com/cilium/cilium/issues/33844; https://github.com/moby/moby/issues/12565
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.incident.model import Remedy

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
    stalled = (
        f"{loss.connections:,} connection{'s' * (loss.connections != 1)} stall{'s' * (loss.connections == 1)}"
    )
    where = f"between {loss.gap[0]} and {loss.gap[1]}"
    if loss.kind == "data-vanished":
        return (
            f"{stalled} on large packets, which do not fit the next interface, {where}: this node's own ICMP error that says "
            "so never reached the pod."
        )
    return (
        f"{stalled} on large packets: a router on the path reported {loss.packets:,} time{'s' * (loss.packets != 1)} that they "
        f"are too large, and this node did not pass the ICMP error on {where}."
    )
