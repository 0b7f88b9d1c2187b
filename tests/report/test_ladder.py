"""The ladder as a whole: arrows within the drawing, order of time, honest ends."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.connection.model import Fate, Passage, Sighting
from analyzer.incident.model import CapturePoint, Finding
from analyzer.report import labels, ladder

POINTS = ("veth1a2b", "veth3c4d", "cni0", "eth0", "a-name-longer-than-any-interface-has-0123456789")
ROLES = ("pod", "pod", "bridge", "uplink", "")


def points() -> tuple[CapturePoint, ...]:
    """Return five points, one of them with a name that does not fit its lane."""
    return tuple(
        CapturePoint(
            name=name,
            role=role,
            files=(),
            packets=0,
            skipped={},
            first=None,
            last=None,
            dropped=None,
            clock_offset=0,
        )
        for name, role in zip(POINTS, ROLES, strict=True)
    )


sightings = st.builds(
    Sighting,
    point=st.sampled_from((*POINTS, "not-in-the-bundle")),
    file=st.just("a.pcap"),
    frame=st.integers(min_value=1, max_value=10**9),
    time=st.one_of(
        st.integers(min_value=0, max_value=10**5), st.integers(min_value=-(2**62), max_value=2**62)
    ),
    src=st.sampled_from(
        ("10.244.0.11:20000", "192.0.2.10:20000", "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535")
    ),
    dst=st.sampled_from(("192.0.2.100:80", "10.96.0.1:443")),
)
passages = st.builds(
    Passage,
    sightings=st.lists(sightings, min_size=1, max_size=5).map(tuple),
    outward=st.booleans(),
    label=st.sampled_from(("SYN", "ACK 4294967295", "UDP 65535 bytes, and a long word about it")),
    fate=st.sampled_from(list(Fate)),
    gap=st.sampled_from((None, ("cni0", "eth0"), ("eth0", "cni0"), ("x", "y"), ("eth0", "eth0"))),
    role=st.sampled_from(("", "attempt", "reply", "partner", "offender", "host-reset", "context")),
    note=st.sampled_from(
        ("", "attempt 1", "a note that goes on for longer than two lines can ever hold " * 3)
    ),
)


def finding(drawn: list[Passage], gap: tuple[str, str] | None = ("cni0", "eth0")) -> Finding:
    """Return a finding with these passages."""
    return Finding(
        kind="syn-vanished",
        cause="unknown",
        confidence="possible",
        gap=gap,
        time=0,
        inner="",
        outer=None,
        delay_s=None,
        passages=tuple(drawn),
    )


@given(st.lists(passages, max_size=12))
def test_everything_is_within_the_drawing(drawn: list[Passage]) -> None:
    """No arrow, dot, address or label leaves the drawing, whatever the packets are."""
    it = ladder.build(finding(drawn), points())
    for arrow in it.arrows:
        places = [(leg.x1, leg.y1) for leg in arrow.legs] + [(leg.x2, leg.y2) for leg in arrow.legs]
        places += [(dot.x, dot.y) for dot in arrow.dots]
        places += [(a.x, a.y) for relabel in arrow.relabels for a in relabel.addresses]
        places += [(it.notes_x, arrow.dots[0].y + 14 * len(arrow.note))]

        assert all(0 <= x <= it.width and it.top - 6 <= y <= it.height for x, y in places)
        assert arrow.legs
        assert (arrow.end == "arrow") == bool(arrow.head)


@given(st.lists(passages, max_size=12))
def test_time_runs_down(drawn: list[Passage]) -> None:
    """A later sighting never stands above an earlier one, and the axis has no hole and no overlap."""
    it = ladder.build(finding(drawn), points())
    events = sorted(
        (drawn[arrow.packet].sightings[place].time, dot.y)
        for arrow in it.arrows
        for place, dot in enumerate(arrow.dots)
    )
    by_time: dict[int, list[float]] = {}
    for time, y in events:
        by_time.setdefault(time, []).append(y)

    assert all(max(before) <= min(after) for before, after in pairwise(by_time.values()))
    assert all(before.y2 == after.y1 for before, after in pairwise(it.axis))


@given(st.lists(passages, max_size=12))
def test_texts_keep_apart(drawn: list[Passage]) -> None:
    """Neither two lane names, nor two rows of notes, nor two frame numbers of one lane overlap."""
    it = ladder.build(finding(drawn), points())
    halves = [(lane.x - len(lane.name) * 3.95, lane.x + len(lane.name) * 3.95) for lane in it.lanes]
    starts = sorted((arrow.dots[0].y, len(arrow.note) + bool(arrow.who)) for arrow in it.arrows)
    lanes: dict[float, list[float]] = {}
    for arrow in it.arrows:
        for dot in arrow.dots:
            lanes.setdefault(dot.x, []).append(dot.y)

    assert all(before[1] <= after[0] for before, after in pairwise(halves))
    assert all(after[0] - before[0] >= 14 * before[1] for before, after in pairwise(starts))
    assert all(b - a >= 16 for ys in lanes.values() for a, b in pairwise(sorted(ys)))


def arrows(sample: Any, number: int = 0) -> dict[str, ladder.Arrow]:
    """Return the race's arrows by what their note says."""
    it = ladder.build(sample.RACE.findings[number], sample.POINTS)
    return {arrow.note[0]: arrow for arrow in it.arrows}


