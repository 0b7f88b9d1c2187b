"""A pod that nobody answers its ARP requests: it can send nothing, so that no connection shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis
from analyzer.report.verdict import headline
from tests.connection.reasons import inbound, judged, opens
from tests.connection.told import out
from tests.conversation import _mac
from tests.incident.evidence import Frames
from tests.incident.node import LINKS, told

MAC = "02:00:00:00:00:11"
VAIN = "All 2 connections worked, but a pod can send nothing, since nobody answers its requests for a link-layer address"


def asks(whom: str, *times: float, by: str = "10.244.0.11", answered: bool = False, mac: str = MAC) -> Frames:
    """Requests of the pod at its own interface, and at the bridge behind it."""
    frames = Frames()
    for point in ("veth-a", "cni0"):
        frames.asks(whom, *times, by=by, mac=mac, answered=answered, point=point)
    return frames


def said(analysis: Analysis) -> str:
    """The heading."""
    return headline(analysis)


@pytest.mark.parametrize(
    ("whom", "times", "by", "vain"),
    [
        ("10.244.0.1", (1, 2, 3), "10.244.0.11", True),
        ("10.244.0.1", (1, 2), "10.244.0.11", False),
        ("10.244.0.99", (1, 2, 3), "10.244.0.11", True),
        ("10.244.0.77", (1, 2, 3), "10.244.0.11", True),
        ("10.244.0.1", (1, 2, 3), "10.244.0.1", False),
    ],
    ids=["the node", "twice only", "another pod", "somebody who never was there", "for his own"],
)
def test_the_node_does_not_answer(
    whom: str, times: tuple[float, ...], by: str, vain: bool, tmp_path: Path
) -> None:
    """Three requests for the node's address, or another pod's, without an answer: nothing can leave."""
    told(tmp_path, **{"ip-addr": LINKS})
    analysis = judged(tmp_path, asks(whom, *times, by=by))

    assert (VAIN if vain else "No incident: all 2 connections worked") == said(analysis)
    assert vain == (
        f"10.244.0.11 can send nothing to {whom}: from frame 1 of veth-a on" in (analysis.inconclusive or "")
    )


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize(("whom", "by"), [("169.254.1.1", "10.244.0.11"), ("fd00::1", "fd00::11")])
def test_one_that_answered_before(whom: str, by: str, later: bool, tmp_path: Path) -> None:
    """A proxy's address is nobody's own: that it answered shows that it should. An answer that comes at last is one."""
    frames = asks(whom, 0, by=by, answered=True), asks(whom, 1, 2, 3, by=by)
    analysis = judged(tmp_path, *frames, *[asks(whom, 4, by=by, answered=True)] * later)

    assert ("No incident: all 2 connections worked" if later else VAIN) == said(analysis)


def test_a_pod_that_cannot_answer(tmp_path: Path) -> None:
    """Requests get to a pod that asks for its gateway in vain: that it does not answer may be this node's doing."""
    for name in ("alone", "both"):
        told(tmp_path / name, **{"ip-addr": LINKS})
    talk = opens(inbound(), 0, 1, 3)
    alone = judged(tmp_path / "alone", talk).account
    both = judged(tmp_path / "both", talk, asks("10.244.0.1", 0.1, 1.1, 2.1)).account

    assert (1, 0) == (alone.outside, alone.unknown)
    assert (0, {"station": 1}) == (both.outside, both.why_unknown)


@pytest.mark.parametrize(("at", "vain"), [(0, True), (4, False)], ids=["before", "later"])
def test_a_pod_that_sends_something_else(at: float, vain: bool, tmp_path: Path) -> None:
    """It asks for somebody who never was there, a wrong gateway say: nothing leaves, unless its other packets do."""
    other = out(pod="10.244.0.11:21000", nat="192.0.2.10:21000", isn=5)
    other.syn(at)
    other.accept()
    analysis = judged(tmp_path, other, asks("10.244.0.254", 1, 2, 3, mac=_mac(other.pod)))

    assert vain == said(analysis).endswith(VAIN.partition(", but")[2])
