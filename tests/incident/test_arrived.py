"""Requests that came in and arrived, and got no answer: whom to ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from analyzer.incident.model import Outside
from tests.conversation import Conversation, bystander, record

CLIENT, NODE, POD = "198.51.100.20", "192.0.2.10:30080", "10.244.0.7:8080"
AROUND = (bystander(-5), bystander(40))


def request(number: int, *, answered: bool = False, way: str = "eth0 | cni0 veth-a") -> Conversation:
    """A client's connection to a published port of the pod."""
    talk = Conversation(
        pod=f"{CLIENT}:{50_000 + number}", server=NODE, dnat=POD, way=way, isn=1_000_000 * (number + 1)
    )
    for wait in (0.0,) if answered else (0.0, 1.0, 3.0):
        talk.syn(5 * number + wait)
    if answered:
        talk.accept()
        talk.data(100)
        talk.reply(100)
    return talk


def told(folder: Path, *talks: Conversation) -> Outside:
    """What is told of these, between others that worked."""
    outside = analyze(record(folder, *talks, *AROUND)).outside
    assert outside is not None
    return outside


def test_the_pod_says_nothing(tmp_path: Path) -> None:
    """Its own interface saw the requests: look inside the pod, and not at the destination."""
    outside = told(tmp_path, request(0, answered=True), request(1), request(2))

    assert ["reached-pod"] == [trait.code for trait in outside.traits]
    assert "2 of 2 unanswered" in outside.traits[0].says
    assert "(veth-a)" in outside.traits[0].says
    assert outside.advice is not None
    assert "ss -lnt" in outside.advice.command


def test_what_the_pods_sockets_say(tmp_path: Path) -> None:
    """A full accept queue, and the counter of its overflows, of which `grep` left no heading."""
    (tmp_path / "ss.txt").write_text(
        "State  Recv-Q Send-Q Local Address:Port Peer Address:Port\nLISTEN 129 128 *:8080 *:*\n"
    )
    for when, count in (("before", 1192), ("after", 1204)):
        (tmp_path / f"{when}.txt").write_text(f"    {count} times the listen queue of a socket overflowed\n")
    (trait,) = told(tmp_path, request(0, answered=True), request(1), request(2)).traits

    assert "the accept queue of *:8080 is full, 129 wait where 128 may (ss.txt)" in trait.says
    assert "TcpExt.ListenOverflows rose by 12 (after.txt)" in trait.says


def test_without_the_pods_interface(tmp_path: Path) -> None:
    """The bridge alone does not show that the pod got them."""
    talks = (request(0, answered=True), request(1), request(2))
    record(tmp_path, *talks, *AROUND)
    (tmp_path / "veth-a.pcap").unlink()
    outside = analyze(tmp_path).outside

    assert outside is None or "reached-pod" not in {trait.code for trait in outside.traits}


def two_ways(number: int, *, came: str = "eth1", left: str = "eth0") -> list[Conversation]:
    """A request that comes in by one uplink, whose answer leaves by another."""
    ends: dict[str, Any] = {
        "pod": f"{CLIENT}:{50_000 + number}",
        "server": "10.0.13.174:80",
        "isn": 1_000_000 * (number + 1),
    }
    ask = Conversation(**ends, way=f"{came} | eni1a2b3c4d5e6")
    away = Conversation(**ends, way=f"{left} | eni1a2b3c4d5e6")
    for wait in (0.0, 1.0, 3.0):
        ask.syn(5 * number + wait)
        away._next[True] = ask.isn + 1
        away.synack(5 * number + wait + 0.001)
    return [ask, away]


def of_pod(at: float, uplink: str) -> Conversation:
    """Another pod's whole connection by one of both uplinks."""
    return bystander(at, f"eni0f9e8d7c6b5 | {uplink}")


@pytest.mark.parametrize(("came", "left"), [("eth1", "eth0"), ("eth0", "eth1")])
def test_answers_leave_another_way(came: str, left: str, tmp_path: Path) -> None:
    """Nobody asks for a capture at the pod, which answered; request and answer are one connection."""
    talks = [one for number in range(3) for one in two_ways(number, came=came, left=left)]
    analysis = analyze(record(tmp_path, *talks, of_pod(-2, "eth0"), of_pod(40, "eth1")))
    outside = analysis.outside

    assert 5 == analysis.account.connections
    assert outside is not None
    assert "answers-other-way" in {trait.code for trait in outside.traits}
    assert outside.advice is not None
    assert CLIENT in outside.advice.command


def test_answers_leave_by_the_same_way(tmp_path: Path) -> None:
    """That they were not acknowledged is nothing that the two ways explain."""
    talks = [one for number in range(3) for one in two_ways(number, left="eth1")]
    outside = analyze(record(tmp_path, *talks, of_pod(-2, "eth0"), of_pod(40, "eth1"))).outside

    assert outside is not None
    assert "answers-other-way" not in {trait.code for trait in outside.traits}


def test_answered_from_elsewhere(tmp_path: Path) -> None:
    """The endpoint answers the client itself, past the node that translated the request; the client resets that."""
    talks = []
    for number in range(3):
        ends: dict[str, Any] = {
            "pod": f"10.244.1.5:{41_000 + number}",
            "way": "veth-a cni0 | eth0",
            "isn": 7_000_000 + 1_000 * number,
        }
        asked = Conversation(server="192.0.2.12:30080", **ends)
        answers = Conversation(server="10.244.2.7:8080", **ends)
        answers._next[True] = asked.isn + 1
        for wait in (0.0, 1.0):
            asked.syn(2 * number + wait)
            answers.synack(2 * number + wait + 0.003)
            answers.send("R", options=[], window=0)
        talks += [asked, answers]
    (trait,) = (one for one in told(tmp_path, *talks).traits if one.code == "answered-elsewhere")

    assert 3 == trait.connections
    assert "(10.244.2.7:8080 for 192.0.2.12:30080)" in trait.says
