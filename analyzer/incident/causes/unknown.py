"""Lost inside the node, at a step that the captures alone do not identify.

What happens
    The packet was seen before the gap and never behind it. Nothing proved its delivery, and the next point was recording.
    No cause that Lostsyn knows explains which kernel step dropped it.

How it is recognised
    By elimination: no known cause fits. A kernel drop record still locates the drop: the finding then names the kernel's
    reason, the function that dropped the packet and the hook.

What is ruled out
    What the finding lists: at least loss beyond the node and a packet missed by the capture.

Remedies and their risks
    Collect more and analyse again: the node's counters before and after, its rules with their counters, its kernel log.

References
    Documentation/networking/nf_conntrack-sysctl.rst; conntrack(8); nft(8); iptables(8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.compute.thresholds import NEAR
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import drops_counted, record_of

if TYPE_CHECKING:
    from analyzer.evidence.drops import DropRecord
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "unknown"
TITLE = "cause unknown"

REMEDIES = (
    Remedy(
        do="Collect the node's counters and rules during the next occurrence",
        command="conntrack -S; nft list ruleset; iptables-save -c; ip -j addr; ip -j neigh; dmesg | grep nf_conntrack",
        effect="With the counters from before and after, the step that dropped the packets can be named.",
        risk="None: read-only. On a node with very many rules the listings take seconds.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return f"{loss.lost()}{loss.waited}: between {loss.gap[0]} and {loss.gap[1]} " + (
        f"the kernel dropped them {loss.dropped}."
        if loss.dropped
        else "they vanished; the captures do not show which step dropped them."
    )


def explain(case: Case, scene: Scene) -> Explanation:
    """Say what is known; always applies. Where the kernel recorded the drop, that is what is known, and no inference."""
    gap, step = case.gap, case.lost[0]
    near = scene.passed_near(gap, step.time, NEAR, case.protocol)
    lost, total = case.vanished, len(case.steps) + case.omitted
    evidence = [
        Evidence(
            says=f"{lost} of {total} attempts vanished between {case.gap.names[0]} and {case.gap.names[1]}; "
            f"{near} other requests passed within 1 s",
            source="captures",
        )
    ]
    evidence += [
        Evidence(says=f"{name} rose by {scene.counters[name]}", source="conntrack -S before and after")
        for name in ("insert_failed", "drop")
        if scene.counters.get(name)
    ]
    if scene.undropped and not scene.counters.get("insert_failed"):
        evidence.append(
            Evidence(
                says="neither drop nor insert_failed rose: conntrack dropped nothing",
                source="conntrack -S before and after",
            )
        )
    devices = tuple(sorted({case.gap.names[0], case.gap.names[1]}))
    evidence += scene.once(("drops counted", devices), lambda: drops_counted(scene, devices))
    beyond = case.gap.names[1] if case.outward else case.gap.names[0]
    drops = scene.drops.get(beyond)
    crossed = bool(len(gap.matches.a))
    record = record_of(case, scene)
    stacked = (
        Exclusion(
            cause="rules, translation and connection tracking",
            because=f"{case.gap.names[0]} and {case.gap.names[1]} are stacked devices, and none of these acts between them",
        ),
    )
    return Explanation(
        cause=CODE,
        confidence="proven" if record else "likely" if crossed and not drops else "possible",
        facts={"attempts": total, "others_passed_within_1s": near, **(_facts(record) if record else {})},
        evidence=tuple(evidence),
        excluded=(
            *(stacked if gap.stacked else ()),
            case.not_beyond,
            Exclusion(
                cause="packet missed by the capture",
                because=f"no answer came; {beyond} was recording before and after"
                + (f", but lost {drops} packets" if drops else ""),
            ),
        ),
    )


def _facts(record: DropRecord) -> dict[str, object]:
    """Where the packet died, as the kernel calls it."""
    place = {"reason": record.reason, "location": record.location, "hook": record.died_in or ""}
    known = {name: value for name, value in place.items() if value}
    named = ", ".join(f"{name} {value}" for name, value in known.items())
    return {**known, "dropped": record.means.says + (f" ({named})" if named else "")}
