"""Connections that are forgotten: FINs with the pod's address, data from another port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.lab.experiment import conduct

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_a_forgotten_connections_fin_is_not_translated(tmp_path: Path, seen: Seen) -> None:
    """On eth0 from the pod's address, as often as the kernel called one INVALID; those that sent data first are."""
    truth = conduct("unnatted-leak", tmp_path, rounds=2)
    told = truth["traffic"]
    leaked = "ip.src == 10.244.0.11 && tcp.flags.fin == 1"
    assert len(truth["invalid"]) == truth["counters"]["invalid"] == seen(tmp_path, leaked)[3] >= 2
    assert set(told["leaking"]) == {packet["sport"] for packet in truth["invalid"]}
    for port in told["resumed"]:
        assert 0 == seen(tmp_path, f"{leaked} && tcp.srcport == {port}")[3]
        assert 1 == seen(tmp_path, f"ip.src == 192.0.2.10 && tcp.flags.fin == 1 && tcp.srcport == {port}")[3]


def test_a_forgotten_connection_gets_another_port(tmp_path: Path, seen: Seen) -> None:
    """The server resets what was silent for longer than its entry lives; the others go on from their ports."""
    truth = conduct("entry-expired", tmp_path, rounds=2)
    told = truth["traffic"]

    assert (2, 2) == (len(told["broken"]), len(told["whole"]))
    assert 2 == seen(tmp_path, "tcp.flags.reset == 1 && tcp.srcport == 80")[3]
