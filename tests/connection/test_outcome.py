"""What became of a connection, and Zeek's words for it: each by hand, with a near miss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analyzer import analyze
from analyzer.connection.outcome import OUTCOMES
from tests.connection.told import closed, connections, judged, one, out, told
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import connection, whole


def _ok(talk: Conversation) -> None:
    talk.syn(0)
    talk.accept()
    talk.data()
    talk.reply()
    closed(talk)


def _open(talk: Conversation) -> None:
    talk.syn(0)
    talk.accept()


def _half(talk: Conversation) -> None:
    _open(talk)
    talk.send("FA")


def _delayed(talk: Conversation) -> None:
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()


def _refused(talk: Conversation) -> None:
    talk.syn(0)
    talk.send("RA", by_pod=False)


def _timed_out(talk: Conversation) -> None:
    for at in (0, 1, 3):
        talk.syn(at)


def _given_up(talk: Conversation) -> None:
    talk.syn(0)
    talk.send("R", at=2)


def _unfinished(talk: Conversation) -> None:
    talk.syn(19.5)


def _reset_by_server(talk: Conversation) -> None:
    _open(talk)
    talk.data()
    talk.send("RA", by_pod=False)


def _reset_by_pod(talk: Conversation) -> None:
    _open(talk)
    talk.data()
    talk.send("RA")


def _stalled(talk: Conversation) -> None:
    _open(talk)
    first = talk.data(500)
    for at in (1, 2, 4):
        talk.send("PA", first.payload, at=at, seq=first.seq)


def _repeated_and_acknowledged(talk: Conversation) -> None:
    _open(talk)
    first = talk.data(500)
    talk.send("PA", first.payload, at=1, seq=first.seq)
    talk.send("A", by_pod=False)


def _keepalive(talk: Conversation) -> None:
    _open(talk)
    talk.data(500)
    talk.send("A", by_pod=False)
    talk.send("A", b"\0", at=5, seq=talk._next[True] - 1)


def _zero_window(talk: Conversation) -> None:
    _open(talk)
    talk.send("A", by_pod=False, window=0)


@pytest.mark.parametrize(
    ("tell", "outcome", "state", "history"),
    [
        (_ok, "ok", "SF", "ShADdFf"),
        (_open, "ok", "S1", "ShA"),
        (_half, "ok", "S2", "ShAF"),
        (_delayed, "delayed", "S1", "ShA"),
        (_refused, "refused", "REJ", "Sr"),
        (_timed_out, "timed-out", "S0", "S"),
        (_given_up, "timed-out", "RSTOS0", "SR"),
        (_unfinished, "unfinished", "S0", "S"),
        (_reset_by_server, "reset", "RSTR", "ShADr"),
        (_reset_by_pod, "reset", "RSTO", "ShADR"),
        (_stalled, "stalled", "S1", "ShADT"),
        (_repeated_and_acknowledged, "ok", "S1", "ShADTa"),
        (_keepalive, "ok", "S1", "ShADa"),
        (_zero_window, "ok", "S1", "ShAaw"),
    ],
)
def test_tcp(
    tell: Callable[[Conversation], None], outcome: str, state: str, history: str, tmp_path: Path
) -> None:
    """Outcome, `conn_state` and `history` of every kind of connection."""
    talk = out()
    tell(talk)
    analysis = judged(tmp_path, talk)

    assert (outcome, state, history) == tuple(
        one(analysis, column) for column in ("outcome", "state", "history")
    )


SAYS: dict[str, Callable[[Conversation], object]] = {
    "S": lambda talk: talk.syn(len(talk.sent)), "h": lambda talk: talk.synack(), "D": lambda talk: talk.data(),
    "A": lambda talk: talk.send("A"), "F": lambda talk: talk.send("FA"), "R": lambda talk: talk.send("R"),
    "a": lambda talk: talk.send("A", by_pod=False), "f": lambda talk: talk.send("FA", by_pod=False),
    "r": lambda talk: talk.send("R", by_pod=False), "d": lambda talk: talk.reply(),
}  # fmt: skip
"""Zeek's letters: of the opener, and in lower case of the responder."""


