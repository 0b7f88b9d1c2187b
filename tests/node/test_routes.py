"""The node's routes: the longest prefix wins; what cannot be compared tells nothing."""

from __future__ import annotations

import ipaddress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from analyzer.evidence.facts import Route
from analyzer.node.routes import Routes


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
    assert (device,) == Routes(ROUTES, ["cni0", "eth0"]).devices(*bits(address))


def test_no_route() -> None:
    """Without a default route, not everything leads somewhere."""
    assert Routes(ROUTES[1:2], ["cni0"]).devices(*bits("192.0.2.100")) == ()
    assert Routes(ROUTES[1:2], ["cni0"])


@pytest.mark.parametrize("known", [[], ["a", "b"]])
def test_names_that_are_no_devices(known: list[str]) -> None:
    """Points that were named by hand cannot be compared with devices."""
    assert Routes(ROUTES, known).devices(*bits("10.244.0.11")) == ()
    assert not Routes(ROUTES, known)


@given(
    st.lists(
        st.tuples(st.sampled_from([4, 6]), st.integers(0, 3), st.integers(0, 3), st.sampled_from("abc")),
        max_size=12,
    ),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=8),
)
def test_lookup_equals_comparing_all(
    routes: list[tuple[int, int, int, str]], asked: list[tuple[bool, int]]
) -> None:
    """Looked up by prefix, an address leaves by the device of the first longest route of its IP version that holds it."""
    bases = {4: ("192.0.2.", 32), 6: ("2001:db8::", 128)}
    listed = [
        (ipaddress.ip_network(f"{bases[v][0]}{last}/{bases[v][1] - short}", strict=False), device)
        for v, last, short, device in routes
    ]
    known = Routes([route(str(net), device) for net, device in listed], ["a", "b", "c"])
    for mapped, last in asked:
        address = ipaddress.ip_address(f"192.0.2.{last}" if mapped else f"2001:db8::{last}")
        holding = [(net, device) for net, device in listed if address in net]
        longest = max((net.prefixlen for net, _ in holding), default=0)
        expected = next(((device,) for net, device in holding if net.prefixlen == longest), ())

        assert expected == known.devices(*bits(str(address)))
