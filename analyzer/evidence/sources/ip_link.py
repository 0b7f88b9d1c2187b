"""`ip -j link` and `ip -j addr`, with `-d`, `-s`, `-p` or without: names, addresses, states, kinds, counters of interfaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from analyzer.capture.link import Link
from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat, Fact
from analyzer.evidence.links import MOST, is_address
from analyzer.evidence.sources import LINKS

PURPOSE = LINKS

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def recognises(head: str) -> bool:
    return json_lists.holds(head, "ifindex", "ifname")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the interfaces of each JSON list in the text, and their counters."""
    count = 0
    for item in json_lists.objects(text, file):
        if isinstance(item, Caveat):
            yield item
        elif "ifindex" in item:
            count += 1
            if count <= MOST:
                yield from _link(item, file)
    if count > MOST:
        yield Caveat(says=f"{file}: {count - MOST} interfaces beyond the first {MOST} were left out")


def _link(item: dict[str, Any], file: str) -> Iterator[Fact]:
    index, name, mac = item["ifindex"], item.get("ifname"), item.get("address")
    if type(index) is not int or not isinstance(name, str):
        yield Caveat(says=f"{file}: an interface without a name: {str(item)[:80]!r}")
        return
    if not 0 < index < 1 << 31:  # a C int
        yield Caveat(
            says=f"{file}: interface {printable(name[:64])} has no index that there is, and was left out"
        )
        return
    listed = item.get("addr_info")
    said = (
        entry.get("local")
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, dict)
    )
    flags, mtu, info = item.get("flags"), item.get("mtu"), item.get("linkinfo")
    info = info if isinstance(info, dict) else {}
    data = info.get("info_data")
    name = printable(name[:64])
    yield Link(
        index=index,
        name=name,
        # A tunnel's is an IP address.
        mac=mac.lower() if isinstance(mac, str) and _MAC.fullmatch(mac.lower()) else None,
        addresses=tuple(address for address in said if isinstance(address, str) and is_address(address)),
        file=file,
        mtu=mtu if type(mtu) is int else None,
        flags=frozenset(_word(flag) for flag in flags[:40]) if isinstance(flags, list) else frozenset(),
        state=_word(item.get("operstate")),
        kind=_word(info.get("info_kind")),
        master=_word(item.get("master")),
        parent=_word(item.get("link"))
        or (f"if{peer}" if type(peer := item.get("link_index")) is int else ""),
        settings={
            printable(key[:40]): printable(str(value)[:80])
            for key, value in (data if isinstance(data, dict) else {}).items()
            if isinstance(value, str | int)
        },
    )
    if values := _counted(item.get("stats64") or item.get("stats")):
        yield Counters(group="interface", of=name, values=values, source="ip -s link", file=file)


def _counted(stats: object) -> dict[str, int]:
    values: dict[str, int] = {}
    for way in ("rx", "tx"):
        counted = stats.get(way) if isinstance(stats, dict) else None
        for key, value in counted.items() if isinstance(counted, dict) else ():
            if type(value) is int and re.fullmatch(r"[a-z_]{1,30}", key):
                values[key if key in ("multicast", "collisions", "carrier_changes") else f"{way}_{key}"] = (
                    value
                )
    return values


def _word(value: object) -> str:
    return printable(value[:64]) if isinstance(value, str) else ""
