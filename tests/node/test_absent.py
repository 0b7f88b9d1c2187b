"""Bundles of one layer: what rules and answers make certain is told, the rest cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

RULES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -o {device} -p tcp -m tcp --dport 81 -j DROP
COMMIT
"""
ROUTES = [{"dst": "default", "gateway": "192.0.2.1", "dev": "ens5", "flags": []}]


def talks(port: int = 81) -> list[Conversation]:
    """One connection that gets no answer, among two that work."""
    talk = Conversation(pod="10.244.0.11:20000", server=f"192.0.2.100:{port}", isn=77)
    talk.syn(1).lost_after("cni0")
    talk.syn(2).lost_after("cni0")
    return [talk, bystander(0), bystander(8)]


def bundle(folder: Path, *files: tuple[str, str], point: str = "cni0", port: int = 81) -> Analysis:
    """One captured point, and side evidence."""
    for name, text in files:
        (folder / name).write_text(text)
    return analyze(record(folder, *talks(port), points=(point,)))


@pytest.mark.parametrize("point", ["cni0", "veth-a"])
def test_a_rule_decides(tmp_path: Path, point: str) -> None:
    """The rule drops it for certain, and the gap is that to the device of the default route."""
    files = (("iptables-save.txt", RULES.format(device="ens5")), ("ip-route.json", json.dumps(ROUTES)))
    analysis = bundle(tmp_path, *files, point=point)

    assert [("policy-drop", (point, "ens5"))] == [(i.cause, i.gap) for i in analysis.incidents]
    assert [point] == [captured.name for captured in analysis.capture_points]


def test_a_rule_for_another_device(tmp_path: Path) -> None:
    """It does not concern what leaves by the device of the route."""
    files = (("iptables-save.txt", RULES.format(device="wg0")), ("ip-route.json", json.dumps(ROUTES)))

    assert {"not-captured": 1} == bundle(tmp_path, *files).account.why_unknown


def test_a_device_that_nothing_names(tmp_path: Path) -> None:
    """Without routes nobody knows whether the rule's device is the one."""
    analysis = bundle(tmp_path, ("iptables-save.txt", RULES.format(device="ens5")))

    assert not analysis.incidents
    assert {"not-captured": 1} == analysis.account.why_unknown


def test_refused_by_the_peer(tmp_path: Path) -> None:
    """A RST that has passed a router is the peer's, also where only the bridge was captured; a full TTL may be the node's."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:81")
    talk.syn(1)
    talk.send("RA", by_pod=False, options=[])
    analysis = analyze(record(tmp_path, talk, bystander(0), bystander(3), points=("cni0",)))

    assert (3, 2, 1) == (analysis.account.connections, analysis.account.worked, analysis.account.outside)


def test_only_the_uplink(tmp_path: Path) -> None:
    """What left it and got no answer failed outside; what came in and got none cannot be told."""
    out = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:81", nat="192.0.2.10:20000")
    out.syn(1)
    out.syn(2)
    came = Conversation(pod="192.0.2.10:8080", server="198.51.100.7:4000", way="| eth0")
    came.send("S", by_pod=False, at=1.2, seq=4711)
    came.send("S", by_pod=False, at=2.2, seq=4711)
    analysis = analyze(record(tmp_path, out, came, bystander(0), bystander(8), points=("eth0",)))

    assert (4, 2, 1, 1) == (
        analysis.account.connections,
        analysis.account.worked,
        analysis.account.outside,
        analysis.account.unknown,
    )


def test_a_pod_s_own_interface_is_called_like_the_missing_one(tmp_path: Path) -> None:
    """Captured inside the pod, its eth0 is not the node's: that one has no name, for names are keys."""
    (tmp_path / "ip-route.json").write_text(json.dumps([{**ROUTES[0], "dev": "eth0"}]))
    record(tmp_path, *talks(), points=("veth-a",), names={"veth-a": "eth0"})
    analysis = analyze(tmp_path, roles={"eth0": "pod"})
    assert analysis.scene is not None

    assert ["eth0", "uplink"] == [point.name for point in analysis.scene.points]
    assert {"not-captured": 1} == analysis.account.why_unknown
