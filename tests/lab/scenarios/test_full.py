"""A full table: what vanished is what the kernel counted, and where it vanished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"
MAX = Path("/proc/sys/net/netfilter/nf_conntrack_max")
ASK = "udp.dstport == 53"


@pytest.mark.parametrize(
    ("scenario", "inner", "outer"), [("table-full", 2, 3), ("table-full-br-netfilter", -1, 2)]
)
def test_refused_packets_are_those_missing_in_the_gap(
    scenario: str, inner: int, outer: int, ran: Ran, seen: Seen
) -> None:
    """`drop` is what is lost between the points; nothing is lost elsewhere, and what is known goes on."""
    limit = MAX.read_text()
    folder, truth = ran(scenario)
    told = truth["traffic"]
    lost = 0
    for wanted, sent in ((SYN, told["syns"]), (ASK, told["requests"])):
        veth_a, veth_b, cni0, eth0 = seen(folder, wanted)
        at = [veth_a, veth_b, cni0, eth0, veth_a + veth_b]
        assert sent == at[inner] == veth_a + veth_b
        assert eth0 == at[outer]
        lost += at[inner] - at[outer]
    assert lost == truth["counters"]["drop"] > 0
    assert truth["counters"]["insert_failed"] == 0
    assert limit == MAX.read_text(), "the machine's limit is restored"
    if scenario == "table-full":
        _established(truth, folder)


def _established(truth: dict[str, Any], folder: Path) -> None:
    """The old connection is not slowed down; sysctls and table are those of the full table; dmesg says so."""
    told = truth["traffic"]
    assert told["established"]["answers"] > 20
    assert told["established"]["longest"] < 0.5
    delays = [one["delay"] for kind in ("connects", "asks") for pod in "ab" for one in told[kind][pod]]
    assert len(delays) == 16
    assert all(delay is None or delay > 0.9 for delay in delays), "each lost its first attempt at least"
    assert f"/nf_conntrack_max:{told['limit']}\n" in (folder / "event/sysctl.txt").read_text()
    assert len((folder / "event/conntrack-L.txt").read_text().splitlines()) <= told["limit"]
    lines = (folder / "dmesg.txt").read_text().splitlines()
    assert 0 < sum("table full" in line for line in lines) <= truth["counters"]["drop"]
