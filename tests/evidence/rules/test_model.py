"""The form of rules."""

from __future__ import annotations

from dataclasses import replace

from analyzer.evidence.rules.model import SHOWN, shown
from tests.evidence.rules.texts import forward, iptables


def test_since() -> None:
    """Rules are told by place and text; only counters that rose are."""
    before = forward("tcp dport 25 counter packets 3 bytes 180 drop", "counter packets 5 bytes 1", "accept")
    after = forward("tcp dport 25 counter packets 7 bytes 420 drop", "counter packets 5 bytes 1", "accept")
    ((rule, packets),) = after.since(before)
    assert ("ip t f", 1, "tcp dport 25 counter drop", 4) == (rule.chain, rule.number, rule.text, packets)
    assert [] == before.since(after)
    assert [] == after.since(forward("tcp dport 26 counter packets 3 bytes 180 drop"))


def test_rules_of_a_kind() -> None:
    """The MASQUERADE without random-fully is found by kind and flags."""
    ruleset = iptables(
        nat=":POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE --random-fully\n"
        "-A POSTROUTING -s 10.2.0.0/16 -j MASQUERADE"
    )
    plain = [rule.text for rule in ruleset.rules("masquerade") if not rule.actions[0].flags]
    assert ["-A POSTROUTING -s 10.2.0.0/16 -j MASQUERADE"] == plain
    assert [] == list(ruleset.rules("drop"))
    assert 2 == len(list(ruleset.rules()))


def test_without() -> None:
    """What is taken away of a chain is gone, and the rest keeps its numbers; a policy is set to accept."""
    before = forward("tcp dport 25 drop", "tcp dport 80 drop", "accept")
    (chain,) = before.chains
    assert [2, 3] == [rule.number for rule in before.without(chain, chain.rules[0]).rules()]
    dropping = replace(before, chains=(replace(chain, policy="drop"),))
    assert before == dropping.without(chain, None)
    assert before == before.without(replace(chain, legacy=True), chain.rules[0])


def test_shown() -> None:
    """Text for messages is one short line that plays no tricks."""
    assert "a b?[31m" == shown("a\n\tb\x1b[31m")
    assert SHOWN == len(shown("x" * 1_000_000))
