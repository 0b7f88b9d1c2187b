"""Two connections raced for one SNAT port, and the loser's first packet was dropped.

What happens
    Masquerading picks a source port for a new connection when its first packet passes POSTROUTING, but adds the
    conntrack entry only a few steps later (`nf_nat_setup_info`, then `__nf_conntrack_confirm`). In between, another
    CPU can pick the same port for another connection to the same destination. The one that confirms second finds the
    tuple taken, and its packet is silently dropped. The client retransmits its SYN after about a second and then
    usually gets through.

How it is recognised
    The SYN is seen on the bridge but not on the uplink. Within a few milliseconds a *partner*, another new connection
    to the same destination address and port, left the uplink with exactly the source port the lost connection would
    have kept, or with one found by the same search. The next attempt passes, often with another port.
    With `conntrack -S` from before and after, `insert_failed` and `drop` rise by the number of lost attempts. A kernel
    drop record shows the packet in POSTROUTING, freed by `nf_hook_slow` and not by a rule (`nft_do_chain`).

What is ruled out
    A full table (drops every new connection and does not raise `insert_failed`), a policy (drops every attempt), an
    unresolved next hop (the partner reached it), loss beyond the node (the SYN never got to the uplink), a capture
    that missed the packet (it would have been answered).

Remedies and their risks
    `--random-fully` on the MASQUERADE or SNAT rule makes the collision rare but still possible. More source
    addresses, or no SNAT at all for routable pod addresses, prevent it.

References
    https://tech.xing.com/a-reason-for-unexplained-connection-timeouts-on-kubernetes-docker-abd041cf7e02
    nf_nat_core.c `get_unique_tuple`, nf_conntrack_core.c `__nf_conntrack_confirm`; iptables-extensions(8) MASQUERADE
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.compute.thresholds import RACE_PARTNER
from analyzer.connection.fates import CAPTURE_LOSS
from analyzer.connection.passages import ends, flow_name
from analyzer.flow.point import TCP
from analyzer.incident import rule_edits
from analyzer.incident.explanation import Explanation, Loss, NewMappings
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded
from analyzer.incident.scene import Scene
from analyzer.incident.wording import count, duration, seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case, Step
    from analyzer.incident.model import Confidence

CODE = "snat-port-race"
TITLE = "SNAT port race"
RANK = 75
COUNTED = True
RECORDS: tuple[Kind, ...] = ("conntrack-insertion", "netfilter")

REMEDIES = (
    Remedy(
        do="Randomise SNAT's source ports",
        command="iptables -t nat -S POSTROUTING\n"
        "iptables -t nat -R POSTROUTING NUMBER -s POD-CIDR ! -o DEVICE -j MASQUERADE --random-fully",
        effect="Two simultaneous connections get the same port in about 1 of 64,000 cases instead of nearly always.",
        risk="Needs iptables 1.6.2 (nft: `masquerade fully-random`) and goes into the rule of whoever writes it: kube-proxy "
        "from 1.16 and flannel do it by themselves where iptables can. Still possible, but rare.",
    ),
    Remedy(
        do="Give SNAT more source addresses, or spread the destination over several addresses",
        command="iptables -t nat -I POSTROUTING -s POD-CIDR -o DEVICE -j SNAT --to-source FIRST-LAST --random-fully",
        effect="Each further address makes collisions rarer.",
        risk="The peers see several addresses; allow lists must know them.",
    ),
    Remedy(
        do="Do without SNAT where pod addresses are routable",
        command="iptables -t nat -I POSTROUTING -s POD-CIDR -d VPC-CIDR -j RETURN",
        effect="No port is allocated, so there is no race.",
        risk="The network must route the pods' addresses back to their nodes.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{loss.lost('first packet')}{loss.waited}: another connection got the same SNAT port at the same moment, and the "
        f"kernel dropped the packet between {loss.gap[0]} and {loss.gap[1]}."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise the race by the partner that won it."""
    gap = case.gap
    mappings = scene.new_mappings.get(gap.outer.name)
    if not case.requests or not case.outward or mappings is None:
        return None
    record = recorded(case, scene, "conntrack-insertion", alone=False)
    if scene.counters and not (scene.counters.get("drop") or scene.counters.get("insert_failed") or record):
        return None
    step = case.lost[0]
    partner = _partner(case, step, scene, mappings)
    if partner is None:
        return None
    row, kept, apart = partner
    name = flow_name(mappings.point.flows, int(mappings.point.packets.flow[row]))
    inner = gap.in_inner[row]
    inner_name = flow_name(gap.inner.flows, int(gap.inner.packets.flow[inner])) if inner >= 0 else None
    counted = scene.clashes
    confidence: Confidence = "proven" if kept and (counted or record) else "likely"
    sighting = scene.trails.sighting(mappings.point, row)
    evidence = [
        Evidence(
            says=f"{_whose(inner_name)} left {gap.outer.name} as {name}, {duration(abs(apart))} "
            f"{'after' if apart >= 0 else 'before'} the lost packet was on {gap.inner.name}: it has "
            + (
                "the port that the lost connection would have kept"
                if kept
                else "a port that SNAT had to search for"
            ),
            source=f"{sighting.file} frame {sighting.frame}",
        )
    ]
    if counted:
        evidence.append(_counted(scene))
    passed = case.passed
    if passed is not None:
        evidence.append(_retry(case, passed))
    evidence += _rule(case, scene)
    facts: dict[str, object] = {
        "partner_outer": name,
        "partner_inner": inner_name,
        "partner_apart_us": round(apart / 1000, 3),
        "contested_port": int(mappings.point.flows.ports[mappings.point.packets.flow[row]] >> 16),
        "port_kept": kept,
    }
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts=facts,
        evidence=tuple(evidence),
        remedies=_remedies(case, scene),
        excluded=_excluded(case, scene, step, counted=counted, record=record is not None),
        partner=(mappings.point, row),
    )


