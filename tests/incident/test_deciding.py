"""What the captures leave open and rules or counters decide: packets to the node itself, replies, echoes, another bridge."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from tests.conversation import Conversation, record
from tests.incident.node import LINKS, known, told

RULES = "table ip f {{\n\tchain c {{\n\t\ttype filter hook {hook} priority 0; policy accept;\n\t\t{rule}\n\t}}\n}}\n"


def judged(
    folder: Path, *talks: Conversation, hook: str = "forward", rule: str = "", **files: str
) -> Analysis:
    """The analysis of these talks, with one rule and the node's interfaces in the bundle."""
    told(folder, **{"ip-addr": LINKS, "nft-ruleset": RULES.format(hook=hook, rule=rule), **files})
    return analyze(record(folder, *talks, known(), known("10.244.0.12", at=60)))


def in_vain(
    server: str, proto: str = "tcp", way: str = "veth-a cni0 | eth0", after: str = "cni0"
) -> Conversation:
    """A pod asks twice and is never answered."""
    talk = Conversation(pod="10.244.0.11:20000", server=server, proto=proto, way=way, nat="192.0.2.10:20000")
    for at in (0, 1):
        (talk.syn(at) if proto == "tcp" else talk.send("", b"asks", at=at)).lost_after(after)
    return talk


def told_of(analysis: Analysis) -> list[tuple[str, str, tuple[str, str] | None, int]]:
    """Kind, cause, gap and lost packets of every incident."""
    return [
        (i.kind, i.cause, i.gap, sum(int(str(f.facts["attempts_vanished"])) for f in i.findings))
        for i in analysis.incidents
    ]


def test_what_input_drops(tmp_path: Path) -> None:
    """A pod asks the node itself; a rule of INPUT drops that."""
    talk = in_vain("10.244.0.1:9100", way="veth-a cni0")
    analysis = judged(tmp_path, talk, hook="input", rule="tcp dport 9100 counter packets 2 bytes 120 drop")

    assert [("syn-vanished", "policy-drop", ("cni0", "eth0"), 2)] == told_of(analysis)
    assert "to this node itself" in analysis.incidents[0].summary


def test_what_input_accepts(tmp_path: Path) -> None:
    """Near miss: the rule is about another port, so nobody knows why the node did not answer."""
    talk = in_vain("10.244.0.1:9100", way="veth-a cni0")

    assert [] == told_of(
        judged(tmp_path, talk, hook="input", rule="tcp dport 22 counter packets 2 bytes 120 drop")
    )


def test_a_rule_that_drops_at_random(tmp_path: Path) -> None:
    """The walk cannot tell which packets it drops, but nothing else on their way drops any."""
    rule = "tcp dport 8080 numgen inc mod 2 0 counter packets 2 bytes 120 drop"
    (one,) = told_of(judged(tmp_path, in_vain("192.0.2.100:8080"), rule=rule))

    assert ("syn-vanished", "policy-drop", ("cni0", "eth0"), 2) == one


def test_a_random_rule_that_counted_nothing(tmp_path: Path) -> None:
    """Near miss: it dropped none."""
    rule = "tcp dport 8080 numgen inc mod 2 0 counter packets 0 bytes 0 drop"

    assert {"unknown"} == {
        cause for _, cause, _, _ in told_of(judged(tmp_path, in_vain("192.0.2.100:8080"), rule=rule))
    }


def test_echoes_that_a_rule_drops(tmp_path: Path) -> None:
    """The uplink is silent from then on: what a rule drops for certain is lost all the same."""
    talk = Conversation(pod="10.244.0.11:77", server="192.0.2.100:77", proto="icmp", nat="192.0.2.10:77")
    for at in (100, 101, 102):
        talk.send("", b"echo", at=at).lost_after("cni0")
    analysis = judged(tmp_path, talk, rule="icmp type echo-request counter packets 3 bytes 252 drop")

    assert [("icmp-vanished", "policy-drop", ("cni0", "eth0"), 3)] == told_of(analysis)


def test_between_two_bridges(tmp_path: Path) -> None:
    """The route leads to another bridge, where the requests never show."""
    other = Conversation(
        pod="10.245.0.9:30000",
        server="198.51.100.78:443",
        way="veth-b docker0 | eth0",
        nat="192.0.2.10:39000",
        isn=9_000_000,
    )
    for at in (-4, 61):
        other.syn(at)
        other.accept(at + 0.1)
    routes = "default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev cni0 scope link\n10.245.0.0/24 dev docker0 scope link\n"
    analysis = judged(
        tmp_path,
        in_vain("10.245.0.9:80"),
        other,
        rule='iifname "cni0" oifname "docker0" counter packets 2 bytes 120 drop',
        **{"ip-route": routes},
    )

    assert [("syn-vanished", "policy-drop", ("cni0", "docker0"), 2)] == told_of(analysis)
