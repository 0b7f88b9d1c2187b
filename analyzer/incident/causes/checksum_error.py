"""Packets arrived with a wrong checksum, and the kernel dropped them.

What happens
    The kernel verifies the UDP checksum of a tunnel packet before unpacking it (`udp_error`, VXLAN, Geneve). With
    `nf_conntrack_checksum`, it also verifies TCP and UDP checksums before conntrack makes an entry. A packet that fails is
    INVALID, and a rule for INVALID packets drops it. The usual cause is offloading at the sender: a tunnel device left the
    checksum to a physical or virtual network card, which computed it wrong. The client retransmits its SYN in vain. Reports
    describe connections that succeed after 1 s, or after 63 s, with the sixth retransmit.

How it is recognised
    The packet was seen on the uplink, encapsulated or not, and nowhere behind it. The kernel log names it:
    `UDP: bad checksum. From ...` with the addresses and ports of the tunnel, or `nf_ct_proto_6: bad checksum` with the
    packet itself. `UdpInCsumErrors` rises.

What is ruled out
    A rule that drops regardless (INVALID means conntrack found the packet wrong), NAT and its races (the packet came in),
    loss before the node (it was seen on the uplink). Checksums of outgoing packets in a capture prove nothing: they are
    computed after the capture point.

Remedies and their risks
    Switch the offload off where the packet is made: at the sender, on the tunnel device.

References
    https://github.com/flannel-io/flannel/issues/1279; https://github.com/projectcalico/calico/issues/3145
    https://github.com/kubernetes/kubernetes/issues/88986; net/ipv4/udp.c `udp4_csum_init`
    Documentation/networking/nf_conntrack-sysctl.rst nf_conntrack_checksum
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from analyzer.capture.layout import TUNNEL_SHIFT, TUNNELS
from analyzer.capture.transport import enclosing
from analyzer.flow.point import TCP
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded
from analyzer.incident.routing import beyond, ends, last_seen

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.evidence.facts import LogLine
    from analyzer.flow.point import Point
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

CODE = "checksum-error"
TITLE = "wrong checksum"
RANK = 20
COUNTED = False
RECORDS: tuple[Kind, ...] = ("checksum",)
BY_UDP = ("vxlan", "geneve")
FEATURES = ("tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksumming")

REMEDIES = (
    Remedy(
        do="Turn off checksum offload on the sender's tunnel device",
        command="ethtool -K flannel.1 tx-checksum-ip-generic off",
        effect="The sender's kernel computes the checksums itself; the next attempt gets through.",
        risk="Costs CPU time at high rates, and is lost when the device is recreated. Do it on this node as well, for "
        "what it sends.",
    ),
    Remedy(
        do="Look at the packets as they come in",
        command="tcpdump -ni eth0 -vv -c 100 'udp port 8472 or udp port 4789 or ip proto 4' | grep -i 'bad "
        ".*cksum\\|incorrect'",
        effect="Shows from which node wrong checksums come. Only packets that come in can be judged: those that leave get "
        "theirs behind the capture.",
        risk="None: read-only.",
    ),
)


class Tunnel(NamedTuple):
    """The packet around a packet."""

    src: str
    dst: str
    sport: int
    dport: int


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{loss.lost()}, between {loss.gap[0]} and {loss.gap[1]}: they came in with a wrong checksum, which their sender "
        f"made, and the kernel drops such packets."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the line of the log that names the packet, or by the counter where it came in a tunnel over UDP."""
    if case.refused or case.outward:
        return None
    record = recorded(case, scene, "checksum")
    line, names = _line(case, scene)
    rose = _rose(case, scene)
    if record is None and line is None and not rose:
        return None
    confidence: Confidence = "proven" if record or names else "likely"
    evidence = [record] if record else []
    if line is not None:
        evidence.append(
            Evidence(
                says=f"the kernel logged {'this very packet' if names else 'packets of this tunnel'}: {_says(line)}",
                source=line.file,
            )
        )
    for reading in scene.evidence.readings("Udp.InCsumErrors"):
        if reading.rose or (line is not None and reading.last):
            what = f"rose by {reading.rose}" if reading.rose else f"is {reading.last}"
            evidence.append(Evidence(says=f"UdpInCsumErrors {what}", source=reading.files[-1]))
    if scene.counters.get("invalid") and line is not None and line.verdict == "invalid":
        evidence.append(
            Evidence(
                says=f"invalid rose by {scene.counters['invalid']}", source="conntrack -S before and after"
            )
        )
    evidence += _offloads(scene)
    point = last_seen(case)[0]
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts={
            "tunnel": _kind(*last_seen(case)),
            "named": names,
            "called_invalid": bool(line and line.verdict == "invalid"),
        },
        evidence=tuple(evidence),
        excluded=(
            Exclusion(cause="lost before the node", because=f"the packet came in by {point.name}"),
            Exclusion(
                cause="snat-port-race", because="conntrack made no entry for it, which could have clashed"
            ),
        )
        if confidence == "proven"
        else (Exclusion(cause="lost before the node", because=f"the packet came in by {point.name}"),),
        remedies=_remedies(case, scene),
    )