def suggest(case: Case, scene: Scene) -> Explanation | None:
    """Without a partner in the captures: each loss that is left is a failed insertion, and this one found a port right after."""
    # Losing the race twice in a row is a coincidence; exhausted ports do it.
    record = recorded(case, scene, "conntrack-insertion", alone=False)
    if (
        not (scene.only_clashes or record)
        or case.passed is None
        or len(case.lost) > 1
        or not case.requests
        or not case.outward
    ):
        return None
    return Explanation(
        cause=CODE,
        confidence="likely",
        facts={"partner_outer": None},
        evidence=(
            *((_counted(scene),) if scene.only_clashes else ()),
            _retry(case, case.passed),
            *_rule(case, scene),
        ),
        remedies=_remedies(case, scene),
        excluded=_excluded(case, scene, case.lost[0], counted=scene.only_clashes, record=record is not None),
    )


def _counted(scene: Scene) -> Evidence:
    return Evidence(
        says=f"insert_failed rose by {scene.counters['insert_failed']} and drop by {scene.counters['drop']}: "
        f"{count(scene.unexplained, 'request')} vanished without another cause",
        source="conntrack -S before and after",
    )


def _partner(case: Case, step: Step, scene: Scene, mappings: NewMappings) -> tuple[int, bool, int] | None:
    """The connection that got the port: its row at the uplink, whether the port is the lost one's own, ns apart.

    It entered the table between the lost packet's way through SNAT and its next attempt: it was seen at the uplink after the
    lost packet was seen inside, however long the node or the uplink's queue took, and before that attempt. A nearer one is
    only more likely. One that kept the contested port must be it; one that searched for its port is tied to the lost one by
    what conntrack counted, and by being near.
    """
    point, row = step.seen[-1]
    flow = int(point.packets.flow[row])
    port = int(point.flows.ports[flow] >> 16)
    lost_at = int(point.packets.time[row])
    own = case.outer[1] if case.outer is not None else -1
    wanted = scene.translated(case.gap, point, flow)
    retry = next((other.time for other in case.steps if other.time > step.time), lost_at + RACE_PARTNER)
    begin, end = np.searchsorted(mappings.time, (lost_at - RACE_PARTNER, max(retry, lost_at + RACE_PARTNER)))
    kept, apart = mappings.sport[begin:end] == port, mappings.time[begin:end] - lost_at
    some = np.flatnonzero(kept | scene.only_clashes)
    alike = np.isin(mappings.dst[begin + some], np.array(list(wanted), np.uint64))
    alike &= mappings.proto[begin + some] == case.protocol
    alike &= mappings.point.packets.flow[mappings.rows[begin + some]] != own
    some = some[alike]
    inside = _apart_inside(case, mappings, begin + some, lost_at)
    near = np.minimum(np.abs(apart[some]), inside) <= RACE_PARTNER
    some = some[near | (kept[some] & scene.clashes)]
    for i in some[np.lexsort((np.abs(apart[some]), ~kept[some]))].tolist():
        if kept[i] or _searched(case, mappings, begin + i):  # one that kept its own port raced for none
            return int(mappings.rows[begin + i]), bool(kept[i]), int(apart[i])
    return None


