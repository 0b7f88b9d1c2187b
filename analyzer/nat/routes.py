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
        self._nets = []
        for route in routes:
            if route.table == "main" and route.kind == "unicast" and route.dev:
                self._nets.append((ipaddress.ip_network(route.dst, strict=False), route.dev))
        self._nets.sort(key=lambda item: -item[0].prefixlen)
        if not {device for _, device in self._nets} & set(known):
            self._nets = []

    def device(self, hi: int, lo: int) -> str | None:
        """The device towards an address, given as its 128 bits, IPv4 mapped; None without a route."""
        text: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv6Address(hi << 64 | lo)
        if isinstance(text, ipaddress.IPv6Address) and text.ipv4_mapped:
            text = text.ipv4_mapped
        return next((device for net, device in self._nets if text in net), None)
