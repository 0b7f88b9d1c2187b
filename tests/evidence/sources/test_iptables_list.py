"""`iptables -L -v -n` says what iptables-save says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.facts import Caveat
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.rules.packet import Steps
from analyzer.evidence.rules.walk import walk
from analyzer.evidence.sources import iptables_list, iptables_save
from tests.evidence.rules.texts import packet

HEAD = " pkts bytes target     prot opt in     out     source               destination\n"


def rulesets(text: str) -> list[Ruleset]:
    """Parse what is recognised."""
    assert iptables_list.recognises(text)
    return [fact for fact in iptables_list.parse(text, "a") if isinstance(fact, Ruleset)]


@pytest.mark.parametrize("name", ["iptables-vnxL.txt", "iptables-t-nat-nvL.txt"])
def test_same_as_save(sample: Callable[[str], str], name: str) -> None:
    """Chain for chain and rule for rule both mean the same, but for the blank at the end of a log's prefix."""
    (saved,) = iptables_save.parse(sample("iptables-nft-save-c.txt"), "b")
    assert isinstance(saved, Ruleset)
    by_label = {chain.label: chain for chain in saved.chains}
    (ruleset,) = rulesets(sample(name))
    for chain in ruleset.chains:
        other = by_label[chain.label]
        assert (other.kind, other.hook, other.priority, other.policy) == (
            chain.kind,
            chain.hook,
            chain.priority,
            chain.policy,
        )
        for ours, theirs in zip(chain.rules, other.rules, strict=True):
            assert set(theirs.matches) == set(ours.matches)
            if "log" not in ours.kinds:
                assert theirs.actions == ours.actions


def test_tables_in_a_row(sample: Callable[[str], str]) -> None:
    """Built-in chains tell one table from the next."""
    text = sample("iptables-vnxL.txt") + sample("iptables-t-nat-nvL.txt")
    for order in (text, sample("iptables-t-nat-nvL.txt") + sample("iptables-vnxL.txt")):
        assert {"filter", "nat"} == {chain.table for ruleset in rulesets(order) for chain in ruleset.chains}
    raw = "".join(
        f"Chain {name} (policy ACCEPT 0 packets, 0 bytes)\n{HEAD}\n" for name in ("PREROUTING", "OUTPUT")
    )
    assert [{"raw"}, {"filter"}] == [
        {chain.table for chain in ruleset.chains} for ruleset in rulesets(raw + sample("iptables-vnxL.txt"))
    ]


def test_rows() -> None:
    """Rounded counters, rows without a target, IPv6 without its options."""
    text = (
        f"Chain FORWARD (policy DROP 12K packets, 3M bytes)\n{HEAD}"
        " 12K 3400M DROP       tcp  --  !cni0  *       0.0.0.0/0            !10.0.0.0/8           tcp dpt:25\n"
        "    5   300            all  --  *      *       0.0.0.0/0            0.0.0.0/0\n"
    )
    first, second = rulesets(text)[0].chains[0].rules
    assert (12_000, 3_400_000_000, 4) == (first.packets, first.bytes, len(first.matches))
    assert ("iif", True) == (first.matches[1].fields[0], first.matches[1].negated)
    assert ((), ()) == (second.matches, second.actions)
    six = (
        f"Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)\n{HEAD}"
        "    0     0 DROP       tcp      cni0   *       ::/0                 2001:db8::/32\n"
    )
    (rule,) = rulesets(six)[0].chains[0].rules
    assert ("ip6 filter FORWARD", [("proto",), ("iif",), ("dst",)]) == (
        rule.chain,
        [match.fields for match in rule.matches],
    )


