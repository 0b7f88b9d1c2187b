"""Times that do not ascend in their file: the order that the packets confirm is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

NAT = "192.0.2.10"


def talks() -> list[Conversation]:
    """Many connections and look-ups, of which three lost a SYN, one a query, between cni0 and eth0."""
    found = [bystander(-1), bystander(9)]
    for n in range(40):
        talk = Conversation(
            pod=f"10.244.0.{n % 7 + 11}:{20000 + n}",
            server=f"192.0.2.{100 + n % 3}:80",
            nat=f"{NAT}:{30000 + n}",
            isn=n * 99_991 + 7,
        )
        begin = n * 0.004
        if n % 15 == 3:
            talk.syn(begin).lost_after("cni0")
            begin += 1
        talk.syn(begin)
        talk.accept()
        for _ in range(3):
            talk.data(300)
            talk.reply(900)
        talk.send("FA")
        talk.send("FA", by_pod=False)
        again = Conversation(pod=talk.pod, server=talk.server, nat=talk.nat, isn=n * 99_991 + 777_777_777)
        again.syn(begin + 0.1)
        again.accept()
        query = Conversation(
            pod=f"10.244.0.{n % 7 + 11}:{40000 + n}",
            server="192.0.2.53:8053" if n % 2 else "192.0.2.53:53",
            nat=f"{NAT}:{50000 + n}",
            proto="udp",
        )
        query.data(f"query {n}".encode(), begin)
        if n == 20:
            query.sent[0].lost_after("cni0")
        else:
            query.reply(60)
        found += [talk, again, query]
    return found


def told(analysis: Analysis) -> tuple[object, ...]:
    """What the analysis says, but for times."""
    counts = analysis.counts
    return (
        counts.connections,
        counts.syn_attempts,
        counts.syn_vanished,
        counts.syn_unanswered,
        counts.udp_requests,
        counts.udp_vanished,
        counts.reply_vanished,
        counts.invalid_packets,
        sorted((i.kind, i.cause, i.gap, len(i.findings)) for i in analysis.incidents),
    )


@pytest.mark.parametrize("seconds", [0.0005, 0.005, 0.03, 0.2])
def test_records_that_are_late_in_their_file(seconds: float, tmp_path: Path) -> None:
    """Records that several processors wrote, in another order than their times: nothing changes."""
    expected = told(analyze(record(tmp_path / "ordered", *talks())))

    assert 3 == expected[2]
    assert 1 == expected[5]
    assert expected == told(analyze(record(tmp_path / "shuffled", *talks(), shuffled=seconds)))


@pytest.mark.parametrize("seconds", [0.0005, 0.005, 0.03])
def test_times_that_are_only_roughly_right(seconds: float, tmp_path: Path) -> None:
    """Times that contradict what the packets say do not overrule the order in which they were recorded."""
    expected = told(analyze(record(tmp_path / "ordered", *talks())))

    assert expected == told(analyze(record(tmp_path / "jitter", *talks(), jitter=seconds)))


def test_frames_keep_their_numbers(tmp_path: Path) -> None:
    """What is told names the frame that the file has there, not the place in the order of time."""
    analysis = analyze(record(tmp_path, *talks(), shuffled=0.03))
    point = next(p for p in analysis.scene.points if p.name == "cni0")  # type: ignore[union-attr]
    frames = point.packets.frame.tolist()

    assert sorted(frames) == list(range(1, len(frames) + 1))
    assert frames != sorted(frames)
    assert (point.packets.time[1:] >= point.packets.time[:-1]).all()
