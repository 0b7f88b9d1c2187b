"""Connections with a reply that conntrack calls INVALID, one for each test of the window."""

from __future__ import annotations

from pathlib import Path

from tests.conversation import Conversation, Sent

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"
CLASSIC, MODERN = "5.10.0-32-amd64", "6.12.1"


def established() -> Conversation:
    """A connection of which both sides have sent a little."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.syn()
    talk.accept()
    talk.data(100)
    talk.reply(100)
    return talk


def late_ack(talk: Conversation) -> Sent:
    """The pod uploads 300 kB; an ACK of the very beginning overtakes nothing and comes last."""
    for _ in range(5):
        talk.data(60_000)
        talk.reply(0)
    return talk.send("A", by_pod=False, ack=talk.isn + 101)


def early_ack(talk: Conversation) -> Sent:
    """The server acknowledges what the pod never sent."""
    return talk.send("A", by_pod=False, ack=talk.isn + 500_000)


def far_data(talk: Conversation) -> Sent:
    """The server sends data far beyond the pod's window."""
    return talk.send("PA", 100, by_pod=False, seq=talk.server_isn + 900_000)


def old_data(talk: Conversation) -> Sent:
    """The server repeats data from before anything that the pod could still miss."""
    for _ in range(5):
        talk.reply(60_000)
        talk.send("A")
    return talk.send("PA", 100, by_pod=False, seq=talk.server_isn + 1)


OFFENDERS = {
    "ack-under-lower-bound": late_ack,
    "ack-over-upper-bound": early_ack,
    "seq-over-upper-bound": far_data,
    "seq-under-lower-bound": old_data,
}


def kernel(folder: Path, release: str) -> None:
    """Put a `uname -r` into the bundle."""
    folder.mkdir(exist_ok=True)
    (folder / "uname.txt").write_text(f"{release}\n")
