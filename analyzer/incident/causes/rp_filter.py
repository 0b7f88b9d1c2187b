"""The reverse path filter dropped the packets: the route back to their sender uses another interface.

What happens
    With `rp_filter=1` the kernel accepts a packet only on the interface it would use to answer the sender. With asymmetric
    routing - several uplinks, policy routing with a table per pod address, a tunnel beside the default route - packets that
    arrive elsewhere are silently dropped, after DNAT and before any FORWARD rule (`fib_validate_source`).

How it is recognised
    All packets of one sender vanish right behind the interface they came in on.
    `net.ipv4.conf.{all,INTERFACE}.rp_filter` is 1 (the greater of the two applies). In addition, the log has `martian source`
    lines with this sender and this interface (`log_martians`), or `TcpExtIPReversePathFilter` rose, or the routes to the
    sender use another interface.

What is ruled out
    A rule (it would count the packets), `ip_forward=0` (nothing at all would be forwarded), loss before the node (the
    packet was seen coming in). A setting of 0 in both places, or a counter that did not rise, rules out the filter itself.

Remedies and their risks
    Loose mode (2) on that interface accepts any sender that has a route back. Better: make the reply leave by the interface
    the request came in on, with a mark kept with the connection (CONNMARK) and a routing rule that matches it.

References
    Documentation/networking/ip-sysctl.rst rp_filter; RFC 3704; net/ipv4/fib_frontend.c `fib_validate_source`
    https://github.com/aws/amazon-vpc-cni-k8s/issues/130
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.incident.explanation import Explanation
from analyzer.incident.model import Evidence, Exclusion, Remedy
from analyzer.incident.records import recorded, risen
from analyzer.incident.routing import conf, ends, entered, senders, targets, way, went_on

if TYPE_CHECKING:
    from analyzer.evidence.drops import Kind
    from analyzer.incident.cases import Case
    from analyzer.incident.explanation import Loss
    from analyzer.incident.model import Confidence
    from analyzer.incident.scene import Scene

CODE = "rp-filter"
TITLE = "dropped by the reverse path filter"
RANK = 18
COUNTED = False
RECORDS: tuple[Kind, ...] = ("reverse-path",)
STRICT = 1
COUNTER = "TcpExt.IPReversePathFilter"

REMEDIES = (
    Remedy(
        do="Check the filter's setting and the route back to the sender",
        command="sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.eth0.rp_filter; nstat -az TcpExtIPReversePathFilter; ip "
        "rule; ip route get SENDER",
        effect="The greater of the two settings counts; the counter rises with every packet that the filter drops.",
        risk="None: read-only.",
    ),
    Remedy(
        do="Set the filter to loose mode (any route back)",
        command="sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        effect="The next attempt gets through, if a route to the sender exists at all.",
        risk="Forged source addresses that are routed elsewhere are taken on this interface; the answers still leave by "
        "another one, where a firewall on the way may not know them.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{loss.lost()}: its reverse path filter (rp_filter) drops packets whose answers would leave by another interface "
        f"than the one they came in by, between {loss.gap[0]} and {loss.gap[1]}."
    )


def explain(case: Case, scene: Scene) -> Explanation | None:
    """Recognise it by a record, by martian lines of this sender on this interface, or by setting and counter together."""
    device = entered(case)
    if case.refused or device is None:
        return None
    record = recorded(case, scene, "reverse-path")
    sender = ends(case)[0]
    if record is None and (":" in sender or _off(device, scene)):
        return None
    value = _setting(device, scene)
    lines = [
        line
        for line in scene.evidence.log
        if line.about == "martian" and line.iif == device and line.src == sender
    ]
    named = [line for line in lines if line.dst in targets(case, scene)]
    counted = risen(scene, COUNTER)
    back = _back(case, device, scene)
    strict = value == STRICT
    if record is None and ((not lines and value != STRICT) or sender in senders(*went_on(case, scene))):
        return None
    confidence: Confidence
    if record is not None or (named and strict):
        confidence = "proven"
    elif lines or (strict and counted and back and back[1]):
        confidence = "likely"
    elif strict and (counted or back):
        confidence = "possible"
    else:
        return None
    evidence = [record] if record else []
    if lines:
        line = (named or lines)[0]
        evidence.append(Evidence(says=f"the kernel logged {len(lines)} times: {line.says}", source=line.file))
    evidence += counted
    if value is not None:
        evidence.append(
            Evidence(
                says=f"{conf(_where(device, scene), 'rp_filter')} is {value}: {'strict' if strict else 'loose'}",
                source="sysctl",
            )
        )
    if back:
        evidence.append(
            Evidence(says=f"answers to {sender} would leave by {back[0]}, not by {device}", source=back[2])
        )
    return Explanation(
        cause=CODE,
        confidence=confidence,
        facts={"interface": device, "rp_filter": value, "sender": sender, "martian_lines": len(lines)},
        evidence=tuple(evidence),
        excluded=(
            Exclusion(cause="lost before the node", because=f"the packet came in by {device}"),
            *(
                (
                    Exclusion(
                        cause="snat-port-race", because="the packet was dropped as it was routed, before SNAT"
                    ),
                )
                if confidence == "proven"
                else ()
            ),
        ),
        remedies=_remedies(case, device, scene),
    )


def _value(name: str, scene: Scene) -> int | None:
    said = scene.evidence.sysctls.get(conf(name, "rp_filter"), "")
    return int(said) if said in ("0", "1", "2") else None


def _setting(device: str, scene: Scene) -> int | None:
    """The filter in force, as far as told: the greater of the interface's value and that of `all` (IN_DEV_RPFILTER)."""
    return max((v for v in (_value("all", scene), _value(device, scene)) if v is not None), default=None)


