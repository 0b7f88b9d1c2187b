"""What the four window tests share: remedies, and how an INVALID reply is told."""

from __future__ import annotations

import re
from dataclasses import replace

from analyzer.incident.model import Remedy
from analyzer.incident.wording import count

DROP = Remedy(
    do="Drop INVALID packets before the host's stack can answer them",
    command="iptables -I INPUT -m conntrack --ctstate INVALID -j DROP",
    effect="The host sends no RST; the connection recovers by itself, since a late packet carries nothing new.",
    risk="Node-wide. Connections with asymmetric routing are cut.",
)
DROP_FORWARDED = Remedy(
    do="Drop INVALID packets before they are forwarded to a pod",
    command="iptables -I FORWARD -m conntrack --ctstate INVALID -j DROP",
    effect="The pod never sees them, so it resets nothing; the connection recovers. kube-proxy has this rule from 1.15 on.",
    risk="Node-wide. Connections with asymmetric routing are cut.",
)
LIBERAL = Remedy(
    do="Relax conntrack's TCP window check",
    command="sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
    effect="No packet is INVALID because of its sequence or acknowledgement number.",
    risk="Node-wide. Forged packets keep entries alive, so the table can fill; the check exists for firewalls.",
)
UPGRADE = Remedy(
    do="Run a kernel of 6.1 or later on the node",
    command="uname -r",
    effect="Late packets are no longer INVALID: they are translated and forwarded (commit 6e250dcbff1d).",
    risk="A kernel upgrade.",
)


def fitting(remedies: tuple[Remedy, ...], *, forwarded: bool, dropped: bool, v6: bool) -> tuple[Remedy, ...]:
    """Return the remedies for these packets.

    Args:
        remedies: Those of the cause.
        forwarded: Whether the packets are forwarded to a pod, rather than taken by the host.
        dropped: Whether they are dropped already: then nothing is left but to call them valid.
        v6: Whether they are of IPv6.
    """
    kept = (
        DROP_FORWARDED if forwarded and one is DROP else one
        for one in remedies
        if not (dropped and one is DROP)
    )
    return tuple(
        replace(one, command=re.sub("^iptables", "ip6tables", one.command)) if v6 else one for one in kept
    )


def summary(findings: int, resets: int, what: str, *, by_pod: bool) -> str:
    """One sentence for people who do not read packets."""
    if by_pod:
        return (
            f"This node broke {count(findings, 'connection')}: conntrack called {count(resets, 'reply', 'replies')} of "
            f"the server INVALID ({what}) and passed {'it' if resets == 1 else 'them'} on with the endpoint's own "
            "address instead of the service's; the pod, which knows no such connection, answered with a RST."
        )
    return (
        f"This node reset {count(findings, 'connection')}: conntrack called {count(resets, 'reply', 'replies')} of the server "
        f"INVALID ({what}), and the host's own TCP answered with a RST."
    )


def dropped(findings: int, packets: int, what: str) -> str:
    """The same where nobody answered the packet."""
    return (
        f"{count(packets, 'packet')} of the server never reached {count(findings, 'connection')}: conntrack called "
        f"{'it' if packets == 1 else 'them'} INVALID ({what}), and {'it was' if packets == 1 else 'they were'} dropped."
    )


def leaked(findings: int, packets: int) -> str:
    """The same for packets that left untranslated."""
    return (
        f"{count(packets, 'packet')} of {count(findings, 'connection')} left this node with the pod's own address, which "
        f"nobody outside can answer: conntrack no longer had an entry for the connection."
    )
