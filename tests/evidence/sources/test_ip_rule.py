"""Routing rules, from text and JSON."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import Caveat, RoutingRule
from analyzer.evidence.sources import ip_rule


def rules(text: str) -> list[RoutingRule]:
    """Parse a text that is recognised."""
    assert ip_rule.recognises(text)
    return [fact for fact in ip_rule.parse(text, "a") if isinstance(fact, RoutingRule)]


def test_same_in_both_formats(sample: Callable[[str], str]) -> None:
    """Text and JSON of one command tell the same."""
    text, told = ([(r.priority, r.src, r.dst, r.iif, r.fwmark, r.table, r.action, r.negated, r.family) for r in rules(s)]
                  for s in (sample("ip-rule.txt"), sample("ip-j-rule.json")))  # fmt: skip
    assert text == told
    assert [
        (100, None, None, None, "0x80/0x80", "7", "lookup", False, ""),
        (200, "10.9.0.0/24", "10.1.1.1", "br0", None, "7", "lookup", False, "ipv4"),
        (300, "10.2.0.0/16", None, None, None, "", "unreachable", True, "ipv4"),
    ] == text[1:4]


def test_text() -> None:
    """A rule keeps all of its words."""
    (rule,) = rules("219:\tfrom 2001:db8::/64 oif eth0 lookup l3mdev-table suppress_prefixlength 0\n")
    assert ("ipv6", "eth0", "219: from 2001:db8::/64 oif eth0 lookup l3mdev-table suppress_prefixlength 0") == (
        rule.family, rule.oif, rule.text,
    )  # fmt: skip


def test_other_text() -> None:
    """Interfaces and prose are no rules."""
    for text in (
        "2: eth0: <UP> mtu 1500\n",
        "10: from here to there\n",
        '[{"ifindex":1,"src":"x","priority":2}]',
    ):
        assert not ip_rule.recognises(text)


def test_words_that_only_look_like_an_action() -> None:
    """A line without an action of its own is no rule."""
    for text in ("0: from all alookup b", "0: from all lookup-b", "0: from lookup"):
        assert [True] == [isinstance(fact, Caveat) for fact in ip_rule.parse(text, "a")]
