"""A captured connection as conntrack met it, and judged again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import analyze
from analyzer.conntrack import CLASSIC, MODERN, Settings, replay
from analyzer.conntrack.replay import Script, script
from tests.conversation import START, Conversation, Sent, bystander, record

LETTERS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}


@pytest.fixture
def talk() -> Conversation:
    """Begin a connection from a pod through SNAT."""
    return Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:31000")


def of(folder: Path, index: int = 0) -> Script:
    """What conntrack saw of a connection, between bridge and uplink."""
    scene = analyze(folder).scene
    assert scene is not None
    return script(next(gap for gap in scene.gaps if gap.outer.name == "eth0"), index)


def told(found: Script) -> list[tuple[bool, int, int, int, int]]:
    """Its segments, in a form to compare."""
    return [(s.reply, s.seq, s.ack, s.flags, s.payload) for s in found.segments]


def sent(packets: Sequence[Sent]) -> list[tuple[bool, int, int, int, int]]:
    """The same of what the conversation sent."""
    return [
        (not p.outward, p.seq, p.ack, sum(LETTERS[letter] for letter in p.flags), len(p.payload))
        for p in packets
    ]


def test_each_packet_once_in_conntracks_order(tmp_path: Path, talk: Conversation) -> None:
    """Three points saw six packets: what goes out is taken at the bridge, what comes in at the uplink."""
    talk.syn()
    talk.accept()
    talk.data(300)
    talk.reply(700)
    talk.send("FA")
    found = of(record(tmp_path, talk))

    assert sent(talk.sent) == told(found)
    assert found.whole
    assert ["cni0", "eth0", "cni0", "cni0", "eth0", "cni0"] == [point.name for point, _ in found.packets]
    assert [(row, point.packets.flow[row]) for point, row in found.packets] == [(n, 0) for n in range(6)]


def test_options_are_read(tmp_path: Path, talk: Conversation) -> None:
    """The scale and the SACK blocks decide what the window is."""
    talk.syn()
    talk.accept()
    talk.data(300)
    talk.send("A", by_pod=False, options=[("SAck", (1_000_500, 1_000_900))])
    syn, synack, ack, _, last = of(record(tmp_path, talk)).segments

    assert (7, True, 7, True) == (syn.wscale, syn.sack_permitted, synack.wscale, synack.sack_permitted)
    assert (None, False, True) == (ack.wscale, ack.sack_permitted, ack.options)
    assert ((1_000_500, 1_000_900),) == last.sack


def test_what_one_point_missed_is_taken_from_the_other(tmp_path: Path, talk: Conversation) -> None:
    """A packet that got through the gap met conntrack, whichever point saw it; so did one that was dropped there."""
    talk.syn()
    talk.accept()
    talk.data(100).missed_at("cni0", "veth-a")
    talk.reply(200).missed_at("eth0")
    talk.data(300).lost_after("cni0")
    talk.reply(400).lost_after("eth0")
    found = of(record(tmp_path, talk))

    assert sent(talk.sent) == told(found)
    assert ["eth0", "cni0", "cni0", "eth0"] == [point.name for point, _ in found.packets[3:]]


def test_the_hosts_own_reset_belongs_to_no_connection(tmp_path: Path, talk: Conversation) -> None:
    """Conntrack judges it by itself; the server's and the pod's are judged with the connection."""
    talk.syn()
    talk.accept()
    late = talk.send("A", by_pod=False, ack=1_000_001 - 70_000)
    talk.reset_by_host(late)
    talk.send("R", by_pod=False)
    found = of(record(tmp_path, talk))

    assert sent([*talk.sent[:4], talk.sent[5]]) == told(found)


def test_a_connection_from_outside(tmp_path: Path) -> None:
    """The originator is the one that opened, also where that is not the pod."""
    talk = Conversation(pod="10.244.0.11:8080", server="198.51.100.7:40000")
    talk.send("S", by_pod=False)
    talk.send("SA")
    talk.send("A", by_pod=False)
    talk.data(50)
    found = of(record(tmp_path, talk))

    assert found.whole
    assert [False, True, False, True] == [segment.reply for segment in found.segments]
    assert ["accept"] * 4 == [j.judgement.verdict for j in found.judge(CLASSIC)]


@pytest.mark.parametrize("ahead", [-907.6, 3.0])
def test_another_clock_does_not_change_the_order(tmp_path: Path, talk: Conversation, ahead: float) -> None:
    """The points are on one clock when the packets are put in order."""
    talk.syn()
    talk.accept()
    for _ in range(5):
        talk.data(100)
        talk.reply(200)
    found = of(record(tmp_path, talk, clocks={"eth0": ahead}))

    assert sent(talk.sent) == told(found)


def late_ack(talk: Conversation, far: int = 70_000) -> Conversation:
    """An upload, and an acknowledgement so old that it lies under the bound."""
    talk.syn()
    talk.accept()
    for _ in range(40):
        talk.data(2000)
        talk.reply(b"")
    talk.send("A", by_pod=False, ack=1_080_001 - far).only_at("eth0")
    return talk


def test_generation_and_settings_decide(tmp_path: Path, talk: Conversation) -> None:
    """One and the same ACK: refused up to 6.0, ignored from 6.1 on, accepted with be_liberal."""
    found = of(record(tmp_path, late_ack(talk)))
    liberal = Settings(be_liberal=True)

    assert [("invalid", "ack-under-lower-bound"), ("ignore", "ack-under-lower-bound"), ("accept", "")] == [
        (last.verdict, last.test)
        for last in (
            found.judge(CLASSIC)[-1].judgement,
            found.judge(MODERN)[-1].judgement,
            found.judge(CLASSIC, liberal)[-1].judgement,
        )
    ]
    assert {"accept"} == {j.judgement.verdict for j in found.judge(CLASSIC)[:-1]}


def test_a_judgement_names_its_packet(tmp_path: Path, talk: Conversation) -> None:
    """Point, row, segment and judgement belong together."""
    found = of(record(tmp_path, late_ack(talk)))
    last = found.judge(CLASSIC)[-1]

    assert ("eth0", 84) == (last.point.name, last.point.packets.frame[last.row])
    assert (1_080_001 - 70_000, True) == (last.segment.ack, last.segment.reply)
    assert 1_080_001 - 66_000 == last.judgement.bound
    assert 4_000 == last.judgement.short_by


def test_a_capture_that_began_late_is_adopted(tmp_path: Path, talk: Conversation) -> None:
    """What was before it is not known, and the verdict says that it is not certain."""
    late_ack(talk)
    begin = (talk.sent[20].time - START) / 1e9
    found = of(record(tmp_path, talk, begin=dict.fromkeys(talk.points, begin)))
    last = found.judge(CLASSIC)[-1].judgement

    assert not found.whole
    assert ("invalid", False) == (last.verdict, last.certain)


def test_the_last_segments_are_kept(
    tmp_path: Path, talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection of any length is replayed in bounded time."""
    monkeypatch.setattr(replay, "MOST", 7)
    found = of(record(tmp_path, late_ack(talk)))

    assert sent(talk.sent[-7:]) == told(found)
    assert not found.whole


def test_each_connection_has_its_script(tmp_path: Path, talk: Conversation) -> None:
    """The crossing's number chooses."""
    talk.syn()
    talk.accept()
    other = bystander(5.0)
    folder = record(tmp_path, talk, other)

    assert sorted([sent(talk.sent), sent(other.sent)]) == sorted([told(of(folder, 0)), told(of(folder, 1))])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 1400)), max_size=25))
def test_nothing_is_lost_or_doubled(steps: list[tuple[bool, int, int]]) -> None:
    """Whatever a point misses: what either side of the gap saw is judged, once, in the order of its sending."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:31000")
    talk.syn()
    talk.accept()
    for by_pod, missing, size in steps:
        packet = talk.send("PA", size, by_pod=by_pod)
        if missing:
            packet.missed_at(*(("cni0",), ("eth0",), ("cni0", "eth0"))[missing - 1])
    expected = [p for p in talk.sent if {"cni0", "eth0"} & {talk.points[place] for place in p.seen}]
    with TemporaryDirectory() as folder:
        found = of(record(Path(folder), talk))

    assert sent(expected) == told(found)
