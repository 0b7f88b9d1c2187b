"""Which files of side evidence the findings rest on."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.evidence.collecting import ReadFile
    from analyzer.incident.model import Incident, Signal, Untold

_PLACE = re.compile(r" (?:lines?|frames?) [\d, -]+(?:to \d+)?$")
_SEVERAL = re.compile(r", | and ")
_TOOLS = {
    "sysctl": ("sysctl",),
    "net.netfilter.": ("sysctl",),
    "nf_conntrack_": ("sysctl",),
    "lsmod": ("lsmod",),
    "conntrack -S": ("conntrack_stat", "proc_stat", "node_exporter"),
    "conntrack -E": ("conntrack_events",),
    "ip rule": ("ip_rule",),
    "counters before and after": (
        "ethtool_statistics", "netstat_s", "node_exporter", "nstat", "proc_dev", "proc_snmp", "softnet_stat", "tc_qdisc",
    ),
    "rules": ("iptables_save", "iptables_rules", "iptables_list", "nft_text", "nft_json"),
}  # fmt: skip
"""Evidence that names a tool instead of a file, and the sources that read what this prints."""


def cited(
    read: Iterable[ReadFile],
    incidents: Sequence[Incident],
    health: Sequence[Signal],
    untold: Sequence[Untold],
) -> tuple[ReadFile, ...]:
    """Note in each file which incidents and which other sections name it as their evidence."""
    known: dict[str, dict[str, None]] = {}

    def note(source: str, where: str) -> None:
        for part in (source, *_SEVERAL.split(source)):
            known.setdefault(_PLACE.sub("", part), {})[where] = None

    for incident in incidents:
        for evidence in (*incident.evidence, *(e for finding in incident.findings for e in finding.evidence)):
            note(evidence.source, incident.id)
        for name in (name for finding in incident.findings for name in finding.names):
            note(name.file, incident.id)
    for signal in health:
        note(signal.source, "node health")
    for one in untold:
        if one.logged:
            note("conntrack -E", "connections of unknown fate")
    tools = {begin: places for begin in _TOOLS for part, places in known.items() if part.startswith(begin)}
    return tuple(
        replace(
            one,
            cited=tuple(
                sorted(dict.fromkeys((*known.get(one.file, ()), *_by_tool(one.source, tools))), key=_order)
            ),
        )
        for one in read
    )


def _order(place: str) -> bool:
    """Incidents come before sections of the report, which have blanks in their names."""
    return " " in place


def _by_tool(source: str, tools: dict[str, dict[str, None]]) -> Iterable[str]:
    return (place for begin, places in tools.items() if source in _TOOLS[begin] for place in places)