@pytest.mark.parametrize(
    ("said", "outcome", "state"),
    [
        ("ShADdAR", "ok", "RSTO"),
        ("ShADdR", "reset", "RSTO"),
        ("ShADdADR", "reset", "RSTO"),
        ("ShADdaAr", "reset", "RSTR"),
        ("ShAFr", "ok", "RSTR"),
        ("ShAfR", "ok", "RSTO"),
        ("ShAf", "ok", "S3"),
        ("SF", "ok", "SH"),
        ("SSAD", "delayed", "S0"),
        ("SSh", "delayed", "S1"),
        ("SAD", "ok", "S0"),
        ("hr", "reset", "RSTRH"),
        ("hf", "ok", "SHR"),
        ("hA", "ok", "OTH"),
        ("Ad", "ok", "OTH"),
        ("DR", "ok", "OTH"),
        ("Dr", "ok", "OTH"),
        ("DdR", "reset", "OTH"),
        ("DdAR", "ok", "OTH"),
    ],
)
def test_tcp_by_letters(said: str, outcome: str, state: str, tmp_path: Path) -> None:
    """Who ends a connection that owes nothing ends it well; what is begun in the middle has no state of its own."""
    talk = out()
    for letter in said:
        SAYS[letter](talk)
    analysis = judged(tmp_path, talk)

    assert (outcome, state) == (one(analysis), one(analysis, "state"))


def _reset_twice(talk: Conversation) -> None:
    _reset_by_server(talk)
    talk.send("R")


def _reset_by_pod_first(talk: Conversation) -> None:
    _reset_by_pod(talk)
    talk.send("R", by_pod=False)


def _shut(talk: Conversation) -> None:
    talk.syn(0)
    talk.send("SA", by_pod=False, window=0)
    for at in (0.1, 1, 2):
        talk.send(at=at)


def _not_taken(talk: Conversation) -> None:
    for at in (0, 1, 3):
        talk.syn(at)
        talk.synack(at + 0.1)


def _stopped(talk: Conversation) -> None:
    talk.proto = "udp"
    talk.data(b"asks", 0)
    talk.reply()
    for at in (1, 2, 4):
        talk.data(b"asks %d" % at, at)


def _asked(talk: Conversation) -> None:
    talk.proto = "udp"
    for at in (0, 5):
        talk.data(b"question", at=at)


@pytest.mark.parametrize(
    ("tell", "outcome", "side", "packet"),
    [
        (_delayed, "delayed", 0, 0),
        (_refused, "refused", 0, 0),
        (_timed_out, "timed-out", 0, 0),
        (_stalled, "stalled", 0, 4),
        (_shut, "stalled", 0, 3),
        (_reset_by_server, "reset", 1, 4),
        (_reset_by_pod, "reset", 0, 4),
        (_reset_twice, "reset", 1, 4),
        (_reset_by_pod_first, "reset", 0, 4),
        (_not_taken, "timed-out", 1, 1),
        (_asked, "unanswered", 0, 0),
        (_stopped, "unanswered", 0, 2),
    ],
)
def test_the_packet_that_decides(
    tell: Callable[[Conversation], None], outcome: str, side: int, packet: int, tmp_path: Path
) -> None:
    """The first request, repetition or RST, or the first SYN-ACK that nobody took, explains an outcome, and who sent it.

    A delay lasts from the first SYN to the one that was answered; each repetition of data counts.
    """
    talk = out(server="192.0.2.100:53")
    tell(talk)
    all_ = connections(judged(tmp_path, talk))
    (mine,) = np.flatnonzero(all_.outcomes.deciding >= 0).tolist()
    time = all_.chains.points[int(all_.chains.point[mine])].packets.time[all_.outcomes.deciding[mine]]

    assert (outcome, side) == (OUTCOMES[all_.outcomes.code[mine]], all_.outcomes.side[mine])
    assert (side if outcome == "reset" else -1) == all_.outcomes.by[mine]
    assert talk.sent[packet].time == pytest.approx(time, abs=20_000)
    assert 10**9 * (outcome == "delayed") == all_.outcomes.delay[mine]
    assert 3 * (tell is _stalled) == all_.outcomes.repeated[mine]
    assert [talk.sent[0].time, talk.sent[-1].time] == [
        pytest.approx(times[mine], abs=20_000) for times in (all_.outcomes.first, all_.outcomes.last)
    ]
    assert any("R" in sent.flags and not sent.outward for sent in talk.sent) == (
        all_.outcomes.reset[mine] >= 0
    )


