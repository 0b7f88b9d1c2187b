"""No outer port is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_retries_fail_while_the_holders_live(ran: Ran, seen: Seen) -> None:
    """Lost SYNs are failed insertions; none passes for three seconds, all do when the ports are free again."""
    folder, truth = ran("port-exhaustion")
    told = truth["traffic"]
    lost = truth["counters"]["insert_failed"]
    assert lost == truth["counters"]["drop"] == told["syns"] - 4
    assert [2, 4 + lost, 6 + lost, 6] == seen(folder, SYN)
    assert all(connect["delay"] > 3 for connect in told["connects"]["b to 80"])
    assert all(connect["delay"] < 0.9 for connect in told["connects"]["b to 7"])
    held = [
        line
        for line in (folder / "event/conntrack-L.txt").read_text().splitlines()
        if "dport=80 " in line and "ESTABLISHED" in line
    ]
    assert {"dport=40000", "dport=40001"} == {
        word for line in held for word in line.split() if word.startswith("dport=4")
    }
    assert "masquerade to :40000-40001" in (folder / "event/nft-ruleset.txt").read_text()