def _kind(point: Point, row: int) -> str:
    return TUNNELS[int(point.packets.bits[row]) >> TUNNEL_SHIFT & 7]


def _says(line: LogLine) -> str:
    return line.says if line.about == "bad-checksum" else f"{line.says}, {line.src} > {line.dst}"


def _line(case: Case, scene: Scene) -> tuple[LogLine | None, bool]:
    """The line on one of the lost packets, or at least on their tunnel; and whether it names the very packet."""
    inner = [line for line in scene.evidence.log if line.test == "bad-checksum"]
    outer = [line for line in scene.evidence.log if line.about == "bad-checksum" and line.src]
    some = None
    for step in case.lost if inner or outer else ():
        point, row = step.seen[-1]
        packets, flows = point.packets, point.flows
        source, target = ends(case)
        ports = int(flows.ports[packets.flow[row]])
        for line in inner:
            same = (line.src, line.dst) == (source, target) and {line.sport, line.dport} == {
                ports >> 16,
                ports & 0xFFFF,
            }
            if same and (case.protocol != TCP or line.seq == int(packets.seq[row])):
                return line, True
        tunnel = _tunnel(point, row) if outer else None
        for line in outer:
            if tunnel and (line.src, line.dst, line.dport) == (tunnel.src, tunnel.dst, tunnel.dport):
                if line.sport == tunnel.sport:
                    return line, True
                some = some or line
    return some, False


def _tunnel(point: Point, row: int) -> Tunnel | None:
    """The addresses and ports of the tunnel that a packet came in; None without one over UDP."""
    if _kind(point, row) not in BY_UDP:
        return None
    header = enclosing(point.recording, row)
    if not header:
        return None
    size = 4 if len(header) == 12 else 16
    src, dst = (str(ipaddress.ip_address(header[at : at + size])) for at in (0, size))
    return Tunnel(
        src,
        dst,
        int.from_bytes(header[2 * size : 2 * size + 2], "big"),
        int.from_bytes(header[2 * size + 2 :], "big"),
    )


def _rose(case: Case, scene: Scene) -> bool:
    """Whether the kernel counted as many wrong checksums of UDP as packets of the case's tunnel are lost here."""
    if _kind(*last_seen(case)) not in BY_UDP:
        return False
    return any(
        (reading.rose or 0) >= len(case.lost) for reading in scene.evidence.readings("Udp.InCsumErrors")
    )


def _offloads(scene: Scene) -> list[Evidence]:
    """Tunnel devices of this node that ask for the same offload: its peers' mostly are set alike."""
    told = []
    for dev, features in scene.evidence.features.items():
        name = next((name for name in FEATURES if features.on.get(name) and name not in features.fixed), None)
        if name and _is_tunnel(dev, scene):
            told.append(
                Evidence(
                    says=f"{name} is on for {dev} of this node: its peers are likely set alike",
                    source=features.file,
                )
            )
    return told


def _is_tunnel(dev: str, scene: Scene) -> bool:
    kinds = {link.name: link.kind for link in scene.evidence.links}
    return kinds.get(dev, "") in ("vxlan", "geneve", "ipip", "gre") or dev.startswith(
        ("flannel.", "vxlan", "tunl", "geneve")
    )


def _remedies(case: Case, scene: Scene) -> tuple[Remedy, ...]:
    dev = next(
        (dev for dev in scene.evidence.features if _is_tunnel(dev, scene)),
        beyond(case).name if beyond(case).role == "tunnel" else "",
    )
    if not dev and _kind(*last_seen(case)) == "ipip":
        dev = "tunl0"
    off, look = REMEDIES
    return (
        off.on("flannel.1", dev) if dev else off,
        look.on("eth0", last_seen(case)[0].name),
    )
