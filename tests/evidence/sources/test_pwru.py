"""pwru's text and JSON."""

from __future__ import annotations

import pytest

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import pwru

HEADER = "SKB                CPU PROCESS          NETNS      MARK/x        IFACE       PROTO  MTU   LEN   TUPLE FUNC\n"
LINE = (
    "0xffff8b7f0331f800 0   ~/bin/curl:18515 4026531840 0              eth0:2      0x0800 1500  60    {} {}\n"
)
TUPLE = "10.244.0.11:41000->192.0.2.100:80(tcp)"
WAY = "".join(LINE.format(TUPLE, func) for func in ("ip_rcv", "ip_forward", "ip_output", "nf_hook_slow"))
DROP = LINE.format(TUPLE, "kfree_skb_reason(SKB_DROP_REASON_NETFILTER_DROP)")
JSON = (
    '{"skb":"0xffff8fad947baf00","cpu":10,"process":"/usr/bin/curl:1416291","func":'
    '"sk_skb_reason_drop(SKB_DROP_REASON_TCP_CSUM)","time":7322460997041,"netns":4026531840,"iface":"eth0:2","proto":2048,'
    '"mtu":1500,"len":94,"tuple":{"saddr":"192.0.2.1","daddr":"10.0.0.9","sport":53,"dport":34815,"proto":17},'
    '"stack":"\\nsk_skb_reason_drop\\ntcp_v4_rcv\\nip_protocol_deliver_rcu"}\n'
)


def drops(text: str) -> list[DropRecord]:
    """Parse what is recognised and wholly understood."""
    assert pwru.recognises(text)
    found = list(pwru.parse(text, "a"))
    assert all(isinstance(fact, DropRecord) for fact in found)
    return [fact for fact in found if isinstance(fact, DropRecord)]


def test_text() -> None:
    """The functions before the drop tell the hook."""
    (drop,) = drops(HEADER + WAY + DROP + LINE.format(TUPLE, "skb_release_data"))
    assert ("NETFILTER_DROP", "nf_hook_slow", "POSTROUTING") == (drop.reason, drop.location, drop.died_in)
    assert ("tcp", "10.244.0.11", 41000, "192.0.2.100", 80) == (
        drop.proto, drop.src, drop.sport, drop.dst, drop.dport,
    )  # fmt: skip
    assert ("eth0", 0, 4, 6) == (drop.device, drop.cpu, drop.version, drop.line)


def test_ways_of_two_packets() -> None:
    """They come mixed; the address of the skb tells them apart."""
    other = LINE.replace("0331f800", "0331f900").format(TUPLE, "ip_forward")
    (drop,) = drops(HEADER + WAY + other + DROP)
    assert "POSTROUTING" == drop.died_in


def test_caller_and_stack() -> None:
    """What pwru was asked for is better than what came before."""
    (drop,) = drops(HEADER + WAY + DROP.rstrip() + " vxlan_xmit[vxlan]\n")
    assert "vxlan_xmit" == drop.location
    (drop,) = drops(HEADER + WAY + DROP + "kfree_skb_reason\nnf_hook_slow\nip_forward\nip_rcv_finish\n")
    assert ("FORWARD", ("kfree_skb_reason", "nf_hook_slow", "ip_forward", "ip_rcv_finish")) == (
        drop.died_in,
        drop.stack,
    )


def test_json() -> None:
    """`--output-json` has the same, and times on CLOCK_MONOTONIC."""
    (drop,) = drops(JSON)
    assert ("TCP_CSUM", "tcp_v4_rcv", "udp", 34815) == (drop.reason, drop.location, drop.proto, drop.dport)
    assert ("monotonic", 7322460997041, None) == (drop.clock, drop.time, drop.wall)


def test_without_tuple() -> None:
    """The oldest form has neither addresses nor metadata."""
    text = (
        "               SKB    CPU          PROCESS                     FUNC\n"
        "0xffff8ce13e987900      6 [sendpacket-orig]              ip_rcv_core\n"
        "0xffff8ce13e987900      6 [sendpacket-orig] kfree_skb_reason(SKB_DROP_REASON_IP_CSUM)\n"
    )
    found = [fact for fact in pwru.parse(text, "a") if isinstance(fact, DropRecord)]
    assert [("IP_CSUM", "ip_rcv_core", 6, "")] == [(d.reason, d.location, d.cpu, d.src) for d in found]


@pytest.mark.parametrize("cut", [40, 200])
def test_cut_short(cut: int) -> None:
    """A line of JSON that is cut is a caveat."""
    drop, caveat = pwru.parse(JSON + JSON[:cut] + "\n", "a")
    assert isinstance(drop, DropRecord)
    assert Caveat(says="a: 1 lines were not understood as JSON, or cut short") == caveat


def test_other_text() -> None:
    """Tables of other tools are not taken for it."""
    assert not pwru.recognises("CPU PROCESS FUNC\n")
    assert not pwru.recognises('{"skb": 5}\n')


def test_older_forms_and_no_header() -> None:
    """Before the tuple came last the function came first; people paste lines without the header."""
    meta = "netns=4026531840 mark=0x0 ifindex=2 proto=8 mtu=1500 len=74 "
    for more in (meta, ""):
        way = "".join(
            f"0xffff97bfe0bb42e8      0           [curl] {func} {more}{TUPLE}\n"
            for func in ("ip_output", "nf_hook_slow", "kfree_skb_reason(SKB_DROP_REASON_NETFILTER_DROP)")
        )
        (drop,) = drops(way)
        assert ("NETFILTER_DROP", "nf_hook_slow", "POSTROUTING", "10.244.0.11", 80) == (
            drop.reason, drop.location, drop.died_in, drop.src, drop.dport,
        )  # fmt: skip


def test_without_a_reason() -> None:
    """Of some kernels it does not know the reasons; of ICMP it prints ports that are none."""
    (drop,) = drops(LINE.format("10.1.0.1:0->10.1.0.2:0(icmp)", "sk_skb_reason_drop"))
    assert ("", "icmp", "10.1.0.1", None) == (drop.reason, drop.proto, drop.src, drop.sport)
