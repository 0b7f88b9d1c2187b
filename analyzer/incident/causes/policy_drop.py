"""A rule dropped the packets: a network policy, a firewall.

What happens
    A rule in the FORWARD path, written by a network policy controller or by hand, drops the packets of certain flows. The
    client gets no error: it retransmits its SYN until it gives up.

How it is recognised
    Every attempt of the flow, and of all flows to the same destination and port, vanishes in the same gap, while other ports
    of that address pass. No conntrack counter moves. If the bundle has the rules, the packet is walked through them and the
    rule is named; its own counter may confirm it. If a rule asks for something no packet shows (a rate, a length), or drops
    INVALID packets, its counter is the sign. A kernel drop record shows a rule in FORWARD, or the function that evaluates
    rules (`nft_do_chain`).

What is ruled out
    A full table and failed insertions (conntrack would have counted them), an unresolved next hop (others reach it, or
    nobody asked for it), loss beyond the node.

Remedies and their risks
    Change the policy, if the traffic is wanted.

References
    nft(8); iptables(8); https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.fates import VANISHED
from analyzer.connection.passages import label
from analyzer.flow.keys import among
from analyzer.flow.point import TCP
from analyzer.incident import rule_edits
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import queue_drops, record_of, recorded
from analyzer.incident.routing import beyond
from analyzer.incident.ruled import DROPPING, counted, doubtful, marked, perhaps, unmark, whose
from analyzer.incident.wording import count
from analyzer.nat.tuples import DST
from analyzer.node.ways import EXITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.evidence.drops import Kind
    from analyzer.evidence.rules.packet import Step, Steps
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "policy-drop"
TITLE = "dropped by a rule"
RANK = 30
COUNTED = False
RECORDS: tuple[Kind, ...] = ("rule", "policy", "conntrack-insertion", "conntrack-entry", "netfilter")
ELSEWHERE = ("conntrack-insertion", "conntrack-entry")
"""Records of hooks in which rules are rare, and conntrack drops."""
LOST = ("drop", "reject")
RANDOM = re.compile(r"\b(numgen|statistic)\b")
"""Conditions that some packets meet and others, just alike, do not: `numgen inc mod 10 0`, `-m statistic --mode random`."""
NO_RACE = (Exclusion(cause="snat-port-race", because="a rule drops the packet before SNAT"),)
WITNESSES = 3
"""Requests that passed next, which the rules must let through."""

REMEDIES = (
    Remedy(
        do="See which rule counts these packets",
        command="nft list ruleset | grep -E 'counter.*drop|drop' ; iptables-save -c | grep -E 'DROP|REJECT'",
        effect="Names the rule whose counter rises with every attempt.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Allow the traffic in the network policy, if it is wanted",
        command="kubectl get networkpolicy --all-namespaces",
        effect="The controller rewrites the rule.",
        risk="Somebody may have blocked this on purpose: ask first.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    if loss.to_node:
        return (
            f"{count(loss.connections, 'connection')} to this node itself got no answer, "
            f"{count(loss.packets, 'attempt')} in all: a rule on the node drops this traffic."
        )
    return f"{loss.fared}: a rule on the node drops this traffic between {loss.gap[0]} and {loss.gap[1]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """What became of the requests to the case's own destination, and to others."""

    lost: int
    """To the same address and port."""
    passed: int
    """To the same address and port, from whatever source and by whatever uplink."""
    others: int
    """To anything else, passed."""
    meanwhile: int
    """To other ports of the same address, neither translated, passed between the first and the last lost attempt: that
    the way leads through the gap, and was open, nothing else shows."""
    met: bool
    """Whether any packet to the same address and port passed."""


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the rule that drops the packet."""
    if case.refused:
        return None
    record = recorded(case, scene, "rule", "policy")
    rule = dropped_by(case, scene) if record or case.passed is None or _by_another(case) else None
    if rule is not None and rule[2] != "drop":
        rule = None
    if rule is None and record is None:
        return None
    alike = _alike(case, scene)
    passed = alike.passed if alike else 0
    what = f"{whose(scene.walked(case)) * _to_node(case, scene)}the {_packet(case)}"
    return Explanation(
        cause=CODE,
        confidence="proven" if record or not passed else "likely",
        facts={
            "rule": rule[0] if rule else None,
            **_facts(alike),
            **({"to_node": True} if _to_node(case, scene) else {}),
        },
        evidence=(
            *((Evidence(says=f"{what} matches this rule: {rule[0]}", source=rule[1]),) if rule else ()),
            *_unasked(case, scene),
            *_evidence(alike, scene),
        ),
        remedies=edits(case, scene),
        excluded=(*(NO_RACE if case.requests and case.outward else ()), case.not_beyond),
    )


def _by_another(case: Case) -> bool:
    """Whether the attempt that passed left by another device, the route's second next hop: a rule about the first spares it."""
    points = [point for point, _ in case.passed.seen] if case.passed else []
    return case.outward and beyond(case) not in points and any(point.role in EXITS for point in points)


def _packet(case: Case) -> str:
    """The first lost packet in a sentence: `SYN`, `packet (UDP 8 bytes)`."""
    name = label(*case.lost[0].seen[-1])
    return name if case.protocol == TCP else f"packet ({name})"


