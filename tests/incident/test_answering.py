"""What the node itself answers, and a rule drops: no capture shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.incident.node import LINKS
from tests.incident.test_deciding import in_vain, judged, told_of


@pytest.mark.parametrize(
    ("proto", "rule", "told"),
    [
        ("tcp", "tcp sport 9100 counter packets 4 bytes 240 drop", True),
        ("tcp", "tcp sport 9100 drop", True),
        ("tcp", "tcp sport 9100 counter packets 0 bytes 0 drop", False),
        ("tcp", "tcp dport 9100 counter packets 4 bytes 240 drop", False),
        ("udp", "udp sport 9100 counter packets 2 bytes 60 drop", True),
        ("udp", "udp sport 9100 drop", False),
        ("tcp", "tcp flags syn,ack / syn,ack drop", True),
        ("tcp", "tcp flags syn / syn,ack drop", False),
        ("tcp", 'oifname "cni0" ip saddr 10.244.0.1 ip daddr 10.244.0.11 drop', True),
        ("tcp", 'iifname "cni0" drop', False),
        ("icmp", "icmp type echo-reply counter packets 2 bytes 60 drop", True),
        ("icmp", "icmp type echo-request drop", False),
    ],
)
def test_an_answer_that_output_drops(proto: str, rule: str, told: bool, tmp_path: Path) -> None:
    """The node lets the request in and a rule drops what it answers; a datagram may have had no answer, unless that counted."""
    talk = in_vain("10.244.0.1:9100", proto, way="veth-a cni0")
    analysis = judged(tmp_path, talk, hook="output", rule=rule)
    kind = f"{proto.replace('tcp', 'syn')}-vanished"

    assert [(kind, "policy-drop", ("cni0", "eth0"), 2)] * told == told_of(analysis)
    for incident in analysis.incidents:
        assert incident.evidence[0].says.startswith("the node's answer to the ")


EXEMPTING = """table ip raw {{
	chain prerouting {{
		type filter hook prerouting priority -300; policy accept;
		ip daddr 169.254.20.10 {request}
	}}
	chain output {{
		type filter hook output priority -300; policy accept;
		ip saddr 169.254.20.10 {answer}
	}}
}}
table ip filter {{
	chain output {{
		type filter hook output priority 0; policy accept;
		oifname "cni0" ct state established,related accept
		oifname "cni0" {dropping} counter packets 3 bytes 180 drop
	}}
}}
"""


@pytest.mark.parametrize(
    ("proto", "request_", "answer", "dropping", "dropped"),
    [
        ("udp", "notrack", "notrack", "", True),
        ("tcp", "notrack", "notrack", "", True),
        ("udp", "counter", "counter", "", False),
        ("tcp", "counter", "counter", "", False),
        ("udp", "notrack", "counter", "ct state invalid", False),
        ("tcp", "notrack", "counter", "ct state invalid", True),
        ("tcp", "notrack", "notrack", "ct state invalid", False),
        ("tcp", "limit rate 1/second notrack", "counter", "", False),
    ],
)
def test_an_answer_that_is_not_tracked(
    proto: str, request_: str, answer: str, dropping: str, dropped: bool, tmp_path: Path
) -> None:
    """A node-local DNS cache is exempt from conntrack: to what lets only known connections in, its answers are new or INVALID."""
    rules = EXEMPTING.format(request=request_, answer=answer, dropping=dropping)
    address = LINKS + "    inet 169.254.20.10/32 scope global cni0\n"
    talk = in_vain("169.254.20.10:53", proto, way="veth-a cni0")
    analysis = judged(tmp_path, talk, **{"ip-addr": address, "nft-ruleset": rules})
    kind = "syn-vanished" if proto == "tcp" else "udp-vanished"

    assert [(kind, "policy-drop", ("cni0", "eth0"), 2)] * dropped == told_of(analysis)
