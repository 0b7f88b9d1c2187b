"""Rules of a bridge: what they drop between its ports, and between a port and the bridge itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import connection, judged, vanishing
from tests.incident.node import LINKS, told

RULES = """table bridge guard {{ # handle 1
	chain one {{ # handle 1
		type filter hook {hook} priority filter; policy accept;
		{rule} # handle 2
	}}
}}
"""


def analysed(folder: Path, hook: str, rule: str, lost: Conversation) -> Analysis:
    """A loss among connections that work, and the rules of the bridge."""
    record(folder, lost, bystander(0), bystander(9))
    (folder / "nft-ruleset.txt").write_text(RULES.format(hook=hook, rule=rule))
    return analyze(folder)


@pytest.mark.parametrize(
    ("hook", "port", "cause"),
    [("input", 80, "policy-drop"), ("input", 81, "unknown"), ("forward", 80, "unknown")],
)
def test_from_a_port_to_the_bridge(tmp_path: Path, hook: str, port: int, cause: str) -> None:
    """What is to be routed meets the input hook of the bridge's rules, and no other port's."""
    talk = Conversation(pod="10.244.0.99:20000", server="192.0.2.100:80", way="veth-z cni0 | eth0", isn=7)
    talk.syn(1).lost_after("veth-z")
    analysis = analysed(tmp_path, hook, f"tcp dport {port} counter packets 1 bytes 60 drop", talk)

    assert [(("veth-z", "cni0"), cause)] == [(i.gap, i.cause) for i in analysis.incidents]


@pytest.mark.parametrize(("device", "cause"), [("veth-z", "policy-drop"), ("veth-y", "unknown")])
def test_as_it_comes_in_at_a_port(tmp_path: Path, device: str, cause: str) -> None:
    """The ingress hook of the port's own device comes first; that of another port is not asked."""
    talk = Conversation(pod="10.244.0.99:20000", server="192.0.2.100:80", way="veth-z cni0 | eth0", isn=7)
    talk.syn(1).lost_after("veth-z")
    record(tmp_path, talk, bystander(0), bystander(9))
    (tmp_path / "nft-ruleset.txt").write_text(
        "table netdev guard {\n\tchain one {\n"
        f'\t\ttype filter hook ingress device "{device}" priority filter; policy accept;\n'
        "\t\ttcp dport 80 counter packets 1 bytes 60 drop\n\t}\n}\n"
    )

    assert [(("veth-z", "cni0"), cause)] == [(i.gap, i.cause) for i in analyze(tmp_path).incidents]


def test_down_from_the_bridge(tmp_path: Path) -> None:
    """A reply that was routed meets the output hook."""
    talk = Conversation(
        pod="10.244.0.99:20000",
        server="192.0.2.100:80",
        nat="192.0.2.10:20000",
        way="veth-z cni0 | eth0",
        isn=7,
    )
    talk.syn(1)
    for at in (1.1, 2.1):
        talk.synack(at).lost_after("cni0")
    rule = 'oifname "veth-z" tcp sport 80 counter packets 2 bytes 60 drop'

    assert [("reply-vanished", "policy-drop")] == [
        (i.kind, i.cause) for i in analysed(tmp_path, "output", rule, talk).incidents
    ]


ISOLATED = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -o br-b -j DROP
-A FORWARD -i cni0 ! -o cni0 -j ACCEPT
COMMIT
"""
ROUTES = """default via 192.0.2.1 dev eth0
10.244.0.0/24 dev cni0 scope link
192.0.2.0/24 dev eth0 scope link
{} dev br-b scope link
"""


@pytest.mark.parametrize(
    ("network", "expected"), [("172.19.0.0/16", [("policy-drop", "proven")]), ("172.20.0.0/16", [])]
)
def test_another_bridge_that_was_not_captured(
    tmp_path: Path, network: str, expected: list[tuple[str, str]]
) -> None:
    """The routes lead there, so the rule that asks for that bridge is the one; not where they lead it out of the node."""
    told(tmp_path, **{"ip-addr": LINKS, "iptables-save": ISOLATED, "ip-route": ROUTES.format(network)})
    talk = vanishing(connection(server="172.19.0.3:5432", nat=None), 0, 1, 3)
    found = [(one.cause, one.confidence) for one in judged(tmp_path, talk).incidents]

    assert expected == [one for one in found if one[0] == "policy-drop"]
