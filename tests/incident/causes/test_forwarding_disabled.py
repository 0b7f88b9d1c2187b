"""Forwarding that is switched off: by the setting of the interface that packets come in by."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.incident.causes.forwarding_disabled import REMEDIES
from tests.conversation import Conversation
from tests.incident.causes.test_rp_filter import inbound
from tests.incident.evidence import causes, connection, findings, judged, vanishing
from tests.incident.node import outage, told

CODE = "forwarding-disabled"
OFF = "net.ipv4.ip_forward = 0\n"


def blocked(*, passes_later: bool = False) -> Conversation:
    """A pod tries three times in vain."""
    talk = vanishing(connection(), 0, 1, 3)
    if passes_later:
        talk.syn(7)
        talk.accept()
    return talk


def test_nothing_is_forwarded(tmp_path: Path) -> None:
    """`ip_forward` is 0, and nothing gets through."""
    told(tmp_path, sysctl=OFF)
    (finding,) = findings(outage(tmp_path, blocked()))

    assert (CODE, "proven") == (finding.cause, finding.confidence)
    assert "net.ipv4.ip_forward is 0" in finding.evidence[0].says
    assert REMEDIES[0].do == finding.remedies[0].do


def test_ipv6(tmp_path: Path) -> None:
    """IPv6 has one setting for all interfaces, which the fix names."""
    told(tmp_path, sysctl="net.ipv6.conf.all.forwarding = 0\n")
    pod, server, nat = "[fd00:10:244::b]:20000", "[2001:db8::100]:80", "[2001:db8::10]:20000"
    analysis = outage(tmp_path, vanishing(connection(0, pod=pod, server=server, nat=nat), 0, 1, 3))

    assert ["sysctl -w net.ipv6.conf.all.forwarding=1"] == [
        f.remedies[0].command for f in findings(analysis) if f.cause == CODE
    ]


def test_one_interface(tmp_path: Path) -> None:
    """The interface's own setting decides, whatever `ip_forward` says of all."""
    told(tmp_path, sysctl="net.ipv4.ip_forward = 1\nnet.ipv4.conf.cni0.forwarding = 0\n")
    (finding,) = findings(outage(tmp_path, blocked()))

    assert (CODE, "net.ipv4.conf.cni0.forwarding") == (finding.cause, finding.facts["setting"])


@pytest.mark.parametrize(
    "settings",
    [
        "net.ipv4.ip_forward = 1\n",
        OFF + "net.ipv4.conf.cni0.forwarding = 1\n",
        "net.ipv4.ip_forward = 1\nnet.ipv4.conf.eth0.forwarding = 0\n",
        "net.ipv6.conf.all.forwarding = 0\n",
    ],
    ids=["on", "on-there", "the-other-way", "the-other-version"],
)
def test_near_misses(tmp_path: Path, settings: str) -> None:
    """A setting of another interface, direction or version of IP is not of this loss."""
    told(tmp_path, sysctl=settings)

    assert CODE not in causes(outage(tmp_path, blocked()))


def test_the_way_in(tmp_path: Path) -> None:
    """Of what comes in, the uplink's setting counts."""
    told(tmp_path, sysctl="net.ipv4.conf.eth0.forwarding = 0\nnet.ipv4.conf.cni0.forwarding = 1\n")
    talk = inbound()
    seen = Conversation(pod="10.244.0.11:9", server="10.244.0.1:9", way="veth-a cni0")
    seen.syn(-4)
    seen.sent += [seen.syn(41)]

    assert CODE in causes(outage(tmp_path, talk, seen))


def test_something_passes(tmp_path: Path) -> None:
    """What gets through after the loss shows that the setting was of another time."""
    told(tmp_path, sysctl=OFF)

    assert CODE not in causes(outage(tmp_path, blocked(passes_later=True)))


def test_the_other_version_passes(tmp_path: Path) -> None:
    """IPv6 has a setting of its own: that IPv4 gets through says nothing of it."""
    told(tmp_path, sysctl="net.ipv6.conf.all.forwarding = 0\nnet.ipv4.ip_forward = 1\n")
    talk = vanishing(connection(pod="[fd00:10::b]:20000", server="[2001:db8::100]:80", nat=None), 0, 1)
    analysis = judged(tmp_path, talk)

    assert [(CODE, "proven")] == [(one.cause, one.confidence) for one in findings(analysis)]


def test_what_was_refused(tmp_path: Path) -> None:
    """Near miss: what is not forwarded is dropped in silence; a RST of the node's is somebody's will."""
    told(tmp_path, sysctl=OFF)
    talk = vanishing(connection(), 0)
    talk.send("RA", by_pod=False).only_at("veth-a", "cni0")
    (finding,) = findings(outage(tmp_path, talk))

    assert ("refused", True) == (finding.kind, finding.cause != CODE)
