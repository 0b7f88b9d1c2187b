"""An overlay whose table lacks the next hop: by the frame's MAC address, or by routes and neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import BRIDGE, Conversation
from tests.incident.evidence import Frames, causes, connection, findings, judged, vanishing
from tests.incident.node import told

CODE = "no-fdb-entry"
MAC = "3a:00:00:00:09:63"
ROUTES = "default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev cni0 scope link\n10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink\n"
NEIGHBOURS = f"10.244.3.0 dev flannel.1 lladdr {MAC} PERMANENT\n"
OTHER = "5e:00:00:00:00:07 dev flannel.1 dst 192.0.2.77 self permanent\n"


def lost() -> Conversation:
    """A pod asks one on another node, in vain."""
    return vanishing(connection(server="10.244.3.9:8080", nat=None), 0, 1, 3)


def test_the_entry_is_missing(tmp_path: Path) -> None:
    """Route and neighbour are there, the forwarding entry is not, while another node's is."""
    told(tmp_path, routes=ROUTES, neigh=NEIGHBOURS, fdb=OTHER)
    (finding,) = findings(judged(tmp_path, lost()))

    assert (CODE, "proven", MAC) == (finding.cause, finding.confidence, finding.facts["mac"])
    assert "flannel.1" == finding.facts["interface"]
    assert "show dev flannel.1" in finding.remedies[-1].command


@pytest.mark.parametrize(
    "files",
    [
        {"fdb": f"{OTHER}{MAC} dev flannel.1 dst 192.0.2.78 self permanent\n"},
        {"fdb": f"{OTHER}00:00:00:00:00:00 dev flannel.1 dst 192.0.2.79 self permanent\n"},
        {"fdb": OTHER, "routes": ROUTES.replace("flannel.1 onlink", "eth0")},
        {"fdb": OTHER, "neigh": "10.244.4.0 dev flannel.1 lladdr 3a:00:00:00:09:99 PERMANENT\n"},
        {
            "fdb": OTHER,
            "routes": "default via 192.0.2.1 dev eth0\n",
            "neigh": f"192.0.2.1 dev eth0 lladdr {MAC} REACHABLE\n",
        },
        {},
    ],
    ids=["there", "default", "routed-elsewhere", "neighbour-unknown", "by-a-gateway", "not-listed"],
)
def test_near_misses(tmp_path: Path, files: dict[str, str]) -> None:
    """There is an entry, the way leads elsewhere, or it cannot be told."""
    told(tmp_path, **{"routes": ROUTES, "neigh": NEIGHBOURS, **files})

    assert CODE not in causes(judged(tmp_path, lost()))


@pytest.mark.parametrize(("after", "refused"), [("veth-a", False), ("cni0", True)])
def test_lost_elsewhere(after: str, refused: bool, tmp_path: Path) -> None:
    """The entry is missing, but the packet did not get so far, or was answered with an error: what lacks an entry is silent."""
    told(tmp_path, routes=ROUTES, neigh=NEIGHBOURS, fdb=OTHER)
    talk = vanishing(connection(server="10.244.3.9:8080", nat=None), 0, after=after)
    errors = [Frames().unreachable(talk, 0.001)] if refused else []

    assert ["unknown"] == causes(judged(tmp_path, talk, *errors))


@pytest.mark.parametrize("reply", [False, True])
def test_the_overlay_was_captured(reply: bool, tmp_path: Path) -> None:
    """Its frame says for which MAC address the packet was, so neither routes nor neighbours are needed."""
    talk = connection(server="10.244.3.9:8080", nat=None, way="veth-a cni0 flannel.1 | eth0")
    for at in (0, 1, 3):
        if reply:
            talk.send("S", by_pod=False, at=at, seq=50)
            talk.send("SA", seq=90, ack=51, options=[]).lost_after("flannel.1")
        else:
            talk.syn(at).lost_after("flannel.1")
    told(tmp_path, fdb=OTHER)
    (finding,) = findings(judged(tmp_path, talk))

    assert (CODE, "proven", BRIDGE) == (finding.cause, finding.confidence, finding.facts["mac"])
    assert "flannel.1.pcap frame" in finding.evidence[0].source
