"""One clock for all points: the offset's value, its sign, and when there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from analyzer import analyze
from analyzer.nat.clocks import align
from tests.conversation import TRANSIT, Conversation, bystander, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


def lossy() -> Conversation:
    """A connection whose first SYN vanishes."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    return talk


@pytest.mark.parametrize("ahead", [3 * 3600.0, -907.6, 1.5, -1e6])
@pytest.mark.parametrize("point", ["veth-a", "cni0", "eth0"])
def test_another_clock(point: str, ahead: float, tmp_path: Path) -> None:
    """Hours between the clocks change no result; the offset is the median of what both saw, and it is told."""
    talks = [lossy(), bystander(-1), bystander(2), bystander(4)]
    analysis = analyze(record(tmp_path, *talks, clocks={point: ahead}, points=("veth-a", "cni0", "eth0")))
    offsets = {p.name: p.clock_offset for p in analysis.capture_points}
    expected = dict.fromkeys(offsets, 0)
    # The points that file order puts behind the first one are moved: veth-a last, cni0 first.
    moved = {"cni0": ("eth0", "veth-a"), "eth0": ("eth0",), "veth-a": ("veth-a",)}[point]
    for name in moved:
        expected[name] = round((ahead if point == "cni0" else -ahead) * 1e9)

    assert 1 == analysis.counts.syn_vanished
    assert expected == pytest.approx(offsets, abs=3 * TRANSIT)
    assert len(moved) == sum("its clock differs" in caveat for caveat in analysis.caveats)


def test_agreeing_clocks_are_left_alone(tmp_path: Path) -> None:
    """A transit of some milliseconds is a transit."""
    analysis = analyze(record(tmp_path, lossy(), bystander(-1), bystander(2), clocks={"eth0": 0.02}))

    assert [0, 0, 0, 0] == [p.clock_offset for p in analysis.capture_points]
    assert () == analysis.caveats


def test_offset_of_captures_from_the_middle(tmp_path: Path) -> None:
    """Without SYNs the voting packets tell the offset."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.syn()
    talk.accept()
    for _ in range(5):
        talk.data(100)
        talk.reply(50)
    talk.sent = talk.sent[3:]
    analysis = analyze(record(tmp_path, talk, clocks={"eth0": -5000.0}, points=("cni0", "eth0")))
    times = {p.name: p.clock_offset for p in analysis.capture_points}

    assert {"cni0": 0, "eth0": 5000 * 10**9} == pytest.approx(times, abs=3 * TRANSIT)
    assert analysis.scene is not None
    assert list(range(10)) == analysis.scene.gaps[0].in_outer.whole().tolist()


def test_points_that_share_nothing_keep_their_clock(tmp_path: Path) -> None:
    """Where no packet ties two points together, nothing is moved."""
    record(tmp_path, bystander(0), points=("cni0",))
    record(tmp_path, bystander(9000.5), points=("eth0",))
    analysis = analyze(tmp_path)

    assert [0, 0] == [p.clock_offset for p in analysis.capture_points]
    assert any("were not recorded at the same time" in caveat for caveat in analysis.caveats)


def test_no_clock_is_that_far_off() -> None:
    """Where differences add up to what no time could hold, the point keeps its clock; nearer ones are moved."""
    points = [
        SimpleNamespace(name=name, packets=SimpleNamespace(time=np.array([5])), clock_offset=0)
        for name in "abc"
    ]
    align(points, {("a", "b"): -(1 << 60), ("b", "c"): -(1 << 63) + 1})  # type: ignore[arg-type]

    assert [0, 1 << 60, 0] == [point.clock_offset for point in points]
    assert [5, 5 + (1 << 60), 5] == [int(point.packets.time[0]) for point in points]
