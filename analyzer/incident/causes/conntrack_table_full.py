"""The conntrack table was full, and new connections were dropped.

What happens
    Every connection that NAT or a stateful rule touches takes an entry in one table for the whole node. When it holds
    `nf_conntrack_max` entries and none can be evicted, the first packet of every new connection is dropped, TCP and UDP
    alike (`__nf_conntrack_alloc`). Established connections keep working, so the failure looks random.

How it is recognised
    New connections to several destinations vanish in one gap while established ones continue. `drop` rises; `insert_failed`
    does not, or rises by less. The kernel log says `nf_conntrack: table full, dropping packet`, rate-limited and so with
    fewer lines than losses. A kernel drop record shows the packet in PREROUTING, freed by `nf_hook_slow` and not by a rule.
    With br_netfilter the loss is between veth and bridge.

What is ruled out
    The SNAT port race (raises `insert_failed` as much as `drop`, and has a partner), exhausted SNAT ports (one destination
    only, and `insert_failed`), a policy (no conntrack counter moves), loss beyond the node.

Remedies and their risks
    Enlarge the table (about 300 bytes of kernel memory per entry). Shorten timeouts (idle connections are forgotten and may
    break). Reuse connections. Delete the entries of addresses that are gone.

References
    Documentation/networking/nf_conntrack-sysctl.rst; nf_conntrack_core.c `__nf_conntrack_alloc`, `early_drop`
    https://github.com/kubernetes/kubernetes/issues/71261
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import REPLY, TCP_SYN
from analyzer.compute.thresholds import BURST, DAY, LOGGED
from analyzer.connection.fates import PASSED, VANISHED, fate_of
from analyzer.flow.point import TCP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded
from analyzer.node.ways import IN, OUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.evidence.drops import Kind
    from analyzer.evidence.facts import LogLine
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

CODE = "conntrack-table-full"
TITLE = "conntrack table full"
RANK = 85
COUNTED = True
RECORDS: tuple[Kind, ...] = ("conntrack-entry", "netfilter")
ENOUGH = 1 << 14
"""Packets on each side of a loss that are asked at most, of those within `BURST`: a flood holds millions."""
SEVERAL = 3
"""Destinations that must lose requests together before the captures alone suggest it."""
FEW = 10
"""Requests that pass for each one that vanishes, at most, before the captures alone suggest it."""
LINES = 1000
"""Lines of the log that are looked at for one connection; it may hold thousands of the same."""

REMEDIES = (
    Remedy(
        do="Raise the limit",
        command="sysctl -w net.netfilter.nf_conntrack_max=$((2 * $(sysctl -n net.netfilter.nf_conntrack_max)))",
        effect="The table holds twice as many, and new connections are accepted at once.",
        risk="About 300 bytes of kernel memory an entry; raise nf_conntrack_buckets as well, or lookups slow down.",
    ),
    Remedy(
        do="Shorten the timeouts of closed TCP and idle UDP entries",
        command="sysctl -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=30 net.netfilter.nf_conntrack_udp_timeout_stream=60",
        effect="Short-lived connections leave the table in a quarter of the time.",
        risk="Node-wide. UDP flows with long pauses lose their mapping; late segments of closed connections find no entry.",
    ),
    Remedy(
        do="Open fewer connections: keep-alive, pools, a DNS cache on the node",
        command="kubectl -n kube-system get daemonset node-local-dns",
        effect="Reduces what fills the table; NodeLocal DNSCache also takes DNS out of conntrack.",
        risk="Changes in the applications, or one more component on every node.",
    ),
    Remedy(
        do="Delete the entries of a pod that is gone",
        command="conntrack -D -d OLD-POD-IP",
        effect="Frees entries that nothing will use again; restart a kube-proxy that no longer cleans up by itself.",
        risk="Cuts live connections if the address was given to a new pod.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{loss.lost('first packet', 'new connection')}{loss.waited}: "
        "the conntrack table was full, so the kernel dropped the packets of new connections."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise a full table by what conntrack counted, or logged, or by a burst over several destinations."""
    counters = scene.counters
    refused = counters.get("drop", 0) - counters.get("insert_failed", 0)
    lines = _logged(case, scene)
    burst, destinations = _burst(case, scene)
    confidence = _recorded(case, scene, lines) or _confidence(case, scene, lines, burst, destinations)
    if confidence is None:
        return None
    total = scene.unexplained
    evidence = []
    if refused > 0:
        evidence.append(
            Evidence(
                says=f"drop rose by {counters['drop']} and insert_failed by {counters.get('insert_failed', 0)}: {refused} "
                f"packets were refused without a clash; the captures show {total} vanished requests",
                source="conntrack -S before and after",
            )
        )
    if lines:
        evidence.append(
            Evidence(
                says=f"the kernel log says {len(lines)} times{' or more' * (len(lines) == LINES)}: {lines[0].says}",
                source=lines[0].file,
            )
        )
    evidence.append(
        Evidence(
            says=f"{burst} requests to {destinations} destinations vanished within a second of this one",
            source="captures",
        )
    )
    early = counters.get("early_drop", 0)
    if early:
        evidence.append(
            Evidence(
                says=f"early_drop rose by {early}: entries were evicted to make room",
                source="conntrack -S before and after",
            )
        )
    facts: dict[str, object] = {"burst": burst, "destinations": destinations, "refused": max(refused, 0)}
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts=facts,
        evidence=(*evidence, *_holders(scene)),
        excluded=_excluded(case, refused),
        remedies=_remedies(scene),
    )


