"""Commands that edit the very rule that was found, in place.

A rule that is appended behind one which matches first counts no packet, so nothing here appends. Texts of rules come from files
that anybody may have written, and the commands go into a root shell: each word is quoted, and a text that was cut is not used.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from analyzer.connection.passages import addresses
from analyzer.incident.model import Remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.evidence.rules.model import Chain, Rule
    from analyzer.evidence.rules.packet import Step, Steps
    from analyzer.flow.point import Point
    from analyzer.incident.scene import Scene

HANDLE = "HANDLE"
"""Stands for nft's number of a rule where the listing was made without `-a`."""
EVERY_PORT = "1024-65535"
BEHIND = 8
"""Rules at most that are told for one packet: each would lose it if those before it were gone."""
KINDS = 32
"""Kinds of packets that one rule drops, each led through what is behind it: thousands of rules take their time."""
ADMITTED = "The sender learns the path's MTU and sends smaller segments at once."
_SAVED = re.compile(r"(?:\[\d+:\d+\] )?-A (\S+) (.+)")
_OWNER = (
    "If a component owns the rule (kube-proxy, a network plugin, firewalld), set it there: it will rewrite the rule. "
    "Rule numbers and handles change with the chain: list it first."
)
_WIDE = "Allows more than this traffic: a rule that accepts this traffic alone is narrower. "
# The range of ports of a source translation, as iptables and nft write it.
_RANGE = re.compile(
    r"((?:--to-ports |--to-source \S+:|\bmasquerade to :|\bsnat (?:ip6? )?to \S+:))\d+-\d+(?= |$)"
)
# What nft's translations may be followed by: nft(8), NAT STATEMENTS.
_TRANSLATES = re.compile(
    r"\b(masquerade(?: to :\S+)?|snat(?: (?:ip6?))?(?: to \S+)?)((?: (?:random|persistent)(?:, ?(?:random|persistent))*)?)(?= |$)"
)


def in_the_way(scene: Scene, walk: Callable[[Scene], tuple[Steps, str] | None]) -> tuple[list[Step], bool]:
    """What loses a packet, and what would lose it if that were gone, one after another; whether nothing else would."""
    found: list[Step] = []
    while (walked := walk(scene)) is not None and len(found) < BEHIND:
        steps = walked[0]
        if steps.verdict not in ("drop", "reject") or steps.end is None:
            return found, steps.verdict == "accept"
        found.append(steps.end)
        scene = scene.without(steps.end)
    return found, False


def remove_all(
    end: Step, scene: Scene, point: Point, row: int, walk: Callable[[Scene], tuple[Steps, str] | None]
) -> tuple[Remedy, ...]:
    """How to take away *end*, and what is behind it for this packet; *walk* leads it through the rules of a scene."""
    kinds: set[tuple[int, tuple[str, str], int]] = scene.once(("in the way of", end.text), set)
    flow = int(point.packets.flow[row])
    kind = (int(point.flows.proto[flow]), addresses(point.flows, flow), int(point.flows.ports[flow]) & 0xFFFF)
    if kind not in kinds and len(kinds) >= KINDS:
        kind = min(kinds)  # of very many kinds all are taken for alike
    kinds.add(kind)
    found, sure = scene.once(("in the way", end.text, kind), lambda: in_the_way(scene, walk))
    return remove(*found, sure=sure)


def admit_related(*steps: Step, v6: bool, sure: bool) -> tuple[Remedy, ...]:
    """How to let ICMP errors of known connections pass the chains that stop them, before the rules that do.

    Before conntrack nothing is related yet: there the rule itself has to go.
    """
    if any(step.hook in ("ingress", "prerouting") for step in steps):
        return remove(*steps, sure=sure)
    chains = {step.chain.label: step.chain for step in steps}
    return (
        Remedy(
            do=f"Let ICMP errors of known connections pass {' and '.join(chains)}",
            command="\n".join(_admit(chain, v6=v6) for chain in chains.values()),
            effect=ADMITTED if sure else f"{ADMITTED} What else may stop them, the listing does not show.",
            risk=f"Forged errors can shrink segments; conntrack checks that they quote a known connection. {_OWNER}",
        ),
    )


def _admit(chain: Chain, *, v6: bool) -> str:
    if _of_iptables(chain):
        proto = "ipv6-icmp" if v6 else "icmp"
        table, name = shlex.quote(chain.table), shlex.quote(chain.name)
        return f"{_iptables(chain.family)} -t {table} -I {name} -p {proto} -m conntrack --ctstate RELATED -j ACCEPT"
    place = " ".join(map(shlex.quote, (chain.family, chain.table, chain.name)))
    return f"nft insert rule {place} ct state related meta l4proto {'icmpv6' if v6 else 'icmp'} accept"


def widen(step: Step) -> tuple[Remedy, ...]:
    """How to give a translation more ports; nothing where its rule has no range of ports that is smaller, or was cut."""
    rule = step.rule
    if rule is None or rule.text.endswith("…"):
        return ()
    saved = _SAVED.fullmatch(rule.text)
    changed = _RANGE.sub(rf"\g<1>{EVERY_PORT}", rule.text)
    if changed == rule.text or not (saved or not _listed(rule)):
        return ()
    words = _words(changed.partition(f"-A {saved[1]} ")[2]) if saved else []
    command = _replace_saved(rule, words) if saved else _replace_nft(rule, changed)
    return (
        Remedy(
            do="Widen the range of ports of this rule, in place",
            command=command,
            effect="64,512 connections to one destination can be told apart.",
            risk=f"Firewalls behind the node must accept the new range. {_OWNER}",
        ),
    )


