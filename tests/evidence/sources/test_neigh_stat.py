"""The neighbour tables' own counters."""

from __future__ import annotations

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import neigh_stat, softnet_stat

HEAD = (
    "entries  allocs   destroys hash_grows lookups  hits     res_failed rcv_probes_mcast rcv_probes_ucast "
    "periodic_gc_runs forced_gc_runs unresolved_discards table_fulls\n"
)
OLD = "00000405 00001f2a 00001b25 00000002 000a2b3c 0009f1aa 00000012 00000000 00000000 00000123 0000045a 00000002 000003e8\n"
NEW = (
    "00000405 000010a7 000011f3 00000002   0000462d 000010bc 00000021   00000000         00000000         00000000         "
    "00000000       00000000            00000001\n"
)


def test_recorded() -> None:
    """Counters are summed over the CPUs, the table's size is not; the command tells which table it is."""
    text = f"$ cat /proc/net/stat/ndisc_cache\n{HEAD}{OLD}{NEW}\n"
    assert neigh_stat.recognises(text)
    (counters,) = neigh_stat.parse(text, "a")
    assert isinstance(counters, Counters)
    assert ("ndisc_cache", 0x405, 0x3E9, 0x33) == (
        counters.of, counters.values["entries"], counters.values["table_fulls"], counters.values["res_failed"],
    )  # fmt: skip
    (named,) = neigh_stat.parse(HEAD + NEW, "proc-net-stat-arp_cache.txt")
    assert isinstance(named, Counters)
    assert "arp_cache" == named.of


def test_not_the_queues_of_the_cpus() -> None:
    """Lines under a head are no `softnet_stat`, though they look alike; one that stands beside it is."""
    assert not softnet_stat.recognises(HEAD + OLD)
    row = (
        "00a1b2c3 00000007 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n"
    )
    (queue,) = softnet_stat.parse(f"{HEAD}{OLD}\n{row}", "a")
    assert isinstance(queue, Counters)
    assert 7 == queue.values["dropped"]


def test_cut_short() -> None:
    """A line with another number of columns is a caveat."""
    (caveat,) = neigh_stat.parse(HEAD + OLD[:40] + "\n", "a")
    assert isinstance(caveat, Caveat)
