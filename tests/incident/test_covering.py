"""How much of each gap was recorded, and what stays open because of that."""

from __future__ import annotations

from pathlib import Path

from analyzer import analyze
from tests.conversation import Conversation, bystander, record


def test_an_uplink_that_ended(tmp_path: Path) -> None:
    """SYNs after the uplink's last packet stay open: how long it recorded, how many, and which connections."""
    talks = []
    for n in range(4):
        talk = Conversation(
            pod=f"10.244.0.11:{40_000 + n}", server="198.51.100.61:443", nat=f"192.0.2.10:{40_000 + n}"
        )
        for wait in (0, 1, 3):
            talk.syn(10 + n + wait).lost_after("cni0")
        talks.append(talk)
    analysis = analyze(record(tmp_path, bystander(0), *talks))

    assert 4 == analysis.account.open
    (one,) = [each for each in analysis.coverage if each.point == "eth0"]
    assert ("cni0", "eth0") == one.gap
    assert 12 == one.open
    assert one.open < one.packets
    assert one.recorded < one.whole / 10
    assert {"not-recording": 12} == one.why
    assert 4 == len(analysis.untold)
    first = analysis.untold[0]
    assert ("10.244.0.11:40000 > 198.51.100.61:443/tcp", "timed-out", "not-recording") == (
        first.connection,
        first.outcome,
        first.why,
    )


def test_nothing_open(tmp_path: Path) -> None:
    """Where everything can be told there is nothing to cover."""
    analysis = analyze(record(tmp_path, bystander(0), bystander(9)))

    assert () == analysis.coverage
    assert () == analysis.untold
