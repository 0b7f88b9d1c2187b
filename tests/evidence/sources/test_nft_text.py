"""`nft list ruleset`, as recorded and as it gets damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.facts import Caveat
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.sources import nft_text
from tests.evidence.rules.texts import forward


def rulesets(text: str) -> list[Ruleset]:
    """Parse what is recognised and wholly understood."""
    assert nft_text.recognises(text)
    found = list(nft_text.parse(text, "a"))
    assert all(isinstance(fact, Ruleset) for fact in found)
    return [fact for fact in found if isinstance(fact, Ruleset)]


def test_recorded(sample: Callable[[str], str]) -> None:
    """Tables, base chains, sets and maps of a real listing are told."""
    (ruleset,) = rulesets(sample("nft.txt"))
    assert ruleset.complete
    assert [
        ("inet nat sub", "", 0, "accept", 1), ("inet nat prerouting", "prerouting", -100, "accept", 6),
        ("inet nat postrouting", "postrouting", 100, "accept", 4), ("inet filter forward", "forward", 10, "drop", 29),
        ("inet filter sub2", "", 0, "accept", 2), ("inet filter pre", "prerouting", -300, "accept", 2),
        ("netdev nd ing", "ingress", -500, "accept", 1), ("bridge br f", "forward", 0, "accept", 1),
    ] == [(c.label, c.hook, c.priority, c.policy, len(c.rules)) for c in ruleset.chains]  # fmt: skip
    assert ("eth0",) == ruleset.chains[6].devices
    services = ruleset.chains[1].rules[2].actions[0]
    assert (("dst", "proto", "dport"), 1) == (services.fields, len(services.choices))
    (masquerade,) = [rule for rule in ruleset.rules("masquerade") if rule.packets == 5]
    assert frozenset({"random", "persistent"}) == masquerade.actions[0].flags


def test_wrapped_sets_and_handles() -> None:
    """A set over several lines is one rule; handles are no part of it."""
    text = (
        "table ip t { # handle 1\n\tset s { # handle 2\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1 timeout 1h expires 5s,\n"
        "\t\t\t     10.0.0.2 }\n\t}\n\n\tchain c { # handle 3\n\t\ttype filter hook forward priority filter; policy accept;\n"
        "\t\ttcp dport { 80, 81,\n\t\t\t    82 } ip saddr @s counter drop # handle 9\n\t}\n}\n"
    )
    (ruleset,) = rulesets(text)
    (rule,) = ruleset.chains[0].rules
    assert "tcp dport { 80, 81, 82 } ip saddr @s counter drop" == rule.text
    assert [1, 3, 1, 2] == [len(match.among) for match in rule.matches]


def test_devices() -> None:
    """One device, or several in braces."""
    text = "table netdev t {{\n chain c {{\n  type filter hook ingress {} priority filter; policy accept;\n }}\n}}\n"
    for said in ('devices = { "eth0", "eth1" }', "devices = { eth0, eth1 }"):
        assert ("eth0", "eth1") == rulesets(text.format(said))[0].chains[0].devices


def test_other_blocks() -> None:
    """Counters, quotas and flowtables are passed over."""
    text = (
        "table inet t {\n\tcounter c1 {\n\t\tpackets 3 bytes 4\n\t}\n\n\tflowtable f {\n\t\thook ingress priority filter\n"
        '\t\tdevices = { eth0 }\n\t}\n\n\tchain c {\n\t\tcomment "a { chain"\n\t\tdrop\n\t}\n}\n'
    )
    assert [("inet t c", 1)] == [(chain.label, len(chain.rules)) for chain in rulesets(text)[0].chains]


def test_listings_in_a_row(sample: Callable[[str], str]) -> None:
    """A table that comes again begins another listing."""
    assert 2 == len(rulesets(sample("nft.txt") * 2))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.97])
def test_cut_short(sample: Callable[[str], str], share: float) -> None:
    """What is there is kept, and that there may be more is said."""
    text = sample("nft.txt")
    caveat, ruleset = nft_text.parse(text[: int(len(text) * share)], "a")
    assert isinstance(caveat, Caveat)
    assert "a: the rules are cut short within" in caveat.says
    assert isinstance(ruleset, Ruleset)
    assert not ruleset.complete
    assert ruleset.chains


def test_other_text() -> None:
    """Talk of tables is not taken for it."""
    for text in ("", "the table ip nat {\n", "table ip\n", "routing table inet {\n"):
        assert not nft_text.recognises(text)


def test_handles_and_counters() -> None:
    """`-a` prints what a rule is deleted by; its text is the same as without."""
    text = (
        "table inet filter { # handle 2\n\tchain forward { # handle 1\n\t\ttype filter hook forward priority filter; policy accept;\n"
        "\t\ttcp dport 25 counter packets 5 bytes 300 reject with tcp reset # handle 7\n\t}\n}\n"
    )  # fmt: skip
    (ruleset,) = nft_text.parse(text, "a")
    assert isinstance(ruleset, Ruleset)
    ((rule,),) = (chain.rules for chain in ruleset.chains)
    assert (7, 5, "tcp dport 25 counter reject with tcp reset", "tcp reset") == (
        rule.handle, rule.packets, rule.text, rule.actions[-1].target,
    )  # fmt: skip
    assert ruleset.complete


def test_iptables_extensions() -> None:
    """What nft cannot print of iptables' rules keeps the target's name; old releases write it as a comment."""
    for line in (
        'iifname "cni0" xt match "comment" counter packets 5 bytes 300 xt target "REJECT"',
        'iifname "cni0" # xt_comment counter packets 5 bytes 300 # xt_REJECT',
    ):
        rule = forward(line).chains[0].rules[0]
        assert (5, ["reject"], [("iif",)]) == (
            rule.packets, [action.kind for action in rule.actions], [match.fields for match in rule.matches],
        )  # fmt: skip
    doubtful = forward("# match physdev counter packets 5 bytes 300 drop # handle 9").chains[0].rules[0]
    assert ([()], ["drop"], 9) == (
        [match.fields for match in doubtful.matches], [action.kind for action in doubtful.actions], doubtful.handle,
    )  # fmt: skip


def test_a_part() -> None:
    """One table, as the command above it says, leaves the others open."""
    text = "table inet f {\n}\n"
    for command, complete in (
        ("$ sudo nft list table inet f", False), ("# nft -a list chain inet f c", False), ("$ nft list ruleset", True),
        ("# nft list ruleset | head", False), ("", True),
    ):  # fmt: skip
        (ruleset,) = nft_text.parse(f"{command}\n{text}", "a")
        assert isinstance(ruleset, Ruleset)
        assert complete == ruleset.complete
