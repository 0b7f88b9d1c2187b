"""`ip link` and `ip addr` as text, with `-d`, `-s`, `-o` or without."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from analyzer.capture.naming import printable
from analyzer.evidence.facts import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

MOST = 20_000
"""Interfaces of one file."""
_BEGIN = re.compile(r"(\d{1,9}): ([^\s:@]{1,64})(?:@\S+)?:? +(?:<[A-Z0-9_,-]*>|inet6? )")
_MAC = re.compile(r"\blink/ether ([\da-f]{2}(?::[\da-f]{2}){5})\b")
_ADDRESS = re.compile(r"\binet6? ([\da-fA-F.:]{2,45})(?:/\d+)?(?: peer \S+)? ")


def recognises(head: str) -> bool:
    """Say whether an interface begins."""
    return re.search(rf"^{_BEGIN.pattern}", head, re.MULTILINE) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the interfaces, each with the addresses that follow it."""
    found: dict[tuple[int, str], tuple[list[str], list[str]]] = {}
    here: tuple[list[str], list[str]] | None = None
    for line in text.splitlines():
        if begin := _BEGIN.match(line):
            key = int(begin[1]), begin[2]
            here = found.setdefault(key, ([], [])) if len(found) < MOST or key in found else None
        elif not line.startswith((" ", "\t")):
            here = None
        if here is None:
            continue
        if mac := _MAC.search(line):
            here[0].append(mac[1])
        if address := _ADDRESS.search(line):
            here[1].append(address[1])
    for (index, name), (macs, addresses) in found.items():
        yield Link(
            index=index,
            name=printable(name),
            mac=macs[0] if macs else None,
            addresses=tuple(dict.fromkeys(address for address in addresses if _is_address(address))),
            file=file,
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
