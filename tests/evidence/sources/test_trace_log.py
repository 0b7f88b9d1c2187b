"""Packets that rules logged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.sources import trace_log

REST = "IN=eth0 OUT= MAC=01:02 SRC=198.51.100.7 DST=192.0.2.1 LEN=40 TTL=50 ID=4242 PROTO=TCP SPT=4000 DPT=22 SEQ=9 ACK=0 SYN"


def drops(text: str) -> list[DropRecord]:
    """Parse."""
    return [fact for fact in trace_log.parse(text, "a") if isinstance(fact, DropRecord)]


def test_trace(sample: Callable[[str], str]) -> None:
    """Of each traced packet the last rule; with its ID."""
    text = sample("iptables-trace.txt")
    assert trace_log.recognises(text)
    found = drops(text)
    assert {"filter FORWARD policy 2"} == {drop.rule for drop in found}
    assert {24891, 51713, 51733, 53292} == {drop.ip_id for drop in found}
    assert {False} == {drop.certain for drop in found}
    assert {"FORWARD"} == {drop.hook for drop in found}


@pytest.mark.parametrize(
    ("prefix", "rule"),
    [
        ("[   12.345678] [UFW BLOCK] ", "[UFW BLOCK]"),
        ("Nov 20 10:26:05 node7 kernel: [   12.345678] calico-drop: ", "calico-drop:"),
        ("Nov 20 10:26:05 node7 kernel: FINAL REJECT ", "FINAL REJECT"),
    ],
)
def test_prefixes_that_say_drop(prefix: str, rule: str) -> None:
    """What people write into the rule before the one that drops."""
    assert trace_log.recognises(prefix + REST)
    (drop,) = drops(prefix + REST)
    assert (rule, "198.51.100.7", 22, 9, 4242, "LOG", False) == (
        drop.rule, drop.src, drop.dport, drop.seq, drop.ip_id, drop.source, drop.certain,
    )  # fmt: skip


def test_other_packets_in_logs() -> None:
    """A line that says nothing of dropping, as conntrack's own do, is none."""
    for prefix in ("[    1.000000] new connection: ", "[    1.000000] nf_ct_proto_6: invalid rst "):
        assert not trace_log.recognises(prefix + REST)
        assert [] == drops(prefix + REST)


def test_packets_that_got_to_the_end() -> None:
    """POSTROUTING is where packets leave."""
    assert [] == drops(f"[    1.000000] TRACE: nat:POSTROUTING:policy:2 {REST}")
