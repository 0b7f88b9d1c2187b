"""Signals of a node's health, from the evidence that is there."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from analyzer.capture.files import EvidenceFile
from analyzer.evidence import SideEvidence, collect
from analyzer.evidence.facts import CoreDns, CounterSnapshot, KubeProxy, LogLine, Neighbour, Route
from analyzer.evidence.sources import conntrack_table
from analyzer.evidence.table import Table
from analyzer.incident.health import Signal, signals
from tests.evidence.test_collecting import collected

FIXTURES = Path(__file__).parents[2] / "fixtures"
NOW = 1_795_170_365 * 10**9


def evidence(**about: object) -> SideEvidence:
    """Make evidence of what a test is about."""
    return SideEvidence(**{"interfaces": {}, "capture_drops": {}, **about})  # type: ignore[arg-type]


def signal(name: str, now: int | None = None, **about: object) -> Signal | None:
    """Give the signal of that name, if there is one."""
    found = [one for one in signals(evidence(**about), now=now) if one.name == name]
    assert 2 > len(found)
    return found[0] if found else None


def level(name: str, now: int | None = None, **about: object) -> str | None:
    """Give the level of a signal; None without it."""
    found = signal(name, now, **about)
    return found.level if found else None


def sysctls(count: int, most: int = 1000) -> dict[str, str]:
    """Write the two settings."""
    prefix = "net.netfilter.nf_conntrack_"
    return {f"{prefix}count": str(count), f"{prefix}max": str(most)}


def table(tcp: dict[str, int], udp: int = 0, *, to: str = "10.244.0.5", left: int = 20) -> Table:
    """Make a listing with so many TCP entries per state, and unreplied UDP ones."""
    line = "{} {} {} src=10.244.0.11 dst={} sport={} dport=80 {} src={} dst=10.244.0.11 sport=80 dport={} mark=0 use=1"
    lines = [
        line.format("tcp      6", left, state, to, port, "", to, port)
        for state, count in tcp.items()
        for port in range(1, count + 1)
    ]
    lines += [
        line.format("udp      17", left, "", to, port, "[UNREPLIED]", to, port) for port in range(1, udp + 1)
    ]
    (found,) = conntrack_table.parse("\n".join(lines), "conntrack-L.txt")
    assert isinstance(found, Table)
    return found


def snapshot(**counters: int) -> CounterSnapshot:
    """Make a reading of the counters."""
    return CounterSnapshot(file=f"s{counters.get('drop')}", source="conntrack -S", cpus={0: counters})


def test_nothing() -> None:
    """Without evidence there are no signals."""
    assert () == signals(evidence())


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (700, "ok"),
        (701, "warn"),
        (850, "warn"),
        (851, "danger"),
        (950, "danger"),
        (951, "dropping"),
        (1000, "dropping"),
    ],
)
def test_occupancy(count: int, expected: str) -> None:
    """Above 70, 85 and 95 % the level rises."""
    assert expected == level("table-occupancy", sysctls=sysctls(count))


def test_occupancy_from_a_listing() -> None:
    """Without the count the listing is counted; without a limit there is no share."""
    found = signal(
        "table-occupancy",
        sysctls={"net.netfilter.nf_conntrack_max": "10"},
        tables=(table({"ESTABLISHED": 9}),),
    )
    assert found is not None
    assert ("90%", "danger", "The conntrack table held 9 of 10 entries.") == (
        found.value,
        found.level,
        found.says,
    )
    assert "conntrack-L.txt" in found.source
    assert level("table-occupancy", sysctls=sysctls(5, 0)) is None
    assert level("table-occupancy", sysctls={"net.netfilter.nf_conntrack_max": "many"}) is None


def test_counters() -> None:
    """Any increase warns; one reading does not say when."""
    before, after = snapshot(drop=5, early_drop=0), snapshot(drop=145, early_drop=0)
    found = signal("drop", counters=(before, after))
    assert found is not None
    assert ("+140", "dropping", "s5, s145") == (found.value, found.level, found.source)
    assert "ok" == level("early-drop", counters=(before, after))
    assert "danger" == level("early-drop", counters=(before, snapshot(drop=5, early_drop=3)))
    assert "ok" == level("drop", counters=(before, before))
    assert "warn" == level("drop", counters=(before,))
    assert level("early-drop", counters=(before,)) is None


def test_counters_read_twice() -> None:
    """`conntrack -S` and /proc show the same counters, so one of them is enough."""
    proc = CounterSnapshot(file="p", source="/proc/net/stat/nf_conntrack", cpus={0: {"drop": 3}})
    assert "dropping" == level("drop", counters=(snapshot(drop=1), snapshot(drop=2), proc))


def test_table_full() -> None:
    """Every line counts."""
    full = LogLine(about="table-full", says="table full, dropping packet", file="dmesg.txt")
    other = LogLine(about="suppressed", says="", file="dmesg.txt", count=5)
    found = signal("table-full", log=(full, other, full))
    assert found is not None
    assert ("2", "dropping", "dmesg.txt") == (found.value, found.level, found.source)
    assert level("table-full", log=(other,)) is None


def test_time_wait() -> None:
    """More than half of many TCP entries warn; of a few they do not."""
    assert "warn" == level("time-wait", tables=(table({"TIME_WAIT": 600, "ESTABLISHED": 500}),))
    assert "ok" == level("time-wait", tables=(table({"TIME_WAIT": 550, "ESTABLISHED": 550}),))
    assert "ok" == level("time-wait", tables=(table({"TIME_WAIT": 90}),))
    assert level("time-wait", tables=(table({}, 5),)) is None


def test_udp_growth() -> None:
    """Growth needs two listings whose order their entries tell."""
    before, after = table({}, 2000, left=29), table({}, 4000, left=9)
    found = signal("udp-growth", tables=(before, after))
    assert found is not None
    assert ("+2000", "warn") == (found.value, found.level)
    assert "ok" == level("udp-growth", tables=(before, table({}, 2100, left=9)))
    assert level("udp-growth", tables=(before,)) is None
    assert level("udp-growth", tables=(before, table({}, 4000, left=29))) is None


def test_gone_addresses() -> None:
    """Only what the node itself calls unreachable is gone; what is missing from its lists may be idle."""
    tables = (table({"ESTABLISHED": 3}, 4, to="10.244.0.99"),)
    routes = (_route("0.0.0.0/0", "eth0"), _route("10.244.0.0/24", "cni0"))
    for state, expected in (("FAILED", "warn"), ("INCOMPLETE", "warn"), ("STALE", None)):
        neighbour = Neighbour(address="10.244.0.99", dev="cni0", mac=None, state=state, file="n")
        assert expected == level("gone-addresses", tables=tables, routes=routes, neighbours=(neighbour,))
        assert level("gone-addresses", tables=tables, neighbours=(neighbour,)) is None
    outside = Neighbour(address="10.244.0.99", dev="eth0", mac=None, state="FAILED", file="n")
    assert level("gone-addresses", tables=tables, routes=routes, neighbours=(outside,)) is None


def test_gone_addresses_of_a_block() -> None:
    """Where each pod has a route, one without leads into the block's blackhole."""
    tables = (table({"ESTABLISHED": 3}, to="10.244.0.99"),)
    block = _route("10.244.0.64/26", None, "blackhole")
    found = signal("gone-addresses", tables=tables, routes=(block, _route("10.244.0.70/32", "cali1")))
    assert found is not None
    assert ("3", "warn") == (found.value, found.level)
    assert "10.244.0.99 (3)" in found.says
    assert level("gone-addresses", tables=tables, routes=(block, _route("10.244.0.99/32", "cali1"))) is None


