"""A full neighbour table: nobody was asked for, and the kernel says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import Frames, causes, connection, counters, findings, judged, vanishing, whole
from tests.incident.node import told
from tests.incident.test_records import record

CODE = "neighbour-table-full"
LOG = "[   12.500000] neighbour: arp_cache: neighbor table overflow!\n"
FULL = "".join(f"? (192.0.2.{n}) at <incomplete> on eth0\n" for n in range(60, 70))
OTHERS = (
    "".join(f"192.0.2.{n} dev eth0 FAILED\n" for n in range(60, 68))
    + "192.0.2.68 dev eth0 lladdr 02:00:00:00:00:68 PERMANENT\n2001:db8::9 dev eth0 FAILED\n"
)
LIMIT = "net.ipv4.neigh.default.gc_thresh3 = 10\n"


def lost(n: int = 0) -> Conversation:
    """A pod asks a machine on the node's own link, in vain."""
    return vanishing(connection(n, server="192.0.2.200:8300"), n, n + 1, n + 3)


@pytest.mark.parametrize(("rises", "ruled_out"), [(None, False), ({}, True), ({"drop": 9}, False)])
def test_log_and_size(tmp_path: Path, rises: dict[str, int] | None, ruled_out: bool) -> None:
    """The log says so, and so many neighbours are listed as there may be; conntrack's is not full where it counted no drop."""
    told(tmp_path, dmesg=LOG, arp=FULL, sysctl=LIMIT)
    if rises is not None:
        counters(tmp_path, **rises)
    (finding,) = findings(judged(tmp_path, lost()))

    assert (CODE, "proven", "192.0.2.200") == (finding.cause, finding.confidence, finding.facts["next_hop"])
    assert ruled_out == ("conntrack counted no drop" in [one.because for one in finding.excluded])
    assert (10, 10, 1) == tuple(finding.facts[name] for name in ("neighbours", "gc_thresh3", "log_lines"))
    assert 1 == sum("gc_thresh3 is 10" in one.says for one in finding.evidence)


@pytest.mark.parametrize("files", [{"dmesg": LOG}, {"arp": FULL, "sysctl": LIMIT}])
def test_one_of_both(tmp_path: Path, files: dict[str, str]) -> None:
    """Either may be of another time: likely."""
    told(tmp_path, **files)

    assert [(CODE, "likely")] == [(f.cause, f.confidence) for f in findings(judged(tmp_path, lost()))]


@pytest.mark.parametrize(
    "files",
    [{"arp": FULL}, {"arp": FULL, "sysctl": LIMIT.replace("10", "11")}, {"dmesg": LOG.replace("arp", "ndisc")},
     {"neigh": OTHERS, "sysctl": LIMIT},
     {"dmesg": LOG, "arp": "? (192.0.2.200) at 02:00:00:00:00:77 [ether] on eth0\n"}],
    ids=["no-limit", "room-for-one", "of-ipv6", "others", "known"],
)  # fmt: skip
def test_near_misses(tmp_path: Path, files: dict[str, str]) -> None:
    """There was room, it is the other table, or the next hop is known."""
    told(tmp_path, **files)

    assert CODE not in causes(judged(tmp_path, lost()))


