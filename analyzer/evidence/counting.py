"""Counters of the protocols, interfaces and queues: what was counted, and what was counted in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import groupby
from typing import Literal

Group = Literal["protocol", "nstat", "interface", "driver", "softnet", "qdisc", "neighbours"]
"""Whose counters: those of IP, TCP, UDP (`nstat`, which may print differences, apart); those of the network device;
those that its driver keeps (`ethtool -S`); the receive queues of the CPUs; traffic control; the neighbour tables."""

UNTOLD = "?"
"""The interface of a queue of which nothing says whose it is."""
_GAUGES = frozenset({
    "Ip.Forwarding", "Ip.DefaultTTL", "Tcp.RtoAlgorithm", "Tcp.RtoMin", "Tcp.RtoMax", "Tcp.MaxConn", "Tcp.CurrEstab",
    "backlog_bytes", "backlog_packets", "backlog_len", "rx_queue_len", "entries",
})  # fmt: skip
"""Numbers among the counters that also fall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Counters at one moment."""

    group: Group
    of: str = ""
    """The interface; of a queueing discipline interface, kind and handle (`eth0 fq_codel 8001:`); else empty."""
    values: dict[str, int]
    """By the kernel's names, whichever tool printed them: `Udp.InCsumErrors`, `IpExt.InNoRoutes`, `rx_dropped`."""
    source: str
    """The tool or file that they are from."""
    file: str

    def drift(self, before: Counters) -> int:
        """Say by how much the counters rose since *before*, less what others fell."""
        shared = (self.values.keys() & before.values.keys()) - _GAUGES
        return sum(self.values[name] - before.values[name] for name in shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One counter over all its snapshots."""

    name: str
    of: str
    first: int
    last: int
    files: tuple[str, ...]
    """Where it is from, the earliest first."""

    @property
    def rose(self) -> int | None:
        """What was counted between the first snapshot and the last; None with one snapshot, or where it fell."""
        return self.last - self.first if len(self.files) > 1 and self.last >= self.first else None


def in_order(snapshots: Iterable[Counters]) -> tuple[Counters, ...]:
    """Bring snapshots to the order in which they grew, those of one group and interface together."""

    def later(one: Counters, other: Counters) -> int:
        return one.drift(other)

    def whose(counters: Counters) -> tuple[str, str]:
        return counters.group, counters.of

    rows = (sorted(row, key=cmp_to_key(later)) for _, row in groupby(sorted(snapshots, key=whose), key=whose))
    return tuple(counters for row in rows for counters in row)


def read(snapshots: Sequence[Counters], name: str, of: str | None = None) -> tuple[Reading, ...]:
    """Read one counter: a reading for each interface that has it, or for one.

    Args:
        snapshots: In order.
        name: As the kernel calls it.
        of: The interface; None for all.
    """
    rows: dict[tuple[str, str], list[Counters]] = {}
    for counters in snapshots:
        if name in counters.values and of in (None, counters.of):
            rows.setdefault((counters.group, counters.of), []).append(counters)
    return tuple(
        Reading(
            name=name,
            of=whose,
            first=row[0].values[name],
            last=row[-1].values[name],
            files=tuple(counters.file for counters in row),
        )
        for (_, whose), row in rows.items()
    )


_PREFIXES = (
    "MPTcpExt", "UdpLite6", "UdpLite", "IcmpMsg", "TcpExt", "Icmp6", "IpExt", "Udp6", "Icmp", "Ip6", "Tcp", "Udp", "Ip",
    "Sctp",
)  # fmt: skip


def dotted(name: str) -> str:
    """Bring nstat's name to the one with its protocol apart: `UdpInCsumErrors` to `Udp.InCsumErrors`."""
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    return f"{prefix}.{name[len(prefix) :]}" if prefix and name != prefix else name
