"""The protocols' counters as the kernel writes them."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import proc_snmp


def counters(text: str) -> list[Counters]:
    """Parse a text that is recognised."""
    assert proc_snmp.recognises(text)
    return [fact for fact in proc_snmp.parse(text, "a") if isinstance(fact, Counters)]


def test_pairs_of_lines(sample: Callable[[str], str]) -> None:
    """Names stand above their numbers; the file again is another snapshot."""
    text = sample("proc-snmp.txt")
    first, second = counters(text + text)
    assert first == second
    assert (1, 2, -1) == (
        first.values["Ip.OutNoRoutes"],
        first.values["Ip.OutRequests"],
        first.values["Tcp.MaxConn"],
    )


def test_ipv6(sample: Callable[[str], str]) -> None:
    """One counter a line."""
    (told,) = counters(sample("snmp6.txt"))
    assert ("/proc/net/snmp6", 0) == (told.source, told.values["Udp6.InCsumErrors"])
    assert 2 == len(counters(sample("snmp6.txt") * 2))


def test_cut_and_other_text() -> None:
    """Fewer numbers than names are not paired; a pair needs both lines."""
    (caveat,) = proc_snmp.parse("Udp: InDatagrams NoPorts\nUdp: 1\n", "a")
    assert (
        Caveat(says="a: not understood, its counters were left out: Udp has 2 names and 1 numbers") == caveat
    )
    assert not proc_snmp.recognises("Udp: InDatagrams NoPorts\n")
