"""The conntrack entry of an idle connection expired, and the connection went on.

What happens
    An entry expires some time after its last packet. Established TCP: five days, or what
    `nf_conntrack_tcp_timeout_established` says, often an hour or less. UDP: 30 s without a reply, two minutes with. The
    pod's next packet creates a new entry with another outer port, which the server does not know. The server's next packet
    matches no entry and never reaches the pod.

How it is recognised
    The pause before the packet is at least as long as the entry's lifetime, by the node's own setting or the kernel's
    default. From then on the connection leaves with another port, or its replies vanish behind the uplink.

What is ruled out
    An entry that was deleted (`conntrack -E` would show it earlier). A full table (it only evicts entries that are not
    established).

Remedies and their risks
    Use keepalives shorter than the entry's lifetime, in the application or by `tcp_keepalive_time`. Or raise the timeout,
    for which the table needs room.

References
    Documentation/networking/nf_conntrack-sysctl.rst; tcp(7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.incident.lost_entry import ALIVE, LONGER, told
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Explanation, Loss
    from analyzer.incident.scene import Scene

CODE = "entry-expired"
TITLE = "conntrack entry of an idle connection expired"
RANK = 45
WHAT = "the connection's entry had expired"
COUNTED = False
RECORDS: tuple[Kind, ...] = ("no-listener", "receiver", "no-route", "reverse-path", "rule", "netfilter")

REMEDIES = (ALIVE, LONGER)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'idle connection')} broke in this node: the conntrack entry expired, and the next packet "
        f"was not recognised."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it where a reply came after a pause that no entry outlives."""
    return told(case, scene, CODE)
