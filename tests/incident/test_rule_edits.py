"""Commands that edit the rule that was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.evidence.rules.model import Chain, Rule
from analyzer.evidence.rules.packet import Step
from analyzer.incident.rule_edits import admit_related, randomise, remove, widen


def step(
    chain: str, text: str, number: int = 3, handle: int | None = None, action: str = "drop", flags: str = ""
) -> Step:
    """A step at a rule."""
    family, table, name = chain.split(" ")
    rule = Rule(chain=chain, number=number, text=text, matches=(), actions=(), handle=handle)
    base = Chain(family=family, table=table, name=name, legacy=None, rules=(rule,))
    return Step(hook="forward", chain=base, rule=rule, action=action, flags=frozenset(flags.split()))


def policy(family: str, table: str, name: str) -> Step:
    """A step at a chain's end."""
    chain = Chain(family=family, table=table, name=name, legacy=None, policy="drop")
    return Step(hook="forward", chain=chain, rule=None, action="drop")


def last(made: tuple) -> str:  # type: ignore[type-arg]
    """The last line of the first command."""
    return str(made[0].command.splitlines()[-1])


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (
            step("ip filter PODS", "-A PODS -p tcp --dport 80 -j DROP"),
            "iptables -t filter -D PODS -p tcp --dport 80 -j DROP",
        ),
        (step("ip filter PODS", "-A PODS -j DROP" + "x" * 400 + "…"), "iptables -t filter -D PODS 3"),
        (step("ip6 filter FORWARD", "-A FORWARD -j DROP"), "ip6tables -t filter -D FORWARD -j DROP"),
        (step("ip filter FORWARD", "REJECT all -- anywhere anywhere"), "iptables -t filter -D FORWARD 3"),
        (step("inet filter pods", "drop", handle=17), "nft delete rule inet filter pods handle 17"),
        (step("inet filter pods", "drop"), "nft delete rule inet filter pods handle HANDLE"),
        (policy("ip", "filter", "FORWARD"), "iptables -t filter -P FORWARD ACCEPT"),
        (policy("inet", "filter", "forward"), "nft chain inet filter forward '{ policy accept ; }'"),
    ],
)
def test_a_rule_that_drops(found: Step, command: str) -> None:
    """It is deleted by its number or handle, and a policy is changed."""
    assert last(remove(found)) == command


def test_several_that_drop() -> None:
    """Of one chain the later rule is deleted first, since its number is another afterwards; then the policy is changed."""
    (made,) = remove(
        step("ip filter FORWARD", "DROP tcp -- anywhere anywhere", number=2),
        step("ip filter FORWARD", "DROP all -- anywhere anywhere", number=10),
        policy("ip", "filter", "FORWARD"),
        sure=False,
    )

    assert made.command.splitlines()[1::2] == [
        "iptables -t filter -D FORWARD 10",
        "iptables -t filter -D FORWARD 2",
    ]
    assert made.command.splitlines()[-1] == "iptables -t filter -P FORWARD ACCEPT"
    assert made.do.startswith("Delete these rules and set the policy of this chain to ACCEPT, if")
    assert "the listing does not show" in made.effect


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (
            step("ip nat POSTROUTING", "-A POSTROUTING -s 10.244.0.0/16 ! -o cni0 -j MASQUERADE"),
            "iptables -t nat -R POSTROUTING 3 -s 10.244.0.0/16 '!' -o cni0 -j MASQUERADE --random-fully",
        ),
        (
            step("ip nat POSTROUTING", "-A POSTROUTING -j MASQUERADE --random", flags="random"),
            "iptables -t nat -R POSTROUTING 3 -j MASQUERADE --random-fully",
        ),
        (
            step("inet nat post", 'oifname "eth0" masquerade', handle=7),
            "nft replace rule inet nat post handle 7 'oifname \"eth0\" masquerade fully-random'",
        ),
        (
            step("ip nat post", "masquerade random,persistent", handle=7),
            "nft replace rule ip nat post handle 7 'masquerade persistent,fully-random'",
        ),
        (
            step("inet nat post", 'snat ip to 192.0.2.1-192.0.2.9 comment "x"', handle=7),
            "nft replace rule inet nat post handle 7 'snat ip to 192.0.2.1-192.0.2.9 fully-random comment \"x\"'",
        ),
    ],
)
def test_a_rule_that_translates(found: Step, command: str) -> None:
    """It is replaced where it stands, with the rest of it as it was."""
    assert last(randomise(found)) == command


