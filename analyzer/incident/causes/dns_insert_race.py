"""A and AAAA queries left one socket at once, and one of them was dropped.

What happens
    glibc and musl send the A and AAAA queries from one socket, microseconds apart. Both create a conntrack entry with the
    same five-tuple, and the one confirmed second clashes. Kernels before 5.0 (SNAT) and 5.6 (DNAT to different endpoints)
    drop it; later ones merge the two (`nf_ct_resolve_clash`). The resolver waits five seconds and retries.

How it is recognised
    Two queries share a five-tuple that was not in use, within a millisecond. One passed the gap and the other vanished. The
    same query is resent about five seconds (musl: 2.5) later, from the same port. `insert_failed` and `drop` rise.

What is ruled out
    A full table (it would have refused the first query of the pair too), a policy (its twin passed), loss beyond the node.

Remedies and their risks
    A DNS cache on the node, `single-request-reopen` in resolv.conf, a newer kernel.

References
    https://github.com/kubernetes/kubernetes/issues/56903; nf_conntrack_core.c `nf_ct_resolve_clash`
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.transport import transports
from analyzer.compute.thresholds import RESOLVER, TWINS, UDP_STREAM
from analyzer.flow.point import UDP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded
from analyzer.incident.wording import count, seconds, wait

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.evidence.drops import Kind
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "dns-insert-race"
TITLE = "DNS insert race"
RANK = 70
COUNTED = True
RECORDS: tuple[Kind, ...] = ("conntrack-insertion", "netfilter")
DNS = 53
UDP_HEADER = 8
MOST = 64
"""Later queries that are read."""
RESOLVED = (5, 10)
"""Release from which on no query was lost so (lab: 5.10, 6.1, 6.18 count `clash_resolve`)."""

REMEDIES = (
    Remedy(
        do="Put a DNS cache on the node",
        command="kubectl -n kube-system get daemonset node-local-dns",
        effect="Queries no longer pass DNAT and conntrack.",
        risk="One more component on every node.",
    ),
    Remedy(
        do="Let the resolver send the two queries from different sockets",
        command="echo 'options single-request-reopen' >> /etc/resolv.conf  # or dnsConfig.options of the pod",
        effect="The two queries have different five-tuples and cannot clash.",
        risk="glibc only; musl ignores it. Resolving takes one more socket.",
    ),
    Remedy(
        do="Run a kernel of 5.10 or later on the node",
        command="uname -r",
        effect="Clashes of UDP are resolved without loss, and counted in clash_resolve.",
        risk="A kernel upgrade.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    waited = f" and took up to {wait(loss.delay_s)}" if loss.delay_s else ""
    return (
        f"{count(loss.connections, 'DNS lookup')} lost {count(loss.packets, 'query', 'queries')} inside this node{waited}: two "
        f"queries were sent from one socket at the same moment, and the kernel dropped one between {loss.gap[0]} and "
        f"{loss.gap[1]}."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the twin that passed, where neither met an entry that was there already."""
    gap = case.gap
    point, row = case.lost[0].seen[-1]
    flow = int(point.packets.flow[row])
    if (
        case.protocol != UDP
        or not case.requests
        or not case.outward
        or int(point.flows.ports[flow] & 0xFFFF) != DNS
    ):
        return None
    packets, rows = point.packets, point.rows(flow, 0)
    passed = rows[gap.in_outer[rows] >= 0]
    apart_ns = packets.time[passed] - packets.time[row]
    twins = passed[abs(apart_ns) <= TWINS]
    record = recorded(case, scene, "conntrack-insertion", alone=False)
    if not len(twins) or not (record or _fits(scene)):
        return None
    twin = int(twins[np.argmin(abs(packets.time[twins] - packets.time[row]))])
    if _entry_before(point, passed, min(twin, row)) or _both_answered(point, flow, max(twin, row)):
        return None
    again = _asked_again(point, rows, row)
    seen = scene.trails.sighting(*scene.trails.sightings(point, twin)[-1])
    apart = (int(packets.time[twin]) - int(packets.time[row])) / 1000
    counters, total = scene.counters, scene.unexplained
    failed, drop = counters.get("insert_failed", 0), counters.get("drop", 0)
    evidence = [
        Evidence(
            says=f"the other query of the same socket, {abs(apart):.0f} us {'after' if apart >= 0 else 'before'} it, passed",
            source=f"{seen.file} frame {seen.frame}",
        )
    ]
    if failed:
        evidence.append(
            Evidence(
                says=f"insert_failed rose by {failed} and drop by {drop}; {total} requests vanished",
                source="conntrack -S before and after",
            )
        )
    if again is not None:
        after = (int(packets.time[again]) - int(packets.time[row])) / 1e9
        resent = scene.trails.sighting(point, again)
        evidence.append(
            Evidence(
                says=f"the same query came again from the same port after {seconds(after)}",
                source=f"{resent.file} frame {resent.frame}",
            )
        )
    return Explanation(
        cause=CODE,
        confidence="proven"
        if record or (drop == total and failed)
        else "likely"
        if failed or again is not None
        else "possible",
        facts={"twin_apart_us": round(apart, 3)},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(
                cause="conntrack-table-full",
                because="the other query of the pair made its entry at the same moment",
            ),
            Exclusion(cause="policy-drop", because="the other query of the same five-tuple passed"),
            Exclusion(cause="lost outside the node", because=f"the query never got to {case.gap.names[1]}"),
        ),
    )


def _fits(scene: Scene) -> bool:
    """Whether a clash can have lost a query here, by what the kernel counted and by its release."""
    counters, total = scene.counters, scene.unexplained
    failed, drop = counters.get("insert_failed", 0), counters.get("drop", 0)
    release = re.match(r"(\d{1,3})\.(\d{1,3})", scene.evidence.kernel or "")
    if release and (int(release[1]), int(release[2])) >= RESOLVED:
        return failed == drop == total  # what was counted shows better than a name what the kernel does
    if counters:
        return failed > 0 and drop > 0  # insert_failed alone also rises for clashes that were resolved
    return not any(scene.drops.values())


def _entry_before(point: Point, passed: NDArray[np.int32], first: int) -> bool:
    """Whether the socket's packets passed before, so that its entry may have been there: then nothing is inserted."""
    times = point.packets.time
    return bool(((passed < first) & (times[passed] >= times[first] - UDP_STREAM)).any())


def _both_answered(point: Point, flow: int, last: int) -> bool:
    """Whether two answers came before the next query: then both queries got out, and a capture missed one."""
    later = point.rows(flow, 0)
    later = later[later > last]
    answers = point.rows(flow, 1)
    return int(((answers > last) & (answers < (later[0] if len(later) else len(point.packets)))).sum()) > 1


def _asked_again(point: Point, rows: NDArray[np.int32], row: int) -> int | None:
    """The same query, by its bytes, from the same port, after a resolver's patience."""
    packets = point.packets
    later = rows[
        (packets.time[rows] - packets.time[row] >= RESOLVER) & (packets.length[rows] == packets.length[row])
    ]
    said = dict(transports(point.recording, [row, *(int(other) for other in later[:MOST])]))
    end = UDP_HEADER + int(packets.length[row])
    asked = said.pop(row)[UDP_HEADER:end]
    return min((other for other, header in said.items() if header[UDP_HEADER:end] == asked), default=None)
