"""The neighbour table was full, so the node could not even ask for the next hop's link-layer address.

What happens
    The kernel keeps a neighbour table entry for each next hop, above all for on-link destinations. With `gc_thresh3`
    entries in use and none to free, it creates no more (`neigh_alloc`). Packets to a next hop without an entry are
    dropped, and no ARP request is sent. Destinations with an entry keep working. Large flat networks and scans of them fill it.

How it is recognised
    Requests vanish before the uplink. None of their destinations is reached meanwhile, and nobody asks for their addresses.
    `neighbour: arp_cache: neighbor table overflow!` is logged, or the node has `gc_thresh3` neighbours. IPv6 has its own
    table, `ndisc_cache`. No conntrack counter moves.

What is ruled out
    A next hop that does not answer (there would be requests for it), a policy (the next hop's entry decides, not the port), a
    full conntrack table (established connections of new neighbours would go on).

Remedies and their risks
    Raise the three thresholds; find out why so many neighbours are on one link.

References
    net/core/neighbour.c `neigh_alloc`; arp(7) gc_thresh3; https://github.com/kubernetes/kops/issues/4533
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.capture.layout import ARP
from analyzer.connection.passages import address
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded, risen
from analyzer.incident.routing import beyond, ends, senders, targets, way, went_on
from analyzer.node.ways import EXITS

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

CODE = "neighbour-table-full"
TITLE = "neighbour table full"
RANK = 42
COUNTED = False
RECORDS: tuple[Kind, ...] = ("no-neighbour",)
SOLICITATION = 135
LAST_BITS = 0xFFFFFF
"""Of an address: what the group holds that a solicitation is sent to (RFC 4291 section 2.7.1)."""

REMEDIES = (
    Remedy(
        do="Make the table larger",
        command="sysctl -w net.ipv4.neigh.default.gc_thresh1=8192 net.ipv4.neigh.default.gc_thresh2=32768 "
        "net.ipv4.neigh.default.gc_thresh3=65536",
        effect="New neighbours get an entry at once.",
        risk="Each entry takes about half a kilobyte of kernel memory; beyond thresh2 the kernel looks for old ones more "
        "often.",
    ),
    Remedy(
        do="See who fills it",
        command="ip -s neigh | awk '{print $NF, $3}' | sort | uniq -c | sort -rn | head; cat /proc/net/stat/arp_cache",
        effect="Many FAILED or INCOMPLETE entries: something scans the network; many REACHABLE ones: the network is that "
        "large.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return f"{loss.fared}: its neighbour table is full, so the kernel cannot resolve new neighbours on {loss.gap[1]}."


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the log or the table's size, where nobody was asked for and the next hop is not known to answer."""
    if case.refused or beyond(case).role not in EXITS:
        return None
    v6 = ":" in ends(case)[1]
    record = recorded(case, scene, reason="NEIGH_CREATEFAIL")
    hops = _hops(case, scene)
    lines = _lines(scene, v6=v6)
    size = _size(scene, v6=v6)
    full = _full(scene, v6=v6)
    if record is None and ((not lines and size is None and not full) or _known(case, hops, scene)):
        return None
    confidence: Confidence = "proven" if record or full or (lines and size) else "likely"
    evidence = [record] if record else []
    if lines:
        evidence.append(
            Evidence(says=f"the kernel logged {len(lines)} times: {lines[0][0]}", source=lines[0][1])
        )
    if size is not None:
        evidence.append(
            Evidence(
                says=f"the node has {size[0]:,} neighbours, and gc_thresh3 is {size[1]:,}: its neighbour table is full",
                source=size[2],
            )
        )
    evidence += full
    if size is None and (limit := _limit(scene, v6=v6)):
        evidence.append(
            Evidence(
                says=f"gc_thresh3 is {limit:,}: so many neighbours fill the neighbour table", source="sysctl"
            )
        )
    evidence.append(
        Evidence(
            says=f"nobody on {beyond(case).name} was asked for {' or '.join(sorted(hops))}, and nothing to it passed since",
            source="captures",
        )
    )
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts={
            "next_hop": min(hops),
            "log_lines": len(lines),
            "neighbours": size[0] if size else None,
            "gc_thresh3": _limit(scene, v6=v6),
        },
        evidence=tuple(evidence),
        excluded=(
            Exclusion(cause="next-hop-unresolved", because="no ARP/ND request for the next hop was sent"),
            *(
                (Exclusion(cause="conntrack-table-full", because="conntrack counted no drop"),)
                if scene.undropped
                else ()
            ),
        ),
        remedies=_remedies(_limit(scene, v6=v6) or 0, v6=v6),
    )


