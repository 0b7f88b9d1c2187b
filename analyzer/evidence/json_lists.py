"""Lists of objects in a text, as `ip -j` prints them: alone, pretty-printed (`-p`), or between other output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from analyzer.evidence.facts import Caveat

MOST = 8 << 20
"""Characters that are decoded; a node with ten thousand interfaces has 5 million."""
_LIST = re.compile(r"^[ \t]*\[\s*\{", re.MULTILINE)


def holds(head: str, *keys: str) -> bool:
    """Say whether a list begins, and these keys come."""
    return _LIST.search(head) is not None and all(re.search(rf'"{key}"\s*:', head) for key in keys)


def objects(text: str, file: str) -> Iterator[dict[str, Any] | Caveat]:
    """Yield the objects of every list; a caveat where one is cut short, after which nothing is read."""
    text, at = text[:MOST], 0
    while match := _LIST.search(text, at):
        try:
            items, at = json.JSONDecoder().raw_decode(text, text.index("[", match.start()))
        except (ValueError, RecursionError) as problem:
            yield Caveat(says=f"{file}: not understood as JSON, or cut short: {problem}")
            return
        yield from (item for item in items if isinstance(item, dict))
