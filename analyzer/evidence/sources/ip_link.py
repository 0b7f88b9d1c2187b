"""`ip -j link` and `ip -j addr`, with `-p` or without: index, name, MAC and addresses of each interface."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def recognises(head: str) -> bool:
    """Say whether a JSON list tells of interfaces."""
    return json_lists.holds(head, "ifindex", "ifname")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the interfaces of each JSON list in the text."""
    for item in json_lists.objects(text, file):
        if isinstance(item, Caveat):
            yield item
        elif "ifindex" in item:
            yield _link(item, file)


def _link(item: dict[str, Any], file: str) -> Fact:
    index, name, mac = item["ifindex"], item.get("ifname"), item.get("address")
    if type(index) is not int or not isinstance(name, str):
        return Caveat(says=f"{file}: an interface without a name: {str(item)[:80]!r}")
    listed = item.get("addr_info")
    said = (
        entry.get("local")
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, dict)
    )
    return Link(
        index=index,
        name=printable(name[:64]),
        # A tunnel's is an IP address.
        mac=mac.lower() if isinstance(mac, str) and _MAC.fullmatch(mac.lower()) else None,
        addresses=tuple(address for address in said if isinstance(address, str) and _is_address(address)),
        file=file,
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
