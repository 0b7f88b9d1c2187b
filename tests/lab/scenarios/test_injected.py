"""The traffic of impossible ACKs under other rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_a_rule_that_drops_invalid_packets_leaves_no_reset(ran: Ran, seen: Seen) -> None:
    """The kernel's list, its counter and the rule's agree; dmesg has a line with the bound for each."""
    folder, truth = ran("invalid-dropped")
    injected = [segment["ack"] for segment in truth["traffic"]["injected"]]
    assert injected == [packet["ack"] for packet in truth["invalid"]]
    assert len(injected) == truth["counters"]["invalid"] == truth["traffic"]["dropped"]
    assert [0, 0, 0, 0] == seen(folder, "tcp.flags.reset == 1")
    for segment in truth["traffic"]["injected"]:
        expected = f"nf_ct_proto_6: ACK is over upper bound {segment['received'] + 1} "
        assert any(
            expected in line and f" ACK={segment['ack']} " in line
            for line in (folder / "dmesg.txt").read_text().splitlines()
        )


def test_a_liberal_kernel_passes_them_on(ran: Ran, seen: Seen) -> None:
    """Nothing is INVALID: each is on the veth, too, and nobody resets."""
    folder, truth = ran("be-liberal")
    assert truth["invalid"] == []
    assert truth["counters"]["invalid"] == 0
    for segment in truth["traffic"]["injected"]:
        assert [1, 0, 1, 1] == seen(folder, f"tcp.flags == 0x10 && tcp.ack_raw == {segment['ack']}")
    assert [0, 0, 0, 0] == seen(folder, "tcp.flags.reset == 1")
