"""`/proc/net/stat/nf_conntrack` of old and new kernels."""

from __future__ import annotations

import pytest

from analyzer.evidence.facts import Caveat, CounterSnapshot
from analyzer.evidence.sources import proc_stat

TAIL = (
    "insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n"
)
HEADERS = {
    "5.4": "entries  searched found new invalid ignore delete delete_list " + TAIL,
    "5.10": "entries  clashres found new invalid ignore delete delete_list " + TAIL,
    "5.15": "entries  clashres found new invalid ignore delete chainlength " + TAIL,
}
LINE = (
    "00000004  00000001 00000012 00000000 00000003 00000000 00000000 00000002 00000000 00000006 0000000a"
    " 00000000 00000005  00000000 00000000 00000000 ffffffff \n"
)


@pytest.mark.parametrize("kernel", HEADERS)
def test_columns(kernel: str) -> None:
    """Hexadecimal columns get the names of `conntrack -S`; the number of entries is no counter."""
    assert proc_stat.recognises(HEADERS[kernel])
    (snapshot,) = proc_stat.parse(HEADERS[kernel] + LINE + LINE, "a")
    assert isinstance(snapshot, CounterSnapshot)
    assert [0, 1] == list(snapshot.cpus)
    counters = snapshot.cpus[1]
    assert (18, 3, 6, 10, 5, 0xFFFFFFFF) == tuple(
        counters[name] for name in ("found", "invalid", "insert_failed", "drop", "error", "search_restart")
    )
    first, second = {
        "5.4": ("searched", "delete_list"), "5.10": ("clash_resolve", "delete_list"),
        "5.15": ("clash_resolve", "chaintoolong"),
    }[kernel]  # fmt: skip
    assert (1, 2) == (counters[first], counters[second])
    assert "entries" not in counters


def test_several_snapshots_and_one_cut_short() -> None:
    """Each header begins a snapshot; a line cut short costs its snapshot only."""
    whole, caveat = proc_stat.parse((HEADERS["5.15"] + LINE) * 2 + LINE[:50] + "\n", "a")
    assert isinstance(whole, CounterSnapshot)
    assert isinstance(caveat, Caveat)


def test_times_of_snapshots() -> None:
    """A date right before a header is its time."""
    text = f"{HEADERS['5.15']}{LINE}2026-11-20T10:26:05Z\n{HEADERS['5.15']}{LINE}"
    found = [fact for fact in proc_stat.parse(text, "a") if isinstance(fact, CounterSnapshot)]
    assert [None, 1795170365 * 10**9] == [snapshot.time for snapshot in found]


def test_other_text() -> None:
    """Its neighbours in /proc are not taken for it."""
    assert not proc_stat.recognises("entries  allocs   destroys hash_grows  lookups  hits\n")
