"""The node does not forward packets: `ip_forward` is 0, for all interfaces or for the one they arrived on.

What happens
    A packet not addressed to the node itself is dropped at routing because the interface it arrived on has `forwarding` 0
    (`ip_route_input_slow`, IN_DEV_FORWARD). The sender gets no error. Usually a program that reapplied /etc/sysctl.d, or a
    network manager that created the interface, has reset what the container runtime had set.

How it is recognised
    Everything that arrives on that interface to be forwarded vanishes behind it, and nothing gets through.
    `net.ipv4.conf.INTERFACE.forwarding` is 0, or, where that is not known, `net.ipv4.ip_forward`. Traffic to and from the
    node itself works. `IpInAddrErrors` rises; no conntrack counter does.

What is ruled out
    Anything that affects single packets (the race, a policy, a full table): here nothing at all is forwarded. A setting of
    1 on that very interface rules this cause out, whatever `ip_forward` says.

Remedies and their risks
    Set it again, and find what reset it.

References
    Documentation/networking/ip-sysctl.rst ip_forward, forwarding; net/ipv4/route.c `ip_route_input_slow`
    https://github.com/NixOS/nixpkgs/issues/118656; https://github.com/vmware/photon/issues/1277
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.flow.keys import is_v4
from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded, risen
from analyzer.incident.routing import conf, ends, entered, went_on

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.scene import Scene

CODE = "forwarding-disabled"
TITLE = "forwarding is switched off"
RANK = 15
COUNTED = False
RECORDS: tuple[Kind, ...] = ("no-route", "reverse-path")

REMEDIES = (
    Remedy(
        do="Enable forwarding",
        command="sysctl -w net.ipv4.ip_forward=1",
        effect="It sets `forwarding` of every interface; the next attempt gets through.",
        risk="The node routes between all its networks: FORWARD rules must restrict which of them may talk.",
    ),
    Remedy(
        do="Find what resets it, and set it where that is read last",
        command="grep -rs 'ip_forward\\|forwarding' /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d /run/sysctl.d",
        effect="The setting survives the next boot, update or reload of the network.",
        risk="None: read-only.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    where = f"between {loss.gap[0]} and {loss.gap[1]}"
    return f"{loss.lost()}: packet forwarding is disabled, so nothing passes {where}."


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by the setting of the interface that the packet came in by, where nothing gets through."""
    device = entered(case)
    if case.refused or device is None:
        return None
    v6 = ":" in ends(case)[0]
    setting = _setting(device, scene, v6=v6)
    record = recorded(case, scene, reason="IP_INADDRERRORS")
    if record is None and setting is None:
        return None
    here, passed = went_on(case, scene)
    flow = here.packets.flow[passed]
    # The other version is forwarded by a setting of its own.
    passed = passed[is_v4(here.flows.src_hi[flow], here.flows.src_lo[flow]) ^ v6]
    if record is None and len(passed):
        return None
    evidence = [record] if record else []
    if setting is not None:
        evidence.append(
            Evidence(says=f"{setting} is 0: what comes in by {device} is not forwarded", source="sysctl")
        )
    evidence += risen(scene, "Ip.InAddrErrors")
    if not len(passed):
        evidence.append(Evidence(says=f"nothing got from {device} through this gap since", source="captures"))
    return Explanation(
        cause=CODE,
        confidence="proven",
        facts={"setting": setting, "interface": device},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(
                cause="policy-drop",
                because="the packet is dropped as it is routed, before the rules of FORWARD",
            ),
            Exclusion(cause="snat-port-race", because="the packet is dropped as it is routed, before SNAT"),
        ),
        remedies=(
            _set(setting or ("net.ipv6.conf.all.forwarding" if v6 else conf(device, "forwarding"))),
            REMEDIES[1],
        ),
    )


def _setting(device: str, scene: Scene, *, v6: bool) -> str | None:
    """The setting that forbids it; of IPv4 the interface's own decides, of IPv6 that of all (`ip6_forward`)."""
    settings = scene.evidence.sysctls
    names = (
        ("net.ipv6.conf.all.forwarding",)
        if v6
        else (conf(device, "forwarding"), "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding")
    )
    told = next((name for name in names if name in settings), None)
    if told is None or settings[told] != "0":
        return None
    # ip_forward sets those of all interfaces: where it is 0 as well, it is what people know.
    return "net.ipv4.ip_forward" if not v6 and settings.get("net.ipv4.ip_forward") == "0" else told


def _set(setting: str) -> Remedy:
    first = REMEDIES[0]
    return replace(
        first, command=f"sysctl -w {shlex.quote(setting)}=1", effect="The next attempt gets through."
    )
