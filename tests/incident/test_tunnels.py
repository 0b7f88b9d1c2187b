"""A node that refuses the packets of a tunnel: told of whom it is, with its rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from tests.conversation import GATEWAY, UPLINK
from tests.incident.evidence import Frames, judged
from tests.incident.node import LINKS, told

HERE, THERE = "192.0.2.10", "192.0.2.12"
RULES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""


def refused(src: str, dst: str, port: int = 8472) -> Frames:
    """SYNs of a pod in a tunnel, each answered by an error of the node that it is for."""
    frames, out = Frames(), src == HERE
    macs = (UPLINK, GATEWAY) if out else (GATEWAY, UPLINK)
    for n in range(3):
        inner = (
            Ether() / IP(src="10.244.1.9", dst="10.244.0.7", id=n + 1) / TCP(sport=41_000, dport=8080, seq=7)
        )
        outer = IP(src=src, dst=dst, id=500 + n) / UDP(sport=40_001, dport=port) / VXLAN(vni=1) / inner
        error = IP(src=dst, dst=src) / ICMP(type=3, code=10) / bytes(outer)[:128]
        frames.heard.append(("eth0", float(n), Ether(src=macs[0], dst=macs[1]) / outer))
        frames.heard.append(("eth0", n + 0.0005, Ether(src=macs[1], dst=macs[0]) / error))
    return frames


@pytest.mark.parametrize(
    ("ends", "files", "expected"),
    [
        ((THERE, HERE), {"rules": RULES}, "this node's rule does: ip filter INPUT: -A INPUT -j REJECT"),
        ((THERE, HERE), {}, "look for a rule of this node's INPUT that rejects them"),
        ((HERE, THERE), {}, f"look for a firewall on {THERE}"),
    ],
)
def test_who_refuses(tmp_path: Path, ends: tuple[str, str], files: dict[str, str], expected: str) -> None:
    """The sender of the errors, which is this node or the other."""
    told(tmp_path, **{"ip-addr": LINKS, **files})
    (caveat,) = (one for one in judged(tmp_path, refused(*ends)).caveats if "VXLAN" in one)

    assert "3 ICMP errors" in caveat
    assert expected in caveat


def test_another_port(tmp_path: Path) -> None:
    """What is no tunnel's port is a connection like others."""
    told(tmp_path, **{"ip-addr": LINKS})
    assert not [one for one in judged(tmp_path, refused(HERE, THERE, 9999)).caveats if "ICMP error" in one]
