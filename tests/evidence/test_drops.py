"""What a drop record means: the hook from the stack, the cause from reason and place."""

from __future__ import annotations

import pytest

from analyzer.evidence.drops import (
    DropRecord,
    Hook,
    Kind,
    address,
    hook_of,
    meaning,
    nanoseconds,
    number,
    place_of,
    reason,
    symbol,
)

# As the kernel 6.18 printed them, without offsets.
RACE = (
    "sk_skb_reason_drop", "nf_hook_slow", "ip_output", "ip_sabotage_in", "nf_hook_slow", "ip_rcv",
    "__netif_receive_skb_one_core", "netif_receive_skb", "br_handle_frame_finish", "br_nf_hook_thresh",
)  # fmt: skip
TABLE_FULL = (
    "sk_skb_reason_drop",
    "nf_hook_slow",
    "ip_rcv",
    "__netif_receive_skb_one_core",
    "process_backlog",
)
FORWARD_RULE = (
    "__traceiter_kfree_skb", "sk_skb_reason_drop", "nft_do_chain", "nft_do_chain_inet", "nf_hook_slow", "ip_forward",
    "__netif_receive_skb_one_core", "process_backlog",
)  # fmt: skip
MULTICAST = ("sk_skb_reason_drop", "ip6_mc_input", "ip_sabotage_in", "nf_hook_slow", "ipv6_rcv")


@pytest.mark.parametrize(
    ("runner", "hook"),
    [
        ("ip_rcv", "PREROUTING"), ("ipv6_rcv", "PREROUTING"), ("ip_local_deliver", "INPUT"), ("ip6_input", "INPUT"),
        ("ip_forward", "FORWARD"), ("ip6_forward", "FORWARD"), ("__ip_local_out", "OUTPUT"), ("ip6_xmit", "OUTPUT"),
        ("ip_output", "POSTROUTING"), ("ip6_output", "POSTROUTING"), ("somewhere_else", None),
    ],
)  # fmt: skip
def test_the_frame_above_names_the_hook(runner: str, hook: Hook | None) -> None:
    """Whoever called nf_hook_slow ran the hook, whatever called that."""
    stack = ("sk_skb_reason_drop", "nf_hook_slow", runner, "nf_hook_slow", "ip_rcv")
    assert hook == hook_of("NETFILTER_DROP", "nf_hook_slow", stack)


def test_a_drop_outside_of_hooks_has_none() -> None:
    """A bridge's hook hands packets up; one that dies there has left the hook's own business."""
    assert hook_of("NOT_SPECIFIED", "ip6_mc_input", MULTICAST) is None
    assert hook_of("NETFILTER_DROP", "nft_do_chain", ()) is None
    assert "PREROUTING" == hook_of("", "nf_hook_slow", TABLE_FULL), "a kernel before 5.17 tells no reasons"


@pytest.mark.parametrize(
    ("why", "place", "stack", "kind", "sole"),
    [
        ("NETFILTER_DROP", "nf_hook_slow", RACE, "conntrack-insertion", False),
        ("NETFILTER_DROP", "nf_hook_slow", TABLE_FULL, "conntrack-entry", False),
        ("NETFILTER_DROP", "nft_do_chain", FORWARD_RULE, "rule", True),
        ("NETFILTER_DROP", "nf_hook_slow", ("nf_hook_slow", "ip_forward"), "rule", True),
        ("NETFILTER_DROP", "nft_do_chain", ("nft_do_chain", "nft_nat_do_chain", "nf_nat_inet_fn", "nf_hook_slow"),
         "nat-rule", True),
        ("NETFILTER_DROP", "nf_hook_slow", (), "netfilter", False),
        ("IP_RPFILTER", "ip_rcv_finish_core", (), "reverse-path", True),
        ("NOT_SPECIFIED", "ip_rcv_finish_core", (), "reverse-path", False),
        ("NEIGH_FAILED", "neigh_invalidate", (), "no-neighbour", True),
        ("", "neigh_invalidate", (), "no-neighbour", True),
        ("QDISC_DROP", "__dev_queue_xmit", (), "queue-full", True),
        ("TC_EGRESS", "__dev_queue_xmit", (), "traffic-control", True),
        ("NO_SOCKET", "tcp_v4_rcv", (), "no-listener", True),
        ("UDP_CSUM", "__udp4_lib_rcv", (), "checksum", True),
        ("IP_OUTNOROUTES", "ip_error", (), "no-route", True),
        ("OTHERHOST", "ip_rcv_core", (), "other-host", True),
        ("UNHANDLED_PROTO", "__netif_receive_skb_core", (), "protocol-unknown", True),
        ("NOT_SPECIFIED", "tcp_v4_rcv", (), "receiver", False),
        ("QUEUE_PURGE", "sk_stream_kill_queues", (), "not-a-loss", True),
        ("NEVER_HEARD_OF", "somewhere", (), "unknown", False),
    ],
)  # fmt: skip
def test_meaning(why: str, place: str, stack: tuple[str, ...], kind: Kind, *, sole: bool) -> None:
    """Reason, place and hook together tell race from policy from full table, and what they leave open."""
    told = meaning(why, place, stack)
    assert (kind, sole) == (told.kind, told.sole)
    assert told.says


def test_wall_time_needs_an_offset() -> None:
    """A time on a clock that nobody knows is none."""
    record = DropRecord(file="a", line=1, source="tracefs", time=5, clock="monotonic")
    assert record.wall is None
    assert 12 == DropRecord(file="a", line=1, source="tracefs", time=5, clock="monotonic", offset=7).wall


def test_words() -> None:
    """Names come without offsets, suffixes of the compiler and modules; what is no name is empty."""
    assert "nf_hook_slow" == symbol("nf_hook_slow+0x7d/0x110")
    assert "do_softirq" == symbol("do_softirq.part.0+59")
    assert "br_handle_frame" == symbol(" br_handle_frame+0x10/0x20 [bridge]")
    assert "" == symbol("0xffffffff81572ec8") == symbol("") == symbol("(nil)")
    assert "NETFILTER_DROP" == reason("SKB_DROP_REASON_NETFILTER_DROP")
    assert "2001:db8::1" == address("[2001:0db8::0001]")
    assert "" == address("host") == address("")
    assert [7, None, None, None] == [number(text, 9) for text in ("7", "10", "x", None)]
    assert 1_500_000_000 == nanoseconds("1.5")
    assert "ip_error" == place_of(("__traceiter_kfree_skb", "sk_skb_reason_drop", "ip_error", "ip_rcv"))
    assert "" == place_of(())


def test_a_rule_that_is_told_is_the_reason() -> None:
    """Nft's trace names the rule; TRACE only the last one that matched."""
    told = {"file": "a", "line": 1, "hook": "FORWARD", "rule": "inet filter forward: udp dport 5003 drop"}
    certain = DropRecord(source="nft monitor trace", reason="NETFILTER_DROP", **told)  # type: ignore[arg-type]
    assert ("rule", True) == (certain.means.kind, certain.means.sole)
    assert "udp dport 5003" in certain.means.says
    perhaps = DropRecord(source="TRACE", certain=False, **told)  # type: ignore[arg-type]
    assert ("rule", False) == (perhaps.means.kind, perhaps.means.sole)
    bare = DropRecord(file="a", line=1, source="tracefs", reason="NEIGH_FAILED")
    assert meaning("NEIGH_FAILED", "") == bare.means
