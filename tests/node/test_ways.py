"""Where flows are heading: out, in, or neither, from whatever the captures tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import BRIDGE, Conversation, bystander, record
from tests.incident.evidence import connection
from tests.incident.node import LINKS, told

RULES = "table ip f {\n\tchain c {\n\t\ttype filter hook forward priority 0; policy accept;\n\t}\n}\n"


def headings(analysis: Analysis, point: str) -> dict[str, str]:
    """The heading of each flow of a point, by its originator."""
    table = analysis.flows[analysis.flows["point"] == point]
    return {f"{row.orig_h}:{row.orig_p}": str(row.heading) for row in table.itertuples()}


def test_every_heading(tmp_path: Path) -> None:
    """Out of the node, into it, from pod to pod, to the node itself."""
    out = Conversation(pod="10.244.0.11:1001", server="192.0.2.100:80", nat="192.0.2.10:1001")
    out.syn(0)
    out.accept()
    inward = Conversation(pod="10.244.0.11:80", server="198.51.100.7:1002", nat="192.0.2.10:30080")
    inward.send("S", by_pod=False, at=1)
    inward.send("SA")
    across = Conversation(pod="10.244.0.11:1003", server="10.244.0.12:80", way="veth-a cni0 veth-b")
    across.syn(2)
    across.accept()
    home = Conversation(pod="10.244.0.11:1004", server="192.0.2.10:22", way="veth-a cni0")
    home.syn(3)
    home.accept()
    analysis = analyze(record(tmp_path, out, inward, across, home, bystander(-1), bystander(4)))

    at_bridge = headings(analysis, "cni0")
    assert "out" == at_bridge["10.244.0.11:1001"]
    assert "in" == at_bridge["198.51.100.7:1002"]
    assert "local" == at_bridge["10.244.0.11:1003"]
    assert "in" == headings(analysis, "eth0")["198.51.100.7:1002"]
    assert "out" == headings(analysis, "veth-a")["10.244.0.11:1004"]


def test_a_pod_nothing_of_which_gets_out(tmp_path: Path) -> None:
    """Its address is on no crossing; that its packets are unrouted tells where they come from."""
    talk = Conversation(pod="10.244.0.11:1001", server="192.0.2.100:80")
    for at in (0, 1, 3):
        talk.syn(at).lost_after("cni0")
    analysis = analyze(record(tmp_path, talk, bystander(-1), bystander(5), points=("cni0", "eth0")))

    assert "out" == headings(analysis, "cni0")["10.244.0.11:1001"]
    assert 3 == analysis.counts.syn_vanished


def test_the_node_asks_a_pod(tmp_path: Path) -> None:
    """The near miss: an unrouted packet from the bridge's own MAC is the node's, on its way in."""
    probe = Conversation(pod="10.244.0.11:80", server="10.244.0.1:1001", way="veth-a cni0")
    probe.send("S", by_pod=False, at=0)
    probe.send("SA")
    analysis = analyze(record(tmp_path, probe, bystander(-1), bystander(5)))

    assert "in" == headings(analysis, "cni0")["10.244.0.1:1001"]
    assert () == analysis.incidents


def test_the_nodes_own_address_by_what_it_sends(tmp_path: Path) -> None:
    """Its answers name it; a question to that address then ends at the node, and is not lost on the way out."""
    answered = Conversation(pod="10.244.0.11:1001", server="10.244.0.1:53", way="veth-a cni0", proto="udp")
    answered.data(b"question", 0)
    answered.reply(b"answer")
    silent = Conversation(pod="10.244.0.11:1002", server="10.244.0.1:88", way="veth-a cni0", proto="udp")
    for at in (1, 2, 3):
        silent.data(b"question", at)
    analysis = analyze(record(tmp_path, answered, silent, bystander(-1), bystander(5)))

    assert () == analysis.incidents
    assert {"local": 1} == analysis.account.why_unknown


@pytest.mark.parametrize(("served", "expected"), [(True, "unknown"), (False, "outside")])
def test_who_is_refused_in_the_name_of_a_peer(tmp_path: Path, served: bool, expected: str) -> None:
    """An address that answers from beyond a router is not the node's, though the node rejects in its name (tcp-reset).

    If nothing else of it was seen it may be the node's own: a port without a program, with the rules known.
    """
    told(tmp_path, **{"ip-addr": LINKS, "nft-ruleset": RULES})
    talk = Conversation(pod="10.244.0.11:1001", server="192.0.2.100:443", way="veth-a cni0")
    talk.syn(0)
    talk.send("RA", by_pod=False)
    far = Conversation(pod="10.244.0.11:1002", server="192.0.2.100:443", way="veth-a cni0 | eth0", isn=70)
    far.syn(1).missed_at("eth0")
    far.send("SA", by_pod=False).missed_at("eth0")
    far.send("A").missed_at("eth0")
    folder = record(tmp_path, talk, *[far][:served], bystander(-1), bystander(5), points=("veth-a", "cni0"))
    account = analyze(folder).account

    assert 1 == getattr(account, expected)


def test_interface_table(tmp_path: Path) -> None:
    """`ip -j link` and `ip -j addr` tell the node's own addresses and the bridge's MAC."""
    (tmp_path / "ip-addr.json").write_text(
        f'[{{"ifindex": 3, "ifname": "cni0", "address": "{BRIDGE}", "addr_info": [{{"local": "10.244.0.1"}}]}}]'
    )
    talk = Conversation(pod="10.244.0.11:1001", server="10.244.0.12:80", way="veth-a cni0 veth-b")
    talk.syn(0)
    analysis = analyze(record(tmp_path, talk, bystander(-1), bystander(5), points=("cni0", "eth0")))

    assert analysis.scene is not None
    assert int(BRIDGE.replace(":", ""), 16) in analysis.scene.node.routers
    assert ["not-routed-here"] == [
        str(fate) for fate in analysis.passages.query("point == 'cni0' and not answered")["fate"]
    ]


def test_answers_by_another_uplink(tmp_path: Path) -> None:
    """Requests leave by eth0, their answers come in by eth1 and get no further: they are followed inwards there."""
    talk = connection(way="veth-a cni0 | eth0 eth1")
    talk.syn(0).missed_at("eth1")
    for at in (0.0001, 1.0001):
        talk.send("SA", by_pod=False, at=at, seq=talk.server_isn, ack=talk.isn + 1).only_at("eth1")
    others = (
        bystander(-5, "veth-z cni0 | eth1"),
        bystander(-4),
        bystander(9, "veth-z cni0 | eth1"),
        bystander(10),
    )
    (incident,) = analyze(record(tmp_path, talk, *others)).incidents

    assert ("reply-vanished", ("cni0", "eth1")) == (incident.kind, incident.gap)
