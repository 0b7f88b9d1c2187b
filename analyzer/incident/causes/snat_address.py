"""SNAT gives packets a source address that no interface of the node has.

What happens
    A rule says `SNAT --to-source` with an address that the node had once, or that another node has now. Packets leave with
    it. The router, or the far end, asks by ARP who has it. This node does not answer, so no reply gets back to it.

How it is recognised
    The uplink shows translated packets that were not answered, and a neighbour that asks more than once for their source
    address. The node, which sent them, does not answer it.

What is ruled out
    A far end that does not answer: it tries to. An address that is routed to the node: nobody would ask for it on the link.

Remedies and their risks
    Correct the rule (MASQUERADE takes the interface's own address), or give the node the address, if no other machine has it.

References
    iptables-extensions(8) SNAT, MASQUERADE; net/ipv4/arp.c arp_process;
    https://github.com/nirmata/kube-static-egress-ip/issues/57
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import ARP
from analyzer.connection.passages import addresses, flow_name
from analyzer.flow.keys import among
from analyzer.incident.misaddressed import unanswered_for
from analyzer.incident.model import Evidence, Exclusion, Finding, Remedy
from analyzer.incident.wording import count
from analyzer.nat.tuples import SRC
from analyzer.node.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap

CODE = "snat-address"
TITLE = "SNAT to an address that the node does not have"
MOST = 1000
"""Connections that are told."""

REMEDIES = (
    Remedy(
        do="Compare the address of the rule with those of the interfaces",
        command="iptables -t nat -S POSTROUTING; nft list ruleset; ip -br address",
        effect="Shows the rule to correct; MASQUERADE takes the address of the interface.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'connection')} left this node with a source address that it does not have, so no reply "
        "gets back: SNAT gives them that address."
    )


def findings(scene: Scene) -> list[Finding]:
    """One finding per connection that was translated to such an address, and not answered."""
    found = (_finding(gap, index, scene) for gap in scene.gaps if gap.exit for index in _unanswerable(gap))
    return list(islice(found, MOST))


def _unanswerable(gap: Gap) -> Iterator[int]:
    """Matches whose outer source nobody answers for, and that got no answer."""
    m, outer = gap.matches, gap.outer
    asked = among(outer.src[m.b], unanswered_for(outer)) & (m.agreed & SRC == 0) & (gap.heading == OUT)
    silent = outer.starts[2 * m.b + 2] == outer.starts[2 * m.b + 1]
    yield from np.flatnonzero(asked & silent).tolist()


def _asks(outer: Point, left: int) -> NDArray[np.int32]:
    """Rows that ask for the source of a flow."""
    arp = np.flatnonzero((outer.flows.proto == ARP) & (outer.dst == outer.src[left]))
    return np.sort(outer.rows_of(arp.astype(np.int32)))


def _finding(gap: Gap, index: int, scene: Scene) -> Finding:
    inner, outer = gap.inner, gap.outer
    flow, left = int(gap.matches.a[index]), int(gap.matches.b[index])
    source, row = addresses(outer.flows, left)[0], int(inner.rows(flow, 0)[0])
    asks = scene.once(("asks", outer.name, source), lambda: _asks(outer, left))
    seen = scene.trails.sighting(outer, int(asks[0]))
    evidence = [
        Evidence(
            says=f"{len(asks)} ARP requests for {source}, the address that it left with, came in at {outer.name}, and "
            "this node did not answer: it does not have it",
            source=f"{seen.file} frame {seen.frame}",
        )
    ]
    walked = scene.walk(inner, row, gap, outward=True)
    if walked and walked[0].source_nat and walked[0].source_nat.rule:
        evidence.append(
            Evidence(says=f"this rule gave it: {walked[0].source_nat.rule.text}", source=walked[1])
        )
    sent = inner.rows(flow, 0)
    return Finding(
        kind="misdelivered",
        cause=CODE,
        confidence="proven",
        gap=gap.names,
        point=inner.name,
        flow=flow,
        time=int(inner.packets.time[row]),
        inner=flow_name(inner.flows, flow),
        outer=flow_name(outer.flows, left),
        delay_s=None,
        passages=tuple(
            scene.trails.passage(inner, one, outward=True, role="attempt", note=f"leaves from {source}")
            for one in sent[:4].tolist()
        ),
        omitted=max(0, len(sent) - 4),
        facts={"packets": len(sent), "address": source},
        evidence=tuple(evidence),
        remedies=(
            Remedy(
                do="Give the node the address, if no other machine has it, or correct the rule",
                command=f"ip address add {source}/{128 if ':' in source else 32} dev {outer.name}",
                effect="The node answers for the address: replies get back.",
                risk="If another machine has the address, both get each other's packets. It is gone after a restart.",
            ),
            *REMEDIES,
        ),
        excluded=(
            Exclusion(cause="lost inside the node", because=f"it left by {outer.name}"),
            Exclusion(
                cause="lost outside the node",
                because="somebody there wants to answer, and cannot find the node",
            ),
        ),
    )