def test_the_lost_syn_ends_in_the_gap(sample) -> None:
    """The cross stands between the lanes of the gap, and the partner and the retry go on to the outside."""
    it = ladder.build(sample.RACE.findings[0], sample.POINTS)
    x = {lane.name: lane.x for lane in it.lanes}
    lost = arrows(sample)["attempt 1, vanished"]

    assert "cross" == lost.end
    assert (x["cni0"] + x["eth0"]) / 2 == lost.end_x
    assert {x["outside"]} == {
        arrow.end_x for note, arrow in arrows(sample).items() if "took" in note or note == "attempt 2"
    }
    assert x["veth1a2b"] == arrows(sample)["answers the last attempt"].end_x


def test_translations_are_named_once(sample) -> None:
    """Each translation is labelled on both sides where it is first seen, and only marked after that."""
    told = {
        note: [address.text for relabel in arrow.relabels for address in relabel.addresses]
        for note, arrow in arrows(sample).items()
    }

    assert ["10.244.0.12:20000", "192.0.2.10:20000"] == told["took outer port 20000"]
    assert ["10.244.0.11:20000", "192.0.2.10:37408"] == told["attempt 2"]
    assert [] == told["answers the last attempt"]
    assert [] == told["attempt 1, vanished"]


def test_a_long_silence_is_a_break(sample) -> None:
    """The second before the retry is compressed and says how long it was; the event is the axis' zero."""
    it = ladder.build(sample.RACE.findings[0], sample.POINTS)

    assert ["1.024 s", "391 µs"] == [part.label for part in it.axis if part.kind == "break"]
    assert ["-9 µs", "0", "+1.024012 s", "+1.024424 s"] == [arrow.time for arrow in it.arrows]
    assert sample.RACE.findings[0].time == it.zero


def test_the_host_reset_is_born_at_the_uplink(sample) -> None:
    """The host's RST starts at the uplink's lane; no part of it lies further in."""
    it = ladder.build(sample.LATE_ACK.findings[0], sample.late_ack().capture_points)
    uplink = next(lane.x for lane in it.lanes if lane.name == "eth0")
    reset = next(arrow for arrow in it.arrows if arrow.role == "host-reset")

    assert uplink == min(x for leg in reset.legs for x in (leg.x1, leg.x2))
    assert "+34 µs" == reset.time


@pytest.mark.parametrize(
    ("fate", "end"),
    [
        (Fate.PASSED, "arrow"),
        (Fate.VANISHED, "cross"),
        (Fate.CAPTURE_LOSS, "loss"),
        (Fate.UNDECIDABLE, "question"),
        (Fate.NOT_ROUTED_HERE, "aside"),
    ],
)
def test_each_fate_has_its_end(sample, fate: Fate, end: str) -> None:
    """No two fates look alike."""
    passage = dataclasses.replace(sample.RACE.findings[0].passages[1], fate=fate)

    assert end == ladder.build(finding([passage]), sample.POINTS).arrows[0].end


def test_key_packets_come_before_context(sample) -> None:
    """Where not everything can be drawn, context goes first, and what is left out is counted."""
    whole = sample.LATE_ACK.findings[0]
    it = ladder.build(whole, sample.late_ack().capture_points, limit=5)

    assert ["offender", "host-reset", "reply", "reply", "reply"] == [arrow.role for arrow in it.arrows]
    assert len(whole.passages) - 5 + whole.omitted == it.hidden


def test_a_note_is_not_repeated() -> None:
    """A note that tells the fate is not followed by it again."""
    lost = Passage(sightings=(), outward=True, label="SYN", fate=Fate.VANISHED, note="vanished again")

    assert ("vanished again",) == labels.notes(lost)
    assert ("vanished",) == labels.notes(dataclasses.replace(lost, note=""))
