"""A rule that drops: its own counter is the truth, connection tracking counts nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


@pytest.mark.parametrize("scenario", ["policy-drop", "policy-drop-iptables"])
def test_the_rules_counter_is_the_number_of_lost_syns(
    scenario: str, ran: Ran, seen: Seen, tshark: Callable[..., list[list[str]]]
) -> None:
    """Every SYN to the one port, none to the other, amid packets of each point; the rule and its counter are in the evidence."""
    folder, truth = ran(scenario)
    told = truth["traffic"]
    veth_a, veth_b, cni0, eth0 = seen(folder, SYN)
    assert told["syns"] == veth_a + veth_b == cni0
    assert told["dropped"] == cni0 - eth0 == seen(folder, f"{SYN} && tcp.dstport == 8080")[2] > 6
    assert 0 == truth["counters"]["drop"] == truth["counters"]["insert_failed"]
    for way, connects in told["connects"].items():
        assert [way.endswith("8080")] * 3 == [connect["delay"] is None for connect in connects]
    rules = (folder / "after/nft-ruleset.txt").read_text()
    if scenario == "policy-drop":
        assert f"tcp dport 8080 counter packets {told['dropped']} bytes" in rules
    else:
        saved = (folder / "after/iptables-save.txt").read_text()
        assert (
            f"[{told['dropped']}:"
            in saved.split(" -A PODS -p tcp -m tcp --dport 8080 -j DROP")[0].splitlines()[-1]
        )
    # A capture that began late or ended early does not explain the losses.
    lost = [
        float(time) for (time,) in tshark(folder / "cni0.pcap", "tcp.dstport == 8080", "frame.time_epoch")
    ]
    outside = [float(time) for (time,) in tshark(folder / "eth0.pcap", SYN, "frame.time_epoch")]
    assert outside[0] < min(lost) < max(lost) < outside[-1]