def _replace_saved(rule: Rule, words: list[str]) -> str:
    family, table, chain = rule.chain.split(" ")
    return f"{_iptables(family)} -t {shlex.quote(table)} -R {shlex.quote(chain)} {rule.number} {shlex.join(words)}"


def _replace_nft(rule: Rule, text: str) -> str:
    command = f"nft replace rule {_place(rule)} handle {rule.handle or HANDLE} {shlex.quote(text)}"
    return command if rule.handle is not None else f"nft -a list chain {_place(rule)}\n{command}"


def _of_iptables(chain: Chain) -> bool:
    return bool(chain.legacy) or (chain.family in ("ip", "ip6", "bridge") and chain.name.isupper())


def remove(*steps: Step, sure: bool = True) -> tuple[Remedy, ...]:
    """How to take away what drops or rejects: rules, a chain's policy; nothing where the text does not say which.

    Args:
        steps: What loses the packet, and then what would lose it if that were gone.
        sure: Whether nothing else loses it then.
    """
    # A later rule first: what is deleted before it changes its number.
    rules = sorted((step for step in steps if step.rule is not None), key=_number, reverse=True)
    policies = [step for step in steps if step.rule is None and step.action in ("drop", "reject")]
    if not rules and not policies:
        return ()
    what = " and ".join(
        [
            *(["Delete " + ("these rules" if len(rules) > 1 else "this rule")] if rules else []),
            *([f"{'set' if rules else 'Set'} the policy of this chain to ACCEPT"] if policies else []),
        ]
    )
    gone = "they are" if len(steps) > 1 else "it is"
    return (
        Remedy(
            do=f"{what}, if the traffic is wanted: {'; '.join(step.text for step in steps)}",
            command="\n".join(
                [*(deletion(step.rule) for step in rules if step.rule), *map(_accept, policies)]
            ),
            effect="The next attempt gets through."
            if sure
            else f"The next attempt gets further. What else may drop it when {gone} gone, the listing does not show.",
            risk=(_WIDE if policies else "Somebody may have blocked this on purpose: ask first. ") + _OWNER,
        ),
    )


def _number(step: Step) -> int:
    return step.rule.number if step.rule is not None else 0


def randomise(step: Step) -> tuple[Remedy, ...]:
    """How to make a translation choose its ports at random; nothing where it does, or cannot be rewritten for certain."""
    if step.rule is None or "fully-random" in step.flags or step.rule.text.endswith("…"):
        return ()
    rule = step.rule
    saved = _SAVED.fullmatch(rule.text)
    if saved:
        words = _words(saved[2])
        if not words or not {"MASQUERADE", "SNAT"} & set(words):
            return ()
        words = [word for word in words if word != "--random"] + ["--random-fully"]
        command = _replace_saved(rule, words)
    else:
        changed = _TRANSLATES.sub(_with_flag, rule.text, count=1)
        if changed == rule.text or _listed(rule):
            return ()
        command = _replace_nft(rule, changed)
    return (
        Remedy(
            do="Randomise the source ports of this rule, in place",
            command=command,
            effect="Two simultaneous connections get the same port in about 1 of 64,000 cases instead of nearly always.",
            risk=f"Needs iptables 1.6.2 or nftables 0.8, and Linux 3.14. Still possible, but rare. {_OWNER}",
        ),
    )


def _accept(step: Step) -> str:
    chain = step.chain
    if _of_iptables(chain):
        return f"{_iptables(chain.family)} -t {shlex.quote(chain.table)} -P {shlex.quote(chain.name)} ACCEPT"
    place = " ".join(map(shlex.quote, (chain.family, chain.table, chain.name)))
    return f"nft chain {place} '{{ policy accept ; }}'"


def deletion(rule: Rule) -> str:
    """The command that deletes a rule: as it was written, so that it cannot become another one, else by number or handle."""
    family = rule.chain.split(" ")[0]
    saved = None if rule.text.endswith("…") else _SAVED.fullmatch(rule.text)
    if saved and (words := _words(saved[2])):
        table, chain = map(shlex.quote, rule.chain.split(" ")[1:3])
        return f"{_iptables(family)} -t {table} -D {chain} {shlex.join(words)}"
    if _SAVED.fullmatch(rule.text) or _listed(rule):
        table, chain = rule.chain.split(" ")[1:3]
        where = f"-t {shlex.quote(table)}"
        return (
            f"{_iptables(family)} {where} -L {shlex.quote(chain)} {rule.number} -nv\n"
            f"{_iptables(family)} {where} -D {shlex.quote(chain)} {rule.number}"
        )
    deleted = f"nft delete rule {_place(rule)} handle {rule.handle or HANDLE}"
    return deleted if rule.handle is not None else f"nft -a list chain {_place(rule)}\n{deleted}"


def _listed(rule: Rule) -> bool:
    """Whether it is of iptables, whose own chains have these names, though not written as `iptables-save` does."""
    family, table, chain = (*rule.chain.split(" "), "", "", "")[:3]
    return (
        family in ("ip", "ip6")
        and table in ("filter", "nat", "mangle", "raw", "security")
        and chain != chain.lower()
    )


def _iptables(family: str) -> str:
    return {"ip6": "ip6tables", "bridge": "ebtables"}.get(family, "iptables")


def _place(rule: Rule) -> str:
    return " ".join(shlex.quote(word) for word in rule.chain.split(" "))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed
        return []


def _with_flag(found: re.Match[str]) -> str:
    flags = [flag for flag in re.split(r"[ ,]+", found[2]) if flag and flag != "random"]
    return f"{found[1]} {','.join([*flags, 'fully-random'])}"
