"""What the kernel counts, for the truth."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from analyzer.lab.namespaces import Namespace


def counters(where: Namespace) -> str:
    """The text of `conntrack -S`; the counters are those of the namespace."""
    return where.run("conntrack", "-S")


def increase(before: str, after: str) -> dict[str, int]:
    """How much each conntrack counter rose between two texts of `conntrack -S`, summed over the CPUs.

    The counters have 32 bits and wrap.
    """
    rose = Counter(_totals(after))
    rose.subtract(_totals(before))
    return {name: value & 0xFFFFFFFF for name, value in rose.items()}


def _totals(text: str) -> Counter[str]:
    totals: Counter[str] = Counter()
    for line in text.splitlines():
        for name, equals, value in (word.partition("=") for word in line.split()):
            if equals and name != "cpu":
                totals[name] += int(value)
    return totals


def syns_sent(*pods: Namespace) -> int:
    """How many SYNs TCP has sent in these namespaces, repeated ones too (Documentation/networking/snmp_counter.rst)."""
    total = 0
    own = Path("/proc/thread-self/net")  # /proc/net is the namespace of the process's first thread
    for pod in pods:
        with pod.entered():
            total += _table(own / "snmp", "Tcp")["ActiveOpens"]
            total += _table(own / "netstat", "TcpExt")["TCPSynRetrans"]
    return total


def _table(file: Path, name: str) -> dict[str, int]:
    """One group of /proc/net/snmp or netstat: a line of names, a line of values."""
    names, values = (
        line.split()[1:] for line in file.read_text().splitlines() if line.startswith(f"{name}:")
    )
    return dict(zip(names, map(int, values), strict=True))


def entries(where: Namespace) -> int:
    """How many entries the namespace's connection tracking table has."""
    with where.entered():
        return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())


def kernel() -> str:
    """The running kernel's release, as `uname -r` prints it."""
    return os.uname().release
