"""RSTs of the node's own stack: told by their mirror image, and by nothing less."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.incident.host_resets import Reset, resets
from tests.conversation import START, Conversation, Sent, bystander, record
from tests.incident.replies import early_ack, established


def found(folder: Path, *talks: Conversation) -> list[Reset]:
    """What the detector finds."""
    scene = analyze(record(folder, *talks, bystander(-1), bystander(5))).scene
    assert scene is not None
    return resets(scene.gaps)


def seconds(packet: Sent, more: float = 0) -> float:
    """A packet's time as `at`."""
    return (packet.time - START) / 1e9 + more


@pytest.mark.parametrize("after_us", [4, 60, 1500, 9_900, 140_000])
def test_mirror_of_a_reply(after_us: int, tmp_path: Path) -> None:
    """On the uplink only, from the node, seq = the offender's ack, window 0; a shaped uplink may keep it for long."""
    talk = established()
    offender = early_ack(talk)
    talk.reset_by_host(offender, after_us)
    (reset,) = found(tmp_path, talk)
    packets = reset.gap.outer.packets

    assert offender.ack == packets.ack[reset.offender] == packets.seq[reset.reset]
    assert after_us * 1000 == packets.time[reset.reset] - packets.time[reset.offender]


def test_every_offender_has_its_own_reset(tmp_path: Path) -> None:
    """Several in a row are told apart, each with its RST."""
    talk = established()
    offenders = []
    for n in range(4):
        offender = talk.send("A", by_pod=False, ack=talk.isn + 500_000 + n)
        talk.reset_by_host(offender)
        offenders.append(offender.ack)
    resets = found(tmp_path, talk)

    assert offenders == [int(r.gap.outer.packets.ack[r.offender]) for r in resets]
    assert 4 == len({r.reset for r in resets})


def test_reset_of_a_packet_without_ack(tmp_path: Path) -> None:
    """Such a RST acknowledges the offender's end instead (RFC 9293 section 3.10.7.1)."""
    talk = established()
    offender = talk.send("F", 10, by_pod=False, seq=9_000_000).only_at("eth0")
    talk.send("RA", seq=0, ack=9_000_011, window=0, options=[], at=seconds(offender, 50e-6)).only_at("eth0")

    assert 1 == len(found(tmp_path, talk))


def near_misses() -> dict[str, Conversation]:
    """Connections with a RST that the host did not send for an INVALID reply."""
    made = {}

    talk = made["the server's own"] = established()
    talk.send("R", by_pod=False, window=0, options=[])

    talk = made["the server's own, lost inside"] = established()
    talk.send("R", by_pod=False, window=0, options=[]).only_at("eth0")

    talk = made["the container's"] = established()
    offender = early_ack(talk)
    talk.send("R", seq=offender.ack, window=0, options=[], at=seconds(offender, 50e-6))

    talk = made["of a closed port"] = Conversation(
        pod="10.244.0.11:20000", server="192.0.2.100:81", nat="192.0.2.10:1024"
    )
    syn = talk.syn()
    talk.send("RA", by_pod=False, seq=0, ack=talk.isn + 1, window=0, options=[], at=seconds(syn, 0.001))

    talk = made["answers what came through"] = established()
    reply = talk.reply(100)
    talk.send("R", seq=reply.ack, window=0, options=[], at=seconds(reply, 50e-6)).only_at("eth0")

    talk = made["another number"] = established()
    offender = early_ack(talk).only_at("eth0")
    talk.send("R", seq=offender.ack + 1, window=0, options=[], at=seconds(offender, 50e-6)).only_at("eth0")

    talk = made["with a window"] = established()
    offender = early_ack(talk).only_at("eth0")
    talk.send("R", seq=offender.ack, window=502, options=[], at=seconds(offender, 50e-6)).only_at("eth0")

    talk = made["with an ACK"] = established()
    offender = early_ack(talk).only_at("eth0")
    talk.send("RA", seq=offender.ack, window=0, options=[], at=seconds(offender, 50e-6)).only_at("eth0")

    talk = made["before it"] = established()
    offender = early_ack(talk).only_at("eth0")
    talk.send("R", seq=offender.ack, window=0, options=[], at=seconds(offender, -3e-5)).only_at("eth0")
    return made


@pytest.mark.parametrize("name", near_misses())
def test_near_misses(name: str, tmp_path: Path) -> None:
    """One thing is different, and it is another story."""
    assert [] == found(tmp_path, near_misses()[name])


def test_offender_that_is_a_reset(tmp_path: Path) -> None:
    """A RST is never answered with a RST."""
    talk = established()
    offender = talk.send("RA", by_pod=False, ack=talk.isn + 500_000)
    talk.reset_by_host(offender)

    assert [] == found(tmp_path, talk)