def test_delayed_at_the_only_point(tmp_path: Path) -> None:
    """No other one is needed to see that the SYN was repeated."""
    talk = out(way="veth-a")
    talk.syn(0)
    talk.syn(1)
    talk.accept()
    around = [bystander(at, "veth-a") for at in (-5, 20)]

    assert "delayed" == one(analyze(record(tmp_path, talk, *around)))


def test_seen_from_the_middle(tmp_path: Path) -> None:
    """A connection that began before the capture is fine as long as both sides talk."""
    talk = out()
    talk.data(at=0)
    talk.reply()
    talk.send("A")
    analysis = judged(tmp_path, talk)

    assert ("ok", "OTH") == (one(analysis), one(analysis, "state"))


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("isn", [1_000_000, 2**31 - 700, 2**32 - 700])
@pytest.mark.parametrize("by_pod", [True, False])
def test_one_side_from_the_middle(by_pod: bool, isn: int, more: bool, tmp_path: Path) -> None:
    """Nobody saw whether the other acknowledges what is sent again: it did where new data follows, else nobody can tell."""
    talk = out(isn=isn, server_isn=isn)
    first = talk.send("PA", 500, by_pod=by_pod, at=0)
    talk.send("PA", 500, by_pod=by_pod)
    for at in (1, 2, 4):
        talk.send("PA", first.payload, by_pod=by_pod, at=at, seq=first.seq)
    if more:
        talk.send("PA", 500, by_pod=by_pod)
    analysis = judged(tmp_path, talk)

    assert (("ok", "worked") if more else ("stalled", "unknown")) == (one(analysis), one(analysis, "class"))


def test_a_challenge_ack_refuses_a_syn(tmp_path: Path) -> None:
    """An ACK that fits another connection opens none: the SYN is refused, and it is marked as strange."""
    talk = out()
    for at in (0, 1, 3):
        talk.syn(at)
        talk.send("A", by_pod=False, seq=9_000_000, ack=123_456)
    analysis = judged(tmp_path, talk)

    found = connections(analysis).outcomes
    strange = {OUTCOMES[code]: is_ for code, is_ in zip(found.code, found.strange.tolist(), strict=True)}

    assert "refused" == one(analysis)
    assert {"refused": True, "ok": False} == strange


@pytest.mark.parametrize(
    ("port", "answered", "outcome", "state"),
    [
        (53, True, "ok", "SF"),
        (53, False, "unanswered", "S0"),
        (514, False, "one-way", "S0"),
        (9999, True, "ok", "SF"),
    ],
)
def test_udp(port: int, answered: bool, outcome: str, state: str, tmp_path: Path) -> None:
    """A service that answers what it is asked left a question unanswered; syslog never answers anybody."""
    talk = out(server=f"192.0.2.100:{port}", proto="udp")
    talk.data(b"question", at=0)
    if answered:
        talk.reply(b"answer")
    analysis = judged(tmp_path, talk)

    assert (outcome, state) == (one(analysis), one(analysis, "state"))


