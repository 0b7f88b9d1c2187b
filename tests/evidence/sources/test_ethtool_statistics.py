"""What drivers count."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.counting import Counters
from analyzer.evidence.sources import ethtool_statistics


def counters(text: str, file: str) -> list[Counters]:
    """Parse a text that is recognised."""
    assert ethtool_statistics.recognises(text)
    return [fact for fact in ethtool_statistics.parse(text, file) if isinstance(fact, Counters)]


@pytest.mark.parametrize(
    ("file", "dev"),
    [
        ("ethtool-S-v0.txt", "v0"),
        ("ethtool_-S_eth0", "eth0"),
        ("ethtool-S-eth0-after.txt", "eth0"),
        ("x", ""),
    ],
)
def test_named_by_its_file(sample: Callable[[str], str], file: str, dev: str) -> None:
    """The output does not say whose it is; sosreport and people call the file after the interface."""
    (told,) = counters(sample("ethtool-S-v0.txt"), file)
    assert (dev, 0, 2) == (told.of, told.values["rx_queue_0_drops"], told.values["peer_ifindex"])


def test_named_by_the_command() -> None:
    """Several in a row are told apart by the commands above them."""
    text = "".join(
        f"# ethtool -S {dev}\nNIC statistics:\n     rx_missed: {n}\n"
        for n, dev in enumerate(("eth0", "eth1"))
    )
    assert [("eth0", 0), ("eth1", 1)] == [(one.of, one.values["rx_missed"]) for one in counters(text, "a")]


def test_other_text() -> None:
    """Other statistics are none of a driver's."""
    assert not ethtool_statistics.recognises("statistics:\n     rx: 1\n")


def test_a_part() -> None:
    """What `grep` leaves has no head, and the command tells the interface."""
    text = "$ ethtool -S eth0 | grep allowance\n     bw_out_allowance_exceeded: 133\n     conntrack_allowance_exceeded: 4021\n"
    assert ethtool_statistics.recognises(text)
    (counters,) = ethtool_statistics.parse(text, "a")
    assert isinstance(counters, Counters)
    assert ("eth0", 4021) == (counters.of, counters.values["conntrack_allowance_exceeded"])
    assert not ethtool_statistics.recognises("Ip:\n    Forwarding: 1\n    7 forwarded\n")
