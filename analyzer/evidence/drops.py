"""What the kernel says of each packet that it drops, and what that means.

Every drop passes the tracepoint skb:kfree_skb, whose reason (since Linux 5.17), location and call stack tell where the
packet died: the frame above `nf_hook_slow` is the function that ran the hook. Tools show it in many forms, one per file
in `sources`; others tell verdicts of rules (nft, TRACE) or of a datapath of their own (Cilium).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from analyzer.capture.naming import printable

MOST = 100_000
"""Records kept of one file; each takes about half a kilobyte."""
DEEP = 32
"""Frames kept of a stack."""

Hook = Literal["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
HOOKS: tuple[Hook, ...] = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
Clock = Literal["wall", "monotonic", "boot", "unknown"]
Kind = Literal[
    "rule", "nat-rule", "conntrack-insertion", "conntrack-entry", "netfilter", "reverse-path", "no-neighbour", "queue-full",
    "traffic-control", "no-listener", "checksum", "no-route", "other-host", "protocol-unknown", "too-big", "backlog-full",
    "receiver", "policy", "not-a-loss", "unknown",
]  # fmt: skip

PROTOCOLS = {
    1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp",
    136: "udplite",
}  # fmt: skip
"""IP's protocol number to the name that evidence uses."""
PORTED = frozenset({6, 17, 33, 132, 136})
"""Those of them whose header begins with two ports."""
VERSIONS: dict[int, Literal[4, 6]] = {0x0800: 4, 0x86DD: 6}
"""Ethernet's protocol number to the version of IP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRecord:
    """One packet that the node dropped, as the node says; what a source does not tell is None, or empty."""

    file: str
    line: int
    """Of the file, from 1."""
    source: str
    """Who says so: `tracefs`, `perf script`, `bpftrace`, `pwru`, `nft monitor trace`, ..."""
    time: int | None = None
    """Nanoseconds on `clock`."""
    clock: Clock = "unknown"
    offset: int | None = None
    """Nanoseconds from `clock` to wall time; None where the file does not note it."""
    cpu: int | None = None
    reason: str = ""
    """As enum skb_drop_reason calls it: `NETFILTER_DROP`; Cilium's own words; empty before 5.17."""
    location: str = ""
    """The function that freed the packet: `nf_hook_slow`."""
    stack: tuple[str, ...] = ()
    """The functions that led there, the innermost first."""
    hook: Hook | None = None
    """The hook of netfilter in which it died, where something else than the stack tells it; see `died_in`."""
    device: str = ""
    version: Literal[4, 6] | None = None
    """Of IP, where no address shows it."""
    proto: str = ""
    """`tcp`, `udp`, ..."""
    src: str = ""
    """Addresses and ports are those that the packet had when it died: in POSTROUTING those after translation."""
    dst: str = ""
    src_name: str = ""
    """What the source calls an end whose address it does not tell: `default/web-0`."""
    dst_name: str = ""
    sport: int | None = None
    dport: int | None = None
    seq: int | None = None
    """TCP's."""
    ip_id: int | None = None
    """IPv4's."""
    rule: str = ""
    """The rule, chain or policy that dropped it."""
    certain: bool = True
    """False where the source shows a last sign of the packet, and not that it was dropped there."""

    @property
    def wall(self) -> int | None:
        """Nanoseconds since the epoch; None where that cannot be told."""
        return None if self.time is None or self.offset is None else self.time + self.offset

    @property
    def died_in(self) -> Hook | None:
        """The hook of netfilter in which it died, as told or as the stack shows it; None where it died elsewhere."""
        return self.hook or hook_of(self.reason, self.location, self.stack)

    @property
    def means(self) -> Meaning:
        """What became of the packet."""
        told = meaning(self.reason, self.location, self.stack, self.hook)
        if not self.rule:
            return told
        kind: Kind = "rule" if told.kind in ("netfilter", "unknown") or self.hook else told.kind
        if not self.certain:
            return Meaning(
                kind=kind, says=f"perhaps by {self.rule}, the last that is known of it", sole=False
            )
        return Meaning(kind=kind, says=f"by {self.rule}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What became of the packet."""

    kind: Kind
    says: str
    """Completes "the packet was dropped, ..." in plain words."""
    sole: bool = True
    """False where something else than `kind` is possible at this place as well; `says` names it."""


# Who runs which hook (NF_HOOK in net/ipv4, net/ipv6 and net/bridge/br_netfilter_hooks.c).
_RUNNERS: dict[str, Hook] = {
    "ip_rcv": "PREROUTING", "ipv6_rcv": "PREROUTING", "ip_list_rcv": "PREROUTING", "ipv6_list_rcv": "PREROUTING",
    "ip_sublist_rcv": "PREROUTING", "ip6_sublist_rcv": "PREROUTING", "br_nf_pre_routing": "PREROUTING",
    "br_nf_pre_routing_ipv6": "PREROUTING",
    "ip_local_deliver": "INPUT", "ip6_input": "INPUT", "br_nf_local_in": "INPUT",
    "ip_forward": "FORWARD", "ip6_forward": "FORWARD", "br_nf_forward_ip": "FORWARD", "br_nf_forward": "FORWARD",
    "ip_mr_forward": "FORWARD", "ipmr_queue_xmit": "FORWARD",
    "__ip_local_out": "OUTPUT", "ip_local_out": "OUTPUT", "__ip6_local_out": "OUTPUT", "ip6_local_out": "OUTPUT",
    "ip6_xmit": "OUTPUT", "raw_sendmsg": "OUTPUT", "raw_send_hdrinc": "OUTPUT", "rawv6_sendmsg": "OUTPUT",
    "ndisc_send_skb": "OUTPUT", "mld_sendpack": "OUTPUT", "igmp6_send": "OUTPUT",
    "ip_output": "POSTROUTING", "ip6_output": "POSTROUTING", "ip_mc_output": "POSTROUTING",
    "xfrm_output_resume": "POSTROUTING", "br_nf_post_routing": "POSTROUTING",
}  # fmt: skip
_SLOW = frozenset({"nf_hook_slow", "nf_hook_slow_list"})
_FREEING = frozenset({
    "kfree_skb", "kfree_skb_reason", "kfree_skb_list_reason", "__kfree_skb", "sk_skb_reason_drop", "__kfree_skb_reason",
    "trace_event_raw_event_kfree_skb", "trace_event_buffer_reserve", "__traceiter_kfree_skb", "perf_trace_kfree_skb",
    "trace_kfree_skb", "__bpf_trace_kfree_skb", "bpf_trace_run3", "bpf_trace_run4",
})  # fmt: skip
"""Frames between the one that drops and the tracepoint."""
_CHAINS = frozenset({"nft_do_chain", "ipt_do_table", "ip6t_do_table", "ebt_do_table"})
_NAT = frozenset(
    {"nf_nat_inet_fn", "nf_nat_ipv4_out", "nf_nat_ipv6_out", "nft_nat_do_chain", "iptable_nat_do_chain"}
)
_SUFFIX = re.compile(r"\.(?:constprop|isra|part|cold|llvm)(?:\.\d+)*$")

_KINDS: dict[str, tuple[Kind, str]] = {
    "IP_RPFILTER": (
        "reverse-path",
        "by the reverse path filter: the route back to its sender leads elsewhere",
    ),
    "NEIGH_FAILED": ("no-neighbour", "because the next hop did not answer ARP or neighbour discovery"),
    "NEIGH_CREATEFAIL": ("no-neighbour", "because the neighbour table took no further entry"),
    "NEIGH_QUEUEFULL": ("no-neighbour", "because too many packets waited for the next hop to be resolved"),
    "NEIGH_DEAD": ("no-neighbour", "because its neighbour entry was removed"),
    "QDISC_DROP": ("queue-full", "by the queue of the interface it was to leave by"),
    "QDISC_OVERLIMIT": ("queue-full", "because the queue of the interface it was to leave by was full"),
    "QDISC_CONGESTED": ("queue-full", "by the queue discipline, which saw congestion"),
    "FQ_BAND_LIMIT": ("queue-full", "by the fq queue discipline"),
    "FQ_FLOW_LIMIT": ("queue-full", "by the fq queue discipline"),
    "FQ_HORIZON_LIMIT": ("queue-full", "by the fq queue discipline"),
    "CAKE_FLOOD": ("queue-full", "by the cake queue discipline"),
    "FULL_RING": ("queue-full", "because a device's ring was full"),
    "TC_EGRESS": ("traffic-control", "by a filter of traffic control on the way out"),
    "TC_INGRESS": ("traffic-control", "by a filter of traffic control on the way in"),
    "XDP": ("traffic-control", "by an XDP program"),
    "BPF_CGROUP_EGRESS": ("traffic-control", "by a BPF program of its sender's cgroup"),
    "NO_SOCKET": ("no-listener", "because nobody listened"),
    "TCP_CSUM": ("checksum", "because its TCP checksum was wrong"),
    "UDP_CSUM": ("checksum", "because its UDP checksum was wrong"),
    "IP_CSUM": ("checksum", "because its IP checksum was wrong"),
    "ICMP_CSUM": ("checksum", "because its ICMP checksum was wrong"),
    "SKB_CSUM": ("checksum", "because its checksum could not be computed"),
    "IP_OUTNOROUTES": ("no-route", "because there was no route for it"),
    "IP_INNOROUTES": ("no-route", "because there was no route for it"),
    "IP_INADDRERRORS": ("no-route", "because its destination is neither the node's nor forwarded by it"),
    "OTHERHOST": ("other-host", "because its MAC address is another host's"),
    "UNHANDLED_PROTO": ("protocol-unknown", "because nobody handles its protocol"),
    "IP_NOPROTO": ("protocol-unknown", "because nobody handles its protocol"),
    "PKT_TOO_BIG": ("too-big", "because it was larger than the MTU and must not be fragmented"),
    "CPU_BACKLOG": ("backlog-full", "because the CPU's backlog was full (net.core.netdev_max_backlog)"),
    "SOCKET_RCVBUFF": ("receiver", "because the receiving socket's buffer was full"),
    "SOCKET_BACKLOG": ("receiver", "because the receiving socket's backlog was full"),
    "TCP_LISTEN_OVERFLOW": ("receiver", "because the listening socket's queue was full"),
    "LISTENOVERFLOWS": ("receiver", "because the listening socket's queue was full"),
    "SOCKET_FILTER": ("receiver", "by a filter of the receiving socket"),
    "POLICY_DENIED": ("policy", "by a network policy"),
    "POLICY_DENY": ("policy", "by a network policy"),
}
_RECEIVED = frozenset({"QUEUE_PURGE", "SOCKET_CLOSE", "PACKET_SOCK_ERROR", "UNIX_DISCONNECT"})
"""Copies in queues of sockets that went away: the packet had arrived."""
_PLACES: dict[str, str] = {
    "neigh_invalidate": "NEIGH_FAILED", "arp_error_report": "NEIGH_FAILED", "ndisc_error_report": "NEIGH_FAILED",
    "ip_error": "IP_INNOROUTES", "ip6_pkt_drop": "IP_INNOROUTES", "enqueue_to_backlog": "CPU_BACKLOG",
    "__dev_xmit_skb": "QDISC_DROP", "__udp4_lib_rcv": "NO_SOCKET", "__udp6_lib_rcv": "NO_SOCKET",
}  # fmt: skip
"""Location to reason, for kernels that do not tell reasons, or only NOT_SPECIFIED."""
_TABLE_FULL = "conntrack could make no entry for it, as when its table is full"
_CONFIRM = (
    "conntrack did not insert its entry, as when another connection has the same tuple or no port was free"
)


def meaning(reason: str, location: str, stack: Sequence[str] = (), hook: Hook | None = None) -> Meaning:
    """Say what a record means.

    Args:
        reason: As in `DropRecord`.
        location: As in `DropRecord`.
        stack: As in `DropRecord`.
        hook: The hook, where something else than the stack tells it.
    """
    hook = hook or hook_of(reason, location, stack)
    if reason in _RECEIVED:
        return Meaning(kind="not-a-loss", says="as a copy in the queue of a socket that was closed")
    if _by_netfilter(reason, location):
        return _netfilter(location, stack, hook)
    known = _KINDS.get(reason)
    if known is None and reason in ("", "NOT_SPECIFIED"):
        known = _KINDS.get(_PLACES.get(location, ""))
        if known is None and location == "ip_rcv_finish_core":
            return Meaning(
                kind="reverse-path", says="by the reverse path filter, or for want of a route", sole=False
            )
    if known:
        return Meaning(kind=known[0], says=known[1])
    if reason.startswith(("TCP_", "SOCKET_")) or location in (
        "tcp_v4_rcv",
        "tcp_v6_rcv",
        "tcp_rcv_state_process",
    ):
        return Meaning(kind="receiver", says="by the receiving TCP", sole=False)
    where = f" in {location}" if location else ""
    return Meaning(kind="unknown", says=f"{where.strip()}: {reason}" if reason else where.strip(), sole=False)


def _netfilter(location: str, stack: Sequence[str], hook: Hook | None) -> Meaning:
    """Tell rules from conntrack.

    nftables frees a packet in `nft_do_chain` itself (NF_DROP_REASON), as measured on 6.18; what `nf_hook_slow` frees is
    conntrack's, or of iptables, or of an older kernel. Conntrack makes entries in PREROUTING and OUTPUT
    (nf_conntrack_in) and inserts them in INPUT and POSTROUTING (nf_confirm).
    """
    inner = _within(stack)
    at = f" in {hook}" if hook else ""
    if {location, *inner} & _CHAINS:
        if set(inner) & _NAT:
            return Meaning(kind="nat-rule", says=f"by a rule of NAT{at}, as when no port is free for it")
        return Meaning(kind="rule", says=f"by a rule{at}")
    if hook == "FORWARD":
        return Meaning(kind="rule", says="by a rule in FORWARD")
    if hook in ("POSTROUTING", "INPUT"):
        return Meaning(
            kind="conntrack-insertion", says=f"in {hook}: {_CONFIRM}, or a rule there dropped it", sole=False
        )
    if hook in ("PREROUTING", "OUTPUT"):
        return Meaning(
            kind="conntrack-entry", says=f"in {hook}: {_TABLE_FULL}, or a rule there dropped it", sole=False
        )
    return Meaning(kind="netfilter", says="by netfilter, a rule or conntrack", sole=False)


def hook_of(reason: str, location: str, stack: Sequence[str]) -> Hook | None:
    """Give the hook in which a packet died; None where it died elsewhere, or the stack does not show it.

    A stack holds several where a bridge handed the packet up (ip_sabotage_in), or where it was sent and received in one
    go: the innermost counts.
    """
    if not _by_netfilter(reason, location):
        return None
    inside = False
    for frame in stack:
        if frame in _SLOW:
            if inside:
                return None
            inside = True
        elif frame in _RUNNERS:
            return _RUNNERS[frame] if inside else None
    return None


def _by_netfilter(reason: str, location: str) -> bool:
    return reason == "NETFILTER_DROP" or (
        reason in ("", "NOT_SPECIFIED") and (location in _SLOW or location in _CHAINS)
    )


def _within(stack: Sequence[str]) -> list[str]:
    """The frames inside of the hook."""
    inner = []
    for frame in stack:
        if frame in _SLOW:
            break
        inner.append(frame)
    return inner


def place_of(stack: Sequence[str]) -> str:
    """Give the function that dropped the packet, the first that is not of the dropping itself."""
    return next((frame for frame in stack if frame not in _FREEING and not frame.startswith("bpf_prog_")), "")


@lru_cache(maxsize=8192)
def symbol(text: str) -> str:
    """Give a function's name: `nf_hook_slow` of `nf_hook_slow+0x7d/0x110`; empty of a bare address."""
    name = text.strip().split("+")[0].split()
    found = _SUFFIX.sub("", printable(name[0][:80])) if name else ""
    return "" if re.fullmatch(r"(?:0x)?[0-9a-fA-F]{8,16}|\(nil\)", found) else found


def reason(text: str) -> str:
    """Give a reason without the prefix of the kernel's enum."""
    return printable(text[:64]).removeprefix("SKB_DROP_REASON_")


def address(text: str) -> str:
    """Give an address in its short form; empty where it is none."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return ""


def number(text: str | None, most: int) -> int | None:
    """Read a decimal number of the packet; None where it is none, or too large."""
    if text is None or not re.fullmatch(r"[0-9]{1,10}", text):
        return None
    value = int(text)
    return value if value <= most else None


def protocol(number: int | None) -> str:
    """Name IP's protocol, by its number where it has no name here; empty for None."""
    return "" if number is None else PROTOCOLS.get(number, str(number))


def nanoseconds(text: str) -> int:
    """Read seconds with a fraction, both of digits."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**9 + int(fraction[:9].ljust(9, "0") or 0)
