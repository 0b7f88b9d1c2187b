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
        device="veth-ns01", proto="tcp", src="10.0.0.1", dst="192.0.2.1", sport=4000, dport=80,
        seq=7, ip_id=99,
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


def test_printed() -> None:
    """As retis prints them, with the stack or without, one line for the packet or several; what is no drop is none."""
    text = (
        "$ retis -p dropmon collect\n4 probe(s) loaded\n\n"
        "3392678938917 (2) [nc] 2311 [tp] skb:kfree_skb drop (NETFILTER_DROP)\n    bpf_prog_3a0ef5414c2f6fca_sd_devices+0xa0ad\n"
        "    bpf_trace_run3+0x52\n    kfree_skb_reason+0x8f\n    nf_hook_slow+0x77\n    ip_forward+0x6b\n"
        "  ns 0x1/4026531840 if 2 (eth0) rxif 2 10.244.1.7.50994 > 192.0.2.1.4242 ttl 64 tos 0x0 id 63366 off 0 [DF] len 60 "
        "proto TCP (6) flags [S] seq 3106456 win 65495\n\n"
        "7129250251406 (5) [curl] 23561 [tp] net:net_dev_start_xmit #67be86dc28effff8f67ed249b80 (skb ffff8f67919c2b00)\n"
        "  if 4 (wlp82s0) 10.244.1.7.1 > 192.0.2.1.2 ttl 64 len 64 proto UDP (17)\n\n"
        "2024-05-21 14:01:11.123456789 [curl] 4711 [tp] skb:kfree_skb #1a2b (skb ffff9d4a0a4a3000) drop (NO_SOCKET)\n"
        "  if 4 (lo)\n  fd00::7 > fd00::8 ttl 63 label 0x9 len 60 proto ICMPv6 (58) type 128\n"
    )
    assert retis.recognises(text)
    first, second = (drop for drop in retis.parse(text, "a") if isinstance(drop, DropRecord))
    assert first == DropRecord(
        file="a", line=4, source="retis", time=3392678938917, clock="monotonic", cpu=2, reason="NETFILTER_DROP",
        location="nf_hook_slow", stack=("bpf_prog_3a0ef5414c2f6fca_sd_devices", "bpf_trace_run3", "kfree_skb_reason",
        "nf_hook_slow", "ip_forward"), device="eth0", proto="tcp", src="10.244.1.7", dst="192.0.2.1",
        sport=50994, dport=4242, seq=3106456, ip_id=63366,
    )  # fmt: skip
    assert ("NO_SOCKET", "icmpv6", "fd00::7", None, "lo", None) == (
        second.reason, second.proto, second.src, second.sport, second.device, second.time,
    )  # fmt: skip


def test_printed_and_cut() -> None:
    """Without the packet's line the drop is still one."""
    (drop,) = retis.parse("3392678938917 [nc] 2311 [tp] skb:kfree_skb drop (NO_SOCKET)\n    tcp_v4", "a")
    assert isinstance(drop, DropRecord)
    assert ("NO_SOCKET", "", ()) == (drop.reason, drop.src, drop.stack)
