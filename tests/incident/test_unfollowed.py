"""Transport protocols that are not followed: that nobody answers them is said all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from analyzer.report.verdict import headline
from tests.connection.reasons import judged
from tests.conversation import BRIDGE
from tests.incident.evidence import Frames

SAID = "All 2 connections worked, but packets of a protocol that is not followed got no reply"


def packets(*sent: bool, proto: int = 132, server: str = "198.51.100.6", point: str = "cni0") -> Frames:
    """What a pod sends (True) and a server answers."""
    ends = ("10.244.0.11", "02:00:00:00:00:11"), (server, BRIDGE)
    frames = Frames()
    for at, by_pod in enumerate(sent):
        (src, mac), (dst, to) = ends if by_pod else ends[::-1]
        frame = (
            Ether(src=mac, dst=to) / IP(src=src, dst=dst, proto=proto) / Raw(b"\x4e\x20\x96\x0c" + bytes(28))
        )
        frames.heard.append((point, at, frame))
    return frames


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([packets(True, True)], SAID),
        ([packets(True, True, proto=33)], SAID),
        ([packets(True)], "No incident: all 2 connections worked"),
        ([packets(True, False)], "No incident: all 2 connections worked"),
        ([packets(True, True, proto=47)], "No incident: all 2 connections worked"),
        ([packets(True, True), packets(True, False, point="eth0")], "No incident: all 2 connections worked"),
        (
            [packets(True, True), packets(True, False, server="198.51.100.7")],
            SAID,
        ),
    ],
    ids=["SCTP", "DCCP", "once", "answered", "a tunnel", "answered elsewhere", "another peer answers"],
)
def test_nobody_answers(sent: list[Frames], expected: str, tmp_path: Path) -> None:
    """In the heading, unless there is one packet only, no handshake, or an answer of the same peer."""
    analysis = judged(tmp_path, *sent)

    assert expected == headline(analysis)
    assert (expected == SAID) == (
        "SCTP is not followed" in str(analysis.inconclusive) or "DCCP" in str(analysis.inconclusive)
    )
