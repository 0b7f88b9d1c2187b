"""A pod that asks itself through a service: told by the SYN's number, the bridge's setting and the source that came back."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.incident.causes.hairpin import _mode
from tests.conversation import Conversation
from tests.incident.evidence import findings, judged
from tests.incident.node import LINKS, known, told

SERVICE, ITSELF = "10.96.0.20:80", "10.244.0.11:8080"
# As `bridge -d link` of iproute2 6.1 prints a port.
PORT = """5: veth-a@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master cni0 state forwarding priority 32 cost 2
    hairpin {} guard off root_block off fastleave off learning on flood on mcast_flood on bcast_flood on
"""


def asking(
    way: str,
    *at: float,
    nat: str | None = None,
    dnat: str = ITSELF,
    seen: tuple[str, ...] = ("veth-a", "cni0"),
) -> list[Conversation]:
    """A pod asks a service; *seen* saw its SYN translated, as it was about to come back."""
    asked = Conversation(pod="10.244.0.11:20000", server=SERVICE, way="veth-a")
    back = Conversation(pod=nat or "10.244.0.11:20000", server=dnat, way=way)
    for second in at or (0.0, 1.0, 3.0):
        asked.syn(second)
        back.syn(second + 0.00001).only_at(*seen)
    return [asked, back, known(at=-3), known(at=39)]


def found(folder: Path, talks: list[Conversation], hairpin: str | None) -> list[tuple[str, str, str]]:
    """Cause, confidence and first remedy of each finding."""
    told(folder, **{"ip-addr": LINKS, **({"bridge": PORT.format(hairpin)} if hairpin else {})})
    return [
        (one.cause, one.confidence, one.remedies[0].command if one.remedies else "")
        for one in findings(judged(folder, *talks))
    ]


MODE = "bridge link set dev veth-a hairpin on"
MASQUERADE = "iptables -t nat -I POSTROUTING -s 10.244.0.11 -d 10.244.0.11 -j MASQUERADE"


@pytest.mark.parametrize(("hairpin", "confidence"), [("off", "proven"), (None, "likely")])
@pytest.mark.parametrize("at", [(), (0.0,)], ids=["again and again", "one SYN"])
def test_not_handed_back(tmp_path: Path, at: tuple[float, ...], hairpin: str | None, confidence: str) -> None:
    """The bridge has the translated SYN, the port does not get it: its setting proves it."""
    assert [("hairpin", confidence, MODE)] == found(tmp_path, asking("cni0", *at, seen=("cni0",)), hairpin)


@pytest.mark.parametrize(("hairpin", "command"), [("on", MASQUERADE), ("off", MODE)])
def test_own_source(tmp_path: Path, hairpin: str, command: str) -> None:
    """It comes back with the pod's own address as its source: masquerade it, or, where the port hands nothing back, let it."""
    assert [("hairpin", "proven", command)] == found(tmp_path, asking("cni0 veth-a"), hairpin)


@pytest.mark.parametrize(
    ("talks", "hairpin"),
    [
        (asking("cni0", seen=("cni0",)), "on"),
        (asking("cni0 veth-a", nat="10.244.0.1:20000"), "on"),
        (asking("cni0", dnat="10.244.0.12:8080", seen=("cni0",)), "off"),
    ],
    ids=["the port hands packets back", "masqueraded, and the pod is silent", "another pod is asked"],
)
def test_near_misses(tmp_path: Path, talks: list[Conversation], hairpin: str) -> None:
    """Then it is something else."""
    assert "hairpin" not in [cause for cause, _, _ in found(tmp_path, talks, hairpin)]


def test_a_syn_that_vanished_is_told_once(tmp_path: Path) -> None:
    """Masqueraded, it is on its way from the bridge to the pod, and is lost there: that is no second incident."""
    told(tmp_path, **{"ip-addr": LINKS, "bridge": PORT.format("off")})
    talk = Conversation(
        pod="10.244.0.11:20000",
        server=SERVICE,
        nat="10.244.0.1:20000",
        dnat=ITSELF,
        way="veth-a cni0 | cni0 veth-a",
    )
    for at in (0.0, 1.0, 3.0):
        talk.syn(at).lost_after("cni0")
    analysis = judged(tmp_path, talk, known(at=-3), known(at=39))

    assert ["hairpin"] == [one.cause for one in analysis.incidents]


def test_a_name_in_a_command() -> None:
    """Whoever named the file: an interface's name is one word to the shell."""
    assert "bridge link set dev 'veth;reboot' hairpin on" == _mode("veth;reboot").command
