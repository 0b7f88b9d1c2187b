"""Rules without the frame of their table."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import Caveat
from analyzer.evidence.rules.joining import join
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.rules.packet import Steps
from analyzer.evidence.rules.walk import walk
from analyzer.evidence.sources import iptables_rules, iptables_save
from tests.evidence.rules.texts import packet

LISTED = """$ sudo iptables -S
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N DOCKER
-A FORWARD -p icmp -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
"""
NAT = "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n-A POSTROUTING -o eth0 -j MASQUERADE\n"


def rulesets(text: str) -> list[Ruleset]:
    """Parse what is recognised."""
    assert iptables_rules.recognises(text)
    return [fact for fact in iptables_rules.parse(text, "a") if isinstance(fact, Ruleset)]


def walked(ruleset: Ruleset) -> Steps:
    """Send a new connection's packet through."""
    return walk(ruleset, packet(iif="cni0", oif="eth0"))


def test_same_as_save(sample: Callable[[str], str]) -> None:
    """Rule for rule it says what iptables-save says."""
    saved = sample("iptables-legacy-save.txt")
    filtered = saved[saved.index("*filter") :].partition("COMMIT")[0].splitlines()
    (whole,) = (fact for fact in iptables_save.parse(saved, "b") if isinstance(fact, Ruleset))
    said = [
        f"-{'N' if line.split()[1] == '-' else 'P'} {line[1:].partition(' [')[0].removesuffix(' -')}" if line[0] == ":" else line.partition("] ")[2] or line
        for line in filtered[1:]
    ]  # fmt: skip
    (ruleset,) = rulesets("\n".join(said))
    for chain in (chain for chain in whole.chains if chain.table == "filter"):
        (ours,) = (one for one in ruleset.chains if one.name == chain.name)
        assert (chain.hook, chain.policy, chain.rules) == (ours.hook, ours.policy, ours.rules)


def test_verdict() -> None:
    """A rule that rejects everything does so whatever the other tables hold; an accept stays open."""
    (ruleset,) = rulesets(LISTED)
    steps = walked(ruleset)
    assert steps.end is not None
    assert ("reject", "-A FORWARD -j REJECT --reject-with icmp-host-prohibited") == (
        steps.verdict,
        steps.end.rule.text,
    )  # type: ignore[union-attr]
    (ruleset,) = rulesets(LISTED.replace("-j REJECT --reject-with icmp-host-prohibited", "-j ACCEPT"))
    assert "cannot-tell" == walked(ruleset).verdict


def test_tables() -> None:
    """The chains tell the table, or the command does; listings of all tables leave nothing open."""
    mangle = "".join(
        f"-P {name} ACCEPT\n" for name in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
    )
    raw = "# iptables -t raw -S\n-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n"
    accepting = LISTED.replace("-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n", "")
    found = rulesets(accepting + NAT + mangle + raw)
    assert ["filter", "nat", "mangle", "raw"] == [ruleset.chains[0].table for ruleset in found]
    (joined,) = join(found)
    steps = walked(joined)
    assert ("accept", ()) == (steps.verdict, steps.unlisted)
    assert steps.source_nat is not None


def test_what_grep_left() -> None:
    """Rules that were picked out may stand behind others, so nothing is certain."""
    text = (
        "# iptables-save | grep -E 'REJECT|MASQ'\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n"
    )
    (ruleset,) = rulesets(text)
    steps = walked(ruleset)
    assert ("cannot-tell", "reject", "unknown") == (
        steps.verdict, steps.end.action if steps.end else "", ruleset.chains[0].policy,
    )  # fmt: skip
    assert [
        Caveat(
            says="a: only a part of the rules of the table 'filter'; the missing ones are treated as unknown"
        )
    ] == [fact for fact in iptables_rules.parse(text, "a") if isinstance(fact, Caveat)]
    (nat,) = rulesets("[12:720] -A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE\n")
    assert [("ip nat POSTROUTING", 12)] == [(rule.chain, rule.packets) for rule in nat.rules()]


def test_counters_and_families() -> None:
    """`-v` has counters among the options; an IPv6 address or the command tells the family, the warning the backend."""
    (ruleset,) = rulesets(
        "# Warning: iptables-legacy tables present, use iptables-legacy to see them\n"
        "-P FORWARD DROP -c 3 180\n-A FORWARD -s 2001:db8::/32 -c 8 480 -j DROP\n"
    )
    (chain,) = ruleset.chains
    assert ("ip6", False, "drop", 8, 480) == (
        chain.family, chain.legacy, chain.policy, chain.rules[0].packets, chain.rules[0].bytes,
    )  # fmt: skip
    assert not ruleset.complete


def test_other_text() -> None:
    """A whole table is read elsewhere."""
    assert not iptables_rules.recognises("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j DROP\nCOMMIT\n")
    assert not iptables_rules.recognises("-A lot of words\n")
