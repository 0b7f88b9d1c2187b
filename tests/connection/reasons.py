"""Why each request of an analysis has its fate, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyzer import Analysis, analyze
from analyzer.connection.reasons import REASONS
from analyzer.flow.point import TCP
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import Frames

AROUND = (bystander(-5), bystander(20))
POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:20000"


def out(**changes: Any) -> Conversation:
    """A pod's connection out of the node."""
    return Conversation(**{"pod": POD, "server": SERVER, "nat": NAT, **changes})


def inbound(**changes: Any) -> Conversation:
    """A connection from outside through DNAT to a pod; see `opens`."""
    return Conversation(
        **{"pod": "10.244.0.11:8080", "server": "203.0.113.7:41000", "nat": "192.0.2.10:80", **changes}
    )


def opens(talk: Conversation, *times: float) -> Conversation:
    """Let the outside ask at these seconds."""
    for at in times:
        talk.send("S", by_pod=False, at=at, seq=talk.server_isn)
    talk._next[False] = talk.server_isn + 1
    return talk


def asks(talk: Conversation, *times: float, after: str | None = None) -> Conversation:
    """Let the pod ask at these seconds; *after* that point its SYNs are lost."""
    for at in times:
        sent = talk.syn(at) if talk.proto == "tcp" else talk.data(b"question %d" % talk.isn, at)
        if after:
            sent.lost_after(after)
    return talk


def judged(folder: Path, *talks: Conversation | Frames, **options: Any) -> Analysis:
    """Analyse these conversations between two that were whole."""
    return analyze(record(folder, *talks, *AROUND, **options))  # type: ignore[arg-type]


def reasons(
    analysis: Analysis, point: str = "cni0", *, port: int = 20000, protocol: int = TCP, replies: bool = False
) -> list[str]:
    """The reasons of what one point saw of the flows that have this port on either side, in order of time."""
    scene = analysis.captured
    found = []
    for at in (scene.replies if replies else scene.requests)[protocol]:
        if at.point.name == point:
            ports = at.point.flows.ports[at.point.packets.flow[at.rows]]
            mine = (ports >> 16 == port) | (ports & 0xFFFF == port)
            found += [REASONS[int(code)].code for code in at.reason[mine]]
    return found
