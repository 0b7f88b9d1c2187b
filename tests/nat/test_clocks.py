"""One clock for all points: the offset's value, its sign, and when there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from analyzer import analyze
from analyzer.nat.clocks import ahead, align
from tests.conversation import TRANSIT, Conversation, bystander, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


def lossy() -> Conversation:
    """A connection whose first SYN vanishes."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    return talk


@pytest.mark.parametrize("by", [3 * 3600.0, -907.6, 1.5, -1e6])
@pytest.mark.parametrize("point", ["veth-a", "cni0", "eth0"])
def test_another_clock(point: str, by: float, tmp_path: Path) -> None:
    """Hours between the clocks change no result; the offset is the median of what both saw, and it is told."""
    talks = [lossy(), bystander(-1), bystander(2), bystander(4)]
    analysis = analyze(record(tmp_path, *talks, clocks={point: by}, points=("veth-a", "cni0", "eth0")))
    offsets = {p.name: p.clock_offset for p in analysis.capture_points}
    expected = dict.fromkeys(offsets, 0)
    # The points that file order puts behind the first one are moved: veth-a last, cni0 first.
    moved = {"cni0": ("eth0", "veth-a"), "eth0": ("eth0",), "veth-a": ("veth-a",)}[point]
    for name in moved:
        expected[name] = round((by if point == "cni0" else -by) * 1e9)

    assert 1 == analysis.counts.syn_vanished
    assert expected == pytest.approx(offsets, abs=3 * TRANSIT)
    assert len(moved) == sum("its clock differs" in caveat for caveat in analysis.caveats)


def test_agreeing_clocks_are_left_alone(tmp_path: Path) -> None:
    """A transit of some milliseconds, out or both ways, is a transit: nothing arrives before it was sent."""
    slow = [lossy(), bystander(-1), bystander(2)]
    for talk in slow:
        for packet in talk.sent:
            packet.queued("eth0" if packet.outward else "cni0", 0.04 if packet.outward else 0.02)
    analysis = analyze(record(tmp_path, *slow))

    assert [0, 0, 0, 0] == [p.clock_offset for p in analysis.capture_points]
    assert () == analysis.caveats
    assert 1 == analysis.counts.syn_vanished


@pytest.mark.parametrize("by", [0.04, -0.04, 0.0002])
def test_a_little_off(by: float, tmp_path: Path) -> None:
    """Where packets arrive before they are sent, the clock is moved by half of what their transits differ, however little."""
    analysis = analyze(record(tmp_path, lossy(), bystander(-1), bystander(2), clocks={"eth0": by}))
    offsets = {p.name: p.clock_offset for p in analysis.capture_points}

    assert {"cni0": 0, "eth0": -by * 1e9, "veth-a": 0, "veth-z": 0} == pytest.approx(offsets, abs=1_000)
    assert 1 == sum("its clock differs" in caveat for caveat in analysis.caveats)
    assert 1 == analysis.counts.syn_vanished


def flow(*packets: tuple[int, int, int], of: int = 0) -> list[tuple[int, int, int, int]]:
    """Packets of one flow: side, difference, hops."""
    return [(of, *packet) for packet in packets]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (flow((0, 5_000, 0), (1, -7_000, 0)), 0),
        (flow((0, 45_000, 0), (1, 35_000, 0)), 40_000),
        (flow((0, 35_000, 0), (1, 45_000, 0)), 40_000),
        (flow((0, 45_000, 1), (1, 35_000, -1)), 40_000),
        (flow((0, -35_000, 1), (0, 900_000, 1), (1, -45_000, -1), (1, -900_000, -1)), -40_000),
        (flow((0, 3_000_000, 1)), 0),
        (flow((0, -3_000_000, 1)), -3_000_000),
        (flow((0, 3_000_000, -1)), 3_000_000),
        (flow((0, -3_000_000, 0)), 0),
        (flow((0, 700, 1), (1, 300, -1)), 0),
        (flow((0, 5_000, 1), (1, -5_000, -1)) + flow((0, -(9**9), 1), (1, -(9**9), -1), of=1), 0),
        ([], 0),
    ],
)
def test_how_far_ahead(seen: list[tuple[int, int, int, int]], expected: int) -> None:
    """Half-way between the smallest transits; 0 where nothing contradicts it, as of one direction; what most flows say."""
    columns = np.array(seen, np.int64).reshape(-1, 4).T

    assert expected == ahead(*columns)


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
