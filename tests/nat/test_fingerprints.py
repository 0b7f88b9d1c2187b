"""Short captures are compared by what they hold, others by all they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyzer.capture.bundle import Bundle
from analyzer.capture.points import record as read
from analyzer.capture.storage import Memory
from analyzer.flow.point import Point, assemble
from analyzer.nat.fingerprints import comparable, held, hops, plain
from tests.conversation import Conversation, record


def points(folder: Path, **snaplen: int) -> tuple[Point, Point]:
    """A connection at cni0 and eth0, with these snaplens."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn()
    talk.accept()
    talk.data(200)
    record(folder, talk, points=("cni0", "eth0"), snaplen=snaplen)
    captures = Bundle.open([folder]).captures
    found = {r.name: assemble(r) for r in read(captures, lambda _: {}, {}, lambda _: None, Memory())}
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


def test_what_a_listing_does_not_tell_is_not_compared(tmp_path: Path) -> None:
    """Numbers of segments without data and windows were worked out: wrong ones do no harm, those that were printed count."""
    inner, outer = points(tmp_path)
    outer.recording.lacks = frozenset({"bare_seq", "window", "ip_id"})
    bare = (outer.packets.length == 0) & (outer.packets.flags & 2 == 0)
    assert bare.any()
    outer.packets.seq[bare] += np.uint32(7)
    outer.packets.window[:] = 1
    lacks = held(inner).lacks | held(outer).lacks
    one, other = plain(inner, lacks), plain(outer, lacks)

    assert not held(inner).agrees(held(outer))
    assert one.packets.print.tolist() == other.packets.print.tolist()
    outer.packets.seq[~bare] += np.uint32(7)
    assert one.packets.print[~bare].tolist() != plain(outer, lacks).packets.print[~bare].tolist()


def test_two_listings_of_one_kind_agree_unless_something_was_worked_out(tmp_path: Path) -> None:
    """TTL and IP ID are in neither; a window that was scaled back may differ."""
    inner, outer = points(tmp_path)
    for lacks, agree in (({"ttl", "ip_id"}, True), ({"ttl", "window"}, False), ({"bare_seq"}, False)):
        inner.recording.lacks = outer.recording.lacks = frozenset(lacks)
        assert agree == held(inner).agrees(held(outer))


def test_relative_numbers_are_comparable_among_themselves(tmp_path: Path) -> None:
    """Beside absolute ones they would make every packet seem lost."""
    inner, outer = points(tmp_path)
    assert comparable(inner, outer)
    inner.recording.lacks = frozenset({"relative"})
    assert not comparable(inner, outer)
    outer.recording.lacks = frozenset({"relative"})
    assert comparable(inner, outer)


def test_hops_are_told_only_where_both_know_the_ttl(tmp_path: Path) -> None:
    """A routed packet is a hop older at the uplink; beside a listing without TTLs, nothing is said."""
    inner, outer = points(tmp_path)
    first = np.zeros(1, np.int64)

    assert [1] == hops(inner, outer, first, first).tolist()
    outer.recording.lacks = frozenset({"ttl"})
    assert [0] == hops(inner, outer, first, first).tolist()
    assert [0] == hops(outer, inner, first, first).tolist()