def edits(case: Case, scene: Scene) -> tuple[Remedy, ...]:
    """The command for the rules that were found, and what is to be asked before; none where no rule was found."""
    walked = scene.walked(case)
    if walked is None or walked[0].verdict not in LOST or walked[0].end is None:
        return ()
    return unmark(walked[0]) or removal(
        walked[0].end, scene, *case.lost[0].seen[-1], lambda scene: scene.walked(case)
    )


def removal(
    end: Step, scene: Scene, point: Point, row: int, walk: Callable[[Scene], tuple[Steps, str] | None]
) -> tuple[Remedy, ...]:
    """What to do about *end* and what is behind it, if that is known; *walk* leads that packet through the rules of a scene."""
    own = rule_edits.remove_all(end, scene, point, row, walk)
    return (*own, REMEDIES[1]) if own else ()


def suggest(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by a rule that drops at random, or without the rules: flows alike never pass while others do."""
    if not case.refused and (rule := _at_random(case, scene)):
        step, file, says = rule
        return Explanation(
            cause=CODE,
            confidence="likely",
            facts={"rule": step.text},
            evidence=(
                Evidence(says=f"the {_packet(case)} matches this rule, {says}: {step.text}", source=file),
                *_evidence(None, scene),
            ),
            remedies=(*own, REMEDIES[1]) if (own := rule_edits.remove(step)) else (),
            excluded=(case.not_beyond,),
        )
    named = None if case.refused else doubtful(case, scene, _packet(case))
    if named is None and not case.refused and case.passed is None:
        named = perhaps(case, scene, _packet(case))
    if named is not None:
        evidence, rule_named, confidence, own = named
        return Explanation(
            cause=CODE,
            confidence=confidence,
            facts={"rule": rule_named},
            evidence=(evidence, *_evidence(None, scene)),
            remedies=own or (REMEDIES[1],),
            excluded=(case.not_beyond,),
        )
    if not case.requests or not case.outward or case.passed is not None:
        return None
    alike = _alike(case, scene)
    if alike is None or not _chosen(case, scene, alike):
        return None
    return Explanation(
        cause=CODE,
        confidence="likely" if scene.counters else "possible",
        facts={"rule": None, **_facts(alike)},
        evidence=_evidence(alike, scene),
        excluded=(
            Exclusion(
                cause="conntrack-table-full",
                because="conntrack counted no drop"
                if scene.undropped
                else f"{alike.others} requests to other destinations passed",
            ),
            Exclusion(
                cause="snat-port-race", because="no attempt passed, and no other connection took its port"
            ),
            Exclusion(
                cause="next-hop-unresolved",
                because=f"all ARP/ND requests were answered on {case.gap.names[1]}",
            ),
            case.not_beyond,
        ),
    )


def _to_node(case: Case, scene: Scene) -> bool:
    """Whether its packets are addressed to the node itself, and no rule sends them elsewhere."""
    walked = scene.walked(case)
    point, row = case.lost[0].seen[-1]
    own = among(point.dst[point.packets.flow[[row]]], scene.node.own)
    return bool(case.requests and own[0] and walked is not None and walked[0].destination_nat is None)


def _at_random(case: Case, scene: Scene) -> tuple[Step, str, str] | None:
    """A rule on the packet's way that may have dropped it, and did drop packets; its file; and how sure that is.

    One that chooses at random drops some for certain. Of one that asks what a capture does not show (a rate, a length, how many
    connections there are) its counter tells, if it is the only one in doubt that rose.
    """
    walked = scene.walked(case)
    if walked is None or walked[0].verdict != "cannot-tell":
        return None
    for step in walked[0].doubts:
        if step.action == "drop" and step.rule is not None and step.rule.packets != 0:
            unclear = [match.text for match in step.rule.matches if not match.fields]
            if unclear and all(RANDOM.search(text) for text in unclear):
                return step, walked[1], "which drops some and spares others"
    risen = suspected(walked, scene)
    return (risen[0], walked[1], f"which counted {risen[1]} packets meanwhile") if risen else None


def suspected(walked: tuple[Steps, str] | None, scene: Scene) -> tuple[Step, int] | None:
    """The rule that may have dropped a packet, and counted some meanwhile, if it is the only one; and how many.

    For rules that ask what a capture does not show (a rate, a length, how many connections), or hand it to a program.
    """
    if walked is None or walked[0].verdict != "cannot-tell":
        return None
    steps = [*walked[0].doubts, *([walked[0].end] if walked[0].end is not None else [])]
    risen = [
        (step, count)
        for step in steps
        if step.action in DROPPING and step.rule is not None and (count := grown(step, scene)) > 0
    ]
    return risen[0] if len(risen) == 1 else None


def grown(step: Step, scene: Scene) -> int:
    """How many packets a rule, or a chain's policy, counted between the first listing and the last; 0 where there is only one."""
    first, rule, chain = scene.evidence.rules[0], step.rule, step.chain
    if rule is None:
        before = [one.counted for one in first.chains if one.label == chain.label]
        return (chain.counted or 0) - (next(iter(before), 0) or 0)
    same = [one.packets for one in first.rules() if (one.chain, one.text) == (rule.chain, rule.text)]
    return (rule.packets or 0) - (next(iter(same), 0) or 0)


def _unasked(case: Case, scene: Scene) -> tuple[Evidence, ...]:
    """Why a reply is INVALID: conntrack made no entry, since the request that it answers came another way."""
    point, row = case.lost[0].seen[-1]
    if not case.replies or scene.state(point, row, case.gap) != "invalid":
        return ()
    there = beyond(case)
    asked = scene.trails.flows_of(point, int(point.packets.flow[row])).get(there.name)
    exempt = asked is not None and len(there.rows(asked, 0)) > 0
    why = "a rule exempts the request from conntrack" if exempt else f"the request never was on {there.name}"
    return (
        Evidence(
            says=f"conntrack calls the {label(point, row)} INVALID, since it has no entry for it: {why}",
            source="captures",
        ),
    )


def _facts(alike: Alike | None) -> dict[str, object]:
    return {"lost_alike": alike.lost, "passed_alike": alike.passed} if alike else {}


def _evidence(alike: Alike | None, scene: Scene) -> tuple[Evidence, ...]:
    told = []
    if alike:
        told.append(
            Evidence(
                says=f"{alike.lost} attempts to this destination and port vanished here and {alike.passed} passed; "
                f"{alike.others} to other destinations passed",
                source="captures",
            )
        )
    if scene.counters:
        told.append(
            Evidence(
                says=f"drop rose by {scene.counters.get('drop', 0)}, insert_failed by {scene.counters.get('insert_failed', 0)}",
                source="conntrack -S before and after",
            )
        )
    return tuple(told)


def _chosen(case: Case, scene: Scene, alike: Alike) -> bool:
    """Whether the captures show it without the rules: whatever else loses packets would not choose so, or is counted."""
    if alike.passed or alike.lost < 2 or not alike.meanwhile or scene.drops.get(case.gap.outer.name):
        return False
    if queue_drops(case.gap.outer.name, scene):
        return False
    walked = scene.walked(case)
    if walked is not None and walked[0].verdict == "accept":
        return False
    if scene.counters:
        return scene.undropped and not scene.counters.get("insert_failed")
    return not alike.met  # else its ports may be exhausted, which only insert_failed tells


def _alike(case: Case, scene: Scene) -> Alike | None:
    inner, row = case.lost[0].seen[-1]
    if inner is not case.gap.inner or not case.requests:
        return None
    flow = int(inner.packets.flow[row])
    asked = (case.protocol, int(scene.destinations[inner.name][flow]))
    return scene.once(("alike", inner.name, asked), lambda: _look_alike(inner, flow, case, scene))


def _look_alike(inner: Point, mine: int, case: Case, scene: Scene) -> Alike:
    at = next(a for a in scene.requests[case.protocol] if a.point is inner)
    legs = [gap for gap in scene.gaps if gap.inner is inner]
    flows, flow, time = inner.flows, inner.packets.flow[at.rows], inner.packets.time[at.rows]
    here = inner.dst == inner.dst[mine]
    same = here & (flows.ports & 0xFFFF == flows.ports[mine] & 0xFFFF) & (flows.proto == case.protocol)
    translated = np.zeros(len(flows), bool)
    for gap in legs:
        translated[gap.matches.a[gap.matches.agreed & DST == 0]] = True
    passed = at.outward & np.logical_or.reduce([gap.in_outer[at.rows] >= 0 for gap in legs])
    lost = same[flow] & (at.fate == VANISHED)
    between = (time >= time[lost].min()) & (time <= time[lost].max())
    return Alike(
        lost=int(lost.sum()),
        passed=int((passed & same[flow]).sum()),
        others=int((passed & ~same[flow]).sum()),
        meanwhile=int((passed & between & (here & ~same & ~translated)[flow]).sum()),
        met=any(same[gap.matches.a].any() for gap in legs),
    )


def dropped_by(case: Case, scene: Scene) -> tuple[str, str, str] | None:
    """The rule that drops or rejects the packet for certain, with what it counted; its file; and which of both.

    None if these rules would drop what passed the gap later, too: they are of another time or another node. What passed
    before the first loss may have done so before the rule was there. And none where the kernel recorded that the packet
    died in another hook, where conntrack could have dropped it.
    """
    walked = scene.walked(case)
    if walked is None or walked[0].verdict not in LOST or walked[0].end is None:
        return None
    record = record_of(case, scene)
    if record is not None and record.means.kind in ELSEWHERE and record.died_in != walked[0].end.hook.upper():
        return None
    gap = case.gap
    if case.outward and not case.replies:
        passed = scene.passed(gap, case.protocol)
        place = int(np.searchsorted(passed.time, case.lost[0].time))
        for row in passed.rows[place : place + WITNESSES]:
            contrary = scene.walk(gap.inner, int(row), gap, outward=True)
            if contrary is None or contrary[0].verdict in LOST:
                return None
    return counted(walked[0].end) + marked(walked[0]), walked[1], walked[0].verdict
