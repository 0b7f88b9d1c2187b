"""Which flows of a pod's interface are another pod's."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.capture.points import Recording
from tests.conversation import Conversation, record


def _out(pod: str, number: int, port: int) -> Conversation:
    return Conversation(
        pod=f"10.244.0.{number}:{port}",
        server="198.51.100.7:443",
        nat=f"192.0.2.10:{port}",
        way=f"veth-{pod} cni0 | eth0",
        isn=port * 1000,
    )


def _heard(analysis: Analysis, point: str) -> list[int]:
    """Source ports of the flows that a point only overheard."""
    assert analysis.scene is not None
    found: Recording = next(p.recording for p in analysis.scene.points if p.name == point)
    return sorted((found.flows.ports >> 16)[analysis.scene.node.overheard[point]].tolist())


@pytest.mark.parametrize(("side", "expected"), [("replies", [20001]), ("both", [])])
def test_what_a_bridge_floods(side: str, expected: list[int], tmp_path: Path) -> None:
    """Replies alone, to another pod's station; not what this one takes part in, nor what it sends."""
    own, others = _out("a", 11, 20000), _out("b", 12, 20001)
    for talk in (own, others):
        talk.syn(0)
        talk.accept()
    flooded = _out("a", 12, 20001)
    if side == "both":
        flooded.syn(0)
    flooded.accept() if side == "both" else flooded.send("SA", by_pod=False, at=0.1)
    for packet in flooded.sent:
        packet.only_at("veth-a")
    analysis = analyze(record(tmp_path, own, others, flooded))

    assert expected == _heard(analysis, "veth-a")
    assert [] == _heard(analysis, "veth-b")
