"""A conntrack entry outlived the endpoint it points to.

What happens
    A service's endpoint is replaced and the rules point to the new one, but only new connections are matched against the
    rules. A client that keeps its source port renews its entry with every request, so its packets still go to an address
    that is gone. A UDP client is not notified. This lasts until the client pauses for longer than the entry's timeout.

How it is recognised
    A request vanishes on its way in or out, or this node itself refuses a datagram, and the conntrack table (`conntrack -L`)
    has an entry for it whose target no rule uses any more, or only for other destinations, or that was made before there was
    a rule. The node asks who has the target's address and gets no reply.
    Without a loss in this node, the requests leave for an endpoint and are no longer answered. Either the table shows such an
    entry (of TCP only where nothing was ever answered: an open connection cannot be led elsewhere), or several later
    connections to the same service get another endpoint and are answered, and none of them gets this one.

What is ruled out
    A loss in the node (the requests are on the uplink); a service whose endpoints are all still chosen (a later connection
    would get this one, too).

Remedies and their risks
    `conntrack -D -p udp -r OLD-ENDPOINT` deletes the entries, and cuts off whatever still works through that endpoint.
    kube-proxy does this by itself for UDP, so a stuck one needs a restart. Clients that use a new source port for each
    request are not affected.

References
    https://github.com/kubernetes/kubernetes/issues/125467; https://github.com/kubernetes/kubernetes/issues/48370; conntrack(8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.connection.passages import ends
from analyzer.evidence.stale import contradicting
from analyzer.flow.point import TCP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.unheard import asked_in_vain, failed
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.capture.columns import Flows
    from analyzer.evidence.drops import Kind
    from analyzer.evidence.stale import StaleEntry
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "stale-entry"
TITLE = "stale conntrack entry"
RANK = 15
COUNTED = False
RECORDS: tuple[Kind, ...] = ("no-neighbour", "no-route", "no-listener", "receiver")

REMEDIES = (
    Remedy(
        do="See where the entries of this service lead",
        command="conntrack -L -p udp",
        effect="Shows the endpoints that connections were given when they began.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Restart what should have deleted the entry (kube-proxy, the CNI's port mapping), if it is stuck",
        command="kubectl -n kube-system rollout restart daemonset/kube-proxy",
        effect="kube-proxy deletes UDP entries of endpoints that are gone.",
        risk="Rules are not updated while it restarts.",
    ),
)
WHY = {
    "gone": "no rule leads there any more",
    "elsewhere": "the rules lead other destinations there, not this one",
    "untranslated": "it was made before there was a rule for this destination",
}


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.packets, 'packet')} of {count(loss.connections, 'connection')} were misdelivered by this node: a stale "
        f"conntrack entry still sends them where the current rules would not."
    )


def deletion(command: str) -> tuple[Remedy, ...]:
    """Return the remedies where the entry is known, and *command* deletes it."""
    first = Remedy(
        do="Delete this entry",
        command=command,
        effect="The next packet is translated by the current rules.",
        risk="None for others: it is this one entry.",
    )
    return (first, *REMEDIES[1:])


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the entry that conntrack's table has for the packet."""
    if case.replies or (case.refused and case.protocol == TCP):  # what TCP began anew has an entry of its own
        return None
    entry = contradicted(case.point.flows, case.flow, scene)
    if entry is None:
        return None
    target, _ = entry.target.rsplit(":", 1)
    inner = case.gap.inner if not case.outward else case.gap.outer
    vain = asked_in_vain(inner, target.strip("[]"), scene) or failed(target.strip("[]"), scene)
    evidence = [told(entry)]
    if vain is not None:
        evidence.append(vain)
    return Explanation(
        cause=CODE,
        kind="misdelivered",
        confidence="proven" if vain is not None or case.refused else "likely",
        facts={"target": entry.target, "now": list(entry.now)},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(
                cause="policy-drop",
                because="the packet was translated by an existing entry; rules are consulted for new connections only",
            ),
            Exclusion(
                cause="next-hop-unresolved",
                because=f"nobody answers for {target} because the packets should not go there",
            ),
        ),
        remedies=deletion(entry.command),
    )


def told(entry: StaleEntry) -> Evidence:
    """What the table and the rules say of a stale entry."""
    return Evidence(
        says=f"conntrack's entry for it is stale: it leads to {entry.target}, and {WHY[entry.kind]}"
        + (f"; now they lead to {', '.join(entry.now)}" if entry.now else ""),
        source=entry.file,
    )


def contradicted(flows: Flows, flow: int, scene: Scene) -> StaleEntry | None:
    """The entry of a flow, as it was before translation, where the rules contradict it."""
    protocol = "tcp" if int(flows.proto[flow]) == TCP else "udp"
    return known(scene).get((protocol, *ends(flows, flow)))


def known(scene: Scene) -> Mapping[tuple[str, str, str], StaleEntry]:
    """The entries that the rules contradict, by protocol and both ends before translation."""

    def look() -> dict[tuple[str, str, str], StaleEntry]:
        return {
            (
                e.entry.proto,
                _end(e.entry.orig_src, e.entry.orig_sport),
                _end(e.entry.orig_dst, e.entry.orig_dport),
            ): e
            for e in contradicting(scene.evidence).entries
        }

    return scene.once("stale-entries", look)


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
