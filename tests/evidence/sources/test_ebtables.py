"""ebtables' listings, both forms alike: rules of a bridge, which are none of iptables'."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.rules.packet import Steps
from analyzer.evidence.rules.walk import walk
from analyzer.evidence.sources import ebtables, iptables_rules, iptables_save
from tests.evidence.rules.texts import packet

SAVED, LISTED = "ebtables-save-c.txt", "ebtables-L-Lc.txt"


def ruleset(text: str) -> Ruleset:
    """What is recognised and parsed."""
    assert ebtables.recognises(text)
    (found,) = ebtables.parse(text, "a")
    assert isinstance(found, Ruleset)
    return found


def bridged(rules: Ruleset, **changes: object) -> Steps:
    """A packet's way from the pod's port up to the bridge."""
    return walk(rules, packet(iif="veth-a", oif=None, **changes), bridge=True)


def test_both_forms_say_the_same(sample: Callable[[str], str]) -> None:
    """Chain for chain and rule for rule, with its counter."""
    saved, listed = ruleset(sample(SAVED)), ruleset(sample(LISTED))

    assert [chain.rules for chain in saved.chains] == [chain.rules for chain in listed.chains]
    assert [rule.packets for rule in saved.rules()] == [rule.packets for rule in listed.rules()]
    assert ("input", "forward", "output", "") == tuple(chain.hook for chain in listed.chains)


@pytest.mark.parametrize("name", [SAVED, LISTED])
def test_what_a_rule_drops(sample: Callable[[str], str], name: str) -> None:
    """The packet that it names is dropped, and one to another port is not."""
    rules = ruleset(sample(name))

    assert ("drop", 18) == (
        (told := bridged(rules, dport=8080)).verdict,
        told.end.rule.packets if told.end and told.end.rule else None,
    )
    assert "accept" == bridged(rules, dport=80).verdict


def test_what_is_not_compared() -> None:
    """A link-layer address is not known of a packet: the rule may match."""
    text = "Bridge chain: INPUT, entries: 1, policy: ACCEPT\n-s 02:00:00:00:00:01 -j DROP\n"

    assert "cannot-tell" == bridged(ruleset(text)).verdict


def test_the_end_of_a_chain_of_ones_own() -> None:
    """Its policy decides, where it is not to return; a rule that goes on decides nothing."""
    text = (
        "Bridge chain: INPUT, entries: 1, policy: ACCEPT\n1. -i veth-+ -j PODS\n\n"
        "Bridge chain: PODS, entries: 1, policy: {}\n-p IPv4 --log-level info --log-prefix x -j CONTINUE\n"
    )

    assert ["drop", "accept"] == [bridged(ruleset(text.format(one))).verdict for one in ("DROP", "RETURN")]


def test_no_rules_of_iptables(sample: Callable[[str], str]) -> None:
    """What ebtables-save prints is no table of iptables, also where iptables-save follows; and of IP it says nothing."""
    text, after = sample(SAVED), sample("iptables-nft-save-c.txt")

    assert not iptables_save.recognises(text)
    assert list(iptables_save.parse(after, "a")) == list(iptables_save.parse(text + after, "a"))
    assert "cannot-tell" == walk(ruleset(text), packet()).verdict
    assert [] == list(iptables_rules.parse("-A FORWARD -p IPv4 --ip-proto tcp -j DROP\n", "a"))
