"""`iptables-save`, as recorded and as it gets damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.facts import Caveat
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.sources import iptables_save


def rulesets(text: str) -> list[Ruleset]:
    """Parse what is recognised and wholly understood."""
    assert iptables_save.recognises(text)
    found = list(iptables_save.parse(text, "a"))
    assert all(isinstance(fact, Ruleset) for fact in found)
    return [fact for fact in found if isinstance(fact, Ruleset)]


@pytest.mark.parametrize(
    ("name", "legacy"), [("iptables-nft-save-c.txt", False), ("iptables-legacy-save.txt", True)]
)
def test_recorded(sample: Callable[[str], str], name: str, legacy: bool) -> None:
    """Both kinds of iptables tell the same chains, with counters where they were asked for."""
    (ruleset,) = rulesets(sample(name))
    assert ruleset.complete
    assert {legacy} == {chain.legacy for chain in ruleset.chains}
    assert {
        ("ip raw PREROUTING", -300), ("ip mangle FORWARD", -150), ("ip nat PREROUTING", -100), ("ip nat INPUT", 100),
        ("ip nat POSTROUTING", 100), ("ip filter FORWARD", 0),
    } <= {(chain.label, chain.priority) for chain in ruleset.chains if chain.hook}  # fmt: skip
    policies = {chain.label: chain.policy for chain in ruleset.chains}
    assert ("drop", "accept") == (policies["ip filter FORWARD"], policies["ip filter INPUT"])
    assert {None if legacy else 0} == {rule.packets for rule in ruleset.rules()}
    flags = [(rule.actions[0].target, rule.actions[0].flags) for rule in ruleset.rules("masquerade")]
    assert [
        ("", frozenset()), ("", frozenset({"random"})), ("", frozenset({"fully-random"})),
        (":1024-2000", frozenset({"fully-random"})), ("", frozenset()), ("", frozenset({"fully-random"})),
    ] == flags  # fmt: skip


def test_same_rules(sample: Callable[[str], str]) -> None:
    """Rule for rule both kinds mean the same."""
    one, other = (
        rulesets(sample(name))[0] for name in ("iptables-nft-save-c.txt", "iptables-legacy-save.txt")
    )
    by_chain = {chain.label: chain.rules for chain in other.chains}
    compared = 0
    for chain in one.chains:
        for ours, theirs in zip(chain.rules, by_chain[chain.label], strict=True):
            assert ours == theirs
            compared += 1
    assert 37 == compared


def test_ipv6(sample: Callable[[str], str]) -> None:
    """The family is told by the header, else by the rules."""
    text = sample("ip6tables-nft-save-c.txt")
    for said in (text, "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        (ruleset,) = rulesets(said)
        assert {"ip6"} == {chain.family for chain in ruleset.chains}
        assert [("src",), ("dst",), ("proto",), ("icmpv6",)] == [
            m.fields for m in next(ruleset.rules()).matches
        ]


def test_outputs_in_a_row(sample: Callable[[str], str]) -> None:
    """IPv4 and IPv6 are one; the same table again begins another."""
    four, six = sample("iptables-nft-save-c.txt"), sample("ip6tables-nft-save-c.txt")
    assert [1, 2] == [len(rulesets(four + six)), len(rulesets(four + six + four))]


def test_cut_short(sample: Callable[[str], str]) -> None:
    """What is there is kept, and that there is more is said."""
    text = sample("iptables-nft-save-c.txt")
    for cut in range(text.index("-A KUBE-SEP-AAAA"), text.index("-A KUBE-SEP-BBBB")):
        *caveats, ruleset = iptables_save.parse(text[:cut], "a")
        assert isinstance(ruleset, Ruleset)
        assert not ruleset.complete
        assert "ip filter FORWARD" in {chain.label for chain in ruleset.chains}
        assert caveats
        assert all(isinstance(caveat, Caveat) and caveat.says.startswith("a: ") for caveat in caveats)


def test_lines_that_do_not_belong() -> None:
    """A line that is no rule is told; a table without its end, too."""
    text = "*filter\n:FORWARD ACCEPT [0:0]\nsudo: unable to resolve host\n-A FORWARD -j DROP\nCOMMIT\n"
    caveat, ruleset = iptables_save.parse(text, "a")
    assert isinstance(caveat, Caveat)
    assert "a: not understood in the table 'filter': 'sudo: unable to resolve host'" == caveat.says
    assert isinstance(ruleset, Ruleset)
    assert 1 == len(list(ruleset.rules("drop")))
    lost, other = iptables_save.parse("*nat\n:INPUT ACCEPT [0:0]\n" + text.replace("sudo", "#"), "a")
    assert isinstance(lost, Caveat)
    assert isinstance(other, Ruleset)
    assert not other.complete


def test_many_lines_that_do_not_belong() -> None:
    """However many there are, one caveat counts them; one those tables that have no end."""
    text = "*nat\n:INPUT ACCEPT [0:0]\n" + "x\n" * 1000 + "*raw\ny\n" * 500
    facts = list(iptables_save.parse(text, "a"))

    assert [
        "a: 1500 lines were not understood, the first in the table 'nat': 'x'",
        "a: the table 'nat' has no end, and was left out",
        "a: the table 'raw' has no end, and was left out, 499 times",
        "a: the table 'raw' is cut short",
    ] == [fact.says for fact in facts if isinstance(fact, Caveat)]


def test_other_text() -> None:
    """A list of modules or of chains is not taken for it."""
    for text in (
        "*filter\n",
        "*filter\nsomething\n",
        "Chain INPUT (policy ACCEPT)\n",
        ":INPUT ACCEPT [0:0]\n",
    ):
        assert not iptables_save.recognises(text)
