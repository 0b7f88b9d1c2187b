"""Commands that edit the very rule that was found, in place.

A rule that is appended behind one which matches first counts no packet, so nothing here appends. Texts of rules come from files
that anybody may have written, and the commands go into a root shell: each word is quoted, and a text that was cut is not used.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from analyzer.incident.model import Remedy

if TYPE_CHECKING:
    from analyzer.evidence.rules.model import Rule
    from analyzer.evidence.rules.packet import Step

HANDLE = "HANDLE"
"""Stands for nft's number of a rule where the listing was made without `-a`."""
_SAVED = re.compile(r"(?:\[\d+:\d+\] )?-A (\S+) (.+)")
_OWNER = (
    "If a component owns the rule (kube-proxy, a network plugin, firewalld), set it there: it will rewrite the rule. "
    "Rule numbers and handles change with the chain: list it first."
)
_WIDE = "Allows more than this traffic: a rule that accepts this traffic alone is narrower. "
# What nft's translations may be followed by: nft(8), NAT STATEMENTS.
_TRANSLATES = re.compile(
    r"\b(masquerade(?: to :\S+)?|snat(?: (?:ip6?))?(?: to \S+)?)((?: (?:random|persistent)(?:, ?(?:random|persistent))*)?)(?= |$)"
)


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
            command="\n".join([*map(_delete, rules), *map(_accept, policies)]),
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
    rule, family = step.rule, step.chain.family
    saved = _SAVED.fullmatch(rule.text)
    if saved:
        words = _words(saved[2])
        if not words or not {"MASQUERADE", "SNAT"} & set(words):
            return ()
        words = [word for word in words if word != "--random"] + ["--random-fully"]
        table, chain = rule.chain.split(" ")[1:3]
        command = f"{_iptables(family)} -t {shlex.quote(table)} -R {shlex.quote(chain)} {rule.number} {shlex.join(words)}"
    else:
        changed = _TRANSLATES.sub(_with_flag, rule.text, count=1)
        if changed == rule.text or _listed(rule):
            return ()
        command = f"nft replace rule {_place(rule)} handle {rule.handle or HANDLE} {shlex.quote(changed)}"
        if rule.handle is None:
            command = f"nft -a list chain {_place(rule)}\n{command}"
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
    if chain.legacy or (chain.family in ("ip", "ip6") and chain.name.isupper()):
        return f"{_iptables(chain.family)} -t {shlex.quote(chain.table)} -P {shlex.quote(chain.name)} ACCEPT"
    place = " ".join(map(shlex.quote, (chain.family, chain.table, chain.name)))
    return f"nft chain {place} '{{ policy accept ; }}'"


def _delete(step: Step) -> str:
    rule, family = step.rule, step.chain.family
    assert rule is not None
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
    return "ip6tables" if family == "ip6" else "iptables"


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
