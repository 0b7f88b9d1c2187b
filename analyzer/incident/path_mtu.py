"""What this node's rules do to the ICMP errors that ask a pod for smaller packets, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analyzer.capture.layout import REPLY, TCP_SYN
from analyzer.capture.transport import flow_ends, tcp_options, transports, turned
from analyzer.connection.passages import addresses
from analyzer.evidence.rules.packet import Packet
from analyzer.flow.keys import is_v4
from analyzer.incident import rule_edits
from analyzer.incident.bridging import device
from analyzer.incident.causes import mtu_black_hole
from analyzer.incident.model import Evidence

if TYPE_CHECKING:
    from analyzer.evidence.rules.packet import Step
    from analyzer.flow.point import Point
    from analyzer.incident.model import Remedy
    from analyzer.incident.scene import Scene
    from analyzer.nat.gap import Gap, Leg

HEADERS = {4: 40, 6: 60}
"""Bytes of IP and TCP headers without options: a segment of that many bytes less than the MTU is the largest that fits."""


def stopped(
    scene: Scene, gap: Gap, *, router: str, pod: str, own: bool
) -> tuple[tuple[Step, ...], bool, str]:
    """The rules that stop such an error on its way to the pod, whether nothing else does, and their file.

    Args:
        scene: Everything known.
        gap: That the error did not pass.
        router: Who sent it.
        pod: The pod's own address.
        own: Whether this node sent it: then OUTPUT is asked.
    """
    v6 = ":" in pod
    packet = Packet(
        proto="icmpv6" if v6 else "icmp",
        src=router,
        dst=pod,
        iif=None if own else device(gap.outer, scene.evidence),
        oif=device(gap.inner, scene.evidence),
        state="related",
        icmp_type="packet-too-big" if v6 else "destination-unreachable",
        icmp_code="0" if v6 else "4",
    )
    walked = scene.through(packet)
    found, sure = rule_edits.in_the_way(scene, lambda scene: scene.through(packet))
    return tuple(found), sure, walked[1] if walked else ""


def remedies(steps: tuple[Step, ...], mtu: int, *, sure: bool, v6: bool, own: bool) -> tuple[Remedy, ...]:
    """Let the errors pass the rules that were found, or make segments that fit; sizes where the MTU is known."""
    clamp, admit = mtu_black_hole.REMEDIES
    if own:
        admit = replace(admit, command=admit.command.replace("FORWARD", "OUTPUT"))
    if mtu:
        size = mtu - HEADERS[6 if v6 else 4]
        clamp = replace(
            clamp,
            do=f"Clamp the segments of forwarded connections to {size:,} bytes",
            command=clamp.command.replace("--clamp-mss-to-pmtu", f"--set-mss {size}"),
            risk="Helps TCP only. All forwarded connections get smaller segments: name the destination with -d, and -s for "
            "the answers, where only one path is so narrow.",
        )
    if not steps:
        return (clamp, admit)
    return (*rule_edits.admit_related(*steps, v6=v6, sure=sure), clamp)


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLarge:
    """A segment that does not fit the interface that it was to leave by, of which the sender was not told."""

    evidence: tuple[Evidence, ...]
    remedies: tuple[Remedy, ...]
    sure: bool
    """Whether a rule was found that stops this node's own error."""


def too_large(gap: Gap, leg: Leg, row: int, scene: Scene) -> TooLarge | None:
    """Tell where a lost segment does not fit the next interface (`ip_exceeds_mtu`), and no error that says so was seen here.

    What is larger than the peer's MSS is several segments to the network card, whatever the capture shows: then the largest
    that the sender sent by itself counts.
    """
    here, links = leg.here, {link.name: link for link in scene.evidence.links}
    link = links.get(device(leg.there, scene.evidence))
    flow, size = int(here.packets.flow[row]), int(here.packets.length[row])
    v6 = not is_v4(here.flows.src_hi[[flow]], here.flows.src_lo[[flow]])[0]
    if not leg.outward or link is None or not link.mtu or size + HEADERS[6 if v6 else 4] <= link.mtu:
        return None
    reply = int(here.packets.bits[row] & REPLY)
    mss = _mss(here, flow, 1 - reply)
    ends = flow_ends(here.flows, flow)
    told = scene.refusals.at(here).get(turned(ends) if reply else ends, ())
    if mss is None or any(one.too_big for one in told):
        return None
    sizes = here.packets.length[here.rows(flow, reply)]
    if min(size, int(sizes[sizes <= mss].max(initial=0))) + HEADERS[6 if v6 else 4] <= link.mtu:
        return None
    pod = addresses(here.flows, flow)[bool(reply)]
    near = links.get(device(here, scene.evidence))
    router = next((one for one in (near.addresses if near else ()) if (":" in one) == v6), "::" if v6 else "")
    steps, sure, source = stopped(scene, gap, router=router, pod=pod, own=True)
    says = (
        f"{link.name} takes packets of at most {link.mtu:,} bytes: this node drops it and answers with an ICMP error, "
        f"of which {here.name} has none"
    )
    return TooLarge(
        evidence=(
            *(
                (Evidence(says=f"the error matches this rule: {steps[0].text}", source=source),)
                if steps
                else ()
            ),
            Evidence(says=says, source="ip link"),
        ),
        remedies=remedies(steps, link.mtu, sure=sure, v6=v6, own=True),
        sure=bool(steps),
    )


def _mss(point: Point, flow: int, side: int) -> int | None:
    """The largest segment that a side takes, as its SYN or SYN-ACK says; None without one."""
    rows = point.rows(flow, side)
    rows = rows[point.packets.flags[rows] & TCP_SYN != 0][:1]
    found = dict(transports(point.recording, rows.tolist()))
    return tcp_options(next(iter(found.values()))).mss if found else None
