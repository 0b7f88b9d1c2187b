"""The node's routes: the longest prefix wins; what cannot be compared tells nothing."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from analyzer.evidence.facts import Route
from analyzer.nat.routes import Routes


def route(dst: str, dev: str | None, **changes: Any) -> Route:
    """A unicast route of the main table."""
    given = {"kind": "unicast", "gateway": None, "table": "main", "file": "ip-route.json"}
    return Route(dst=dst, dev=dev, **(given | changes))  # type: ignore[arg-type]


ROUTES = (
    route("0.0.0.0/0", "eth0", gateway="192.0.2.1"),
    route("10.244.0.0/24", "cni0"),
    route("10.0.0.0/8", "tun0"),
    route("10.244.7.0/24", "cni0", kind="blackhole"),
    route("203.0.113.9/32", "eth1"),
    route("198.51.100.0/24", "eth1", table="100"),
    route("2001:db8:1::/64", "cni0"),
    route("::/0", "eth0"),
)


def bits(text: str) -> tuple[int, int]:
    """An address as its two halves, IPv4 mapped."""
    found = ipaddress.ip_address(text)
    number = int(found) if found.version == 6 else 0xFFFF00000000 | int(found)
    return number >> 64, number & (1 << 64) - 1


@pytest.mark.parametrize(
    ("address", "device"),
    [
        ("10.244.0.11", "cni0"),
        ("10.9.9.9", "tun0"),
        ("10.244.7.7", "tun0"),
        ("203.0.113.9", "eth1"),
        ("203.0.113.8", "eth0"),
        ("198.51.100.7", "eth0"),
        ("2001:db8:1::11", "cni0"),
        ("2001:db8:2::11", "eth0"),
    ],
)
def test_longest_prefix(address: str, device: str) -> None:
    """Of the main table's unicast routes."""
    assert device == Routes(ROUTES, ["cni0", "eth0"]).device(*bits(address))


def test_no_route() -> None:
    """Without a default route, not everything leads somewhere."""
    assert Routes(ROUTES[1:2], ["cni0"]).device(*bits("192.0.2.100")) is None


@pytest.mark.parametrize("known", [[], ["a", "b"]])
def test_names_that_are_no_devices(known: list[str]) -> None:
    """Points that were named by hand cannot be compared with devices."""
    assert Routes(ROUTES, known).device(*bits("10.244.0.11")) is None
