"""Replies from a service's endpoint on the same bridge came back untranslated because br_netfilter is off.

What happens
    A pod connects to a service whose endpoint is another pod on its own bridge. The request goes to the node, which
    translates it (DNAT) and forwards it to the endpoint. The reply is addressed to a neighbour on the bridge and is bridged
    straight back. Bridged packets pass conntrack only with br_netfilter and `bridge-nf-call-iptables=1`. Without it the
    reply is not translated back and carries the endpoint's own address. The client knows no such connection and resets it;
    a DNS client reports a reply from an unexpected source.
    Endpoints elsewhere work, so the failure looks random.

How it is recognised
    A SYN to the service is answered from another address by a SYN-ACK that acknowledges this very SYN (its number). The
    endpoint itself sent that frame, not the node, and the client resets it. Of UDP: the client's port gets a datagram from
    another address, in a frame of the endpoint's own, and either the client refuses it (ICMP port unreachable), or the node
    was seen sending that endpoint a copy of the request. `net.bridge.bridge-nf-call-iptables` is 0, or
    `br_netfilter` is not among the loaded modules.

What is ruled out
    Packet loss: request and reply both arrived. A reset by the service: it is the client that resets. A reply that came
    back through another node or router: it would have been routed to the client, not bridged.

Remedies and their risks
    Load br_netfilter and set the sysctl. Make sure both survive a reboot: the module must be loaded before sysctl.d is
    applied.

References
    https://kubernetes.io/docs/setup/production-environment/container-runtimes/#forwarding-ipv4-and-letting-iptables-see-bridged-traffic
    https://github.com/kubernetes/kubernetes/issues/122174; net/bridge/br_netfilter_hooks.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.incident.model import Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.incident.explanation import Loss

CODE = "bridge-netfilter-off"
TITLE = "bridged answers bypass NAT"

REMEDIES = (
    Remedy(
        do="Pass bridged packets through conntrack and NAT",
        command="modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
        effect="The endpoint's answers are translated back; the next attempt works.",
        risk="Bridged traffic between pods meets the rules of FORWARD as well: what they do not allow stops.",
    ),
    Remedy(
        do="Make it persistent",
        command="echo br_netfilter > /etc/modules-load.d/br_netfilter.conf; "
        "printf '%s = 1\\n' net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables "
        "> /etc/sysctl.d/99-bridge-nf.conf",
        effect="The module is loaded before the setting is applied, which does not exist without it.",
        risk="As for the first.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'connection')} to a service failed though request and answer both arrived: "
        "the answer came with the endpoint's own address instead of the service's, since this node does not translate what "
        "it bridges (br_netfilter), and the client did not take it."
    )
