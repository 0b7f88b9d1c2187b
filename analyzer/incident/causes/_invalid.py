"""What the four window tests share: remedies, and how an INVALID reply is told."""

from __future__ import annotations

from analyzer.model import Remedy

DROP = Remedy(
    do="Drop INVALID packets before the host's stack can answer them",
    command="iptables -I INPUT -m conntrack --ctstate INVALID -j DROP",
    effect="The host sends no RST; the connection recovers by itself, since a late packet carries nothing new.",
    risk="Node-wide. Connections whose replies take another way (asymmetric routing) are cut.",
)
LIBERAL = Remedy(
    do="Make conntrack trust the window",
    command="sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
    effect="No packet is called INVALID for its sequence or acknowledgement number.",
    risk="Node-wide. Forged packets keep entries alive, so the table can fill; the check exists for firewalls.",
)
UPGRADE = Remedy(
    do="Run a kernel of 6.1 or later on the node",
    command="uname -r",
    effect="Late packets are ignored by the window tracking, translated and passed on (commit 6e250dcbff1d).",
    risk="A kernel upgrade, with all that belongs to one.",
)


def summary(findings: int, resets: int, what: str) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"This node itself cut {findings} connection{'s' * (findings != 1)} short: its connection tracking did not recognise "
        f"{resets} repl{'ies' if resets != 1 else 'y'} of the server ({what}), and the host answered with a reset that "
        f"neither end had asked for."
    )


def dropped(findings: int, packets: int, what: str) -> str:
    """The same where nobody answered the packet."""
    return (
        f"{packets} packet{'s' * (packets != 1)} of the server never reached {findings} connection{'s' * (findings != 1)}: this "
        f"node's connection tracking did not recognise {'them' if packets != 1 else 'it'} ({what}), and dropped "
        f"{'them' if packets != 1 else 'it'}."
    )


def leaked(findings: int, packets: int) -> str:
    """The same for packets that left untranslated."""
    return (
        f"{packets} packet{'s' * (packets != 1)} of {findings} "
        f"connection{'s' * (findings != 1)} left this node with the pod's own "
        f"address, which nobody outside can answer: connection tracking no longer knew the connection."
    )
