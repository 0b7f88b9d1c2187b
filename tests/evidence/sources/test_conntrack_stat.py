"""`conntrack -S` of old and new kernels."""

from __future__ import annotations

import pytest

from analyzer.evidence.facts import Caveat, CounterSnapshot
from analyzer.evidence.sources import conntrack_stat

OLD = (
    "cpu=0   \tsearched=0 found=1 new=2 invalid=3 ignore=4 delete=5 delete_list=6 insert=7 insert_failed=8"
    " drop=9 early_drop=10 error=11 search_restart=12 \n"
)
MIDDLE = (
    "cpu=0   \tfound=57 invalid=0 ignore=0 insert=0 insert_failed=8 drop=8 early_drop=0 error=0"
    " search_restart=0 \n"
)
NEW = (
    "cpu=0   \tfound=18 invalid=0 insert=0 insert_failed=6 drop=6 early_drop=0 error=0 search_restart=0"
    " clash_resolve=0 chaintoolong=0 \n"
)


@pytest.mark.parametrize(
    ("text", "columns"), [(OLD, 13), (MIDDLE, 9), (NEW, 10), (NEW[:-1] + "unknown1=5 \n", 11)]
)
def test_columns(text: str, columns: int) -> None:
    """Every kernel's columns are kept under their names."""
    assert conntrack_stat.recognises(text)
    (snapshot,) = conntrack_stat.parse(text, "a")
    assert isinstance(snapshot, CounterSnapshot)
    assert columns == len(snapshot.cpus[0])
    assert int(text.split("insert_failed=")[1].split()[0]) == snapshot.cpus[0]["insert_failed"]


def test_several_snapshots() -> None:
    """A CPU that comes again begins a snapshot; other lines between do not matter."""
    text = f"{NEW}{NEW.replace('cpu=0', 'cpu=11')}Fri Nov 20 10:26:05 2026\r\n\n{NEW.strip()}\n"
    first, second = conntrack_stat.parse(text, "a")
    assert isinstance(first, CounterSnapshot)
    assert isinstance(second, CounterSnapshot)
    assert ([0, 11], [0]) == (list(first.cpus), list(second.cpus))
    assert first.cpus[0] == second.cpus[0]


@pytest.mark.parametrize("cut", [12, 14, 20, 60, 100])
def test_cut_short(cut: int) -> None:
    """A line cut short costs its snapshot, not the others."""
    text = NEW * 2 + NEW.replace("cpu=0", "cpu=1")[:cut]
    whole, caveat = conntrack_stat.parse(text, "a")
    assert isinstance(whole, CounterSnapshot)
    assert isinstance(caveat, Caveat)
    assert caveat.says.startswith("a: not understood, its snapshot was left out: 'cpu=1")


def test_other_text() -> None:
    """Text about CPUs is not taken for it."""
    for text in ("", "cpu=0 found=\n", "the cpu=0   \tfound=1\n", "cpu=0\tusr=3 sys=4\n"):
        assert not conntrack_stat.recognises(text)


def test_times_of_snapshots() -> None:
    """A date before an output is its time, however often that repeats; without one there is none."""
    head = "Every 1.0s: conntrack -S        node7: Fri Nov 20 10:26:07 2026\n\n"
    text = f"{NEW}Fri Nov 20 10:26:05 UTC 2026\n{NEW}2026-11-20T10:26:06+00:00\n{NEW}{head}{NEW}{NEW}"
    found = [fact for fact in conntrack_stat.parse(text, "a") if isinstance(fact, CounterSnapshot)]
    second = 10**9
    assert [None, 1795170365 * second, 1795170366 * second, 1795170367 * second, None] == [
        s.time for s in found
    ]


def test_a_date_ends_an_output() -> None:
    """Outputs of machines whose CPUs differ are not put together."""
    one = NEW.replace("cpu=0", "cpu=1")
    first, second = conntrack_stat.parse(f"{NEW}2026-11-20T10:26:06+00:00\n{one}", "a")
    assert isinstance(first, CounterSnapshot)
    assert isinstance(second, CounterSnapshot)
    assert ([0], [1]) == (list(first.cpus), list(second.cpus))


def test_counters_without_a_name() -> None:
    """Conntrack 1.4.4 prints `(null)` for what a newer kernel counts; the rest of the line is as good."""
    (snapshot,) = conntrack_stat.parse(
        "cpu=0           \tfound=57 invalid=0 insert_failed=3 (null)=4 (null)=0\n", "a"
    )
    assert isinstance(snapshot, CounterSnapshot)
    assert {0: {"found": 57, "invalid": 0, "insert_failed": 3}} == snapshot.cpus
