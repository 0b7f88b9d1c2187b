"""`cilium monitor`."""

from __future__ import annotations

import pytest

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.sources import cilium_monitor

LINE = (
    "xx drop (Policy denied) flow 0x8e21ac4b to endpoint 1842, ifindex 27, file bpf_lxc.c:2114, , identity 14213->9917: "
    "10.128.14.211:52344 -> 10.128.19.87:5432 tcp SYN\n"
)


def test_drop() -> None:
    """Reason, place in Cilium's source, and the packet."""
    assert cilium_monitor.recognises(f"Press Ctrl-C to quit\n{LINE}")
    (drop,) = cilium_monitor.parse(f"Press Ctrl-C to quit\n{LINE}", "a")
    assert drop == DropRecord(
        file="a", line=2, source="cilium monitor", reason="POLICY_DENIED", location="bpf_lxc.c:2114", proto="tcp",
        src="10.128.14.211", dst="10.128.19.87", sport=52344, dport=5432,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tail", "src", "sport", "proto"),
    [
        ("identity 1->2: [fd00::1]:52104 -> [fd00::2]:80 tcp SYN", "fd00::1", 52104, "tcp"),
        ("identity 1->2: 10.0.0.1 -> 10.0.0.2 EchoRequest", "10.0.0.1", None, ""),
        ("context identity 45102->18201, direction egress", "", None, ""),
    ],
)
def test_other_packets(tail: str, src: str, sport: int | None, proto: str) -> None:
    """IPv6, packets without ports, and lines without a packet."""
    (drop,) = cilium_monitor.parse(
        f"xx drop (CT: Map insertion failed) flow 0x0 to endpoint 0, {tail}\n", "a"
    )
    assert isinstance(drop, DropRecord)
    assert ("CT:_MAP_INSERTION_FAILED", src, sport, proto) == (drop.reason, drop.src, drop.sport, drop.proto)


def test_reasons_with_more_in_parentheses() -> None:
    """What stands behind the reason is no part of it; older versions write the line in words."""
    text = (
        "xx drop (Policy denied (L3)) flow 0xa9b8d5c1 to endpoint 1, identity 1->4: 10.0.1.17:43210 -> 10.0.2.31:80 tcp SYN\n"
        "xx drop (FIB lookup failed, 14) flow 0x0 to endpoint 0, file bpf_host.c line 1155, , identity 6->0: 10.0.1.7:9 -> 10.0.1.9:9 udp\n"
    )
    assert [("POLICY_DENIED", ""), ("FIB_LOOKUP_FAILED", "bpf_host.c:1155")] == [
        (drop.reason, drop.location)
        for drop in cilium_monitor.parse(text, "a")
        if isinstance(drop, DropRecord)
    ]
