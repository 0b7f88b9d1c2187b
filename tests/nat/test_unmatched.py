"""Packets whose flows do not fit as wholes are paired by content and moment, equal ones in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer import Analysis, analyze
from analyzer.nat.gap import Gap
from tests.conversation import Conversation, bystander, record


def analysed(folder: Path, *talks: Conversation) -> tuple[Analysis, Gap]:
    """Analyse what cni0 and eth0 saw, and give the gap."""
    analysis = analyze(record(folder, *talks, bystander(-5), bystander(20), points=("cni0", "eth0")))
    assert analysis.scene is not None
    return analysis, analysis.scene.gaps[0]


def query(payload: bytes, at: float, **changes: Any) -> Conversation:
    """A datagram of one socket to a service."""
    talk = Conversation(
        **{
            "pod": "10.244.0.11:53000",
            "server": "10.96.0.10:53",
            "dnat": "10.244.3.3:53",
            "nat": "192.0.2.10:53000",
            "proto": "udp",
            **changes,
        }
    )
    talk.data(payload, at)
    return talk


def test_one_flow_inside_is_two_outside(tmp_path: Path) -> None:
    """Two queries of one socket that DNAT sent to different endpoints: both passed."""
    first = query(b"A example.org", 0)
    second = query(b"AAAA example.org", 0.001, dnat="10.244.4.4:53")
    analysis, gap = analysed(tmp_path, first, second)

    assert (gap.in_outer.whole() >= 0).all()
    assert 0 == analysis.counts.udp_vanished


def test_one_of_the_two_is_lost(tmp_path: Path) -> None:
    """The near miss: the second query never left."""
    first, second = query(b"A example.org", 0), query(b"AAAA example.org", 0.001)
    second.sent[0].lost_after("cni0")

    assert 1 == analysed(tmp_path, first, second)[0].counts.udp_vanished


@pytest.mark.parametrize("apart", [0.0, 0.2, 0.24, 0.3, 0.45])
def test_wherever_the_moment_falls(apart: float, tmp_path: Path) -> None:
    """A packet that crosses while the clock's grid ticks is paired as well."""
    talks = [query(f"query {n}".encode(), n * 0.5 + apart, dnat=f"10.244.3.{n + 1}:53") for n in range(4)]
    analysis, gap = analysed(tmp_path, *talks)

    assert (gap.in_outer.whole() >= 0).all()
    assert 0 == analysis.counts.udp_vanished


def test_what_is_paired_is_mutual_and_alike(tmp_path: Path) -> None:
    """Each packet has one partner, and is its partner's."""
    talks = [query(b"same", n * 0.1, dnat=f"10.244.3.{n + 1}:53") for n in range(3)]
    _, gap = analysed(tmp_path, *talks)
    there = np.flatnonzero(gap.in_outer.whole() >= 0)

    assert there.tolist() == gap.in_inner[gap.in_outer[there]].tolist()
    assert gap.inner.packets.print[there].tolist() == gap.outer.packets.print[gap.in_outer[there]].tolist()


def same(pod: str, port: int, *times: float, begin: int = 1) -> list[Conversation]:
    """The same datagram again and again: of one pod's socket while SNAT gives it one outer port."""
    talk = query(
        b"ping", times[0], pod=f"{pod}:30000", server="192.0.2.53:8125", dnat=None, nat=f"192.0.2.10:{port}"
    )
    for at in times[1:]:
        talk.data(b"ping", at)
    for number, packet in enumerate(talk.sent):
        packet.number = number + begin
    return [talk]


def equals() -> list[Conversation]:
    """Two pods whose datagrams are equal; both entries expire in the pause, and the ports change."""
    return [
        *same("10.244.0.11", 30000, 0, 1),
        *same("10.244.0.11", 1024, 10, 11, begin=3),
        *same("10.244.0.12", 2000, 0.0001, 1.0001),
        *same("10.244.0.12", 30000, 10.0001, 11.0001, begin=3),
    ]


def test_equal_datagrams_after_their_entries_expired(tmp_path: Path) -> None:
    """As many came out as went in: none is lost, whatever port they have."""
    analysis, gap = analysed(tmp_path, *equals())

    assert (gap.in_outer.whole() >= 0).all()
    assert 0 == analysis.counts.udp_vanished


def test_one_of_many_equals_is_lost(tmp_path: Path) -> None:
    """The near miss: one fewer came out."""
    talks = equals()
    talks[1].sent[0].lost_after("cni0")

    assert 1 == analysed(tmp_path, *talks)[0].counts.udp_vanished
