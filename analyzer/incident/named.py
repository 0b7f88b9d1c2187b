"""Whose the addresses are that an analysis tells of: pods', services', nodes', containers'."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.evidence.naming import Name
    from analyzer.incident.model import Incident, Outside, Untold

_ADDRESS = re.compile(r"\[([0-9a-fA-F:.]+)\]|(?<![\w.:])(\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")


def among(names: Mapping[str, Name], *texts: str | None) -> tuple[Name, ...]:
    """Name the addresses of some flows, in their order: `10.244.0.11:20000 > 192.0.2.100:80/tcp`."""
    if not names:
        return ()
    found = (one[1] or one[2] for text in texts if text for one in _ADDRESS.finditer(text))
    return tuple(names[address] for address in dict.fromkeys(found) if address in names)


def incidents(told: Iterable[Incident], names: Mapping[str, Name]) -> tuple[Incident, ...]:
    """Name the ends of every finding."""
    if not names:
        return tuple(told)
    return tuple(
        replace(one, findings=tuple(replace(f, names=among(names, f.inner, f.outer)) for f in one.findings))
        for one in told
    )


def outside(told: Outside | None, names: Mapping[str, Name]) -> Outside | None:
    """Name the destinations, and from where they were asked."""
    if told is None or not names:
        return told
    named = (
        replace(one, names=among(names, f"{one.name} ", *(source for source, _ in one.sources)))
        for one in told.destinations
    )
    return replace(told, destinations=tuple(named))


def untold(told: Iterable[Untold], names: Mapping[str, Name]) -> tuple[Untold, ...]:
    """Name the ends of every connection."""
    return tuple(replace(one, names=among(names, one.connection)) for one in told)
