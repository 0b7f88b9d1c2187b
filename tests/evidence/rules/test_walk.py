"""A packet's way through rules: what is told, and what is not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.files import EvidenceFile
from analyzer.evidence import collect
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.rules.walk import walk
from tests.evidence.rules.texts import forward, iptables, nft, packet

FIXTURES = Path(__file__).parents[3] / "fixtures"
NAT = """:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:SERVICES - [0:0]
:SVC - [0:0]
:SEP-A - [0:0]
:SEP-B - [0:0]
:MARK-MASQ - [0:0]
:POST - [0:0]
-A PREROUTING -j SERVICES
-A POSTROUTING -j POST
-A SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j SVC
-A SERVICES -d 10.96.0.11/32 -p tcp -m tcp --dport 80 -j SEP-A
-A SVC ! -s 10.244.0.0/16 -j MARK-MASQ
-A SVC -m statistic --mode random --probability 0.5 -j SEP-A
-A SVC -j SEP-B
-A SEP-A -s 10.244.0.2/32 -j MARK-MASQ
-A SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.0.2:8080
-A SEP-B -p tcp -m tcp -j DNAT --to-destination 10.244.0.3:8080
-A MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A POST -m mark ! --mark 0x4000/0x4000 -j RETURN
-A POST -j MARK --set-xmark 0x4000/0x0
-A POST -j MASQUERADE --random-fully"""
FILTER = """:FORWARD DROP [0:0]
-A FORWARD -d 10.244.0.2/32 -p tcp -m tcp --dport 8080 -j ACCEPT
-A FORWARD -o eth0 -j ACCEPT"""
KUBE = {"nat": NAT, "filter": FILTER}


def _bytes(path: Path) -> BinaryIO:
    return path.open("rb", buffering=0)


def told(ruleset: Ruleset, **about: object) -> tuple[str, str]:
    """Walk a packet and give the verdict with the rule that decided."""
    steps = walk(ruleset, packet(**about))  # type: ignore[arg-type] # as packet takes them
    return steps.verdict, steps.end.text if steps.end else ""


def test_dropping_rule() -> None:
    """The rule that drops is named, with its counter."""
    ruleset = forward("ct state established,related accept", "tcp dport 25 counter packets 7 bytes 420 drop")
    steps = walk(ruleset, packet(25))
    assert "drop" == steps.verdict
    assert steps.end is not None
    assert steps.end.rule is not None
    assert ("ip t f: tcp dport 25 counter drop", 7) == (steps.end.text, steps.end.rule.packets)
    assert ("forward", "ip t f") == (steps.end.hook, steps.end.chain.label)
    assert ("accept", "") == told(ruleset, dport=80)
    assert "accept" == walk(ruleset, packet(25, state="established")).verdict


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ("policy-drop", "inet filter pods: tcp dport 8080 counter drop"),
        ("policy-drop-iptables", "ip filter PODS: -A PODS -p tcp -m tcp --dport 8080 -j DROP"),
    ],
)
def test_recorded_rules(case: str, rule: str) -> None:
    """In the recorded rulesets the rule is named that really dropped, as often as it counted."""
    folder = FIXTURES / case
    files = [
        EvidenceFile(label=path.name, source=partial(_bytes, path), size=path.stat().st_size)
        for path in sorted(folder.glob("*.txt"))
    ]
    (ruleset,) = collect(files).rules
    steps = walk(ruleset, packet(8080))
    assert ("drop", ()) == (steps.verdict, steps.doubts)
    assert steps.end is not None
    assert steps.end.rule is not None
    assert (rule, 64) == (steps.end.text, steps.end.rule.packets)
    other = walk(ruleset, packet(80))
    assert "accept" == other.verdict
    assert other.source_nat is not None
    assert 'inet nat postrouting: oifname "eth0" masquerade' == other.source_nat.text


def test_policy() -> None:
    """Where no rule decides the policy does."""
    assert ("drop", "ip t f: policy drop") == told(forward("tcp dport 80 counter", policy="drop"))
    assert ("reject", "ip t f: reject with tcp reset") == told(forward("reject with tcp reset"))


def test_jump_goto_return() -> None:
    """A jump comes back, a goto does not."""
    more = "chain sub {\ntcp dport 80 return\ndrop\n}"
    assert ("drop", "ip t f: tcp dport 80 drop") == told(forward("jump sub", "tcp dport 80 drop", more=more))
    assert ("accept", "") == told(forward("goto sub", "tcp dport 80 drop", more=more))
    assert ("drop", "ip t sub: drop") == told(forward("goto sub", more=more), dport=81)
    assert "cannot-tell" == walk(forward("jump gone"), packet()).verdict


def test_accept_ends_one_base_chain() -> None:
    """A later base chain of the same hook may still drop."""
    chains = "chain {0} {{\ntype filter hook forward priority {1}; policy accept;\n{2}\n}}\n"
    ruleset = nft(chains.format("late", "5", "drop") + chains.format("early", "-5", "accept"))
    assert ("drop", "ip t late: drop") == told(ruleset)


def test_other_family() -> None:
    """Rules of IPv6 do not touch IPv4."""
    ruleset = nft("chain f {\ntype filter hook forward priority 0; policy drop;\n}", family="ip6")
    assert ("accept", "") == told(ruleset)
    assert "drop" == walk(ruleset, packet(src="fd00:10:244::b", dst="2001:db8::100")).verdict


def test_hooks() -> None:
    """The interfaces say which hooks a packet passes."""
    chain = "chain {0} {{\ntype filter hook {0} priority 0; policy accept;\ncounter packets 0 bytes 0\n}}\n"
    ruleset = nft(
        "".join(chain.format(h) for h in ("prerouting", "input", "forward", "output", "postrouting"))
    )
    for about, hooks in (
        ({}, ["prerouting", "forward", "postrouting"]),
        ({"oif": None}, ["prerouting", "input"]),
        ({"iif": None}, ["output", "postrouting"]),
    ):
        assert hooks == [step.hook for step in walk(ruleset, packet(**about)).steps]


def test_doubt_that_decides() -> None:
    """With a condition that nobody can tell in between there is no verdict, and the doubtful rule is named."""
    steps = walk(forward("limit rate 5/second accept", "drop"), packet())
    assert ("cannot-tell", ["ip t f: limit rate 5/second accept"]) == (
        steps.verdict,
        [d.text for d in steps.doubts],
    )
    assert steps.end is not None
    assert "ip t f: drop" == steps.end.text


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (("limit rate 5/second drop", "drop"), "drop"),
        (("limit rate 5/second log prefix \"x\"", "drop"), "drop"),
        (("limit rate 5/second accept",), "accept"),
        (("limit rate 5/second drop",), "cannot-tell"),
        (("limit rate 5/second return", "drop"), "cannot-tell"),
        (("limit rate 5/second jump sub", "accept"), "cannot-tell"),
        (("limit rate 5/second jump sub", "drop"), "drop"),
        (("limit rate 5/second goto back", "drop"), "cannot-tell"),
        (("jump maybe", "drop"), "cannot-tell"),
        (("jump maybe", "accept"), "accept"),
        (("tcp dport 81 limit rate 5/second drop",), "accept"),
        (("numgen random mod 2 vmap { 0 : drop, 1 : accept }",), "cannot-tell"),
        (("numgen random mod 2 vmap { 0 : drop, 1 : drop }", "drop"), "drop"),
        (("limit rate 5/second meta mark set 0x1", "meta mark 0x1 drop"), "cannot-tell"),
        (("xt target \"X\"", "drop"), "cannot-tell"),
        (("queue to 1",), "cannot-tell"),
        (("meta skuid 0 drop", "ip saddr 10.9.9.9 drop", "accept"), "cannot-tell"),
    ],
)  # fmt: skip
def test_doubts(rules: tuple[str, ...], verdict: str) -> None:
    """A doubtful rule matters only where it would change the verdict."""
    more = (
        "chain sub {\ndrop\n}\nchain back {\ncounter packets 0 bytes 0\n}\n"
        "chain maybe {\nlimit rate 5/second return\naccept\n}"
    )
    assert verdict == walk(forward(*rules, more=more), packet()).verdict


def test_doubt_in_one_chain_and_drop_in_the_next() -> None:
    """Whether an accept of an earlier chain was doubtful does not matter where a later one drops."""
    chains = "chain {0} {{\ntype filter hook forward priority {1}; policy accept;\n{2}\n}}\n"
    ruleset = nft(chains.format("a", "-5", "limit rate 5/second accept") + chains.format("b", "5", "drop"))
    assert ("drop", "ip t b: drop") == told(ruleset)


def test_what_is_not_known_of_the_packet() -> None:
    """A rule that asks for it is doubtful."""
    assert "cannot-tell" == walk(forward("ct state new drop"), packet(state=None)).verdict
    assert "cannot-tell" == walk(forward("fib daddr type local drop"), packet()).verdict
    assert "accept" == walk(forward("fib daddr type local drop"), packet(), local=["192.0.2.10"]).verdict
    assert "drop" == walk(forward("fib daddr type local drop"), packet(), local=["192.0.2.100"]).verdict
    assert "cannot-tell" == walk(forward("tcp flags syn drop"), packet(tcp_flags=None)).verdict
    physdev = iptables(filter=":FORWARD ACCEPT [0:0]\n-A FORWARD -m physdev ! --physdev-in veth-a -j DROP")
    for port, verdict in ((None, "cannot-tell"), ("", "drop"), ("veth-b", "drop"), ("veth-a", "accept")):
        assert verdict == walk(physdev, packet(physin=port)).verdict


def test_what_the_packet_has_not() -> None:
    """A port of ICMP, an interface that there is none of: a comparison fails, negated or not."""
    for rule in ("th dport 80 drop", "th dport != 80 drop"):
        assert "accept" == walk(forward(rule), packet(proto="icmp", sport=None, dport=None)).verdict
    chain = "chain p {{\ntype filter hook prerouting priority 0; policy accept;\noifname {0} drop\n}}"
    for value in ('"eth0"', '!= "eth0"'):
        assert "accept" == walk(nft(chain.format(value)), packet()).verdict


def test_source_nat() -> None:
    """The MASQUERADE that a connection gets is named with its flags."""
    ruleset = nft(
        'chain p {\ntype nat hook postrouting priority srcnat; policy accept;\noifname != "eth0" accept\n'
        "ip saddr 10.244.0.0/16 masquerade random\nmasquerade fully-random\n}"
    )
    steps = walk(ruleset, packet())
    assert steps.source_nat is not None
    assert (frozenset({"random"}), "masquerade") == (steps.source_nat.flags, steps.source_nat.action)
    assert walk(ruleset, packet(state="established")).source_nat is None
    other = walk(ruleset, packet(src="10.9.0.1")).source_nat
    assert other is not None
    assert frozenset({"fully-random"}) == other.flags


def test_destination_nat_shows_in_later_hooks() -> None:
    """What forward compares is the address after DNAT; a mark set there is seen in postrouting."""
    ruleset = iptables(**KUBE)
    steps = walk(ruleset, packet(dst="10.96.0.11", src="10.244.0.2"))
    assert steps.destination_nat is not None
    assert (
        "ip nat SEP-A: -A SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.0.2:8080"
        == steps.destination_nat.text
    )
    assert "accept" == steps.verdict
    assert steps.source_nat is not None
    assert frozenset({"fully-random"}) == steps.source_nat.flags
    assert walk(ruleset, packet(dst="10.96.0.11")).source_nat is None


def test_destination_nat_by_chance() -> None:
    """With two endpoints by chance nobody knows the new address, and rules that ask for it are doubtful."""
    steps = walk(iptables(**KUBE), packet(dst="10.96.0.10", oif="cni0"))
    assert "cannot-tell" == steps.verdict
    assert ["dnat"] == [doubt.action for doubt in steps.nat_doubts]
    assert "accept" == walk(iptables(**KUBE), packet(dst="10.96.0.10")).verdict


def test_status() -> None:
    """An entry counts as translated only where the address or port changed."""
    chains = (
        "chain p {{\ntype nat hook prerouting priority dstnat; policy accept;\ntcp dport 80 dnat to {0}\n}}\n"
        "chain f {{\ntype filter hook forward priority filter; policy accept;\nct status dnat drop\n}}"
    )
    assert "drop" == walk(nft(chains.format("192.0.2.101")), packet()).verdict
    assert "drop" == walk(nft(chains.format("192.0.2.100:81")), packet()).verdict
    assert "accept" == walk(nft(chains.format("192.0.2.100:80")), packet()).verdict
    assert "cannot-tell" == walk(nft(chains.format("192.0.2.101-192.0.2.109")), packet()).verdict


def test_notrack() -> None:
    """Untracked packets are not translated."""
    ruleset = iptables(
        raw=":PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 10.244.0.0/16 -j CT --notrack",
        nat=":POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE",
        filter=":FORWARD ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate UNTRACKED -j DROP",
    )
    assert "drop" == walk(ruleset, packet()).verdict
    assert walk(ruleset, packet()).source_nat is None
    assert walk(ruleset, packet(src="10.9.0.1")).source_nat is not None


def test_cut_rules() -> None:
    """From rules that are cut short a drop is certain, an accept is not."""
    whole = forward("tcp dport 25 drop")
    cut = Ruleset(file="a", source="nft", chains=whole.chains, complete=False)
    assert ("drop", "cannot-tell") == (walk(cut, packet(25)).verdict, walk(cut, packet(80)).verdict)


def test_ingress() -> None:
    """A netdev chain concerns its device only."""
    chain = 'chain i {\ntype filter hook ingress device "eth1" priority -500; policy accept;\ndrop\n}'
    assert "accept" == walk(nft(chain, family="netdev"), packet()).verdict
    assert "drop" == walk(nft(chain, family="netdev"), packet(iif="eth1")).verdict


def test_bridge_chains_are_told() -> None:
    """Chains of the bridge family are not on the way of what is routed, and it is said."""
    chain = "chain f {\ntype filter hook forward priority 0; policy drop;\n}"
    steps = walk(nft(chain, family="bridge"), packet())
    assert (("bridge t f",), "accept") == (steps.unwalked, steps.verdict)


@pytest.mark.parametrize(
    ("hook", "ports", "verdict"),
    [
        ("forward", {"iif": "veth-a", "oif": "veth-b"}, "drop"),
        ("forward", {"iif": "veth-a", "oif": None}, "accept"),
        ("input", {"iif": "veth-a", "oif": None}, "drop"),
        ("input", {"iif": "veth-a", "oif": "veth-b"}, "accept"),
        ("output", {"iif": None, "oif": "veth-a"}, "drop"),
    ],
)
def test_through_a_bridge(hook: str, ports: dict[str, str | None], verdict: str) -> None:
    """From port to port, up to the bridge itself, or down from it, each meets its own hooks; no chain of IP is asked."""
    rules = nft(f"chain f {{\ntype filter hook {hook} priority 0; policy drop;\n}}", family="bridge")
    assert verdict == walk(rules, packet(**ports), bridge=True).verdict
    assert (
        "accept"
        == walk(
            nft("chain f {\ntype filter hook forward priority 0; policy drop;\n}"), packet(), bridge=True
        ).verdict
    )


def test_chains_without_end() -> None:
    """Chains that jump into each other, or twice each, end."""
    assert (
        "cannot-tell"
        == walk(forward("jump a", more="chain a {\njump b\n}\nchain b {\njump a\n}"), packet()).verdict
    )
    twice = "\n".join(f"chain c{n} {{\njump c{n + 1}\njump c{n + 1}\n}}" for n in range(40))
    assert (
        "cannot-tell"
        == walk(
            forward("jump c0", more=f"{twice}\nchain c40 {{\ncounter packets 0 bytes 0\n}}"), packet()
        ).verdict
    )


RULES = st.sampled_from(
    ["drop", "accept", "limit rate 1/second accept", "limit rate 1/second return", "tcp dport 80 return", "jump a", "goto b",
     "limit rate 1/second jump b", "jump gone", "tcp dport 81 drop", "limit rate 1/second drop", "meta mark set 0x1",
     "numgen random mod 2 vmap { 0 : jump a, 1 : goto b }"]
)  # fmt: skip
LINES = st.lists(RULES, max_size=4)


@given(
    LINES,
    LINES,
    LINES,
    st.sampled_from(["accept", "drop"]),
    st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_no_verdict_is_wrong(
    f: list[str], a: list[str], b: list[str], policy: str, coins: list[bool]
) -> None:
    """However the doubtful conditions fall, a verdict that was given holds."""
    more = "chain a {\n" + "\n".join(r for r in a if r[-1] not in "ab}") + "\n}\nchain b {\n"
    more += "\n".join(r for r in b if r != "goto b" and "b" not in r.split() and not r.endswith("}")) + "\n}"
    ruleset = forward(*f, policy=policy, more=more)
    verdict = walk(ruleset, packet()).verdict
    if verdict != "cannot-tell":
        assert verdict == _played(ruleset, iter(coins))


def _played(ruleset: Ruleset, coins: object) -> str:
    """Walk plainly, with a coin for each condition that is not understood."""
    chains = {chain.name: chain for chain in ruleset.chains}

    def toss() -> bool:
        return bool(next(coins, False))  # type: ignore[call-overload]

    def run(name: str) -> str:
        for rule in chains[name].rules:
            known = [m for m in rule.matches if m.fields]
            holds = not any("dport" in m.fields and m.among[0][0][0] != 80 for m in known)
            if not holds or not all(toss() for m in rule.matches if not m.fields):
                continue
            for action in rule.actions:
                if action.kind == "choose":
                    action = action.choices[toss()][1]
                if action.kind in ("accept", "drop"):
                    return action.kind
                if action.kind == "return":
                    return ""
                if action.kind in ("jump", "goto") and action.target in chains:
                    said = run(action.target)
                    if said or action.kind == "goto":
                        return said
        return ""

    return run("f") or chains["f"].policy


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (
            "-A FORWARD -d 10.244.0.0/16 -p tcp -m tcp --dport 8080 -j REJECT --reject-with icmp-port-unreachable",
            "reject",
        ),
        ("-A FORWARD -d 10.244.0.2/32 -j REJECT --reject-with icmp-port-unreachable", "cannot-tell"),
        ("-A FORWARD -d 10.96.0.0/16 -j REJECT --reject-with icmp-port-unreachable", "accept"),
    ],
)
def test_endpoints_chosen_at_random(rule: str, verdict: str) -> None:
    """A rule that concerns every endpoint decides, whichever was chosen; one that concerns some does not."""
    ruleset = iptables(nat=NAT, filter=f":FORWARD ACCEPT [0:0]\n{rule}")
    steps = walk(ruleset, packet(80, dst="10.96.0.10", oif="cni0", iif="cni0"))
    assert (verdict, ()) == (steps.verdict, () if verdict != "accept" else steps.doubts)


def test_a_port_of_its_own_at_random() -> None:
    """An endpoint that only changes the port keeps the address."""
    nat = (
        ":PREROUTING ACCEPT [0:0]\n-A PREROUTING -m statistic --mode random --probability 0.5 -j DNAT --to-destination :81\n"
        "-A PREROUTING -j DNAT --to-destination :82"
    )
    for ports, verdict in (("81:82", "drop"), ("82", "cannot-tell"), ("80", "accept")):
        ruleset = iptables(
            nat=nat,
            filter=f":FORWARD ACCEPT [0:0]\n-A FORWARD -d 192.0.2.100 -p tcp -m tcp --dport {ports} -j DROP",
        )
        assert verdict == walk(ruleset, packet()).verdict


def test_an_accept_that_may_pass_a_translation_by() -> None:
    """Then the packet may have kept its destination."""
    nat = (
        ":PREROUTING ACCEPT [0:0]\n-A PREROUTING -m statistic --mode random --probability 0.5 -j ACCEPT\n"
        "-A PREROUTING -j DNAT --to-destination 10.0.0.1"
    )
    for net, verdict in (
        ("10.0.0.1", "cannot-tell"),
        ("192.0.2.100", "cannot-tell"),
        ("192.0.2.101", "accept"),
    ):
        ruleset = iptables(nat=nat, filter=f":FORWARD ACCEPT [0:0]\n-A FORWARD -d {net} -j DROP")
        assert verdict == walk(ruleset, packet()).verdict
