"""A program deleted the conntrack entry of a live connection.

What happens
    Something on the node runs `conntrack -D` or flushes the table: a CNI agent cleaning up after a pod, a script, a
    firewall reload. The connection's next packet creates a new entry, and SNAT may give it another port. The server knows
    no such connection and resets it. The server's packets to the old port match no entry and never reach the pod.

How it is recognised
    From some packet on, a translated connection leaves the uplink with another port, though its entry was not due to
    expire. `conntrack -E` shows the entry's [DESTROY], and from conntrack-tools 1.4.7 on whether a program did it.

What is ruled out
    An entry that expired (the pause is shorter than its lifetime, or the time in the log shows it). A new connection from
    the same port (it would begin with a SYN).

Remedies and their risks
    Find what deletes: run `conntrack -E -e DESTROY -o timestamp` and compare with the CNI agent's logs. Deletions should
    name the address of a pod that is gone (`-s`, `-d`), never a whole protocol or port.

References
    conntrack(8); https://github.com/projectcalico/felix/issues/1966; https://github.com/kubernetes/kubernetes/issues/84767
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.incident.lost_entry import told
from analyzer.incident.model import Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Explanation, Loss
    from analyzer.incident.scene import Scene

CODE = "entry-deleted"
TITLE = "conntrack entry of a live connection deleted"
RANK = 44
WHAT = "the connection's entry had been deleted"
COUNTED = False
RECORDS: tuple[Kind, ...] = ("no-listener", "receiver", "no-route", "reverse-path", "rule", "netfilter")

REMEDIES = (
    Remedy(
        do="Watch which entries are deleted, and when",
        command="conntrack -E -e DESTROY -o timestamp,id",
        effect="Each line is a deleted entry; [USERSPACE] marks those that a program deleted.",
        risk="None: read-only. On a busy node it prints thousands of lines a second.",
    ),
    Remedy(
        do="Compare the times with the logs of the CNI agent and of kube-proxy, and fix the one that deletes",
        command="kubectl -n kube-system logs --timestamps daemonset/calico-node",
        effect="Names the program.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'established connection')} broke in this node: something deleted "
        f"{'its conntrack entry' if loss.connections == 1 else 'their conntrack entries'}, so the next packet left from "
        f"another port, which the server does not know."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it where a reply found no entry and conntrack's log says that it was deleted."""
    return told(case, scene, CODE)
