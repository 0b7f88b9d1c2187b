"""`lostsyn why`: a packet's connection, its reasons, and what the evidence answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.connection.reasons import REASONS
from analyzer.errors import UnusableInput
from analyzer.report.why import CONNECTIONS, why
from tests.connection.told import judged, out
from tests.conversation import bystander, record


def _told(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def lost(tmp_path: Path) -> Analysis:
    """A connection whose first SYN vanished behind the bridge."""
    talk = out()
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    return judged(tmp_path, talk)


def test_a_lost_packet(lost: Analysis) -> None:
    """Its outcome, the reason in its gap, and each question with its answer."""
    told = _told(why(lost, "10.244.0.11:20000 > 192.0.2.100:80/tcp"))

    assert "outcome delayed, after 1 s" in told
    assert "class node" in told
    assert "incident syn-vanished-1" in told
    assert "cni0-eth0: vanished, lost: the next point was recording" in told
    assert "was eth0 recording? yes" in told
    assert "does an ICMP error quote it? no" in told
    assert "no rules are in the bundle" in told


@pytest.mark.parametrize(
    "name",
    [
        "192.0.2.10:20000>192.0.2.100:80",  # as the uplink saw it
        "192.0.2.100:80 > 10.244.0.11:20000/tcp",  # the answer's way round
        "10.244.0.11:20000 -> 192.0.2.100:80",
    ],
)
def test_names(lost: Analysis, name: str) -> None:
    """One connection, by whichever name a tool printed."""
    assert why(lost, "10.244.0.11:20000 > 192.0.2.100:80/tcp") == why(lost, name)


def test_a_frame(lost: Analysis) -> None:
    """The connection of the packet with that number at that point."""
    at = next(at for kind in lost.captured.requests.values() for at in kind if at.point.name == "cni0")
    frame = int(at.point.packets.frame[at.rows[0]])

    assert why(lost, f"cni0:{frame}").splitlines()[0].endswith("(out)")


@pytest.mark.parametrize(
    "name", ["cni0:999999999999", "eth7:1", "10.0.0.1:1 > 10.0.0.2:2", "gremlins", ":", ">"]
)
def test_nothing_of_that_name(lost: Analysis, name: str) -> None:
    """One sentence that says how a packet or a connection is named."""
    with pytest.raises(UnusableInput, match="POINT:FRAME"):
        why(lost, name)


def test_nothing_that_was_followed(tmp_path: Path) -> None:
    """Of a connection whose request nobody captured, that is said."""
    talk = out()
    talk.send("PA", 100)
    told = why(
        analyze(record(tmp_path, talk, bystander(-5), bystander(20))), "10.244.0.11:20000 > 192.0.2.100:80"
    )

    assert "none of its packets could be followed" in told


def test_ports_used_again(tmp_path: Path) -> None:
    """Each incarnation is told, a few of them."""
    talks = []
    for n in range(CONNECTIONS + 2):
        talk = out(isn=1_000_000 * (n + 1))
        talk.syn(n)
        talk.accept()
        talk.send("RA", at=n + 0.5)
        talks.append(talk)
    told = why(judged(tmp_path, *talks), "10.244.0.11:20000 > 192.0.2.100:80/tcp")

    assert CONNECTIONS == told.count("outcome")
    assert "and 2 further connections with these ends" in told


def test_every_reason_is_printable() -> None:
    """What is printed of a reason is a sentence's end."""
    assert all(reason.says[0].islower() and not reason.says.endswith(".") for reason in REASONS)