@pytest.mark.parametrize(("points", "missed"), [(("eth0",), ()), (("veth-a", "cni0", "eth0"), ("veth-a",))])
def test_wherever_the_answer_was_seen(
    points: tuple[str, ...], missed: tuple[str, ...], tmp_path: Path
) -> None:
    """At the only point, or further on: the opener's own interface may have missed it."""
    talk = out(server="192.0.2.100:53", proto="udp")
    talk.data(b"question", at=0)
    talk.reply(b"answer").missed_at(*missed)

    assert "ok" == one(judged(tmp_path, talk, points=points))


@pytest.mark.parametrize(("port", "outcome"), [(514, "one-way"), (515, "unanswered")])
def test_one_way_where_others_got_away(port: int, outcome: str, tmp_path: Path) -> None:
    """What may have been lost, since the uplink was silent by then, is one-way only where others to its port left."""
    talks = [
        out(proto="udp", server="192.0.2.100:514"),
        connection(1, proto="udp", server=f"192.0.2.100:{port}"),
    ]
    talks[0].data(b"one", 0)
    talks[1].data(b"two", 30).lost_after("cni0")

    assert ["one-way", outcome] == [*told(judged(tmp_path, *talks)).values()]


@pytest.mark.parametrize("outcome", ["ok", "timed-out"])
def test_a_bridge_has_a_syn_twice(outcome: str, tmp_path: Path) -> None:
    """With br_netfilter it hands one packet on twice: nothing was repeated."""
    talk = out(way="cni0 | eth0")
    talk.syn(0).seen = [0, 0, 1]
    if outcome == "ok":
        talk.accept()

    assert outcome == one(judged(tmp_path, talk))


def test_a_port_that_answers_others_is_not_one_way(tmp_path: Path) -> None:
    """The near miss of syslog: somebody else was answered there."""
    asked = "192.0.2.100:9999"
    talks = [
        out(server=asked, proto="udp"),
        out(server=asked, proto="udp", pod="10.244.0.12:20001", nat="192.0.2.10:20001"),
    ]
    talks[0].data(b"question", at=0)
    talks[1].data(b"another", at=1)
    talks[1].reply(b"answer")
    analysis = judged(tmp_path, *talks)

    assert 1 == analysis.account.outcomes["unanswered"]


@pytest.mark.parametrize(("proto", "outcome"), [("tcp", "one-way"), ("udp", "unanswered")])
def test_a_port_of_two_protocols(proto: str, outcome: str, tmp_path: Path) -> None:
    """That it answers over TCP says nothing of what is asked by UDP."""
    talks = [out(server="192.0.2.100:514", proto="udp"), connection(1, server="192.0.2.100:514", proto=proto)]
    talks[0].data(b"says", 0)
    analysis = judged(tmp_path, talks[0], whole(talks[1], 1))

    assert outcome == next(value for name, value in told(analysis).items() if ":20000" in name)


def test_an_echo_without_reply_is_unanswered(tmp_path: Path) -> None:
    """And with one it is fine."""
    echo = Conversation(pod="10.244.0.11:77", server="192.0.2.100:77", nat="192.0.2.10:77", proto="icmp")
    echo.data(b"ping", at=0)
    assert "unanswered" == one(judged(tmp_path / "lost", echo))

    echo.reply()
    assert "ok" == one(judged(tmp_path / "whole", echo))


def test_nobody_took_the_answer(tmp_path: Path) -> None:
    """A SYN-ACK that is sent again and again, and never acknowledged, opens nothing: what the pod has, it did not take."""
    talk = out()
    _not_taken(talk)
    analysis = judged(tmp_path, talk)

    assert ("timed-out", "outside") == (one(analysis), one(analysis, "class"))


def test_nobody_took_the_answer_when_the_capture_began(tmp_path: Path) -> None:
    """That the SYN was sent before changes nothing: the first packet there is a SYN-ACK."""
    talk = out()
    for at in (0, 1, 3):
        talk.synack(at)

    assert "timed-out" == one(judged(tmp_path, talk))


