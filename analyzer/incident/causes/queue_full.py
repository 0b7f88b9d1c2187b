"""The outgoing interface's queue was full.

What happens
    Before a packet is handed to the device it waits in a queue (qdisc). When more arrives than leaves - a
    shaper, a slow uplink, a bandwidth annotation of the pod - the queue fills up. It then drops what does not fit or, as
    fq_codel and RED do, what has waited too long. The capture at the interface only sees what left the queue.

How it is recognised
    Packets vanish before an interface while others pass it. `tc -s qdisc` shows that interface's `dropped` counter, which
    rose between two snapshots. The kernel's drop records say `QDISC_DROP`. No conntrack counter moves.

What is ruled out
    A conntrack drop (it would have been counted), a rule (every attempt would be lost), loss beyond the node (the packet
    never left the queue). A queue whose counter did not rise dropped nothing.

Remedies and their risks
    Send less, shape with a fair queue so that new connections do not wait behind bulk data, or allow more.

References
    tc(8), tc-fq_codel(8), tc-tbf(8); net/core/dev.c `__dev_xmit_skb`; enum skb_drop_reason QDISC_DROP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.evidence.counting import UNTOLD
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import queue_drops, recorded
from analyzer.incident.routing import beyond

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

CODE = "queue-full"
TITLE = "queue full"
RANK = 50
COUNTED = False
BETWEEN_DEVICES = True
RECORDS: tuple[Kind, ...] = ("queue-full",)

REMEDIES = (
    Remedy(
        do="See which queue drops, and how long it is",
        command="tc -s qdisc show dev eth0; ip -s link show dev eth0",
        effect="Names the qdisc whose `dropped` rises, its limit and what waits in it.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Use a fair queue on the interface",
        command="tc qdisc replace dev eth0 root fq_codel",
        effect="First packets of new connections overtake bulk data, and a full queue drops from the longest flow.",
        risk="Replaces the existing shaping, which may be intended; packets in the old queue are lost.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{loss.lost()}{loss.waited}: the transmit queue of the interface was full and dropped them between {loss.gap[0]} "
        f"and {loss.gap[1]}."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by a record, or by the queue's counter where conntrack says that it dropped nothing."""
    if case.refused:
        return None
    record = recorded(case, scene, "queue-full")
    if record is None and not scene.undropped:
        return None
    return _explanation(case, scene, record, "proven" if record else "likely")


def suggest(case: Case, scene: Scene) -> Explanation | None:
    """Take the queue's counter alone, where nothing tells what conntrack did."""
    return None if case.refused or scene.counters else _explanation(case, scene, None, "possible")


def _explanation(
    case: Case, scene: Scene, record: Evidence | None, confidence: Confidence
) -> Explanation | None:
    device = beyond(case).name
    told = queue_drops(device, scene)
    if record is None and told is None:
        return None
    evidence = [record] if record else []
    if told is not None:
        evidence.append(
            Evidence(
                says=f"the queue of {device} ({told.of.removeprefix(device).removeprefix(UNTOLD).strip() or 'transmit'}) "
                f"dropped {told.rose:,} packets meanwhile",
                source=f"{told.files[0]} and {told.files[-1]}",
            )
        )
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts={"interface": device, "dropped": told.rose if told else None},
        evidence=tuple(evidence),
        excluded=(
            case.not_beyond,
            *(
                Exclusion(cause=cause, because="conntrack counted no drop")
                for cause in ("conntrack-table-full", "snat-port-race")
                if scene.undropped
            ),
        ),
        remedies=tuple(remedy.on("eth0", device) for remedy in REMEDIES),
    )
