"""Ways that do not lead through eth0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_what_leaves_by_eth1_arrives(ran: Ran, seen: Seen) -> None:
    """The far end counted what it did not answer; eth0 has the other network's share only; the routes tell why."""
    folder, truth = ran("second-way")
    told = truth["traffic"]
    syns, datagrams = told["arrived"]
    assert [syns] * 2 == [seen(folder, f"{SYN} && tcp.dstport == 81")[at] for at in (0, 2)]
    assert [datagrams] * 2 == [seen(folder, "udp.dstport == 514")[at] for at in (0, 2)]
    assert [3, 3] == [seen(folder, SYN)[3], seen(folder, "udp.dstport == 53")[3]]
    assert not (folder / "eth1.pcap").exists()
    routes = json.loads((folder / "after/ip-route.txt").read_text())
    assert [("198.51.100.0/24", "eth1")] == [
        (route["dst"], route["dev"]) for route in routes if route["dst"].startswith("198.51.100.0/")
    ]
    assert 0 == truth["counters"]["drop"] == truth["counters"]["insert_failed"]


@pytest.mark.parametrize("scenario", ["service-local", "service-local-br-netfilter"])
def test_a_local_service_answers_and_eth0_sees_nothing(scenario: str, ran: Ran, seen: Seen) -> None:
    """Pod b has every SYN, under its own address."""
    folder, truth = ran(scenario)
    told = truth["traffic"]
    (connects,), (asks,) = told["connects"].values(), told["asks"].values()
    assert all(connect["delay"] < 0.5 for connect in connects)
    assert all(ask["sent"] == 1 and ask["delay"] is not None for ask in asks)
    assert [3, 0] == [seen(folder, f"{SYN} && ip.dst == 10.96.0.20")[at] for at in (0, 3)]
    assert seen(folder, f"{SYN} && ip.dst == 10.244.0.12 && tcp.dstport == 8080")[1] >= 3
    assert 0 == seen(folder, f"{SYN} || udp.dstport == 53")[3]
    assert truth["counters"]["drop"] == 0
