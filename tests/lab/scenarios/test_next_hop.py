"""A next hop that does not answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_syns_wait_for_an_answer_that_does_not_come(ran: Ran, seen: Seen) -> None:
    """None reaches the wire, the pods are told, the neighbours are FAILED; connection tracking counts nothing."""
    folder, truth = ran("next-hop")
    told = truth["traffic"]
    assert [told["syns"]["a"], told["syns"]["b"], sum(told["syns"].values()), 0] == seen(
        folder, f"{SYN} && (ip.dst == 198.51.100.20 || ip.dst == 192.0.2.77)"
    )
    assert [2, 2, 4, 4] == seen(folder, f"{SYN} && ip.dst == 192.0.2.100")
    for way, connects in told["connects"].items():
        expected = None if way.endswith("192.0.2.100") else "No route to host"
        assert [expected] * 2 == [connect["error"] for connect in connects]
    assert (
        seen(
            folder,
            "arp.opcode == 1 && (arp.dst.proto_ipv4 == 192.0.2.1 || arp.dst.proto_ipv4 == 192.0.2.77)",
        )[3]
        >= 6
    )
    states = {
        entry["dst"]: entry["state"] for entry in json.loads((folder / "after/ip-neigh.txt").read_text())
    }
    assert [["FAILED"], ["FAILED"]] == [states["192.0.2.1"], states["192.0.2.77"]]
    assert 0 == truth["counters"]["drop"] == truth["counters"]["insert_failed"]