def _remedies(scene: Scene) -> tuple[Remedy, ...]:
    """With the limit in numbers where the files tell what it is now."""
    if not (limit := scene.table_limit):
        return REMEDIES
    double = f"sysctl -w net.netfilter.nf_conntrack_max={2 * limit}"
    return replace(REMEDIES[0], command=double), *REMEDIES[1:]


def _recorded(case: Case, scene: Scene, lines: list[LogLine]) -> Confidence | None:
    """How sure a record makes it: the packet died where conntrack makes entries, or a rule is asked before it does."""
    if not case.requests or recorded(case, scene, "conntrack-entry", alone=False) is None:
        return None
    walked = scene.walked(case)
    verdict = walked[0].verdict if walked else "cannot-tell"
    if verdict in ("drop", "reject"):
        return None
    counted = scene.counters.get("drop", 0) > scene.counters.get("insert_failed", 0)
    return "proven" if verdict == "accept" or lines or counted or _at_limit(scene) else "likely"


def _confidence(
    case: Case, scene: Scene, lines: list[LogLine], burst: int, destinations: int
) -> Confidence | None:
    """How sure the signs make a full table; None where they fit another cause as well."""
    counters, total, together = scene.counters, scene.unexplained, destinations >= SEVERAL
    drop, failed = counters.get("drop", 0), counters.get("insert_failed", 0)
    said = bool(lines) + _at_limit(scene)
    # A line, or a full listing, may be of another hour; both, or a line that tells its hour, are not.
    dated = said > 1 or any(line.zoned for line in lines)
    if counters and not drop:
        return None
    passing, stopped = _established(case, scene)
    if stopped > passing:
        return None  # a full table leaves alone what it holds
    if not case.requests:
        return None
    walked = scene.walked(case) if case.passed is None else None
    if walked is not None and walked[0].verdict in ("drop", "reject"):
        return None  # a rule drops it anyway
    if counters:
        if drop == total and not failed:
            return "proven"
        if drop == total and said and drop > 2 * failed:
            return "likely"  # each loss is conntrack's own; it says why most are, and this one has no partner in a clash
        # From here on the counters tell of other losses, too, or the captures do.
        enough = drop - failed >= burst
        if case.passed is not None:
            # Else a clash whose partner nobody saw, a step that nobody counts, or one that chose this connection.
            chosen = len(case.lost) >= SEVERAL and _selective(case, scene)
            alone = drop >= total and not failed and not chosen
            return "likely" if alone or (together and (enough or dated)) else None
        met = destinations > 1 and drop >= total and enough and (together or not failed)
        return "likely" if met and not _selective(case, scene) else None
    if said:
        # Of one or two attempts nobody can say that they were chosen while others passed: a full table takes them by chance.
        few = said > 1 and len(case.lost) < SEVERAL
        met = together or dated
        return "likely" if met and (few or case.passed is not None or not _selective(case, scene)) else None
    through = sum(scene.passed_near(case.gap, case.lost[0].time, BURST, p) for p in scene.requests)
    if through > burst * FEW:
        return None  # a full table lets in what others leave room for, not nearly all
    alone = together and case.passed is not None and not scene.drops.get(case.gap.outer.name)
    return "possible" if alone and passing and not stopped else None


def _at_limit(scene: Scene) -> bool:
    """Whether a listing, or the kernel's own count, has as many entries as the table may hold; 0 is no limit."""
    counts = [len(table) + table.omitted for table in scene.evidence.tables]
    return bool(scene.table_limit) and max(_counted(scene), *counts, 0) >= (scene.table_limit or 0)


def _counted(scene: Scene) -> int:
    """The kernel's own count of entries; 0 where no file tells it."""
    count = scene.evidence.sysctls.get("net.netfilter.nf_conntrack_count", "")
    return int(count) if re.fullmatch("[0-9]{1,10}", count) else 0


def _logged(case: Case, scene: Scene) -> list[LogLine]:
    """The kernel's lines that may be of the time of the loss, at most `LINES`: its log keeps them for weeks."""
    at = case.lost[0].time
    full = scene.once("full", lambda: [line for line in scene.evidence.log if line.about == "table-full"])
    fitting = (
        line for line in full if (line.time is None or abs(line.time - at) <= (LOGGED if line.zoned else DAY))
    )
    return list(islice(fitting, LINES))


