"""node_exporter's metrics, as Prometheus scrapes them: conntrack's table and counters; protocols and interfaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import CounterSnapshot, Fact, Sysctl, begins
from analyzer.evidence.links import MOST
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

_SAMPLE = re.compile(
    r'^node_(\w{1,80})(?:\{(?:device|cpu)="([^"\n]{0,64})"[^}\n]{0,300}\})? ([\d.]{1,24}(?:e\+\d{1,2})?)(?: \d+)?[ \t]*$',
    re.MULTILINE,
)
_SIZES = {"nf_conntrack_entries": "nf_conntrack_count", "nf_conntrack_entries_limit": "nf_conntrack_max"}
_NETSTAT = re.compile(r"netstat_(Ip|Ip6|Icmp|Icmp6|Tcp|Udp|Udp6|UdpLite|TcpExt|IpExt)_(\w+)")
_DEVICE = re.compile(r"network_(receive|transmit)_(\w+)_total")
_CALLED = {"errs": "errors", "drop": "dropped_or_missed", "fifo": "fifo_errors"}
"""The collector reads /proc/net/dev, whose drops also count what the device missed."""
_SOFTNET = {
    "softnet_processed_total": "processed", "softnet_dropped_total": "dropped", "softnet_times_squeezed_total": "time_squeeze",
}  # fmt: skip


def recognises(head: str) -> bool:
    return begins(head, r"node_(?:nf_conntrack|netstat|network|softnet)_\w+[ {]")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield what one scrape tells."""
    conntrack: dict[str, int] = {}
    protocols: dict[str, int] = {}
    softnet: dict[str, int] = {}
    devices: dict[str, dict[str, int]] = {}
    for name, of, number in _SAMPLE.findall(text):
        try:
            value = int(float(number))
        except (ValueError, OverflowError):
            continue
        if name in _SIZES:
            yield Sysctl(name=f"net.netfilter.{_SIZES[name]}", value=str(value), file=file)
        elif name.startswith("nf_conntrack_stat_"):
            conntrack[name.removeprefix("nf_conntrack_stat_")] = value
        elif netstat := _NETSTAT.fullmatch(name):
            protocols[f"{netstat[1]}.{netstat[2]}"] = value
        elif name in _SOFTNET:
            softnet[_SOFTNET[name]] = softnet.get(_SOFTNET[name], 0) + value
        elif (device := _DEVICE.fullmatch(name)) and (len(devices) < MOST or of in devices):
            way = "rx" if device[1] == "receive" else "tx"
            devices.setdefault(of, {})[f"{way}_{_CALLED.get(device[2], device[2])}"] = value
    if conntrack:
        yield CounterSnapshot(file=file, source="node_exporter", cpus={0: conntrack})
    if protocols:
        yield Counters(group="protocol", values=protocols, source="node_exporter", file=file)
    if softnet:
        yield Counters(group="softnet", values=softnet, source="node_exporter", file=file)
    for of, values in devices.items():
        yield Counters(group="interface", of=printable(of), values=values, source="node_exporter", file=file)