@pytest.mark.parametrize(
    ("ends", "hop", "node", "limit"),
    [
        ({"server": "192.0.2.200:8300"}, "192.0.2.200", "192.0.2.10", 10),
        (
            {"pod": "[2001:db8:1::11]:20000", "server": "[2001:db8::200]:80", "nat": "[2001:db8::10]:20000"},
            "2001:db8::200",
            "2001:db8::10",
            11,
        ),
    ],
    ids=["v4", "v6"],
)
def test_it_was_asked_for(tmp_path: Path, ends: dict[str, str], hop: str, node: str, limit: int) -> None:
    """A next hop that is asked for in vain has an entry; each version of IP has a table and a limit of its own."""
    six = LIMIT.replace("ipv4", "ipv6").replace("10", "11")
    told(tmp_path, dmesg=LOG + LOG.replace("arp", "ndisc"), sysctl=LIMIT + six)
    talk = vanishing(connection(**ends), 0, 1, 3)
    (finding,) = findings(judged(tmp_path, talk))

    assert CODE == finding.cause
    assert any(f"gc_thresh3 is {limit}: so many" in one.says for one in finding.evidence)
    version, cache = ("6", "ndisc_cache") if limit == 11 else ("4", "arp_cache")
    larger, look = (remedy.command for remedy in finding.remedies)
    assert (3, True) == (larger.count(f"net.ipv{version}.neigh.default"), look.endswith(f"/{cache}"))
    for frames, expected in (
        (Frames().asks(hop, 0.0, 1.0, 2.0, by=node), "next-hop-unresolved"),
        (Frames().asks(hop, -4.0, by=node, answered=True), "unknown"),
        (Frames().asks(f"{hop}9" if limit == 11 else "192.0.2.201", -4.0, by=node, answered=True), CODE),
    ):
        assert [expected] == causes(judged(tmp_path, talk, frames))


def test_the_kernel_recorded_it(tmp_path: Path) -> None:
    """Its record says it first, and proves it, whatever was logged."""
    talk = lost()
    record(tmp_path, talk, 0, 1, 3, reason="NEIGH_CREATEFAIL", at="ip_finish_output2")
    (finding,) = findings(judged(tmp_path, talk))

    assert (CODE, "proven") == (finding.cause, finding.confidence)
    assert finding.evidence[0].says.startswith("the kernel recorded")


def test_others_reach_it(tmp_path: Path) -> None:
    """The same machine is reached meanwhile: it has an entry."""
    told(tmp_path, dmesg=LOG)
    other = whole(connection(3, server="192.0.2.200:22"), 0.5)

    assert CODE not in causes(judged(tmp_path, lost(), other))


def test_behind_a_gateway(tmp_path: Path) -> None:
    """The next hop is the gateway, which others use."""
    told(
        tmp_path,
        dmesg=LOG,
        routes="default via 192.0.2.1 dev eth0\n192.0.2.0/25 dev eth0 scope link\n",
        arp="? (192.0.2.1) at 02:00:00:00:00:03 [ether] on eth0\n",
    )

    assert CODE not in causes(judged(tmp_path, lost()))


STAT = "entries  allocs   destroys hash_grows lookups  hits     res_failed table_fulls\n0000000a 0 0 0 0 0 0 {}\n".replace(
    " 0 0 0 0 0 0 ", " 00000000" * 6 + " "
)


@pytest.mark.parametrize(("after", "expected"), [("00000009", [(CODE, "proven")]), ("00000004", [])])
def test_the_tables_own_counter(tmp_path: Path, after: str, expected: list[tuple[str, str]]) -> None:
    """The counter of those that found no room rose meanwhile: proven; where it stood still that is nothing."""
    told(tmp_path, before_arp_cache=STAT.format("00000004"), after_arp_cache=STAT.format(after))

    found = [(f.cause, f.confidence) for f in findings(judged(tmp_path, lost())) if f.cause == CODE]
    assert expected == found


@pytest.mark.parametrize(
    ("limit", "size"), [("10", 8192), ("32768", 8192), ("32769", 16384), ("100000", 32768)]
)
def test_the_fix_never_lowers_the_limit(tmp_path: Path, limit: str, size: int) -> None:
    """The new limit is at least twice the one in force, and the others keep their distance."""
    told(tmp_path, dmesg=LOG, arp=FULL, sysctl=LIMIT.replace("10", limit))
    (finding,) = findings(judged(tmp_path, lost()))
    command = finding.remedies[0].command

    assert all(f"gc_thresh{n}={size * times}" in command for n, times in ((1, 1), (2, 4), (3, 8)))
