"""Replies to a port on which the node itself offers a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import causes, connection, judged
from tests.incident.node import LINKS, told

SERVICES = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.10:{port} rr
  -> 10.244.9.14:8080             Masq    1      0          0
"""
RULES = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 192.0.2.10/32 -p tcp -m tcp --dport {port} -j DNAT --to-destination 10.244.9.14:8080
COMMIT
"""


def asking() -> Conversation:
    """A connection that leaves from a NodePort; its SYN-ACKs never reach the pod."""
    talk = connection(0, nat="192.0.2.10:30080")
    for at in (0, 1, 3):
        talk.syn(at)
        talk.synack(at + 0.01).only_at("eth0")
    return talk


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ipvsadm-Ln.txt", SERVICES),
        ("iptables-save.txt", RULES),
        ("iptables-save.txt", RULES.replace("-d 192.0.2.10/32", "-m addrtype --dst-type LOCAL")),
    ],
)
@pytest.mark.parametrize("port", [30080, 30081])
def test_a_service_on_the_outer_port(name: str, text: str, port: int, tmp_path: Path) -> None:
    """Offered by IPVS or by a rule on just that port; a service on the next port is the near miss."""
    told(tmp_path, **{"ip-addr": LINKS})
    (tmp_path / name).write_text(text.format(port=port))

    assert (port == 30080) == ("nodeport-collision" in causes(judged(tmp_path, asking())))


def test_without_the_nodes_files(tmp_path: Path) -> None:
    """The captures do not tell which services there are."""
    assert "nodeport-collision" not in causes(judged(tmp_path, asking()))
