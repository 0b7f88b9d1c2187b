"""Several listings of one namespace's rules."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import Fact
from analyzer.evidence.rules.joining import join
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.sources import iptables_list, iptables_save, nft_json, nft_text
from tests.evidence.rules.texts import forward


def rulesets(facts: list[Fact]) -> list[Ruleset]:
    """Keep the rulesets."""
    return [fact for fact in facts if isinstance(fact, Ruleset)]


def test_two_listings_of_the_same_rules(sample: Callable[[str], str]) -> None:
    """Of iptables on top of nftables its own wording is kept, with the counters that nft shows."""
    text = "".join(
        line.partition("] ")[2] or line for line in sample("iptables-nft-save-c.txt").splitlines(True)
    )
    ours = rulesets(list(iptables_save.parse(text, "iptables.txt")))
    theirs = rulesets(
        list(nft_text.parse(sample("nft-of-iptables.txt").replace("packets 0", "packets 7"), "nft.txt"))
    )
    (joined,) = join([*theirs, *ours])
    assert "iptables.txt" in joined.file
    assert "nft.txt" in joined.file
    rules = [rule for rule in joined.rules() if "physdev" in rule.text]
    assert [("-A FORWARD -m physdev --physdev-in veth-a --physdev-is-bridged -j ACCEPT", 7)] == [
        (rule.text, rule.packets) for rule in rules
    ]
    assert len({(c.family, c.table, c.name) for c in joined.chains}) == len(joined.chains)
    assert {"ip", "ip6"} >= {chain.family for chain in joined.chains}


def test_chains_that_only_nft_lists() -> None:
    """The table as iptables-save 1.8.9 shows it lacks them; they are in force, and grow."""
    saved = """# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
COMMIT
"""
    listed = """table ip filter {{
	chain forward {{
		type filter hook forward priority filter; policy accept;
		iifname "flannel.1" oifname "cni0" tcp dport 8080 counter packets {} bytes 360 drop
	}}
}}
"""
    told = [
        *(one for _ in range(2) for one in iptables_save.parse(saved, "iptables.txt")),
        *(one for count in (0, 6) for one in nft_text.parse(listed.format(count), "nft.txt")),
    ]
    before, after = join(rulesets(told))

    assert [0, 6] == [rule.packets for ruleset in (before, after) for rule in ruleset.rules("drop")]
    assert "iptables.txt, nft.txt" == after.file


def test_legacy_tables_stay_beside(sample: Callable[[str], str]) -> None:
    """Tables of iptables' own kernel part are others than nftables' of the same name."""
    legacy = rulesets(list(iptables_save.parse(sample("iptables-legacy-save.txt"), "a")))
    theirs = rulesets(list(nft_text.parse(sample("nft-of-iptables.txt"), "b")))
    (joined,) = join([*legacy, *theirs])
    both = [chain.legacy for chain in joined.chains if chain.label == "ip filter FORWARD"]
    assert [True, False] == both


def test_listing_for_people(sample: Callable[[str], str]) -> None:
    """`iptables -L` is used only for tables that nothing else lists, whosever they are."""
    listed = rulesets(
        [
            fact
            for name in ("iptables-vnxL.txt", "iptables-t-nat-nvL.txt")
            for fact in iptables_list.parse(sample(name), name)
        ]
    )
    (alone,) = join(listed)
    assert {"filter", "nat"} == {chain.table for chain in alone.chains}
    for name in ("iptables-legacy-save.txt", "iptables-nft-save-c.txt"):
        saved = rulesets(list(iptables_save.parse(sample(name), name)))
        (joined,) = join([*listed, *saved])
        assert name == joined.file
        assert len(saved[0].chains) == len(joined.chains)
        assert {0} == {
            rule.packets for rule in joined.rules() if rule.chain.startswith(("ip filter", "ip nat"))
        }


def test_before_and_after() -> None:
    """Listings of one tool are put in the order in which counters grow."""
    first, second = (forward(f"counter packets {count} bytes 0 drop") for count in (3, 5))
    assert (first, second) == join([second, first])
    assert () == join([])


def test_text_and_json(sample: Callable[[str], str]) -> None:
    """The same rules as text and as JSON are one listing."""
    text = rulesets(list(nft_text.parse(sample("nft.txt"), "a")))
    assert tuple(text) == join([*rulesets(list(nft_json.parse(sample("nft.json"), "b"))), *text])
