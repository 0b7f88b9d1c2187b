"""What the node itself answers, and a rule drops: no capture shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    ],
)
def test_an_answer_that_output_drops(proto: str, rule: str, told: bool, tmp_path: Path) -> None:
    """The node lets the request in and a rule drops what it answers; a datagram may have had no answer, unless that counted."""
    talk = in_vain("10.244.0.1:9100", proto, way="veth-a cni0")
    analysis = judged(tmp_path, talk, hook="output", rule=rule)
    kind = "syn-vanished" if proto == "tcp" else "udp-vanished"

    assert [(kind, "policy-drop", ("cni0", "eth0"), 2)] * told == told_of(analysis)
    for incident in analysis.incidents:
        assert incident.evidence[0].says.startswith("the node's answer to the ")
