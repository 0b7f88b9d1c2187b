"""IPVS dropped the first SYN from a client port that it still knew from an older connection.

What happens
    The virtual server (IPVS, kube-proxy's mode `ipvs`) keeps a connection in TIME_WAIT for two minutes. If the client reuses
    its port in that time, the SYN matches the old connection. With `conn_reuse_mode` on, IPVS forgets that connection. If it
    also uses conntrack, whose entry is bound to the old endpoint, it drops the packet as well (`ip_vs_in`). The
    retransmitted SYN, a second later, is accepted as new.

How it is recognised
    The first SYN to a virtual service vanishes and the next one passes. An older connection had the same client address and
    port, in the captures or in `ipvsadm -Lcn`. `net.ipv4.vs.conn_reuse_mode` and `net.ipv4.vs.conntrack` are on.

What is ruled out
    The SNAT port race (nobody else takes the port), a rule (the same packet passes a second later), a full table (it would
    not single out these connections).

Remedies and their risks
    Set `conn_reuse_mode=0` on kernels from 5.9 on, where it neither drops nor sticks to dead endpoints. On older kernels the
    SYN then goes to the old endpoint, even if that is gone. Keep-alive connections avoid port reuse.

References
    net/netfilter/ipvs/ip_vs_core.c `ip_vs_in`; Documentation/networking/ipvs-sysctl.rst; commit f0a5e4d7a594 (5.9);
    https://github.com/cloudnativelabs/kube-router/issues/544; https://github.com/kubernetes/kubernetes/issues/81775
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.compute.thresholds import IPVS_REUSE
from analyzer.connection.passages import ends
from analyzer.flow.point import TCP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.wording import count, wait
from analyzer.nat.tuples import tuple_keys

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.evidence.network import IpvsConnection
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "ipvs-reuse"
TITLE = "IPVS dropped the SYN of a reused port"
RANK = 40
COUNTED = False
RECORDS: tuple[Kind, ...] = ("conntrack-insertion", "netfilter")
MODE, CONNTRACK = "net.ipv4.vs.conn_reuse_mode", "net.ipv4.vs.conntrack"

REMEDIES = (
    Remedy(
        do="Set conn_reuse_mode to 0 (kernel 5.9 or later)",
        command="sysctl -w net.ipv4.vs.conn_reuse_mode=0",
        effect="No SYN is dropped; it goes to the endpoint of the old connection.",
        risk="Before 5.9 also to endpoints that are gone, until TIME_WAIT ends; kube-proxy writes this setting itself.",
    ),
    Remedy(
        do="Keep connections open, or let clients use more ports",
        command="sysctl net.ipv4.ip_local_port_range",
        effect="No port is reused while IPVS still knows it.",
        risk="A change in the application.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'connection')} waited {wait(loss.delay_s)} for a "
        f"retry: IPVS on this node still had an older connection of the same client port and dropped the SYN of the new one."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by a virtual service, a port that was used before, and the next SYN that passes."""
    if case.protocol != TCP or not case.requests or case.passed is None or len(case.lost) != 1:
        return None
    client, service = ends(case.point.flows, case.flow)
    listed = scene.once(
        "ipvs-connections",
        lambda: {(one.client, one.virtual): one for one in scene.evidence.ipvs if one.proto == "tcp"},
    )
    virtual = {one.virtual for one in listed.values()} | {
        one.address for one in scene.evidence.ipvs_services if one.proto == "tcp"
    }
    settings = scene.evidence.sysctls
    if service not in virtual or "0" in (settings.get(MODE), settings.get(CONNTRACK)):
        return None
    entry, earlier = listed.get((client, service)), _earlier(case, scene)
    if earlier is None and (entry is None or entry.state != "TIME_WAIT"):
        return None
    drops = settings.get(MODE, "") not in ("", "0") and settings.get(CONNTRACK) == "1"
    return Explanation(
        cause=CODE,
        confidence="proven"
        if drops and earlier is not None and case.lost[0].time - earlier[1] < IPVS_REUSE
        else "likely",
        facts={"client": client, "service": service},
        evidence=_evidence(client, service, entry, earlier, case, scene),
        excluded=(
            Exclusion(
                cause="snat-port-race", because="no other connection left with that port at the same moment"
            ),
            Exclusion(
                cause="policy-drop", because="a later attempt of the same connection passed the same gap"
            ),
        ),
    )


def _evidence(
    client: str,
    service: str,
    entry: IpvsConnection | None,
    earlier: tuple[str, int] | None,
    case: Case,
    scene: Scene,
) -> tuple[Evidence, ...]:
    told = []
    if earlier is not None:
        ago = (case.lost[0].time - earlier[1]) / 1e9
        told.append(
            Evidence(
                says=f"{client} had a connection to {service} before, which ended {wait(ago)} earlier",
                source=earlier[0],
            )
        )
    if entry is not None:
        told.append(
            Evidence(
                says=f"IPVS lists {client} to {service} in {entry.state}, by {entry.destination}, for {entry.expires} s more",
                source=entry.file,
            )
        )
    told += [
        Evidence(says=f"{name} = {scene.evidence.sysctls[name]}", source="sysctl")
        for name in (MODE, CONNTRACK)
        if name in scene.evidence.sysctls
    ]
    return tuple(told)


def _earlier(case: Case, scene: Scene) -> tuple[str, int] | None:
    """The end of the last connection before this one from the same port: where it was seen, and when."""
    point, packets = case.point, case.point.packets
    keys = scene.once(("tuples", point.name), lambda: tuple_keys(point.flows))
    order = scene.once(("by-tuple", point.name), lambda: np.argsort(keys, kind="stable"))
    begin, end = (
        np.searchsorted(keys, keys[case.flow], "left", order),
        np.searchsorted(keys, keys[case.flow], "right", order),
    )
    ended = [int(point.rows(flow)[-1]) for flow in order[begin:end].tolist() if flow != case.flow]
    ended = [row for row in ended if packets.time[row] < case.lost[0].time]
    if not ended:
        return None
    seen = scene.trails.sighting(point, max(ended))
    return f"{seen.file} frame {seen.frame}", seen.time
