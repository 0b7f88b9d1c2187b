"""What a point's capture lacks of a connection, other points show: it is judged by all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analyzer import Analysis, analyze
from tests.connection.told import connections
from tests.conversation import Conversation, bystander, record


def _analysed(talk: Conversation, tmp_path: Path) -> Analysis:
    return analyze(record(tmp_path, talk, bystander(-1), bystander(10)))


def _told(analysis: Analysis) -> tuple[str, str]:
    row = analysis.connections.query("src_port == 20000").iloc[0]
    return str(row["outcome"]), str(row["class"])


def _talk() -> Conversation:
    return Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")


def test_went_on_at_another_point(tmp_path: Path) -> None:
    """A SYN-ACK, and what the opener sent after it, that the pod's own capture missed."""
    talk = _talk()
    talk.syn(0)
    talk.accept()
    talk.data()
    for sent in talk.sent[1:]:
        sent.missed_at("veth-a")

    assert ("ok", "worked") == _told(_analysed(talk, tmp_path))


def test_a_syn_ack_that_went_no_further(tmp_path: Path) -> None:
    """Near miss: that others saw a reply alone does not say that the opener got it."""
    talk = _talk()
    for at in (0, 1, 3):
        talk.syn(at)
        talk.synack().missed_at("veth-a")

    assert "worked" != _told(_analysed(talk, tmp_path))[1]


@pytest.mark.parametrize("lost", [True, False])
def test_repeated_at_another_point(lost: bool, tmp_path: Path) -> None:
    """A first SYN that the pod's own capture missed delayed the connection all the same, here or outside."""
    talk = _talk()
    first = talk.syn(0)
    if lost:
        first.lost_after("cni0")
    first.missed_at("veth-a")
    talk.syn(1)
    talk.accept()

    analysis = _analysed(talk, tmp_path)
    all_ = connections(analysis)
    (mine,) = np.flatnonzero(all_.outcomes.deciding >= 0).tolist()
    time = all_.chains.points[int(all_.chains.point[mine])].packets.time[all_.outcomes.deciding[mine]]

    assert ("delayed", "node" if lost else "outside") == _told(analysis)
    assert talk.sent[1].time == pytest.approx(time, abs=20_000)


def test_how_long_others_say_that_it_took(tmp_path: Path) -> None:
    """From the first SYN to the last one before the answer, wherever they were seen; nothing for what came after it."""
    talks = []
    for n, times in enumerate([(0,), (0, 1), (0, 1, 3), (0,), (0,)]):
        ends = {"pod": f"10.244.0.11:{20000 + n}", "nat": f"192.0.2.10:{20000 + n}", "isn": 99_991 * n}
        talk = Conversation(**ends, server="192.0.2.100:80")
        for at in times:
            talk.syn(at + n / 10).missed_at("veth-a")
        talk.sent[-1].seen = [0, *talk.sent[-1].seen]
        if n == 3:
            talk.synack(0.4).missed_at("veth-a")
            talk.syn(1.4).missed_at("veth-a")
        talk.accept()
        talks.append(talk)
    table = analyze(record(tmp_path, *talks, bystander(-1), bystander(10))).connections
    table = table[table["src_port"] < 20005].sort_values("src_port")

    assert [0, 1, 3, 0, 0] == table["delay_s"].fillna(0).round(3).tolist()


def test_a_first_attempt_that_the_next_capture_missed(tmp_path: Path) -> None:
    """That the repetition got out says nothing of where the first one was lost."""
    talk = _talk()
    talk.syn(0).only_at("veth-a")
    talk.syn(1)
    talk.accept()
    others = []
    for n in range(20):
        other = Conversation(
            pod=f"10.244.0.11:{21000 + n}",
            server="192.0.2.100:80",
            nat=f"192.0.2.10:{21000 + n}",
            isn=n * 99_991,
        )
        other.syn(n / 10)
        if n % 2:
            other.sent[0].missed_at("cni0")
        other.accept()
        others.append(other)
    analysis = analyze(record(tmp_path, talk, *others, bystander(-1), bystander(10)))

    assert "outside" != _told(analysis)[1]


def test_how_long_each_was_repeated(tmp_path: Path) -> None:
    """Each for as long as its own repetition took, also where a capture lacks the answer that another one has."""
    talks = []
    for n, wait in enumerate((1, 3, 2)):
        talk = Conversation(
            pod=f"10.244.0.11:{20000 + n}", server="192.0.2.100:80", nat=f"192.0.2.10:{20000 + n}", isn=n
        )
        talk.syn(0.1 * n).only_at("cni0")
        talk.syn(0.1 * n + wait)
        talk.accept()
        talks.append(talk)
    talks[2].sent[2].missed_at("cni0")
    analysis = analyze(record(tmp_path, *talks, bystander(-1), bystander(10)))
    rows = analysis.connections.query("src_port < 20003").sort_values("src_port")

    assert [("delayed", "node")] * 3 == list(zip(rows["outcome"], rows["class"], strict=True))
    assert [1, 3, 2] == [round(seconds) for seconds in rows["delay_s"]]
