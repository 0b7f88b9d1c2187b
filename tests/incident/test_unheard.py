"""Addresses that the node asks for in vain, at one point, or by its own word."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.incident.unheard import asked_in_vain, failed
from tests.conversation import BRIDGE
from tests.incident.evidence import Frames, judged

OLD, OLD6 = "10.88.0.5", "2001:db8:1::55"


def said(folder: Path, frames: Frames, target: str) -> str:
    """What is said of a target; nothing is empty."""
    scene = judged(folder, frames).scene
    assert scene is not None
    point = next(p for p in scene.points if p.name == "cni0")
    found = asked_in_vain(point, target, scene)
    return found.says if found else ""


def test_asked_in_vain(tmp_path: Path) -> None:
    """How often, and where."""
    frames = Frames().asks(OLD, 1, 2, by="10.88.0.1", mac=BRIDGE, point="cni0")

    assert f"cni0 sent 2 ARP/ND requests for {OLD}, no reply" == said(tmp_path, frames, OLD)


@pytest.mark.parametrize(
    "frames",
    [
        Frames().asks(OLD, 1, by="10.88.0.1", point="cni0"),
        Frames().asks(OLD, 1, 2, by="10.88.0.1", point="cni0", answered=True),
        Frames().asks(OLD, 1, 2, by="10.88.0.1", point="eth0"),
        Frames().asks("10.88.0.6", 1, 2, by="10.88.0.1", point="cni0"),
    ],
    ids=["once", "answered", "elsewhere", "another address"],
)
def test_near_misses(frames: Frames, tmp_path: Path) -> None:
    """A single question, an answer, another point or another address show nothing."""
    assert "" == said(tmp_path, frames, OLD)


@pytest.mark.parametrize("state", ["FAILED", "INCOMPLETE", "STALE"])
def test_the_nodes_own_word(state: str, tmp_path: Path) -> None:
    """A neighbour that is not resolved is silent; one that was is not."""
    (tmp_path / "ip-neigh.txt").write_text(
        f"{OLD} dev cni0 {'lladdr 02:00:00:00:00:09 ' * (state == 'STALE')}{state}\n"
    )
    scene = judged(tmp_path).scene
    assert scene is not None

    assert (state != "STALE") == (failed(OLD, scene) is not None)