def _route(dst: str, dev: str | None, kind: str = "unicast") -> Route:
    return Route(dst=dst, kind=kind, gateway=None, dev=dev, table="main", file="r")


def test_kube_proxy() -> None:
    """Rules that a change waits for may be two minutes old; without changes they may be of any age."""
    seconds = NOW / 1e9

    def scrape(synced: float, queued: float | None) -> KubeProxy:
        return KubeProxy(
            last_sync=seconds - synced,
            last_queued=None if queued is None else seconds - queued,
            scraped=None,
            file="m",
        )

    assert "warn" == level("kube-proxy-sync", NOW, kube_proxy=(scrape(300, 200),))
    assert "warn" == level("kube-proxy-sync", None, kube_proxy=(scrape(300, 100),))
    assert "ok" == level("kube-proxy-sync", NOW, kube_proxy=(scrape(300, 400),))
    assert "ok" == level("kube-proxy-sync", NOW, kube_proxy=(scrape(60, 50),))
    assert "warn" == level("kube-proxy-sync", NOW, kube_proxy=(scrape(121, None),))
    assert "ok" == level("kube-proxy-sync", None, kube_proxy=(scrape(300, None),))
    logged = LogLine(about="table-full", says="", file="d", time=NOW, zoned=True)
    found = signal("kube-proxy-sync", None, kube_proxy=(scrape(300, None),), log=(logged,))
    assert found is not None
    assert ("300 s", "warn") == (found.value, found.level)
    never = KubeProxy(last_sync=None, last_queued=seconds, scraped=None, file="m")
    assert level("kube-proxy-sync", NOW, kube_proxy=(never,)) is None


