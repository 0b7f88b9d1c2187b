"""What was read beside the captures, what each file is for, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.evidence.collecting import ReadFile

_DROPS = "the kernel's own record of each dropped packet: proof of place and cause"
_RULES = "rules that packets are walked through: what drops, rejects or translates them"
_COUNTERS = "counters that rise where packets are dropped"
_LINKS = "interfaces, their addresses, MTU and state: roles, routes, bad links"
_NAMES = "names of pods, services and nodes for their addresses"
_FOR = {
    "conntrack_stat": "insert_failed, drop and invalid, compared with the losses",
    "conntrack_table": "entries: stale ones, taken ports, how full the table is",
    "conntrack_events": "entries made and destroyed: who had a port, what was deleted",
    "ip_neigh": "neighbours that did not answer",
    "arp": "neighbours that did not answer",
    "neigh_stat": "how full the neighbour tables are, and how often they were too full",
    "ip_route": "which way a packet should have gone",
    "ip_rule": "which routing table a packet was sent by",
    "sysctl": "settings: table size, timeouts, forwarding, reverse path filter, port range",
    "uname": "which kernel's conntrack is replayed",
    "kernel_log": "the kernel's lines about dropped and INVALID packets",
    "tcpdump": "packets that the capturing program lost",
    "manifest": "when each point was recorded",
    "bridge_fdb": "where an overlay sends the frames of a MAC address",
    "ipvs": "connections of the virtual server",
    "ipvs_services": "services of the virtual server",
    "daemon_log": "what kube-proxy and CoreDNS could not do: rules not written, an upstream that did not answer",
    "lsmod": "which modules are loaded: br_netfilter, NAT helpers",
    "sockets": "which ports are listened on",
    "metrics": "kube-proxy's and CoreDNS' own counters",
    "node_exporter": _COUNTERS,
    "ethtool_features": "offloads: checksums and sizes that a capture shows before the interface makes them",
    **dict.fromkeys(("iptables_save", "iptables_rules", "iptables_list", "nft_text", "nft_json"), _RULES),
    **dict.fromkeys(("ip_link", "ip_link_text", "ifconfig"), _LINKS),
    **dict.fromkeys(
        ("bpftrace", "cilium_monitor", "dropwatch", "hubble", "nft_trace", "perf_script", "pwru", "retis",
         "trace_log", "tracefs", "xtables_monitor"),
        _DROPS,
    ),
    **dict.fromkeys(
        ("ethtool_statistics", "netstat_s", "nstat", "proc_dev", "proc_snmp", "proc_stat", "softnet_stat", "tc_qdisc"), _COUNTERS
    ),
    **dict.fromkeys(("cluster_documents", "cluster_names"), _NAMES),
}  # fmt: skip


NAMED = 4
"""Incidents that are named for a file."""


class Row(NamedTuple):
    """One file."""

    file: str
    what: str
    """The format, as its source is called: `conntrack stat`; empty where none knows the file."""
    facts: int
    purpose: str
    wrapped: str
    """What was taken off: colours, HTML."""
    cited: tuple[str, ...]
    """Incidents and sections that name it as their evidence."""
    outcome: str
    """What came of it, in words."""


def rows(read: Iterable[ReadFile]) -> list[Row]:
    """Return what was read, in the order of the files."""
    return [
        Row(
            one.file,
            one.source.replace("_", " "),
            one.facts,
            _FOR.get(one.source, ""),
            ", ".join(one.wrapped),
            one.cited,
            _outcome(one),
        )
        for one in read
    ]


def _outcome(one: ReadFile) -> str:
    if not one.source:
        return f"not understood: {one.resembles}"
    if one.cited:
        told = f"evidence for {', '.join(one.cited[:NAMED])}"
        told += f" and {len(one.cited) - NAMED} more" if len(one.cited) > NAMED else ""
    else:
        told = "not cited by a finding" if one.facts else "nothing usable in it"
    parts = "1 part" if one.unclear == 1 else f"{one.unclear} parts"
    return f"{told}; {parts} not understood, see the caveats" if one.unclear else told