def _selective(case: Case, scene: Scene) -> bool:
    """Whether others pass meanwhile, or none but this source or destination is lost: a full table does not choose."""
    source, destination = _ends(case.point, np.array([case.flow]), scene)
    lost = 0
    for step in case.lost:
        for followed in scene.requests.values():
            for at in followed:
                if at.point.role != case.gap.inner.role:
                    continue
                near = _near(at, step.time)
                sources, destinations = _ends(at.point, at.point.packets.flow[at.rows[near]], scene)
                other = (sources != source) & (destinations != destination) & at.outward[near]
                fate = fate_of(at.reason[near])
                lost += int((other & (fate == VANISHED)).sum())
                if (other & (fate == PASSED)).any():
                    return True
    return not lost


def _near(at: Followed, time: int) -> slice:
    """Requests within `BURST` of a time, at most the nearest `ENOUGH` before and after it."""
    rows = np.searchsorted(at.point.packets.time, (time - BURST, time, time + BURST))
    begin, here, end = np.searchsorted(at.rows, rows).tolist()
    return slice(max(begin, here - ENOUGH), min(end, here + ENOUGH))


def _ends(
    point: Point, flows: NDArray[np.integer[Any]], scene: Scene
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Sources, and destinations with ports, of these flows."""
    return point.src[flows], scene.destinations[point.name][flows]


def _established(case: Case, scene: Scene) -> tuple[int, int]:
    """How many packets of established connections passed the gap in the second after the loss, and how many did not.

    At most `ENOUGH` packets are asked. A link that is down, or a route that is gone, stops them, too.
    """
    gap, at = case.gap, case.lost[0].time
    packets, flows = gap.inner.packets, gap.inner.flows
    begin, end = np.searchsorted(packets.time, (at, at + BURST))
    near = slice(int(begin), int(min(end, begin + ENOUGH)))
    rows = begin + np.flatnonzero(packets.flags[near] & TCP_SYN == 0)  # of a flood, few
    flow = packets.flow[rows]
    heading = scene.node.heading[gap.inner.name][flow]
    old = np.where(packets.bits[rows] & REPLY != 0, heading == IN, heading == OUT) & (
        flows.proto[flow] == TCP
    )
    passed = int(np.count_nonzero(gap.in_outer[rows[old]] >= 0))
    return passed, int(old.sum()) - passed


def _holders(scene: Scene) -> list[Evidence]:
    """Who fills the table: from its largest listing, else estimated from the captures."""
    of = f" of {scene.table_limit:,}" if scene.table_limit else ""
    if scene.evidence.tables:
        table = max(scene.evidence.tables, key=len)
        states = {str(s): n for (s,), n in table.only(proto="tcp").count_by("state").items()}
        told = (
            ("by protocol", {str(p): n for (p,), n in table.count_by("proto").items()}),
            ("by TCP state", states),
            ("by source", {str(a): n for (a,), n in table.count_by("orig_src").items()}),
            (
                "by destination",
                {f"{a}:{p}": n for (a, p), n in table.count_by("orig_dst", "orig_dport").items()},
            ),
        )
        count, source = len(table) + table.omitted, table.file
    elif scene.occupancy is not None:
        o = scene.occupancy
        told = (
            ("by protocol", dict(o.by_protocol)),
            ("by TCP state", dict(o.by_state)),
            ("by source", dict(o.by_source)),
            ("by destination", dict(o.by_destination)),
        )
        count, source = o.peak, "captures, by the lifetimes of their connections"
    else:
        return []
    says = "; ".join(f"{by} {_most(counts)}" for by, counts in told if counts)
    held = max(_counted(scene), count if scene.evidence.tables else 0)
    if held > count:
        # What is listed or captured is a part of what the kernel counted.
        return [
            Evidence(says=f"the table held {held:,}{of} entries", source="net.netfilter.nf_conntrack_count"),
            Evidence(says=f"{count:,} of them are known: {says}", source=source),
        ]
    if not scene.evidence.tables:
        return [Evidence(says=f"the captures account for {count:,} entries: {says}", source=source)]
    return [Evidence(says=f"the table held {count:,}{of} entries: {says}", source=source)]


def _most(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in list(counts.items())[:3])


def _burst(case: Case, scene: Scene) -> tuple[int, int]:
    """How many requests, to how many destinations, vanished around this one."""
    at, burst, destinations = case.lost[0].time, 0, 0
    for lost in scene.lost.values():
        begin, here, end = np.searchsorted(lost.time, (at - BURST, at, at + BURST + 1)).tolist()
        burst += end - begin
        destinations += lost.destinations(max(begin, here - ENOUGH), min(end, here + ENOUGH))
    return burst, destinations


def _excluded(case: Case, refused: int) -> tuple[Exclusion, ...]:
    found = [
        Exclusion(
            cause="snat-port-race",
            because="no other new connection with the same port left at the same moment"
            + ("; the refusals are not counted in insert_failed" if refused > 0 else ""),
        ),
        case.not_beyond,
    ]
    if case.passed is not None:
        found.append(
            Exclusion(
                cause="policy-drop", because="a later attempt of the same connection passed the same gap"
            )
        )
    elif refused > 0:
        found.append(Exclusion(cause="policy-drop", because="conntrack counted the drops as its own"))
    return tuple(found)
