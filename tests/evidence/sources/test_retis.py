"""Events of retis."""

from __future__ import annotations

import base64
import json
from typing import Any

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import retis
from tests.evidence.test_frame import TCP, V4

START = {
    "common": {"timestamp": 30415793489711},
    "startup": {"retis_version": "v1.6.0", "clock_monotonic_offset": {"sec": 1742309146, "nsec": 691042000}},
}
DROP: dict[str, Any] = {
    "common": {"timestamp": 30419169457160, "smp_id": 6, "task": {"pid": 1, "tgid": 1, "comm": "ping"}},
    "kernel": {
        "symbol": "skb:kfree_skb",
        "probe_type": "raw_tracepoint",
        "stack_trace": ["kfree_skb_reason+0x1", "nf_hook_slow+0x7d", "ip_forward+0x1f"],
    },
    "skb-drop": {"drop_reason": "NETFILTER_DROP"},
    "dev": {"name": "veth-ns01", "ifindex": 11},
    "netns": {"cookie": 3, "inum": 4026532741},
    "packet": {
        "len": 54,
        "capture_len": 54,
        "data": base64.b64encode(bytes(12) + b"\x08\x00" + V4 + TCP).decode(),
    },
}
SEEN = {"common": {"timestamp": 30419169061793}, "kernel": {"symbol": "net:netif_receive_skb"}}


def lines(*events: dict[str, Any]) -> str:
    """Write events as retis does."""
    return "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)


def test_drop() -> None:
    """Reason, place, hook, device and the packet's own addresses, at its wall time."""
    text = lines(START, SEEN, DROP)
    assert retis.recognises(text)
    (drop,) = retis.parse(text, "a")
    assert drop == DropRecord(
        file="a", line=3, source="retis", time=30419169457160, clock="monotonic", offset=1742309146691042000, cpu=6,
        reason="NETFILTER_DROP", location="nf_hook_slow", stack=("kfree_skb_reason", "nf_hook_slow", "ip_forward"),
        hook="FORWARD", device="veth-ns01", version=4, proto="tcp", src="10.0.0.1", dst="192.0.2.1", sport=4000, dport=80,
        seq=7, ip_id=99, netns=4026532741,
    )  # fmt: skip


def test_parts_that_are_missing() -> None:
    """Collectors that were not asked for leave gaps; damaged base64 is no packet."""
    bare = {"common": {"timestamp": 5}, "skb-drop": {"drop_reason": "NO_SOCKET"}, "packet": {"data": "!!"}}
    (drop,) = retis.parse(lines(bare), "a")
    assert isinstance(drop, DropRecord)
    assert ("NO_SOCKET", "", "", None) == (drop.reason, drop.src, drop.location, drop.wall)


def test_cut_short() -> None:
    """The last line of a file that was still being written."""
    drop, caveat = retis.parse(lines(DROP) + lines(DROP)[:300], "a")
    assert isinstance(drop, DropRecord)
    assert isinstance(caveat, Caveat)