def _apart_inside(
    case: Case, mappings: NewMappings, some: NDArray[np.int64], lost_at: int
) -> NDArray[np.int64]:
    """Ns between the lost packet and each of these connections' first one, both inside: a queue behind does not count."""
    inner = case.gap.in_inner[mappings.rows[some]]
    times = case.gap.inner.packets.time[inner]
    return np.where(inner >= 0, np.abs(times - lost_at), np.iinfo(np.int64).max)


def _searched(case: Case, mappings: NewMappings, i: int) -> bool:
    """Whether SNAT gave this connection another port than its own."""
    inner = int(case.gap.in_inner[mappings.rows[i]])
    if inner < 0:
        return False
    flows, packets = case.gap.inner.flows, case.gap.inner.packets
    return int(flows.ports[packets.flow[inner]] >> 16) != int(mappings.sport[i])


def _rule(case: Case, scene: Scene) -> list[Evidence]:
    """The SNAT rule of this packet, and whether it chooses ports at random."""
    walked = scene.walked(case)
    if walked is None or walked[0].source_nat is None:
        return []
    step, file = walked[0].source_nat, walked[1]
    flags = ", ".join(sorted(step.flags)) or "neither random nor fully-random"
    return [Evidence(says=f"it is translated by {step.text}, which has {flags}", source=file)]


def _remedies(case: Case, scene: Scene) -> tuple[Remedy, ...]:
    """The SNAT rule of this packet, edited in place; none where no rule is known, or it chooses at random already."""
    walked = scene.walked(case)
    if walked is None or walked[0].source_nat is None:
        return ()
    own = rule_edits.randomise(walked[0].source_nat)
    return (*own, *REMEDIES[1:]) if own else ()


def _whose(inner_name: str | None) -> str:
    return inner_name or "a connection that no inner point saw"


def _retry(case: Case, passed: Step) -> Evidence:
    """Tell of the attempt that got through."""
    point, row = passed.seen[-1]
    port = int(point.flows.ports[point.packets.flow[row]] >> 16)
    own = int(case.point.flows.ports[case.flow] >> 16)
    after = (passed.time - case.lost[0].time) / 1e9
    capture, frame = point.recording.locate(row)
    return Evidence(
        says=f"the retry {seconds(after)} later passed, "
        + (f"on the port {port} that was free again" if port == own else f"on port {port} instead of {own}"),
        source=f"{capture.label} frame {frame}",
    )


def _excluded(case: Case, scene: Scene, step: Step, *, counted: bool, record: bool) -> tuple[Exclusion, ...]:
    """The look-alikes, each with what rules it out here."""
    gap, protocol = case.gap, case.protocol
    point, row = step.seen[-1]
    src, dst = ends(point.flows, int(point.packets.flow[row]))
    near = scene.passed_near(gap, step.time, RACE_PARTNER, protocol)
    found = [
        Exclusion(
            cause="conntrack-table-full",
            because="insert_failed rose; a full table does not increment it"
            if counted
            else "the packet had its entry already, and was dropped when the entry was inserted"
            if record
            else f"{count(near, 'other new connection')} passed the same gap within 5 ms",
        ),
        Exclusion(
            cause="next-hop-unresolved",
            because=f"the connection that got the port was sent to {dst} at the same moment",
        ),
        Exclusion(
            cause="lost outside the node", because=f"this attempt of {src} never got to {gap.outer.name}"
        ),
    ]
    if case.passed is not None:
        found[1:1] = [
            Exclusion(
                cause="snat-port-exhaustion", because="the same connection got a port with its next attempt"
            ),
            Exclusion(
                cause="policy-drop", because="a later attempt of the same connection passed the same gap"
            ),
        ]
    drops, number = scene.drops.get(gap.outer.name), scene.gaps.index(gap)
    missed = sum(
        int((at.fate[at.gap == number] == CAPTURE_LOSS).sum())
        for requests in scene.requests.values()
        for at in requests
        if at.point is gap.inner
    )
    found.append(
        Exclusion(
            cause="packet missed by the capture",
            because=f"no answer came to this attempt; {gap.outer.name} was recording before and after it"
            + (f" and lost {drops} packets" if drops is not None else "")
            + (f"; it missed {count(missed, 'other request')}, though" if missed else ""),
        )
    )
    if protocol == TCP and case.passed is None:
        found.append(
            Exclusion(
                cause="policy-drop",
                because="the connection that got the port passed; the retries are not in the capture",
            )
        )
    return tuple(found)
