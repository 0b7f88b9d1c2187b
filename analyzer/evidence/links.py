"""What several listings tell of an interface, put together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace

from analyzer.capture.link import Link

MOST = 20_000
"""Interfaces of one file."""


def merge(listed: Iterable[Link]) -> tuple[tuple[Link, ...], list[str]]:
    """Put together what is told of each interface: the first listing's word, and what only others tell.

    Flags and state are the last one's, which is then cited: listings come in the order in which they were made.

    Returns:
        The interfaces, and where two listings contradict each other, each a sentence.
    """
    listed = list(listed)
    known: dict[int | str, Link] = {}
    addresses: dict[int | str, dict[str, None]] = {}
    by_name: dict[str, int | str] = {}
    differing: list[str] = []
    # Those without an index join the interface of their name, which another file may number.
    for link in sorted(listed, key=lambda link: link.index is None):
        key = link.index if link.index is not None else by_name.get(link.name, link.name)
        by_name.setdefault(link.name, key)
        other = known.setdefault(key, link)
        if other.name != link.name or (other.mac and link.mac and other.mac != link.mac):
            what = f"interface {link.index}" if link.index is not None else "an interface"
            differing.append(
                f"{link.file}: {what} is {link.name} ({link.mac}), but {other.name} ({other.mac}) in "
                f"{other.file}; the latter is used, the files differ in node or namespace"
            )
            continue
        known[key] = _completed(other, link)
        addresses.setdefault(key, {}).update(dict.fromkeys(link.addresses))
    return tuple(replace(link, addresses=tuple(addresses[key])) for key, link in known.items()), differing


def by_index(links: Iterable[Link]) -> dict[int, Link]:
    """Those that have an ifindex, by it."""
    return {link.index: link for link in links if link.index is not None}


def _completed(link: Link, other: Link) -> Link:
    if other is link:
        return link
    # Of what changes the later listing tells, if it tells as much.
    later = other.index is not None
    return replace(
        link,
        file=other.file if later and (other.flags or other.state) else link.file,
        mac=link.mac or other.mac,
        mtu=link.mtu or other.mtu,
        flags=(later and other.flags) or link.flags or other.flags,
        state=(later and other.state) or link.state or other.state,
        kind=link.kind or other.kind,
        master=link.master or other.master,
        parent=link.parent or other.parent,
        settings=link.settings or other.settings,
    )


def is_address(text: str) -> bool:
    """Say whether a text is an address, without an interface behind it."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
