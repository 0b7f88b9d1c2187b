"""Data that vanished: only what was repeated, never crossed, and was never acknowledged."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:20000"


def judged(folder: Path, talk: Conversation) -> Analysis:
    """Analyse it between two that were whole."""
    return analyze(record(folder, talk, bystander(-5), bystander(20)))


def opened() -> Conversation:
    """A connection whose handshake is done."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.syn()
    talk.accept()
    return talk


def sent(talk: Conversation, *times: float, lost: int = 99) -> None:
    """The same 500 bytes again and again, of which the first ones are lost behind the bridge."""
    seq: int | None = None
    for n, at in enumerate(times):
        packet = talk.send("PA", b"x" * 500, at=at, seq=seq)
        seq = packet.seq
        if n < lost:
            packet.lost_after("cni0")


def test_repeated_and_never_beyond(tmp_path: Path) -> None:
    """The handshake passed, and then the same segment vanished three times: this node lost it."""
    talk = opened()
    sent(talk, 1, 2, 4)
    analysis = judged(tmp_path, talk)

    assert [("data-vanished", ("cni0", "eth0"), 3)] == [
        (i.kind, i.gap, i.findings[0].facts["packets"]) for i in analysis.incidents
    ]
    assert 1 == analysis.account.node


def test_a_copy_got_through(tmp_path: Path) -> None:
    """The near miss: the third copy crossed, so the data arrived."""
    talk = opened()
    sent(talk, 1, 2, 4, lost=2)
    talk.reply(b"thanks", at=4.1)

    assert () == judged(tmp_path, talk).incidents


def test_sent_once(tmp_path: Path) -> None:
    """Cannot tell: what was not repeated may have been missed by the capture, or the connection was given up."""
    talk = opened()
    sent(talk, 1)

    assert () == judged(tmp_path, talk).incidents


def test_a_fin_that_never_left(tmp_path: Path) -> None:
    """A FIN is repeated as data is; the connection hangs in closing, and that is this node's doing."""
    talk = opened()
    seq: int | None = None
    for at in (1, 1.2, 1.6):
        fin = talk.send("FA", at=at, seq=seq).lost_after("cni0")
        seq = fin.seq
    analysis = judged(tmp_path, talk)

    assert [("data-vanished", "FIN", 3)] == [
        (i.kind, i.findings[0].facts["segment"], i.findings[0].facts["packets"]) for i in analysis.incidents
    ]
    assert {"stalled": 1} == {name: n for name, n in analysis.account.outcomes.items() if name != "ok"}


def test_a_fin_whose_acknowledgement_is_late(tmp_path: Path) -> None:
    """The near miss: its repetition crossed."""
    talk = opened()
    fin = talk.send("FA", at=1).lost_after("cni0")
    talk.send("FA", at=1.2, seq=fin.seq)
    talk.send("FA", at=1.3, by_pod=False)
    talk.send("A", at=1.4)

    assert () == judged(tmp_path, talk).incidents


def test_a_reset_that_never_left(tmp_path: Path) -> None:
    """Nobody repeats a RST: that no RST of the pod crossed is enough."""
    talk = opened()
    talk.send("RA", at=1).lost_after("cni0")
    analysis = judged(tmp_path, talk)

    assert [("data-vanished", "RST")] == [
        (i.kind, i.findings[0].facts["segment"]) for i in analysis.incidents
    ]


def test_one_reset_of_several(tmp_path: Path) -> None:
    """The near miss: one crossed, and conntrack may drop what comes after it."""
    talk = opened()
    talk.send("RA", at=1)
    talk.send("R", at=1.1).lost_after("cni0")

    assert () == judged(tmp_path, talk).incidents


def test_each_point_recorded_one_direction(tmp_path: Path) -> None:
    """With `tcpdump -Q in` the uplink shows nothing that leaves: a RST that is not there was not lost."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn(0)
    talk.accept()
    talk.data(100)
    talk.reply(100)
    talk.send("R")
    later = bystander(20)  # eth0 was still recording when the RST left
    for sent in (*talk.sent, *later.sent):
        sent.only_at(*(("veth-a", "cni0") if sent.outward else ("eth0",)))

    assert () == analyze(record(tmp_path, talk, later, points=("cni0", "eth0"))).incidents
