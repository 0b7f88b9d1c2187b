"""Connections that are forgotten: FINs with the pod's address, data from another port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_a_forgotten_connections_fin_is_not_translated(ran: Ran, seen: Seen) -> None:
    """On eth0 from the pod's address, as often as the kernel called one INVALID; those that sent data first are."""
    folder, truth = ran("unnatted-leak")
    told = truth["traffic"]
    leaked = "ip.src == 10.244.0.11 && tcp.flags.fin == 1"
    assert len(truth["invalid"]) == truth["counters"]["invalid"] == seen(folder, leaked)[3] >= 2
    assert set(told["leaking"]) == {packet["sport"] for packet in truth["invalid"]}
    for port in told["resumed"]:
        assert 0 == seen(folder, f"{leaked} && tcp.srcport == {port}")[3]
        assert 1 == seen(folder, f"ip.src == 192.0.2.10 && tcp.flags.fin == 1 && tcp.srcport == {port}")[3]


def test_a_forgotten_connection_gets_another_port(ran: Ran, seen: Seen) -> None:
    """The server resets what was silent for longer than its entry lives; the others go on from their ports."""
    folder, truth = ran("entry-expired")
    told = truth["traffic"]

    assert (2, 2) == (len(told["broken"]), len(told["whole"]))
    assert 2 == seen(folder, "tcp.flags.reset == 1 && tcp.srcport == 80")[3]
