"""A connection's loss as a finding: who asks first, what is drawn, what waited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from analyzer.incident.model import Finding
from tests.conversation import Conversation, bystander, record


def told(folder: Path, *talks: Conversation, **options: Any) -> Finding:
    """The only finding of these conversations."""
    analysis = analyze(record(folder, *talks, bystander(-5), bystander(20), **options))
    (finding,) = (f for incident in analysis.incidents for f in incident.findings)
    return finding


def out(**changes: Any) -> Conversation:
    """A connection out of the node."""
    given = {"pod": "10.244.0.11:20000", "server": "192.0.2.100:80", "nat": "192.0.2.10:1024"}
    return Conversation(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attempts", "delay", "answered"),
    [
        ([(0, True), (1, False)], 1.0, 1.001),
        ([(0, True), (1, True), (3, False)], 3.0, 3.001),
        ([(0, True), (1, True)], None, None),
    ],
)
def test_what_the_user_waited(
    attempts: list[tuple[float, bool]], delay: float | None, answered: float | None, tmp_path: Path
) -> None:
    """From the lost attempt to the first one that passed; nothing where none did."""
    talk = out()
    for at, lost in attempts:
        sent = talk.syn(at)
        if lost:
            sent.lost_after("cni0")
    if answered:
        talk.accept()
    finding = told(tmp_path, talk)

    assert delay == (finding.delay_s and pytest.approx(finding.delay_s))
    assert (answered is not None, sum(lost for _, lost in attempts)) == (
        finding.facts["answered"],
        finding.facts["attempts_vanished"],
    )
    assert answered == (answered and pytest.approx(finding.facts["answered_after_s"], abs=1e-4))
    assert ("192.0.2.10:1024 > 192.0.2.100:80/tcp" if delay else None) == finding.outer


def test_what_is_drawn(tmp_path: Path) -> None:
    """Every attempt with its number, the partner, and the first answer, in time order."""
    talk = out()
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    won = out(pod="10.244.0.12:20000", nat="192.0.2.10:20000", way="veth-b cni0 | eth0", isn=7)
    won.syn(0.0001)
    won.accept()
    drawn = [
        (p.role, p.note, str(p.fate), p.outward, [s.point for s in p.sightings])
        for p in told(tmp_path, talk, won).passages
    ]

    assert [
        ("attempt", "attempt 1", "vanished", True, ["veth-a", "cni0"]),
        ("partner", "got the port", "passed", True, ["veth-b", "cni0", "eth0"]),
        ("attempt", "attempt 2", "passed", True, ["veth-a", "cni0", "eth0"]),
        ("reply", "", "passed", False, ["eth0", "cni0", "veth-a"]),
    ] == drawn


def test_datagrams(tmp_path: Path) -> None:
    """Kind and label tell a UDP request."""
    talk = out(proto="udp")
    talk.data(b"query", 0).lost_after("cni0")
    talk.data(b"query", 5)
    talk.reply(10)
    finding = told(tmp_path, talk)

    assert ("udp-vanished", 5.0) == (finding.kind, pytest.approx(finding.delay_s))
    assert "UDP 5 bytes" == finding.passages[0].label
