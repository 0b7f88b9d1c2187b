"""The packet that walks through rules, and what the walk tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from analyzer.evidence.rules.model import Chain, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What rules ask of a packet; None where it is not known."""

    proto: str
    """`tcp`, `udp`, `icmp`, `icmpv6`, ..."""
    src: str
    """Of a `new` packet as before NAT; of others, which no nat chain is asked for, as the forward hook sees it."""
    dst: str
    """Empty where it is not known."""
    sport: int | None = None
    dport: int | None = None
    iif: str | None = None
    """Where it comes in, empty where that is not known; None for a packet that the node sends itself."""
    oif: str | None = None
    """Where it goes out, empty where that is not known; None for a packet to the node itself."""
    state: Literal["new", "established", "related", "invalid", "untracked"] | None = "new"
    """As conntrack calls it; only of `new` packets are the nat chains asked."""
    mark: int | None = 0
    tcp_flags: int | None = None
    """As in the header's byte: 2 is a SYN."""
    icmp_type: str | None = None
    """`echo-request`, ..."""
    icmp_code: str | None = None
    """As a number: `4` is fragmentation needed, of an unreachable destination."""
    physin: str | None = None
    """The bridge's port, where a bridge hands its packets to iptables (br_netfilter); `""` if it does not."""
    physout: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rule that matched, or may have, or the policy that a base chain ended with."""

    hook: str
    chain: Chain = field(repr=False)
    """The base chain, not that of the rule, which may have been jumped to."""
    rule: Rule | None
    """None where the chain's policy decided."""
    action: str
    """The kind of action: `drop`, `masquerade`, ..."""
    flags: frozenset[str] = frozenset()
    """Of a translation."""
    certain: bool = True

    @property
    def text(self) -> str:
        """The rule, with its chain: `inet filter forward: tcp dport 25 counter drop`."""
        if self.rule is None and self.action == "unknown":
            return f"{self.chain.label}: not all of it is listed"
        if self.rule is None:
            return f"{self.chain.label}: policy {self.chain.policy}"
        return f"{self.rule.chain}: {self.rule.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What became of the packet."""

    verdict: Literal["accept", "drop", "reject", "cannot-tell"]
    end: Step | None
    """What decided; of `cannot-tell` what would decide if no doubtful rule matched. None where every chain
    let the packet pass."""
    fits: Step | None
    """Where nothing decided and the listing is not whole: a rule for the packet's own address that would lose it, if asked."""
    doubts: tuple[Step, ...]
    """Doubtful rules that would lose the packet, or save it, instead."""
    source_nat: Step | None
    destination_nat: Step | None
    nat_doubts: tuple[Step, ...]
    """Doubtful rules that would translate it otherwise."""
    steps: tuple[Step, ...]
    """Every rule that matched, and the policies; the first hundred."""
    unwalked: tuple[str, ...]
    """Base chains that may concern the packet and were not walked here: those of bridges."""
    untracked: bool | None = False
    """Whether a rule took it from conntrack, which then knows nothing of its answer; None where one may have."""
    unlisted: tuple[str, ...] = ()
    """Chains on the packet's way that no listing shows, so nobody knows what they hold: `ip raw prerouting`."""
