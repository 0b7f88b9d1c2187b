"""Short captures are compared by what they hold, others by all they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.capture.bundle import Bundle
from analyzer.capture.points import record as read
from analyzer.capture.storage import Memory
from analyzer.flow.point import Point, assemble
from analyzer.nat.prints import held, plain
from tests.conversation import Conversation, record


def points(folder: Path, **snaplen: int) -> tuple[Point, Point]:
    """A connection at cni0 and eth0, with these snaplens."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn()
    talk.accept()
    talk.data(200)
    record(folder, talk, points=("cni0", "eth0"), snaplen=snaplen)
    captures = Bundle.open([folder]).captures
    found = {r.name: assemble(r) for r in read(captures, {}, {}, lambda _: None, Memory())}
    return found["cni0"], found["eth0"]


@pytest.mark.parametrize(
    "snaplen", [{}, {"eth0": 200}, {"cni0": 160, "eth0": 65535}, {"cni0": 68, "eth0": 68}]
)
def test_alike_captures_stay_as_they_are(snaplen: dict[str, int], tmp_path: Path) -> None:
    """Where both hold the same, the scan's prints agree."""
    given = points(tmp_path, **snaplen)

    assert held(given[0]) == held(given[1])
    assert given[0].packets.print.tolist() == given[1].packets.print.tolist()


@pytest.mark.parametrize("snaplen", [{"eth0": 68}, {"cni0": 96}, {"cni0": 54, "eth0": 74}])
def test_short_captures_are_compared_by_their_columns(snaplen: dict[str, int], tmp_path: Path) -> None:
    """What one of them cut is not compared; what is compared agrees, and still differs from packet to packet."""
    given = points(tmp_path, **snaplen)
    one, other = map(plain, given)

    assert held(given[0]) != held(given[1])
    assert one.packets.print.tolist() == other.packets.print.tolist()
    assert 4 == len(set(one.packets.print.tolist()))
    assert one.flows.syn_print.tolist() == other.flows.syn_print.tolist()
    assert one.packets.time is given[0].packets.time
