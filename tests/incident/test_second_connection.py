"""Data connections of FTP and TFTP that end at the node, because no helper expects them."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from tests.conversation import Conversation, bystander, record

SERVER = "192.0.2.100"


def control(port: int = 21) -> Conversation:
    """The pod's own connection to the server."""
    talk = Conversation(pod="10.244.0.11:40000", server=f"{SERVER}:{port}", nat="192.0.2.10:40000")
    talk.syn(0)
    talk.accept()
    talk.data(b"PORT 10,244,0,11,160,1\r\n")
    return talk


def data(source: str = f"{SERVER}:20", *, at: float = 1) -> Conversation:
    """The server opens the data connection to the node, which refuses it."""
    talk = Conversation(pod="192.0.2.10:40961", server=source, way="eth0", server_isn=4711)
    talk.send("S", by_pod=False, at=at)
    talk.send("RA", seq=0, window=0, options=[])
    return talk


def kinds(folder: Path, *talks: Conversation) -> list[tuple[str, str]]:
    """Kind and cause of every incident."""
    analysis = analyze(record(folder, *talks, bystander(-5), bystander(9)))
    return [(i.kind, i.cause) for i in analysis.incidents]


def test_active_ftp(tmp_path: Path) -> None:
    """From the server's port 20 to the address that the pod's connection has outside."""
    assert [("misdelivered", "helper-missing")] == kinds(tmp_path, control(), data())


def test_what_the_node_says(tmp_path: Path) -> None:
    """That no helper is assigned is evidence."""
    (tmp_path / "sysctl.txt").write_text("net.netfilter.nf_conntrack_helper = 0\n")
    (incident,) = analyze(record(tmp_path, control(), data(), bystander(-5), bystander(9))).incidents

    assert any("no helper is assigned by itself" in e.says for e in incident.evidence)


def test_tftp(tmp_path: Path) -> None:
    """The server answers from a new port."""
    asked = Conversation(pod="10.244.0.11:40000", server=f"{SERVER}:69", nat="192.0.2.10:40000", proto="udp")
    asked.data(b"read file", 0)
    answer = Conversation(pod="192.0.2.10:40000", server=f"{SERVER}:50123", way="eth0", proto="udp")
    answer.send("PA", b"block 1", by_pod=False, at=0.01)

    assert ("misdelivered", "helper-missing") in kinds(tmp_path, asked, answer)


@pytest.mark.parametrize(
    "talks",
    [
        [control(80), data()],
        [control(), data("198.51.100.7:20")],
        [control(), data(f"{SERVER}:5555")],
        [control(), data(at=-1)],
    ],
    ids=["no FTP", "another server", "another port", "before the pod asked"],
)
def test_near_misses(talks: list[Conversation], tmp_path: Path) -> None:
    """A connection to the node that the pod did not ask for is somebody else's."""
    assert [] == kinds(tmp_path, *talks)