def _where(device: str, scene: Scene) -> str:
    return device if _value(device, scene) == _setting(device, scene) else "all"


def _off(device: str, scene: Scene) -> bool:
    """Whether the files say that the filter drops nothing: it is off, or its counter did not rise."""
    both = (_value("all", scene), _value(device, scene))
    readings = scene.evidence.readings(COUNTER)
    return both == (0, 0) or any(reading.rose == 0 for reading in readings)


def _back(case: Case, device: str, scene: Scene) -> tuple[str, bool, str] | None:
    """Where routes lead back to the sender: devices, none of them the packet's own; whether that is sure; the file."""
    sender = ends(case)[0]
    for target in sorted(targets(case, scene)):
        found = way(scene, sender, src=target)
        if found.devices and device not in found.devices and found.route is not None:
            return ", ".join(found.devices), found.sure, found.route.file
    return None


def _remedies(case: Case, device: str, scene: Scene) -> tuple[Remedy, ...]:
    look, loosen = REMEDIES
    look = replace(look, command=look.command.replace("; ip route get SENDER", ""))
    name = device.replace(".", "/")  # see `conf`
    own = _rerouted(case, device, scene)
    return (*own, look.on("eth0", name)) if own else (look.on("eth0", name), loosen.on("eth0", name))


def _rerouted(case: Case, device: str, scene: Scene) -> tuple[Remedy, ...]:
    """The rule that leads answers to a sender inside back as the main table has it, which loose mode alone does not."""
    sender = ends(case)[0]
    if not case.outward:
        return ()
    plain = way(scene, sender, table="main")
    found = next((way(scene, sender, src=target) for target in sorted(targets(case, scene))), None)
    if found is None or found.route is None or device not in plain.devices or device in found.devices:
        return ()
    table = found.route.table
    rule = min((r.priority for r in scene.evidence.routing_rules if r.table == table), default=0)
    if rule < 2:
        return ()
    return (
        Remedy(
            do=f"Let answers to {sender} leave by {device}, before table {table} is asked, which has another way for them",
            command=f"ip rule add to {sender} lookup main priority {rule - 1}",
            effect="The next attempt gets through, and so do its answers, which loose mode alone does not lead back.",
            risk="Lost at the next boot: correct what wrote the other rule. Packets to this address no longer take that table.",
        ),
    )
