"""SYNs that an older connection's ACK answers: told as a caveat, and not counted as unanswered."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

OLD = 5_000_122


def older() -> Conversation:
    """Another pod's connection, from the same outer address and port."""
    talk = Conversation(
        pod="10.244.0.12:45000",
        server="198.51.100.61:1521",
        nat="192.0.2.10:45000",
        isn=77,
        way="veth-b cni0 | eth0",
    )
    talk.syn(0)
    talk.accept()
    talk.send("FA")
    talk.send("FA", by_pod=False)
    return talk


def challenged(*times: float, ack: int = OLD, reset: int | None = OLD) -> Conversation:
    """A connection whose SYNs are answered so."""
    talk = Conversation(pod="10.244.0.11:45000", server="198.51.100.61:1521", nat="192.0.2.10:45000")
    for at in times:
        talk.syn(at)
        talk.send("A", by_pod=False, ack=ack, seq=9_000_000)
        if reset is not None:
            talk.send("R", seq=reset, window=0, options=[])
    return talk


def analysed(folder: Path, *talks: Conversation) -> Analysis:
    """Analyse these conversations."""
    return analyze(record(folder, *talks, bystander(-1), bystander(30)))


def told(analysis: Analysis) -> list[str]:
    """What is said of it."""
    return [caveat for caveat in analysis.caveats if "challenge ACK" in caveat]


def test_an_older_connection(tmp_path: Path) -> None:
    """Who is told, by whom, who had the port before, and how long it took; no SYN of it counts as unanswered."""
    analysis = analysed(tmp_path, older(), challenged(5, 6, 8))
    (says,) = told(analysis)

    assert says.startswith(
        "1 connection to 198.51.100.61:1521, the first 10.244.0.11:45000 > 198.51.100.61:1521/tcp"
    )
    assert "10.244.0.12:45000 used that port until 5 s before" in says
    assert "for up to 3 s" in says
    assert 0 == analysis.counts.syn_unanswered
    assert () == analysis.incidents


def test_the_next_attempt_is_accepted(tmp_path: Path) -> None:
    """The server drops the old connection on the pod's RST; the wait is told all the same."""
    talk = challenged(5)
    talk.syn(6)
    talk.accept()
    analysis = analysed(tmp_path, talk)

    assert ["for up to 1 s" in says for says in told(analysis)] == [True]
    assert 0 == analysis.counts.syn_unanswered


@pytest.mark.parametrize(
    "talk",
    [
        challenged(5, 6, ack=1_000_001, reset=1_000_001),
        challenged(5, 6, reset=None),
        challenged(5, 6, reset=OLD + 1),
    ],
    ids=["it acknowledges the SYN", "the pod does not reset it", "the pod resets another number"],
)
def test_near_misses(talk: Conversation, tmp_path: Path) -> None:
    """Without a foreign acknowledgement and the RST that mirrors it nothing is said."""
    assert [] == told(analysed(tmp_path, talk))


def test_silence(tmp_path: Path) -> None:
    """Where nothing answers, the SYNs stay unanswered."""
    talk = Conversation(pod="10.244.0.11:45000", server="198.51.100.61:1521", nat="192.0.2.10:45000")
    talk.syn(5)
    talk.syn(6)
    analysis = analysed(tmp_path, talk)

    assert [] == told(analysis)
    assert 2 == analysis.counts.syn_unanswered
