"""What routes tell."""

from __future__ import annotations

from typing import Any

from analyzer.evidence.network import NextHop, Route


def route(**more: Any) -> Route:
    """Make one that leads nowhere."""
    told = {
        "dst": "10.0.0.0/8",
        "kind": "unicast",
        "gateway": None,
        "dev": None,
        "table": "main",
        "file": "a",
    }
    return Route(**(told | more))


def test_hops() -> None:
    """A route has the ways that it lists, else its own, else none."""
    several = (NextHop(gateway="10.0.0.1", dev="eth0"), NextHop(gateway="10.0.0.2", dev="eth1", weight=2))

    assert several == route(nexthops=several).hops
    assert (NextHop(gateway=None, dev="eth0"),) == route(dev="eth0").hops
    assert () == route(kind="blackhole").hops