def _remedies(limit: int, *, v6: bool) -> tuple[Remedy, ...]:
    """For this version of IP, and with no limit that is below twice the one in force."""
    larger, look = REMEDIES
    command, size = larger.command, 8192
    while 8 * size < 2 * limit:
        size *= 2
    for number, times in ((1, 1), (2, 4), (3, 8)):
        command = command.replace(f"gc_thresh{number}={8192 * times}", f"gc_thresh{number}={size * times}")
    larger = replace(larger, command=command)
    if not v6:
        return (larger, look)
    return (
        replace(larger, command=command.replace("ipv4", "ipv6")),
        replace(look, command=look.command.replace("arp_cache", "ndisc_cache")),
    )


def _hops(case: Case, scene: Scene) -> set[str]:
    """Whom the packet is handed to: by the routes the gateway, else its destination."""
    found: set[str] = set()
    for target in targets(case, scene):
        found |= set(way(scene, target).gateways) or {target}
    return found


def _lines(scene: Scene, *, v6: bool) -> list[tuple[str, str]]:
    """The log's lines of this table; those of older kernels do not name it."""
    other = "arp_cache" if v6 else "ndisc_cache"
    return [
        (line.says, line.file)
        for line in scene.evidence.log
        if line.about == "neighbour-overflow" and other not in line.says
    ]


def _limit(scene: Scene, *, v6: bool) -> int | None:
    said = scene.evidence.sysctls.get(f"net.ipv{6 if v6 else 4}.neigh.default.gc_thresh3", "")
    return int(said) if re.fullmatch("[0-9]{1,9}", said) else None


def _size(scene: Scene, *, v6: bool) -> tuple[int, int, str] | None:
    """Neighbours listed, the limit and the file, where the listing alone fills the table."""
    limit = _limit(scene, v6=v6)
    mine = [
        n
        for n in scene.evidence.neighbours
        if (":" in n.address) == v6 and n.state not in ("PERMANENT", "NOARP")
    ]
    return (len(mine), limit, mine[0].file) if limit and len(mine) >= limit else None


def _full(scene: Scene, *, v6: bool) -> list[Evidence]:
    """What the table's own counter says where it rose meanwhile (neigh_alloc counts what found no room)."""
    return [
        one for of in ("", "ndisc_cache" if v6 else "arp_cache") for one in risen(scene, "table_fulls", of)
    ]


def _known(case: Case, hops: set[str], scene: Scene) -> bool:
    """Whether a next hop had an entry: it was asked for, its address is listed, or something to it passed since."""
    if any(
        n.mac and n.address in hops and n.state not in ("FAILED", "INCOMPLETE")
        for n in scene.evidence.neighbours
    ):
        return True
    return bool(hops & senders(*went_on(case, scene), to=True)) or bool(hops & _asked(case, scene, hops))


def _asked(case: Case, scene: Scene, hops: set[str]) -> set[str]:
    """Which of them somebody asked for where the packet was to leave, at any time."""
    point = beyond(case)
    flows = point.flows
    asked = set()
    for flow in {int(f) for f in point.packets.flow[scene.neighbours[point.name]]}:
        hi, lo = int(flows.dst_hi[flow]), int(flows.dst_lo[flow])
        if flows.proto[flow] == ARP:
            asked |= {address(hi, lo), address(int(flows.src_hi[flow]), int(flows.src_lo[flow]))}
        elif flows.ports[flow] >> 16 == SOLICITATION:
            asked |= {hop for hop in hops if ":" in hop and _same_group(hop, lo)}
    return asked


def _same_group(hop: str, lo: int) -> bool:
    return (int(ipaddress.ip_address(hop)) ^ lo) & LAST_BITS == 0
