"""An entry that outlives its endpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_the_old_port_gets_the_old_endpoint(ran: Ran, seen: Seen) -> None:
    """Its requests leave for the address that is gone; those from new ports go to the new one and are answered."""
    folder, truth = ran("stale-entry")
    told = truth["traffic"]
    assert (3, 3, 3) == (told["answered"], told["unanswered"], told["fresh"])
    asked = f"udp.dstport == 53 && udp.srcport == {told['port']}"
    assert 6 == seen(folder, f"{asked} && ip.dst == 10.244.1.20")[3]
    assert 0 == seen(folder, f"{asked} && ip.dst == 10.244.1.21")[3]
    assert 3 == seen(folder, "udp.dstport == 53 && ip.dst == 10.244.1.21")[3]
    assert truth["counters"]["drop"] == 0
    (entry,) = [
        line
        for line in (folder / "after/conntrack-L.txt").read_text().splitlines()
        if f"sport={told['port']} dport=53 " in line
    ]
    assert "src=10.244.1.20 " in entry