def test_coredns() -> None:
    """SERVFAIL warns when it rises between two scrapes."""
    first, last = (CoreDns(responses={"NOERROR": 100 * n, "SERVFAIL": n}, file=f"m{n}") for n in (1, 3))
    found = signal("coredns-servfail", coredns=(first, last))
    assert found is not None
    assert ("+2", "warn") == (found.value, found.level)
    assert "2 of 202 queries" in found.says
    assert "ok" == level("coredns-servfail", coredns=(first, first))
    assert level("coredns-servfail", coredns=(last,)) is None


def test_values_are_plain() -> None:
    """Signals hold text only, fit for JSON."""
    found = signals(evidence(sysctls=sysctls(1), tables=(table({"TIME_WAIT": 5}),)))
    assert {str} == {type(getattr(one, name)) for one in found for name in one.__slots__}


@pytest.mark.parametrize("case", sorted(path.parent.name for path in FIXTURES.glob("*/conntrack-L.txt")))
def test_fixtures(case: str) -> None:
    """On the recorded node a signal warns only where the kernel's counters say so."""
    files = [
        EvidenceFile(label=path.name, source=partial(path.open, "rb", buffering=0), size=path.stat().st_size)
        for path in sorted((FIXTURES / case).iterdir())
        if path.suffix in (".txt", ".json", ".log")
    ]
    found = collect(files)
    rose = found.counters[-1].since(found.counters[0])["drop"]
    levels = {one.name: one.level for one in signals(found)}
    assert ("dropping" if rose else "ok") == levels.pop("drop")
    full = case.startswith("table-full")
    assert full == (levels.pop("table-full", None) == "dropping")
    assert ("dropping" if full else "ok") == levels.pop("table-occupancy")
    assert (case == "stale-entry") == (levels.pop("stale-entries", None) == "warn")
    assert {"ok"} >= set(levels.values())


RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -d 10.96.0.10/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.0.7:53
-A PREROUTING -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.0.8:8080
COMMIT
"""
ENTRIES = """\
udp      17 29 src=10.244.0.11 dst=10.96.0.10 sport=40000 dport=53 src=10.244.0.5 dst=10.244.0.11 sport=53 dport=40000 use=1
udp      17 29 src=10.244.0.11 dst=10.96.0.10 sport=40001 dport=53 src=10.244.0.7 dst=10.244.0.11 sport=53 dport=40001 use=1
udp      17 29 src=10.244.0.11 dst=10.96.0.10 sport=40002 dport=53 src=10.96.0.10 dst=10.244.0.11 sport=53 dport=40002 use=1
"""
LOG = """\
[1796003697.209099]\t[DESTROY] udp      17 28 src=10.244.0.11 dst=192.0.2.77 sport=40000 dport=22203 [UNREPLIED] src=192.0.2.77 \
dst=192.0.2.10 sport=22203 dport=40000 id=3255043975
[1796003698.346887]\t[DESTROY] udp      17 29 src=10.244.0.11 dst=192.0.2.77 sport=40001 dport=5000 [UNREPLIED] src=192.0.2.77 \
dst=192.0.2.10 sport=5000 dport=40001 id=3021099834 [USERSPACE] portid=2572419274
[1796003699.094321]\t[DESTROY] tcp      6 120 CLOSE src=10.244.0.11 dst=192.0.2.10 sport=40101 dport=81 [UNREPLIED] \
src=192.0.2.10 dst=10.244.0.11 sport=81 dport=40101 id=964835325
"""


def test_stale_entries_need_no_packet() -> None:
    """Listing and rules alone tell which entries the rules would not make, with the command for each."""
    read = collected(
        entries=ENTRIES,
        rules=RULES,
        links="2: eth0    inet 192.0.2.10/24 scope global eth0\\       valid_lft forever\n",
    )
    (found,) = [one for one in signals(read) if one.name == "stale-entries"]

    assert ("2", "warn") == (found.value, found.level)
    assert "1 to where no rule leads any more, 1 from before a rule that would translate them" in found.says
    assert "conntrack -D -p udp -s 10.244.0.11 -d 10.96.0.10 --sport 40000 --dport 53" in found.says
    assert "--sport 40001" not in found.says


@pytest.mark.parametrize(
    ("entries", "rules"), [(ENTRIES, ""), ("", RULES), (ENTRIES, RULES.replace("COMMIT", ""))]
)
def test_no_stale_entries_without_both(entries: str, rules: str) -> None:
    """Without the listing, the rules, or their end nothing is said."""
    assert [] == [
        one for one in signals(collected(entries=entries, rules=rules)) if one.name == "stale-entries"
    ]


def test_conntracks_log_tells_evictions_and_occupancy() -> None:
    """What the kernel ended before its time counts, not what a program deleted, a RST ended or counters tell already."""
    maximum = "net.netfilter.nf_conntrack_max = 2\n"
    told = {one.name: one for one in signals(collected(log=LOG, most=maximum))}

    assert ("1", "danger") == (told["early-drop"].value, told["early-drop"].level)
    assert "at least 2 of 2 entries" in told["table-occupancy"].says
    counters = (
        "cpu=0   \tfound=0 invalid=0 insert=0 insert_failed=0 drop=0 early_drop=0 error=0 search_restart=0\n"
    )
    assert [] == [one for one in signals(collected(log=LOG, stat=counters)) if one.name == "early-drop"]


NEIGHBOURS = (
    "entries  allocs   destroys hash_grows lookups  hits     res_failed table_fulls\n"
    "000003f0 00001f2a 00001b25 00000002 000a2b3c 0009f1aa 00000012 {:08x}\n"
)


def test_neighbour_tables() -> None:
    """How full a table is, and how often it was too full, by its own counters."""

    def signal(*fulls: int, limit: str = "1024") -> tuple[str, str]:
        files = {f"{n}_arp_cache": NEIGHBOURS.format(full) for n, full in enumerate(fulls)}
        told = signals(collected(**files, limit=f"net.ipv4.neigh.default.gc_thresh3 = {limit}\n"))
        (found,) = [one for one in told if one.name == "neighbours"]
        return found.value, found.level

    assert ("98%", "dropping") == signal(0)
    assert ("12%", "ok") == signal(0, limit="8192")
    assert ("12%", "warn") == signal(5, limit="8192")
    assert ("12%", "dropping") == signal(5, 9, limit="8192")
    assert [] == [one for one in signals(collected(a="1\n")) if one.name == "neighbours"]


def test_what_the_cloud_dropped() -> None:
    """The card's driver counts what went beyond the instance's share: since boot, or meanwhile; zeros are nothing."""
    text = "$ ethtool -S eth0\nNIC statistics:\n     conntrack_allowance_exceeded: {}\n     pps_allowance_exceeded: 0\n"
    (one,) = [s for s in signals(collected(a=text.format(7))) if s.name == "allowance"]
    assert ("7", "warn") == (one.value, one.level)
    (rose,) = [
        s for s in signals(collected(before=text.format(7), after=text.format(9))) if s.name == "allowance"
    ]
    assert ("+2", "dropping") == (rose.value, rose.level)
    assert "conntrack_allowance_exceeded of eth0 rose meanwhile" in rose.says
