"""What a file's name tells of when it was made: before the incident, or after it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from analyzer.evidence.network import Route

_BEFORE = re.compile(r"(?<![a-z])before(?![a-z])", re.IGNORECASE)
_AFTER = re.compile(r"(?<![a-z])after(?![a-z])", re.IGNORECASE)


def moment(label: str) -> int:
    """Order files by when they were made, as far as their names tell: of what tells a state, the last one counts."""
    return bool(_AFTER.search(label)) - bool(_BEFORE.search(label))


def removed(said: Iterable[Route]) -> frozenset[Route]:
    """Routes that a listing from before has, and the same listing from after (`before/routes`, `after/routes`) has not."""
    listed: dict[str, dict[Route, Route]] = {}
    for route in said:
        listed.setdefault(route.file, {})[replace(route, file="", flags=frozenset())] = route
    found = []
    for file, routes in listed.items():
        later = listed.get(_BEFORE.sub("after", file)) if _BEFORE.search(file) else None
        if later is not None:
            found += [route for key, route in routes.items() if key not in later]
    return frozenset(found)
