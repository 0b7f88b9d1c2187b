"""A packet's way through the rules, hook by hook, as the kernel would take it.

Conditions that are not understood, and what is not known of the packet, make a rule doubtful: the walk goes
on as if it did not match, and remembers what it might have done. A verdict is given only where that does not
change it. Order of hooks and meaning of verdicts: nft(8); an accept ends one base chain only, a drop is final.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from typing import Literal

from analyzer.evidence.rules.model import NAT, Action, Chain, Ruleset
from analyzer.evidence.rules.packet import Packet, Step, Steps
from analyzer.evidence.rules.view import View

_Ended = Literal["", "return", "stop", "perhaps"]
"""Whether a chain ends with an action: no; it returns; a verdict that was only looked into; it may return."""

_WAYS = {
    "forward": ("ingress", "prerouting", "forward", "postrouting", "egress"),
    "input": ("ingress", "prerouting", "input"),
    "output": ("output", "postrouting", "egress"),
}
"""In the bridge family `input` is what a port hands up to the bridge, `output` what the bridge sends to a port."""
_DESTINATION = frozenset({"dnat", "redirect"})
_COUNT = Action(kind="other")
"""Of a rule that only counts."""
_JUMPS = 64
"""Chains within chains; nftables allows 16 (NFT_JUMP_STACK_SIZE), iptables more."""
_RULES = 200_000
"""Rules looked at, at most: chains that jump twice into each other make their number explode."""
_STEPS = 100
_LOSING = frozenset({"drop", "reject"})
_FITTING = 5_000
"""Rules of an incomplete listing that are looked at alone, at most."""


def walk(
    rules: Ruleset, packet: Packet, *, local: Collection[str] | None = None, bridge: bool = False
) -> Steps:
    """Follow a packet through the rules.

    Args:
        rules: Of the namespace that the packet passes.
        packet: With both interfaces it is forwarded, without `iif` the node sends it, without `oif` it is
            for the node.
        local: The node's own addresses, which `addrtype` and `fib` ask for; None where they are not known.
        bridge: Through the chains of the bridge family instead, between the ports of a bridge and the bridge itself, and those
            of the ports.
    """
    return _Walk(rules, packet, View(packet, local), bridge=bridge).result()


class _End(Exception):  # noqa: N818 - a rule ended the base chain
    def __init__(self, step: Step) -> None:
        self.step = step


class _Walk:
    def __init__(self, rules: Ruleset, packet: Packet, view: View, *, bridge: bool) -> None:
        self._bridge = bridge
        self._rules = rules
        self._chains = {(c.legacy, c.family, c.table, c.name): c for c in rules.chains}
        self._packet = packet
        self._view = view
        self._way = "output" if packet.iif is None else "input" if packet.oif is None else "forward"
        self._left = _RULES
        self._steps: list[Step] = []
        self._doubts: list[Step] = []
        self._nat: dict[str, Step] = {}
        self._nat_doubts: list[Step] = []

    def result(self) -> Steps:
        pending: list[Step] = []
        for hook in _WAYS[self._way]:
            for chain in self._base(hook):
                if chain.kind == "nat" and not self._asks_nat(hook):
                    continue
                self._doubts = []
                end = self._follow(hook, chain)
                self._doubt_nat(end)
                other = [d for d in self._doubts if d.action not in NAT and d.action != end.action]
                if end.action in ("drop", "reject"):
                    return self._told("cannot-tell" if other else end.action, end, pending + other)
                if end.action in ("queue", "unknown"):
                    return self._told("cannot-tell", end, pending + other)
                pending += [doubt for doubt in other if doubt.action != "accept"]
        whole = self._rules.complete and not self._unlisted()
        if whole and not pending:
            return self._told("accept", None, pending)
        return self._told("cannot-tell", None, pending, self._fitting())

    def _fitting(self) -> Step | None:
        """Find a rule that would lose the packet, wherever it is listed: what calls its chain may be what is missing."""
        self._view.enter(self._way, 0)
        family = "ip6" if self._view.family == "ipv6" else "ip"
        chains = (c for c in self._rules.chains if c.family in ("inet", family) and c.table != "nat")
        rules = ((chain, rule) for chain in chains for rule in chain.rules if rule.kinds & _LOSING)
        for chain, rule in islice(rules, _FITTING):
            named = any({"src", "dst"} & {*match.fields} and not match.negated for match in rule.matches)
            if named and self._view.holds(rule):
                (action,) = rule.kinds & _LOSING
                return Step(
                    hook=chain.hook or self._way, chain=chain, rule=rule, action=action, certain=False
                )
        return None

    def _told(self, verdict: str, end: Step | None, doubts: list[Step], fits: Step | None = None) -> Steps:
        bridged = [
            chain.label
            for chain in self._rules.chains
            if chain.family == "bridge" and chain.hook and not self._bridge
        ]
        return Steps(
            verdict=verdict,  # type: ignore[arg-type] # one of the four
            end=end,
            fits=fits,
            doubts=tuple(doubts[:_STEPS]),
            source_nat=self._nat.get("source"),
            destination_nat=self._nat.get("destination"),
            nat_doubts=tuple(self._nat_doubts[:_STEPS]),
            steps=tuple(self._steps),
            unwalked=tuple(bridged),
            untracked=self._view.untracked,
            unlisted=self._unlisted(),
        )

    def _unlisted(self) -> tuple[str, ...]:
        """Give the places on the packet's way that may have chains which nobody listed."""
        if self._bridge:
            return ()
        family = "ip6" if self._view.family == "ipv6" else "ip"
        places = (
            place
            for place in self._rules.unlisted
            if place.family == family and place.hook in _WAYS[self._way]
        )
        # nat chains are not asked for packets of a known connection, and drop nothing.
        return tuple(sorted(" ".join(place) for place in places if place.table != "nat"))

    def _base(self, hook: str) -> Iterator[Chain]:
        families = (
            {"bridge"} if self._bridge else {"inet", "ip6" if self._view.family == "ipv6" else "ip"}
        ) | {"netdev"}
        chains = [chain for chain in self._rules.chains if chain.hook == hook and chain.family in families]
        device = self._packet.oif if hook == "egress" else self._packet.iif
        for chain in sorted(chains, key=lambda chain: chain.priority):
            if not chain.devices or device in chain.devices:
                yield chain

    def _asks_nat(self, hook: str) -> bool:
        """Say whether the nat chains are asked: not twice at a hook, only for new connections."""
        done = self._nat.get("source" if hook in ("postrouting", "input") else "destination")
        return self._packet.state in ("new", "related", None) and not self._view.untracked and not done

    def _follow(self, hook: str, chain: Chain) -> Step:
        """Walk a base chain to its end."""
        self._view.enter(hook, chain.priority)
        # nft's JSON does not always name the device.
        certain = bool(chain.devices) or hook not in ("ingress", "egress")
        certain = certain and not (chain.kind == "nat" and None in (self._packet.state, self._view.untracked))
        try:
            self._run(hook, chain, chain, certain=certain, depth=0)
        except _End as end:
            return end.step
        if chain.policy == "drop":
            policy = self._note(Step(hook=hook, chain=chain, rule=None, action="drop", certain=certain))
            if certain:
                return policy
            self._doubts.append(policy)
        if chain.policy == "unknown":
            self._doubts.append(Step(hook=hook, chain=chain, rule=None, action="unknown", certain=False))
        return Step(hook=hook, chain=chain, rule=None, action="accept")

    def _run(self, hook: str, base: Chain, chain: Chain, *, certain: bool, depth: int) -> bool:
        """Walk a chain.

        What is not certain is only looked into: a verdict there is remembered as a doubt, and the walk goes
        on where it would have gone without. A doubtful return is taken, and the rest of its chain looked into.

        Returns:
            Whether a verdict ended the look into this chain, so that nobody returns from it.
        """
        sure = certain
        if chain.partial:
            self._doubts.append(Step(hook=hook, chain=chain, rule=None, action="unknown", certain=False))
        for rule in chain.rules:
            self._left -= 1
            if self._left < 0:
                raise _End(Step(hook=hook, chain=base, rule=rule, action="unknown", certain=False))
            holds = self._view.holds(rule)
            if holds is False:
                continue
            for action in rule.actions or (_COUNT,):
                here = Step(
                    hook=hook,
                    chain=base,
                    rule=rule,
                    action=action.kind,
                    flags=action.flags,
                    certain=sure and holds is True,
                )
                ended = self._act(here, action, depth)
                if ended == "stop" and holds:
                    return sure == certain
                if ended == "return" and holds:
                    return False
                if ended in ("return", "perhaps"):
                    sure = False
        return False

    def _act(self, here: Step, action: Action, depth: int) -> _Ended:
        """Do what a rule says; tell whether its chain ends, or with it all that were jumped from."""
        self._note(here)
        kind = action.kind
        if kind in ("log", "other"):
            return ""
        if kind == "return":
            return "return"
        if kind in ("jump", "goto"):
            return self._jump(here, action, depth)
        if kind == "choose":
            return self._choose(here, action, depth)
        if kind == "mark":
            self._view.set_mark(action.mark if here.certain else None)
            return ""
        if kind == "notrack":
            self._view.untracked = True if here.certain else None
            return ""
        if here.certain and kind != "unknown":
            if kind in NAT:
                self._nat["destination" if kind in _DESTINATION else "source"] = here
                self._view.translate(action)
            raise _End(here)
        self._doubts.append(replace(here, certain=False))
        return "" if kind == "unknown" else "stop"

    def _jump(self, here: Step, action: Action, depth: int) -> _Ended:
        base = here.chain
        chain = self._chains.get((base.legacy, base.family, base.table, action.target))
        if chain is None or depth == _JUMPS:
            self._doubts.append(replace(here, action="unknown", certain=False))
            return ""
        stopped = self._run(here.hook, base, chain, certain=here.certain, depth=depth + 1)
        return "stop" if stopped else "return" if action.kind == "goto" else ""

    def _choose(self, here: Step, action: Action, depth: int) -> _Ended:
        ended: _Ended = ""
        if self._view.lacks(action.fields):
            return ""
        for key, choice in action.choices:
            holds = self._view.equal(action.fields, key) if key else None
            if holds is False:
                continue
            step = replace(here, action=choice.kind, certain=here.certain and holds is True)
            end = self._act(step, choice, depth)
            if holds:
                return end
            ended = "perhaps" if end in ("return", "perhaps") else ended
        return ended

    def _doubt_nat(self, end: Step) -> None:
        """Note doubtful translations, and a translation that may have been passed by."""
        doubts = [d for d in self._doubts if d.action in NAT or (d.action == "accept" and end.action in NAT)]
        if doubts:
            self._nat_doubts += doubts
            self._view.doubt_translation(
                [action for doubt in doubts for action in translations(doubt)],
                untouched=any(doubt.action == "accept" for doubt in doubts),
            )

    def _note(self, step: Step) -> Step:
        if len(self._steps) < _STEPS:
            self._steps.append(step)
        return step


def translations(step: Step) -> Iterator[Action]:
    """Give what a rule may translate the packet to, whichever choice it makes."""
    actions = list(step.rule.actions) if step.rule else []
    for action in actions:
        actions += [choice for _, choice in action.choices]
        if action.kind in NAT:
            yield action