def test_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no matches; where none ends any more, none is searched for, however many begin."""
    comment, searched = iptables_list._COMMENT, []

    class Comment:
        """Notes what is searched."""

        def sub(self, by: str, text: str) -> str:
            searched.append(text)
            return comment.sub(by, text)

    monkeypatch.setattr(iptables_list, "_COMMENT", Comment())
    row = "    0     0 DROP       tcp  --  *      *       0.0.0.0/0            0.0.0.0/0           "
    ended, begun = "/* one */ tcp dpt:80 /* two /* */", "/* " * 1000
    text = f"Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)\n{HEAD}{row}{ended}\n{row}{ended} {begun}\n"
    first, second = rulesets(text)[0].chains[0].rules

    assert [("proto",), ("dport",)] == [match.fields for match in first.matches]
    assert (first.matches, ()) == (second.matches[:-1], second.matches[-1].fields)
    assert [ended, ended] == searched


def test_rows_that_are_cut() -> None:
    """A row that is not understood stays as a rule that nobody can tell."""
    text = (
        f"Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)\n{HEAD}    0     0 DROP       tcp  --  cni0   *  "
    )
    (rule,) = rulesets(text)[0].chains[0].rules
    assert (["unknown"], ((),)) == (
        [action.kind for action in rule.actions],
        tuple(m.fields for m in rule.matches),
    )


def walked(text: str, **of: object) -> Steps:
    """Send a packet through what is listed."""
    return walk(rulesets(text)[0], packet(**({"iif": "cni0", "oif": "eth0"} | of)))  # type: ignore[arg-type]


def test_line_numbers() -> None:
    """The number in front is the rule's place, and no counter."""
    text = (
        "[root@node ~]# iptables -L FORWARD -n -v --line-numbers\nChain FORWARD (policy ACCEPT 0 packets, 0 bytes)\n"
        "num   pkts bytes target     prot opt in     out     source               destination\n"
        "1      230 18400 ACCEPT     icmp --  *      *       0.0.0.0/0            0.0.0.0/0\n"
        "2        8   480 REJECT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            reject-with icmp-host-prohibited\n"
    )  # fmt: skip
    steps = walked(text)
    assert steps.end is not None
    assert ("reject", 2, 8, "icmp-host-prohibited") == (
        steps.verdict, steps.end.rule.number, steps.end.rule.packets, steps.end.rule.actions[0].target,
    )  # type: ignore[union-attr] # fmt: skip


def test_names() -> None:
    """Without `-n` names stand for numbers; one that is not known is not understood."""
    rows = (
        "    0     0 DROP       tcp  --  any    any     anywhere             anywhere             tcp dpt:{}\n"
        "   24  1440 DROP       all  --  any    any     anywhere             anywhere             /* cali:k */ ctstate INVALID\n"
    )
    known, unknown = (
        rulesets(f"Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)\n{HEAD}{rows.format(name)}")[0]
        .chains[0]
        .rules
        for name in ("https", "frobnicate")
    )
    assert [("proto",), ("dport",)] == [match.fields for match in known[0].matches] if known else False
    assert "443" in known[0].matches[1].text
    assert () in [match.fields for match in unknown[0].matches]
    assert [("state",)] == [match.fields for match in known[1].matches]


def test_without_interfaces() -> None:
    """Without `-v` nobody can tell which interfaces a rule asks for, so no verdict is certain."""
    text = (
        "$ sudo iptables -L FORWARD\nChain FORWARD (policy ACCEPT)\ntarget     prot opt source               destination\n"
        "ACCEPT     icmp --  anywhere             anywhere\n"
        "REJECT     all  --  anywhere             anywhere             reject-with icmp-host-prohibited\n"
    )
    steps = walked(text)
    assert ("cannot-tell", ["reject"]) == (steps.verdict, [doubt.action for doubt in steps.doubts])
    (caveat,) = (fact for fact in iptables_list.parse(text, "a") if isinstance(fact, Caveat))
    assert caveat.says.startswith("a: listed without -v")


def test_one_chain() -> None:
    """What was not listed is not taken for an accept: other hooks and tables stay open."""
    accepting = f"Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)\n{HEAD}"
    steps = walked(accepting)
    assert "cannot-tell" == steps.verdict
    assert (
        "ip mangle forward",
        "ip mangle postrouting",
        "ip mangle prerouting",
        "ip raw prerouting",
    ) == steps.unlisted
    assert "drop" == walked(accepting.replace("ACCEPT 0", "DROP 0")).verdict


def test_chain_of_its_own() -> None:
    """A chain that others jump to is known, though nobody tells from where."""
    text = f"Chain cali-tw-x (1 references)\n{HEAD}   24  1440 DROP       all  --  any    any     anywhere  anywhere  ctstate INVALID\n"
    (ruleset,) = rulesets(text)
    assert [("ip filter cali-tw-x", 24)] == [(rule.chain, rule.packets) for rule in ruleset.rules("drop")]
    assert "cannot-tell" == walked(text).verdict


def test_other_text() -> None:
    """A chain's head alone is nothing."""
    assert not iptables_list.recognises("Chain INPUT (policy ACCEPT)\n")


def test_what_follows_behind_a_prompt() -> None:
    """The output of the next command is no row of the last chain."""
    text = (
        "$ sudo iptables -t raw -nvL\nChain OUTPUT (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "$ docker version --format {{.Server.Version}}\n28.0.1\n"
    )
    (ruleset,) = (fact for fact in iptables_list.parse(text, "a") if isinstance(fact, Ruleset))
    assert [()] == [chain.rules for chain in ruleset.chains]
