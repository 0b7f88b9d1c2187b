"""Interfaces as ifconfig lists them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.capture.link import Link
from analyzer.evidence.counting import Counters
from analyzer.evidence.sources import ifconfig


@pytest.mark.parametrize("name", ["ifconfig.txt", "ifconfig-busybox.txt"])
def test_both_forms(sample: Callable[[str], str], name: str) -> None:
    """net-tools' and busybox's tell the same."""
    assert ifconfig.recognises(sample(name))
    facts = list(ifconfig.parse(sample(name), "a"))
    links = {fact.name: fact for fact in facts if isinstance(fact, Link)}
    counted = {fact.of: fact.values for fact in facts if isinstance(fact, Counters)}

    assert {"br0", "lo", "v0", "vx1"} == links.keys() == counted.keys()
    bridge = links["br0"]
    assert (None, 1500, "UP", True) == (bridge.index, bridge.mtu, bridge.state, bridge.up)
    assert {"10.9.0.1", "2001:db8::1"} < set(bridge.addresses)
    assert bridge.mac is not None
    assert (None, ("127.0.0.1", "::1")) == (links["lo"].mac, links["lo"].addresses)
    assert (1, True) == (counted["br0"]["tx_dropped_or_missed"], counted["vx1"]["tx_errors"] >= 6)


def test_down() -> None:
    """Up without a carrier is down."""
    (link, _) = ifconfig.parse(
        "eth1: flags=4099<UP,BROADCAST,MULTICAST>  mtu 1500\n        RX packets 0  bytes 0\n", "a"
    )
    assert isinstance(link, Link)
    assert ("DOWN", False) == (link.state, link.up)


def test_other_text() -> None:
    """`ip link` is read elsewhere."""
    assert not ifconfig.recognises("2: eth0: <UP> mtu 1500\n")