@pytest.mark.parametrize("by_pod", [True, False])
def test_an_answer_that_was_taken_in_the_end(by_pod: bool, tmp_path: Path) -> None:
    """Near miss: who acknowledged a SYN-ACK had it, and whoever sends data had been acknowledged, however often it was sent."""
    talk = out()
    talk.syn(0)
    talk.synack(0.1)
    talk.synack(1.1)
    talk.send("PA", 10, by_pod=by_pod)

    assert "ok" == one(judged(tmp_path, talk))


def test_an_answer_to_nobody_that_was_captured(tmp_path: Path) -> None:
    """Where the opener is none of the captured pods, nobody can tell who lost its SYN-ACK."""
    talk = out(pod="10.244.0.1:20000", nat=None, way="cni0 veth-b", server="10.244.0.12:80")
    _not_taken(talk)
    analysis = judged(tmp_path, talk)

    assert ("timed-out", "unknown") == (one(analysis), one(analysis, "class"))


def test_a_scan_took_the_answer(tmp_path: Path) -> None:
    """Near miss: one SYN-ACK, and a RST for thanks."""
    talk = out()
    talk.syn(0)
    talk.synack()
    talk.send("R")

    assert "timed-out" != one(judged(tmp_path, talk))


@pytest.mark.parametrize(
    ("port", "vain", "outcome"), [(53, 3, "unanswered"), (53, 2, "ok"), (443, 3, "ok")],
    ids=["DNS", "two may be on their way", "QUIC ends in receipts"],
)  # fmt: skip
def test_answers_that_stopped(port: int, vain: int, outcome: str, tmp_path: Path) -> None:
    """A resolver that always used one port, and got no answer any more."""
    talk = out(proto="udp", server=f"192.0.2.100:{port}")
    for at in (0, 1):
        talk.data(b"asks %d" % at, at=at)
        talk.reply()
    for at in range(2, 2 + vain):
        talk.data(b"asks %d" % at, at=at)

    assert outcome == one(judged(tmp_path, talk))


def test_services_that_answer(tmp_path: Path) -> None:
    """Of which an answer is expected at all, and of which one to each request; of any other port neither."""
    asked, each = {53, 67, 69, 88, 123, 161, 389, 443, 500, 4500, 5060}, {53, 88, 123, 161, 389}
    talks = []
    for n, port in enumerate(sorted({*asked, *(port + by for port in asked for by in (-1, 1))})):
        ends = {"server": f"192.0.2.100:{port}", "proto": "udp", "pod": f"10.244.0.11:{20000 + n}"}
        talks += [out(**ends, nat=f"192.0.2.10:{20000 + n}")]
        talks[-1].data(b"asks %d" % n, at=0)
    silent = told(judged(tmp_path / "silent", *talks))
    for talk in talks:
        talk.reply()
        for at in (1, 2, 3):
            talk.data(b"asks %d %d" % (at, talk.sent[0].number), at=at)
    stopped = told(judged(tmp_path / "stopped", *talks))

    for expected, found in ((asked, silent), (each, stopped)):
        assert expected == {
            int(name.partition("/")[0].rpartition(":")[2])
            for name, is_ in found.items()
            if is_ == "unanswered"
        }


@pytest.mark.parametrize(
    ("opened", "probes", "outcome"), [(False, 2, "stalled"), (True, 2, "ok"), (False, 1, "ok")],
    ids=["SYNPROXY reaches no server", "it does", "too early to tell"],
)  # fmt: skip
def test_a_window_that_stays_shut(opened: bool, probes: int, outcome: str, tmp_path: Path) -> None:
    """A SYN-ACK without a window, and the opener asks for one in vain."""
    talk = out()
    talk.syn(0)
    talk.send("SA", by_pod=False, window=0)
    talk.send()
    if opened:
        talk.send(by_pod=False)
    for at in range(1, 1 + probes):
        talk.send(at=at)

    assert outcome == one(judged(tmp_path, talk))
