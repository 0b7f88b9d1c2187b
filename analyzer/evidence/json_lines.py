"""JSON Lines: one object per line, of which a few are of interest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from analyzer.evidence.facts import Caveat

LONGEST = 1 << 18
"""Characters of a line that are decoded."""


def objects(text: str, file: str, *words: str) -> Iterator[tuple[int, dict[str, Any]] | Caveat]:
    """Yield the objects whose line contains one of some words, with the line's number from 1; at the end what was damaged.

    Args:
        text: Of the file; other lines may stand between.
        file: How to call it.
        words: Decoding is slow, looking for words is not.
    """
    damaged = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("{") or not any(word in line for word in words):
            continue
        try:
            item = json.loads(line) if len(line) <= LONGEST else None
        except (ValueError, RecursionError):
            item = None
        if isinstance(item, dict):
            yield number, item
        else:
            damaged += 1
    if damaged:
        yield Caveat(says=f"{file}: {damaged} lines were not understood as JSON, or cut short")


def inner(item: Any, *path: str) -> Any:
    """Go into nested objects; None where a step is missing or no object."""
    for step in path:
        item = item.get(step) if isinstance(item, dict) else None
    return item


def string(item: Any, *path: str) -> str:
    """Give a string inside nested objects; empty where it is none."""
    found = inner(item, *path)
    return found if isinstance(found, str) else ""


def integer(item: Any, *path: str, most: int = (1 << 63) - 1) -> int | None:
    """Give a number inside nested objects, not negative; None where it is none."""
    found = inner(item, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= most else None