@pytest.mark.parametrize(
    "found",
    [
        step("ip nat POSTROUTING", "-A POSTROUTING -j MASQUERADE --random-fully", flags="fully-random"),
        step("ip nat POSTROUTING", "MASQUERADE all -- 10.244.0.0/16 anywhere"),
        step("ip nat POSTROUTING", '-A POSTROUTING -m comment --comment "open -j MASQUERADE'),
        step("inet nat post", "ip saddr 10.244.0.0/16 masquerade " + "x" * 20 + "…"),
        step("inet nat post", "ip saddr 10.244.0.0/16 accept"),
        policy("ip", "nat", "POSTROUTING"),
    ],
)
def test_a_rule_that_nobody_can_rewrite(found: Step) -> None:
    """One that is random already, is not as it was written, was cut, or translates nothing gives no command."""
    assert randomise(found) == ()


def test_hostile_words() -> None:
    """What a file says is one word to the shell, whatever is in it."""
    hostile = step("ip nat POSTROUTING", '-A POSTROUTING -m comment --comment "$(id) `id`" -j MASQUERADE')

    assert "--comment '$(id) `id`'" in last(randomise(hostile))
    assert (
        last(remove(step("inet filter $(id)", "drop", handle=1)))
        == "nft delete rule inet filter '$(id)' handle 1"
    )


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (
            step("ip nat POSTROUTING", "-A POSTROUTING -o eth0 -p tcp -j MASQUERADE --to-ports 40000-40003"),
            "iptables -t nat -R POSTROUTING 3 -o eth0 -p tcp -j MASQUERADE --to-ports 1024-65535",
        ),
        (
            step("ip nat POSTROUTING", "-A POSTROUTING -j SNAT --to-source 192.0.2.10:40000-40003 --random"),
            "iptables -t nat -R POSTROUTING 3 -j SNAT --to-source 192.0.2.10:1024-65535 --random",
        ),
        (
            step("inet nat post", "meta l4proto tcp masquerade to :40000-40003 random", handle=7),
            "nft replace rule inet nat post handle 7 'meta l4proto tcp masquerade to :1024-65535 random'",
        ),
    ],
)
def test_a_range_of_ports(found: Step, command: str) -> None:
    """It is widened where it stands, and nothing is done to one that has every port."""
    assert last(widen(found)) == command
    assert widen(step("inet nat post", 'oifname "eth0" masquerade', handle=7)) == ()
    assert widen(step("inet nat post", "masquerade to :1024-65535", handle=7)) == ()


@pytest.mark.parametrize(
    ("chain", "command"),
    [
        (
            "ip filter FORWARD",
            "iptables -t filter -I FORWARD -p icmp -m conntrack --ctstate RELATED -j ACCEPT",
        ),
        (
            "inet filter output",
            "nft insert rule inet filter output ct state related meta l4proto icmp accept",
        ),
    ],
)
def test_errors_are_admitted_before_the_rule(chain: str, command: str) -> None:
    """They are let pass at the head of the base chain that stops them."""
    (made,) = admit_related(step(chain, "drop"), step(chain, "reject"), v6=False, sure=True)
    assert made.command == command


def test_before_conntrack_nothing_is_related() -> None:
    """There the rule that stops the errors is deleted."""
    early = replace(step("inet raw pre", "ip protocol icmp drop", handle=9), hook="prerouting")
    assert last(admit_related(early, v6=False, sure=True)) == "nft delete rule inet raw pre handle 9"
