"""A published port whose rule is gone: refused by the node itself, told by its sockets or by what was translated before."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from tests.conversation import BRIDGE, Conversation
from tests.incident.evidence import Frames, findings, judged
from tests.incident.node import LINKS, told

NODE, POD = "192.0.2.10:8200", "10.244.0.11:8200"
SOCKETS = (
    "State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\nLISTEN 0 128 0.0.0.0:{} 0.0.0.0:*\n"
)


def client(number: int, at: float, *, led: bool = False) -> Conversation:
    """A client of the port; *led* to the pod, or refused."""
    talk = Conversation(
        pod=f"198.51.100.20:{50_000 + number}",
        server=NODE,
        dnat=POD if led else None,
        way="eth0 | cni0" if led else "eth0",
    )
    talk.syn(at)
    if led:
        talk.accept()
    else:
        talk.send("RA", by_pod=False, window=0, options=[])
    return talk


def found(folder: Path, *talks: Conversation, **files: str) -> list[tuple[str, str, list[str], int]]:
    """Cause, confidence, evidence and number of remedies of each finding."""
    told(folder, **files)
    return [
        (one.cause, one.confidence, [each.says for each in one.evidence], len(one.remedies))
        for one in findings(judged(folder, *talks))
    ]


NOBODY = "no socket of the node listens on tcp port 8200"
LED = f"another connection to {NODE} was translated to {POD}"


def test_the_rule_is_gone(tmp_path: Path) -> None:
    """Until then it was led to the pod, and no socket has the port."""
    talks = client(1, -1, led=True), client(2, 1), client(3, 2)

    assert [("no-listener", "likely", [NOBODY, LED], 2)] * 2 == found(tmp_path, *talks, ss=SOCKETS.format(22))


def test_without_the_sockets(tmp_path: Path) -> None:
    """What was translated before is enough."""
    assert [("no-listener", "likely", [LED], 2)] == found(tmp_path, client(1, -1, led=True), client(2, 1))


def test_somebody_listens(tmp_path: Path) -> None:
    """Then it is not that nobody does."""
    talks = client(1, -1, led=True), client(2, 1)

    assert "no-listener" not in [cause for cause, *_ in found(tmp_path, *talks, ss=SOCKETS.format(8200))]


def test_a_closed_port(tmp_path: Path) -> None:
    """A port that never led anywhere is the client's mistake, and no incident."""
    assert [] == found(tmp_path, client(2, 1), **{"ip-addr": LINKS, "ss": SOCKETS.format(22)})


LEADS = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 169.254.169.254/32 -i cni0 -p tcp -m tcp --dport 80 -j {}
COMMIT
"""


@pytest.mark.parametrize(
    ("target", "listens", "expected"),
    [
        ("DNAT --to-destination 192.0.2.10:8181", 22, [("no-listener", "proven")]),
        ("REDIRECT --to-ports 8181", 22, [("no-listener", "proven")]),
        ("DNAT --to-destination 192.0.2.10:8181", 8181, [("unknown", "likely")]),
        ("DNAT --to-destination 10.244.0.77:8181", 22, [("unknown", "likely")]),
        ("MARK --set-xmark 0x1", 22, []),
    ],
)
def test_a_rule_leads_to_the_node(
    target: str, listens: int, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    """An agent before a cloud's metadata is gone and its rule is left: the node refuses, and deleting the rule is the fix."""
    told(tmp_path, **{"ip-addr": LINKS, "iptables-save": LEADS.format(target), "ss": SOCKETS.format(listens)})
    talk = Conversation(pod="10.244.0.11:20000", server="169.254.169.254:80", way="veth-a cni0")
    talk.syn(0)
    talk.send("RA", by_pod=False, window=0, options=[])
    told_of = findings(judged(tmp_path, talk))

    assert expected == [(one.cause, one.confidence) for one in told_of]
    for one in (one for one in told_of if one.cause == "no-listener"):
        assert "this rule leads it to the node itself: " in one.evidence[0].says
        assert one.remedies[0].command.startswith("iptables -t nat -D PREROUTING -d 169.254.169.254/32 ")


@pytest.mark.parametrize(
    ("target", "code", "listens", "expected"),
    [
        ("REDIRECT --to-ports 8181", 3, 22, [("no-listener", "proven")]),
        ("REDIRECT --to-ports 8181", 3, 8181, [("unknown", "likely")]),
        ("REDIRECT --to-ports 8181", 13, 22, [("unknown", "likely")]),
        ("MARK --set-xmark 0x1", 3, 22, []),
    ],
    ids=["gone", "it listens", "rejected", "no rule leads there"],
)
def test_a_rule_leads_datagrams_to_the_node(
    target: str, code: int, listens: int, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    """A resolver on the node is gone, and its rule is left: the node says in the name of the asked that the port is closed."""
    sockets = SOCKETS.format(22) + f"UNCONN 0 0 0.0.0.0:{listens} 0.0.0.0:*\n"
    sockets = (
        sockets.replace("State ", "Netid State ")
        .replace("\nLISTEN", "\ntcp LISTEN")
        .replace("\nUNCONN", "\nudp UNCONN")
    )
    rules = LEADS.format(target).replace("tcp", "udp")
    told(tmp_path, **{"ip-addr": LINKS, "iptables-save": rules, "ss": sockets})
    talk = Conversation(pod="10.244.0.11:20000", server="169.254.169.254:80", way="veth-a cni0", proto="udp")
    talk.data(b"question", 0)
    error = IP(src="169.254.169.254", dst="10.244.0.11") / ICMP(type=3, code=code)
    error /= IP(src="10.244.0.11", dst="169.254.169.254") / UDP(sport=20000, dport=80)
    heard = [
        (point, 0.001, Ether(src=BRIDGE, dst="02:00:00:00:00:99") / error) for point in ("cni0", "veth-a")
    ]
    told_of = findings(judged(tmp_path, talk, Frames(heard)))

    assert expected == [(one.cause, one.confidence) for one in told_of]
