"""Answers that the routes lead by another device: to a bridge that claims the client's network, by a table, by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis
from tests.connection.reasons import inbound, opens
from tests.conversation import Conversation
from tests.incident.evidence import Frames, findings, judged
from tests.incident.node import LINKS, told

CODE = "wrong-route"
MAIN = """default via 192.0.2.1 dev eth0
10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
"""
RULES = "0:\tfrom all lookup local\n{}32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n"


def unanswered(client: str = "172.17.5.5") -> Conversation:
    """A client of a published port whose answer gets as far as the pod's bridge."""
    talk = opens(inbound(server=f"{client}:41000"), 0)
    talk.send("SA", at=0.1, options=[]).lost_after("cni0")
    return talk


def found(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Cause, confidence and the first remedy's command of each finding."""
    return [
        (one.cause, one.confidence, one.remedies[0].command if one.remedies else "")
        for one in findings(analysis)
    ]


@pytest.mark.parametrize(
    ("client", "asked", "expected"),
    [
        ("172.17.5.5", False, (CODE, "likely")),
        ("172.17.5.5", True, (CODE, "proven")),
        ("198.51.100.5", True, ("unknown", "likely")),
    ],
)
def test_a_bridge_has_the_clients_network(
    client: str, asked: bool, expected: tuple[str, str], tmp_path: Path
) -> None:
    """The answer is sought on docker's bridge; where the route is by the uplink it is not that."""
    told(tmp_path, **{"ip-addr": LINKS, "ip-route": MAIN})
    arp = Frames().asks(client, 0.1, 1.1, 2.1, mac="02:00:00:00:00:77", point="docker0")
    (one,) = found(judged(tmp_path, unanswered(client), *[arp] * asked))

    assert expected == one[:2]
    assert ("ip route replace 172.17.5.5/32 via 192.0.2.1 dev eth0" == one[2]) == (one[0] == CODE)


def test_others_of_that_network_are_answered(tmp_path: Path) -> None:
    """Then the listing is of another time, or something else chooses the way."""
    told(tmp_path, **{"ip-addr": LINKS, "ip-route": MAIN})
    whole = inbound(server="172.17.5.5:41001", pod="10.244.0.11:8080", isn=99_000_000)
    opens(whole, 3).send("SA", at=3.1, options=[])
    (one,) = found(judged(tmp_path, unanswered(), whole))

    assert CODE != one[0]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("32765:\tfrom 10.244.0.11 lookup 100\n",
         (CODE, "likely", "ip route replace 198.51.100.5/32 via 192.0.2.1 dev eth0 table 100")),
        ("32765:\tfrom all iif cni0 lookup 100\n",
         (CODE, "likely", "ip route replace 198.51.100.5/32 via 192.0.2.1 dev eth0 table 100")),
        ("32765:\tfrom 10.244.0.11 fwmark 0x1 lookup 100\n", ("unknown", "likely", "")),
        ("32765:\tfrom 10.244.0.12 lookup 100\n", ("unknown", "likely", "")),
    ],
)  # fmt: skip
def test_a_table_by_source(rule: str, expected: tuple[str, str, str], tmp_path: Path) -> None:
    """A rule asks a table that leads the pod's answers by another uplink; a mark that decides nobody knows."""
    told(
        tmp_path,
        **{"ip-addr": LINKS, "ip-rule": RULES.format(rule), "ip-route": MAIN + "default via 203.0.113.1 dev eth1 table 100\n"},
    )  # fmt: skip
    (one,) = found(judged(tmp_path, unanswered("198.51.100.5")))

    assert expected[:2] == one[:2]
    assert not expected[2] or expected[2] == one[2]


def test_a_route_that_is_gone(tmp_path: Path) -> None:
    """The pods' network was listed before: its answers go out again by the default route, and the fix puts it back."""
    pods = "10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1\n"
    told(tmp_path, **{"ip-addr": LINKS, "route-before": MAIN, "route-after": MAIN.replace(pods, "")})
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn(0)
    talk.synack(0.1).only_at("eth0")
    (one,) = found(judged(tmp_path, talk))

    assert (CODE, "proven", "ip route replace 10.244.0.0/24 dev cni0") == one


def test_no_route_by_the_right_device(tmp_path: Path) -> None:
    """Nothing listed leads there as the packets should have gone: the fix is to look first."""
    told(tmp_path, **{"ip-addr": LINKS, "ip-route": MAIN.replace("default via 192.0.2.1 dev eth0\n", "")})
    (one,) = found(judged(tmp_path, unanswered()))

    assert (
        CODE,
        "likely",
        "ip route get 172.17.5.5 from 10.244.0.11 iif cni0; ip rule; ip route show table all",
    ) == one
