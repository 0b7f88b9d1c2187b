"""The node's routes: by which device a packet leaves."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from analyzer.evidence.facts import Route


class Routes:
    """Longest-prefix match over the main table's unicast routes."""

    def __init__(self, routes: Iterable[Route], known: Collection[str]) -> None:
        """Take the routes.

        Args:
            routes: As the node listed them.
            known: Names of the capture points: without one that is a device of these routes, names and devices cannot
                be compared, and nothing is told.
        """
        nets: dict[tuple[int, int], dict[int, tuple[str, ...]]] = {}
        for route in routes:
            devices = tuple(dict.fromkeys(hop.dev for hop in route.hops if hop.dev))
            if route.table == "main" and route.kind == "unicast" and devices:
                net = ipaddress.ip_network(route.dst, strict=False)
                shift = net.max_prefixlen - net.prefixlen
                prefixes = nets.setdefault((net.version, shift), {})
                prefixes.setdefault(int(net.network_address) >> shift, devices)
        named = {device for prefixes in nets.values() for devices in prefixes.values() for device in devices}
        if not named & set(known):
            nets = {}
        # By IP version: how many bits are not compared, fewest first, and the devices by the others.
        self._nets = {
            version: [(shift, nets[v, shift]) for v, shift in sorted(nets) if v == version]
            for version in (4, 6)
        }

    def __bool__(self) -> bool:
        """Whether any route is known."""
        return any(self._nets.values())

    def devices(self, hi: int, lo: int) -> tuple[str, ...]:
        """The devices towards an address, given as its 128 bits, IPv4 mapped; several where the route has several next hops."""
        mapped = hi == 0 and lo >> 32 == 0xFFFF
        version, number = (4, lo & 0xFFFFFFFF) if mapped else (6, hi << 64 | lo)
        found = (prefixes.get(number >> shift) for shift, prefixes in self._nets[version])
        return next((devices for devices in found if devices is not None), ())
