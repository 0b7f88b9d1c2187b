"""Sentences, back to the kernel's names."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import netstat_s, proc_snmp


def counters(text: str) -> list[Counters]:
    """Parse a text that is recognised."""
    assert netstat_s.recognises(text)
    return [fact for fact in netstat_s.parse(text, "a") if isinstance(fact, Counters)]


def test_same_as_the_kernels(sample: Callable[[str], str]) -> None:
    """Every counter that it prints is the kernel's of that name."""
    (said,) = counters(sample("netstat-s.txt"))
    (told,) = (fact for fact in proc_snmp.parse(sample("proc-snmp.txt"), "b") if isinstance(fact, Counters))
    ours = {name: value for name, value in said.values.items() if name in told.values}

    assert ours == {name: told.values[name] for name in ours}
    assert {"Ip.OutNoRoutes", "Ip.ForwDatagrams", "Tcp.RetransSegs", "Udp.InErrors"} < ours.keys()
    assert (1, 2) == (ours["Ip.OutNoRoutes"], ours["Ip.OutRequests"])


def test_part() -> None:
    """`-su` has one protocol; counters without a sentence stand by their names."""
    (said,) = counters(
        "Udp:\n    18213 packets received\n    12 packet receive errors\n    InCsumErrors: 12\n"
    )
    assert {"Udp.InDatagrams": 18213, "Udp.InErrors": 12, "Udp.InCsumErrors": 12} == said.values


def test_several() -> None:
    """A section that comes again begins another snapshot."""
    text = "Udp:\n    {} packets received\nIpExt:\n    InNoRoutes: {}\n"
    first, second = counters(text.format(1, 2) + text.format(3, 4))
    assert (1, 3, 4) == (
        first.values["Udp.InDatagrams"],
        second.values["Udp.InDatagrams"],
        second.values["IpExt.InNoRoutes"],
    )


def test_histogram() -> None:
    """The same words stand for received and for sent messages."""
    (said,) = counters(
        "Icmp:\n    9 ICMP messages received\n    ICMP input histogram:\n        destination unreachable: 4\n"
        "    ICMP output histogram:\n        destination unreachable: 5\n"
    )
    assert (4, 5) == (said.values["Icmp.InDestUnreachs"], said.values["Icmp.OutDestUnreachs"])


def test_unknown() -> None:
    """A sentence that nobody knows is told."""
    facts = list(netstat_s.parse("Ip:\n    3 total packets received\n    4 things happened\n", "a"))
    assert [Caveat(says="a: 1 counters have no name that is known, the first: '4 things happened'")] == facts[
        1:
    ]
    assert not netstat_s.recognises("Udp:\nnothing\n")
