"""`xtables-monitor --trace`."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.sources import kernel_log, xtables_monitor


def drops(text: str) -> list[DropRecord]:
    """Parse what is recognised."""
    assert xtables_monitor.recognises(text)
    return [fact for fact in xtables_monitor.parse(text, "a") if isinstance(fact, DropRecord)]


def test_recorded(sample: Callable[[str], str]) -> None:
    """The rules and the policy that dropped, with the hook of the chain that jumped there; what passed is none."""
    found = drops(sample("xtables-monitor.txt"))
    assert [
        ("FORWARD", "tcp", 25, 64695), ("FORWARD", "udp", 5003, 51088), ("FORWARD", "tcp", 81, 25476), ("FORWARD", "tcp", 25, None),
    ] == [(drop.hook, drop.proto, drop.dport, drop.ip_id) for drop in found]  # fmt: skip
    assert (
        'filter KUBE-FIREWALL: -4 -t filter -A KUBE-FIREWALL -p tcp -m tcp --dport 25 -m comment --comment "no mail" -j DROP'
        == found[0].rule
    )
    assert "filter FORWARD: policy drop" == found[2].rule
    assert ("10.244.0.11", "192.0.2.100", 53696, "veth-c", 6) == (
        found[0].src, found[0].dst, found[0].sport, found[0].device, found[0].line,
    )  # fmt: skip
    assert "fd00:10:244::b" == found[3].src


def test_no_line_of_the_kernels_log(sample: Callable[[str], str]) -> None:
    """The packets that it prints are of no rule that logs."""
    assert [] == list(kernel_log.parse(sample("xtables-monitor.txt"), "a"))


def test_without_its_packet() -> None:
    """A trace whose begin is missing still names the rule; a line that is cut is nothing."""
    (drop,) = drops(" TRACE: 2 1f filter:INPUT:policy:DROP \n TRACE: 2 1f filter:INPUT:ru\n")
    assert ("INPUT", "", "filter INPUT: policy drop") == (drop.hook, drop.src, drop.rule)


def test_many_packets_at_once() -> None:
    """Headers are not kept for ever."""
    packets = "".join(
        f"PACKET: 2 {n:x} IN=a SRC=10.0.0.1 DST=10.0.0.2 TYPE=8 CODE=0\n" for n in range(20_001)
    )
    assert ["", "icmp"] == [
        drop.proto
        for drop in drops(
            f"{packets} TRACE: 2 1 raw:OUTPUT:policy:DROP\n TRACE: 2 {20_000:x} raw:OUTPUT:policy:DROP\n"
        )
    ]
