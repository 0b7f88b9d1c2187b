"""Lines of our own program for bpftrace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import bpftrace

CLOCK = "clock: t=1000 wall=1795989709.124026\n"
DROP = (
    "drop: t=5000 cpu=1 reason=12 at=nf_hook_slow netns=4026532177 dev=eth0 proto=6 src=192.0.2.10 sport=20003 "
    "dst=192.0.2.100 dport=80 seq=3983590149 id=33661 len=60\n        sk_skb_reason_drop+144\n        nf_hook_slow+125\n"
    "        ip_output+222\n\n"
)
FORMAT = 'print fmt: "reason: %s", __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 12, "NETFILTER_DROP" })\n'


def test_recorded(sample: Callable[[str], str]) -> None:
    """One drop per hook, in IPv4 and IPv6, with the packets' addresses: as recorded."""
    text = sample("drops-bpftrace.txt")
    assert bpftrace.recognises(text)
    found = [fact for fact in bpftrace.parse(text, "a") if isinstance(fact, DropRecord)]
    assert [
        ("NO_SOCKET", None, 5000), ("NETFILTER_DROP", "PREROUTING", 5001), ("NETFILTER_DROP", "INPUT", 5002),
        ("NETFILTER_DROP", "FORWARD", 5003), ("NETFILTER_DROP", "OUTPUT", 5004), ("NETFILTER_DROP", "POSTROUTING", 5005),
        ("NETFILTER_DROP", "FORWARD", 5009), ("NO_SOCKET", None, 6000), ("IP_INNOROUTES", None, 5000),
        ("NETFILTER_DROP", "FORWARD", 5003), ("NETFILTER_DROP", "INPUT", 5002), ("NETFILTER_DROP", "POSTROUTING", 5005),
        ("NETFILTER_DROP", "FORWARD", 25), ("NO_SOCKET", None, 81), ("NEIGH_FAILED", None, 5000),
    ] == [(drop.reason, drop.died_in, drop.dport) for drop in found]  # fmt: skip
    assert ("fd00:10:244::b", "2001:db8::100", None) == (found[9].src, found[9].dst, found[9].ip_id)


def test_one() -> None:
    """Every field of a line, and the stack behind it."""
    (drop,) = bpftrace.parse(FORMAT + CLOCK + DROP, "a")
    assert drop == DropRecord(
        file="a", line=3, source="bpftrace", time=5000, clock="boot", offset=1795989709124026000 - 1000, cpu=1,
        reason="NETFILTER_DROP", location="nf_hook_slow", stack=("sk_skb_reason_drop", "nf_hook_slow", "ip_output"),
        device="eth0", proto="tcp", src="192.0.2.10", dst="192.0.2.100", sport=20003,
        dport=80, seq=3983590149, ip_id=33661,
    )  # fmt: skip


def test_without_names_of_reasons() -> None:
    """Their numbers differ from kernel to kernel, so none is guessed; place and stack are enough for the hook."""
    (drop,) = bpftrace.parse(CLOCK + DROP, "a")
    assert isinstance(drop, DropRecord)
    assert ("", "nf_hook_slow", "POSTROUTING") == (drop.reason, drop.location, drop.died_in)


def test_without_clock() -> None:
    """Nanoseconds since boot are no time of day."""
    caveat, drop = bpftrace.parse(DROP, "a")
    assert isinstance(caveat, Caveat)
    assert isinstance(drop, DropRecord)
    assert drop.wall is None


def test_clock_that_is_told_again() -> None:
    """The wall clock may be adjusted while it records: the last line before a drop counts."""
    later = "clock: t=4000 wall=1795989710.000000\n"
    (drop,) = bpftrace.parse(CLOCK + later + DROP, "a")
    assert isinstance(drop, DropRecord)
    assert 1795989710 * 10**9 + 1000 == drop.wall


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("drop: t=x\n", "a: 1 lines on dropped packets were not understood"),
        ("Lost 7 events\n", "a: 7 of bpftrace's records were lost before they were read"),
    ],
)
def test_damage(line: str, says: str) -> None:
    """What is cut, and what bpftrace itself lost, is said."""
    assert Caveat(says=says) in list(bpftrace.parse(CLOCK + line, "a"))


def test_other_protocols_have_no_ports() -> None:
    """What stands where ports would is something else."""
    (drop,) = bpftrace.parse(CLOCK + DROP.replace("proto=6", "proto=1"), "a")
    assert isinstance(drop, DropRecord)
    assert ("icmp", None, None, None) == (drop.proto, drop.sport, drop.dport, drop.seq)
