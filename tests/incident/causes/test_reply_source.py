"""Answers that come from another address of the node: told by the pod's refusal, or by the port."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from tests.conversation import BRIDGE as BRIDGE_MAC
from tests.conversation import Conversation
from tests.incident.evidence import Frames, judged
from tests.incident.node import LINKS, told

POD, ASKED, BRIDGE = "10.244.0.11:37218", "192.0.2.10:5151", "10.244.0.1:5151"


def asked(*, answer_from: str = BRIDGE, at: float = 0.002, to: str = POD) -> list[Conversation]:
    """A pod asks the node at its uplink's address, and something comes back."""
    request = Conversation(pod=POD, server=ASKED, proto="udp", way="veth-a cni0")
    request.data(6, at=0)
    request.data(6, at=1)
    way = "veth-a cni0 | eth0" if answer_from.startswith("198.") else "veth-a cni0"
    answer = Conversation(pod=to, server=answer_from, proto="udp", way=way)
    answer.reply(6, at=at)
    return [request, answer]


def answered(talks: list[Conversation]) -> list[Conversation]:
    """The address that was asked answers as well."""
    talks[0].reply(6, at=0.001)
    return talks


def refusal(answer_from: str = BRIDGE) -> Frames:
    """The pod's kernel says that no socket takes it."""
    quoted = IP(src=answer_from.split(":")[0], dst=POD.split(":")[0]) / UDP(
        sport=int(answer_from.split(":")[1]), dport=37218
    )
    frames = Frames()
    for point, at in (("veth-a", 0.0021), ("cni0", 0.0022)):
        error = IP(src=quoted.dst, dst=quoted.src) / ICMP(type=3, code=3) / quoted
        frames.heard.append((point, at, Ether(src="02:0a:0a:0a:0a:0a", dst=BRIDGE_MAC) / error))
    return frames


def found(folder: Path, *talks: Conversation | Frames) -> list[tuple[str, str]]:
    """Cause and confidence of each incident."""
    told(folder, **{"ip-addr": LINKS})
    return [(one.cause, one.confidence) for one in judged(folder, *talks).incidents]


def test_refused_by_the_pod(tmp_path: Path) -> None:
    """The answer came from the bridge's address, and the pod refused it: they are one connection, the node's doing."""
    told(tmp_path, **{"ip-addr": LINKS})
    analysis = judged(tmp_path, *asked(), refusal())

    assert [("reply-source", "proven")] == [(one.cause, one.confidence) for one in analysis.incidents]
    assert ["attempt", "offender", "context"] == [
        one.role for one in analysis.incidents[0].findings[0].passages
    ]
    assert (1, 1) == (analysis.account.node, analysis.account.connections - analysis.account.worked)


def test_other_port(tmp_path: Path) -> None:
    """An endpoint in the host's network answers from its own port: the refusal tells."""
    own = BRIDGE.replace("5151", "8080")
    assert [("reply-source", "proven")] == found(tmp_path, *asked(answer_from=own), refusal(own))


def test_without_the_refusal(tmp_path: Path) -> None:
    """A resolver's socket takes from everybody: the port that was asked makes it likely."""
    assert [("reply-source", "likely")] == found(tmp_path, *asked())


@pytest.mark.parametrize(
    "talks",
    [
        asked(answer_from=BRIDGE.replace("5151", "9999")),
        asked(at=-0.5),
        asked(to=POD.replace("37218", "4000")),
        asked(answer_from="198.51.100.7:5151"),
        answered(asked()),
    ],
    ids=[
        "another port, not refused",
        "before the request",
        "to another socket",
        "not the node's address",
        "answered",
    ],
)
def test_near_misses(tmp_path: Path, talks: list[Conversation]) -> None:
    """What merely came to the pod is no answer of the node."""
    assert [] == found(tmp_path, *talks)


def test_the_last_that_was_asked(tmp_path: Path) -> None:
    """A socket that asked two addresses in vain gets the answer of the later one."""
    before = Conversation(pod=POD, server="192.0.2.10:5150", proto="udp", way="veth-a cni0")
    before.data(6, at=-1)
    told(tmp_path, **{"ip-addr": LINKS})
    (incident,) = judged(tmp_path, before, *asked(), refusal()).incidents

    assert incident.findings[0].evidence[0].says.startswith(f"the request to {ASKED} got no answer")
