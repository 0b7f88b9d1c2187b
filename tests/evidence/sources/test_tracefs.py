"""The kernel's trace of dropped packets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import tracefs

EVENT = "kfree_skb: skbaddr=00000000ced79266 rx_sk=0000000000000000 protocol=2048 location={} reason: {}"
HEAD = "# tracer: nop\n#\n# entries-in-buffer/entries-written: {}   #P:2\n#\n"


def line(cpu: int, at: str, event: str) -> str:
    """Write a line as the kernel does."""
    return f"          <idle>-0       [{cpu:03}] ..s1.   {at}: {event}\n"


def drops(text: str) -> list[DropRecord]:
    """Parse what is recognised and wholly understood."""
    assert tracefs.recognises(text)
    found = list(tracefs.parse(text, "a"))
    assert all(isinstance(fact, DropRecord) for fact in found)
    return [fact for fact in found if isinstance(fact, DropRecord)]


def test_recorded(sample: Callable[[str], str]) -> None:
    """One drop per hook, in IPv4 and IPv6, no listener, no route, no neighbour: as the kernel traced them."""
    found = drops(sample("drops-tracefs.txt"))
    assert [
        ("NO_SOCKET", None, 4), ("NETFILTER_DROP", "PREROUTING", 4), ("NETFILTER_DROP", "INPUT", 4),
        ("NETFILTER_DROP", "FORWARD", 4), ("NETFILTER_DROP", "OUTPUT", 4), ("NETFILTER_DROP", "POSTROUTING", 4),
        ("NETFILTER_DROP", "FORWARD", 4), ("NO_SOCKET", None, 4), ("IP_INNOROUTES", None, 4),
        ("NETFILTER_DROP", "FORWARD", 6), ("NETFILTER_DROP", "INPUT", 6), ("NETFILTER_DROP", "POSTROUTING", 6),
        ("NETFILTER_DROP", "FORWARD", 4), ("NO_SOCKET", None, 4), ("NEIGH_FAILED", None, 4),
    ] == [(drop.reason, drop.died_in, drop.version) for drop in found]  # fmt: skip
    assert {"monotonic"} == {drop.clock for drop in found}
    assert 1795989822 == (found[0].wall or 0) // 10**9
    assert ("neigh_invalidate", "", None) == (found[-1].location, found[-1].src, found[-1].seq)


def test_stacks_of_two_cpus() -> None:
    """CPUs write between each other's lines: each drop gets the stack of its own CPU."""
    text = (
        line(0, "1.000001", EVENT.format("nf_hook_slow+0x7d/0x110", "NETFILTER_DROP"))
        + line(1, "1.000002", EVENT.format("nf_hook_slow+0x7d/0x110", "NETFILTER_DROP"))
        + line(1, "1.000003", "<stack trace>")
        + " => sk_skb_reason_drop\n => nf_hook_slow\n => ip_forward\n"
        + line(0, "1.000004", "<stack trace>")
        + " => sk_skb_reason_drop\n => nf_hook_slow\n => ip_output\n"
    )
    first, second = drops(text)
    assert [(0, "POSTROUTING"), (1, "FORWARD")] == [(d.cpu, d.died_in) for d in (first, second)]
    assert (1, 1_000_001_000) == (first.line, first.time)


def test_old_kernels() -> None:
    """Before 5.17 there is no reason, and the place an address: the stack has its name."""
    text = (
        line(0, "1.000001", "kfree_skb: skbaddr=000000003bc55141 protocol=2048 location=0000000012345678")
        + line(0, "1.000002", "<stack trace>")
        + " => trace_event_raw_event_kfree_skb\n => kfree_skb\n => nf_hook_slow\n => ip_forward\n"
    )
    (drop,) = drops(text)
    assert ("", "nf_hook_slow", "FORWARD", None) == (drop.reason, drop.location, drop.died_in, drop.wall)


def test_overwritten_records() -> None:
    """The header tells that the buffer was too small."""
    text = HEAD.format("10/15") + line(0, "1.000001", EVENT.format("ip_error+0x1/0x2", "IP_INNOROUTES"))
    (drop, caveat) = tracefs.parse(text, "a")
    assert isinstance(drop, DropRecord)
    assert Caveat(says="a: 5 of the kernel's records were overwritten before they were read") == caveat


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; what is left out is counted, and its stack is nobody's."""
    monkeypatch.setattr(tracefs, "MOST", 1)
    one = line(0, "1.000001", EVENT.format("ip_error+0x1/0x2", "IP_INNOROUTES"))
    text = one + one + line(0, "1.000002", "<stack trace>") + " => nf_hook_slow\n"
    drop, caveat = tracefs.parse(text, "a")
    assert isinstance(drop, DropRecord)
    assert () == drop.stack
    assert Caveat(says="a: 1 dropped packets beyond the first 1 were left out") == caveat


def test_other_text() -> None:
    """Other events and other logs are not taken for it."""
    for text in ("", "kfree_skb\n", line(0, "1.0", "sched_switch: prev_comm=x"), "[    1.5] usb 1-1: new\n"):
        assert not tracefs.recognises(text)
