"""The interfaces' counters as the kernel writes them."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.counting import Counters
from analyzer.evidence.sources import proc_dev


def test_interfaces(sample: Callable[[str], str]) -> None:
    """Each line is an interface, dropped packets with those that the device missed."""
    text = sample("proc-net-dev.txt")
    assert proc_dev.recognises(text)
    by_name = {fact.of: fact.values for fact in proc_dev.parse(text, "a") if isinstance(fact, Counters)}

    assert {"lo", "v0", "br0", "vx1"} == by_name.keys()
    assert (1, 0) == (by_name["br0"]["tx_dropped_or_missed"], by_name["br0"]["rx_errors"])


def test_other_text() -> None:
    """Without its head it is nothing."""
    assert not proc_dev.recognises("eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")


def test_a_row_of_digits_is_looked_at_once() -> None:
    """It can be taken for sixteen numbers in very many ways, and is none."""
    assert [] == list(proc_dev.parse("eth0:" + "1" * 400 + " x\n", "a"))
