"""Crossings: every packet's partner, through loss, repetition, offload and short captures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyzer import Analysis, analyze
from analyzer.nat.gap import Gap
from tests.conversation import Conversation, bystander, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


def gap(analysis: Analysis, inner: str = "cni0", outer: str = "eth0") -> Gap:
    """The gap between two points."""
    assert analysis.scene is not None
    return next(g for g in analysis.scene.gaps if g.names == (inner, outer))


def talk(**changes: object) -> Conversation:
    """A conversation out of the node."""
    return Conversation(**{"pod": POD, "server": SERVER, "nat": NAT, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((0,), [-1, 0, 1]),
        ((1,), [0, -1, 1]),
        ((2,), [0, 1, -1]),
        ((0, 1), [-1, -1, 0]),
        ((0, 2), [-1, 0, -1]),
    ],
)
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_the_attempt_that_passed(
    proto: str, lost: tuple[int, ...], expected: list[int], timestamps: bool, tmp_path: Path
) -> None:
    """Of repeated SYNs, or equal datagrams, the one that passed is paired, by its time, with what passed."""
    made = talk(proto=proto, timestamps=timestamps)
    for n, at in enumerate((0, 1, 3)):
        sent = made.syn(at) if proto == "tcp" else made.data(b"query", at)
        if n in lost:
            sent.lost_after("cni0")
    around = (bystander(-1, "cni0 | eth0"), bystander(5, "cni0 | eth0"))
    found = gap(analyze(record(tmp_path, made, *around, points=("cni0", "eth0"))))
    mine = np.flatnonzero(found.inner.flows.ports[found.inner.packets.flow] >> 16 == 20000)
    before = 3 if around else 0
    partners = found.in_outer[mine]

    assert expected == [int(p) - before if p >= 0 else -1 for p in partners]


@pytest.mark.parametrize(("inside", "outside"), [(1, 3), (3, 1), (1, 1), (4, 2)])
@pytest.mark.parametrize("by_pod", [True, False])
def test_offload(inside: int, outside: int, by_pod: bool, tmp_path: Path) -> None:
    """A segment that TSO split on the way out, or GRO joined on the way in, is the same data."""
    made = talk()
    made.syn()
    made.accept()
    for _ in range(4):
        sent = made.send("PA", 4200, by_pod=by_pod)
        for point, pieces in (("veth-a", inside), ("cni0", inside), ("eth0", outside)):
            sent.in_pieces(point, pieces)
    found = gap(analyze(record(tmp_path, made)))

    assert (found.in_outer.whole() >= 0).all()
    assert (found.in_inner.whole() >= 0).all()


def test_lost_data_is_not_covered_by_its_repetition(tmp_path: Path) -> None:
    """A segment that vanished and was repeated later has no partner; the repetition has."""
    made = talk()
    made.syn()
    made.accept()
    lost = made.data(1000, at=1).lost_after("cni0")
    made.send("PA", lost.payload, at=1.3, seq=lost.seq)
    found = gap(analyze(record(tmp_path, made)))

    assert [0, 1, 2, -1, 3] == found.in_outer.whole().tolist()


def test_another_clock_and_another_snaplen(tmp_path: Path) -> None:
    """Hours apart, one capture without options, offloaded: every packet still has its partner."""
    made = talk()
    made.syn()
    made.accept()
    for _ in range(5):
        made.data(2000).in_pieces("eth0", 2)
        made.reply(30)
    found = gap(analyze(record(tmp_path, made, clocks={"eth0": 7200.0}, snaplen={"eth0": 68})))

    assert (found.in_outer.whole() >= 0).all()
    assert (found.in_inner.whole() >= 0).all()


def test_heading(tmp_path: Path) -> None:
    """The side that the TTL falls towards is outside, whoever opened the flow."""
    out = talk()
    out.syn()
    out.accept()
    inward = Conversation(pod="10.244.0.11:80", server="198.51.100.7:1002", nat="192.0.2.10:30080", isn=9)
    inward.send("S", by_pod=False, at=1, seq=3)
    inward.send("SA")
    analysis = analyze(record(tmp_path, out, inward))

    assert [1, -1] == gap(analysis).heading.tolist()


def test_both_sides_of_a_gap(tmp_path: Path) -> None:
    """The gap seen from outside is the gap seen from inside, mirrored."""
    out = talk()
    out.syn()
    out.accept()
    found = gap(analyze(record(tmp_path, out)))
    here, there = found.outward(), found.inward()

    assert (here.here, here.there) == (there.there, there.here)
    assert here.flows_here.tolist() == there.flows_there.tolist()
    assert here.partner is found.in_outer
    assert there.partner is found.in_inner


@pytest.mark.parametrize(("later", "expected"), [(False, (0, 1)), (True, (1, 0))])
def test_a_queue_that_may_still_hold_it(tmp_path: Path, later: bool, expected: tuple[int, int]) -> None:
    """Nothing that was sent after it got through the slow queue, of whatever pod: it may wait there; else it is lost."""
    slow, lost, other = (
        Conversation(
            pod=f"10.244.0.{n}:{n}000",
            server="192.0.2.100:80",
            nat=f"192.0.2.10:{n}000",
            way=f"veth-{pod} cni0 | eth0",
            isn=n * 1_000,
        )
        for n, pod in ((11, "a"), (12, "b"), (13, "c"))
    )
    slow.syn(0).queued("eth0", 1.2)
    slow.accept(2.4)
    slow.sent[-1].lost_after("cni0")
    lost.syn(0.5).lost_after("cni0")
    other.syn(2.0)
    talks = [slow, lost, *([other] if later else []), bystander(-5)]
    account = analyze(record(tmp_path, *talks)).account

    assert expected == (account.node, account.why_unknown.get("not-recording", 0))
