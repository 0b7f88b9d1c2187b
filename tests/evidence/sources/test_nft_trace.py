"""`nft monitor trace`."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.sources import nft_trace


def drops(text: str) -> list[DropRecord]:
    """Parse what is recognised."""
    assert nft_trace.recognises(text)
    return [fact for fact in nft_trace.parse(text, "a") if isinstance(fact, DropRecord)]


def test_recorded(sample: Callable[[str], str]) -> None:
    """The rules that dropped, in each hook, IPv4 and IPv6; packets that passed are none."""
    found = drops(sample("nft-monitor-trace.txt"))
    assert [
        ("PREROUTING", "inet filter prerouting: udp dport 5001 drop", 5001),
        ("INPUT", "inet filter input: udp dport 5002 drop", 5002),
        ("FORWARD", "inet filter forward: udp dport 5003 drop", 5003),
        ("POSTROUTING", "inet filter postrouting: udp dport 5005 drop", 5005),
        ("FORWARD", "inet filter deep: udp dport 5009 reject", 5009),
        ("FORWARD", "inet filter forward: udp dport 5003 drop", 5003),
        ("INPUT", "inet filter input: udp dport 5002 drop", 5002),
        ("POSTROUTING", "inet filter postrouting: udp dport 5005 drop", 5005),
        ("FORWARD", "inet filter forward: tcp dport 25 counter packets 0 bytes 0 drop", 25),
    ] == [(drop.hook, drop.rule, drop.dport) for drop in found]
    assert ("udp", "10.244.0.11", "192.0.2.100", 51733, "veth-c") == (
        found[2].proto, found[2].src, found[2].dst, found[2].ip_id, found[2].device,
    )  # fmt: skip
    assert "fd00:10:244::b" == found[5].src


def test_policies() -> None:
    """A chain whose policy drops ends without a rule."""
    text = (
        'trace id 1 inet filter forward packet: iif "a" oif "b" ip saddr 10.0.0.1 ip daddr 10.0.0.2 ip id 7 ip protocol icmp\n'
        "trace id 1 inet filter forward policy drop \n"
        "trace id 2 inet filter forward policy accept \n"
    )
    (drop,) = drops(text)
    assert ("inet filter forward: policy drop", "icmp", 7) == (drop.rule, drop.proto, drop.ip_id)


def test_without_its_packet() -> None:
    """A trace whose begin is missing still names the rule."""
    (drop,) = drops("trace id 1 ip x FORWARD rule tcp dport 1 drop (verdict drop)\n")
    assert ("FORWARD", "", "ip x FORWARD: tcp dport 1 drop") == (drop.hook, drop.src, drop.rule)
