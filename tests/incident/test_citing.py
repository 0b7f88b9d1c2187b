"""Which files the findings rest on."""

from __future__ import annotations

from pathlib import Path

from tests.incident.evidence import connection, judged, vanishing
from tests.incident.node import told


def test_cited(tmp_path: Path) -> None:
    """A file that an incident names is evidence for it, by its name or by its tool; others are not, nor what nobody knows."""
    told(
        tmp_path,
        dmesg="[   12.500000] neighbour: arp_cache: neighbor table overflow!\n",
        sysctl="net.ipv4.neigh.default.gc_thresh3 = 10\n",
        uname="6.1.0-18-amd64\n",
        diary="Dear diary\n",
        pods="NAME   READY   STATUS   RESTARTS  AGE  IP           NODE\nweb-0  1/1     Running  0         1d   10.244.0.11  n\n",
    )
    result = judged(tmp_path, vanishing(connection(server="192.0.2.200:8300"), 0, 1, 3))
    by_source = {one.source: one for one in result.read}

    assert [("neighbour-table-full",)] == [tuple(one.cause for one in result.incidents)]
    (incident,) = [one.id for one in result.incidents]
    assert (incident,) == by_source["kernel_log"].cited
    assert (incident,) == by_source["sysctl"].cited
    assert (incident,) == by_source["cluster_names"].cited
    assert () == by_source["uname"].cited
    assert ("text that begins 'Dear diary'", ()) == (by_source[""].resembles, by_source[""].cited)


def test_nothing(tmp_path: Path) -> None:
    """Without incidents nothing is cited."""
    told(tmp_path, uname="6.1.0-18-amd64\n")
    result = judged(tmp_path, connection())

    assert [()] == [one.cited for one in result.read]
